"""How a process of a test kills itself at a named step: SIGKILL, sent by its own hand, so that the step is exact.

Nothing of this is in the product: a wrapper module puts a trigger around what the real process is made of, and
nothing behind the moment of death runs, in no thread.
"""

import functools
import inspect
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Death:
    """Comes at the `passings`-th time that the process passes its step; passings of all threads count."""

    step: str
    passings: int
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def pass_step(self, step: str) -> None:
        """Note that the process is at `step`; does not return from the last passing."""
        if step != self.step:
            return
        with self._lock:
            self.passings -= 1
            if self.passings == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def around(self, owner: type, method: str, *, before: str, after: str) -> None:
        """Make the calls of a method of `owner`, blocking or not, pass a step before and one after."""
        original = getattr(owner, method)
        wrap = self._around_coroutine if inspect.iscoroutinefunction(original) else self._around_call
        setattr(owner, method, wrap(original, before, after))

    def _around_call(self, original: Callable[..., Any], before: str, after: str) -> Callable[..., Any]:
        @functools.wraps(original)
        def watched(*arguments: Any, **named: Any) -> Any:
            self.pass_step(before)
            result = original(*arguments, **named)
            self.pass_step(after)
            return result

        return watched

    def _around_coroutine(self, original: Callable[..., Any], before: str, after: str) -> Callable[..., Any]:
        @functools.wraps(original)
        async def watched(*arguments: Any, **named: Any) -> Any:
            self.pass_step(before)
            result = await original(*arguments, **named)
            self.pass_step(after)
            return result

        return watched
