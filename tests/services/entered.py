"""A service that runs while it is entered."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class EnteredService(ABC):
    """Starts when entered and is closed when left, also when the start fails half-way."""

    @abstractmethod
    def start(self) -> None:
        """Run it, and wait until it answers."""

    @abstractmethod
    def close(self) -> None:
        """Stop it if it runs, and remove what it left."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
