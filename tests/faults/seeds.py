"""The one number that a run of faults comes from: the same seed injects the same faults at the same places."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from random import Random, SystemRandom
from typing import TypeVar

SEED_VARIABLE = "MILLRACE_FAULT_SEED"
ROUNDS_VARIABLE = "MILLRACE_FAULT_ROUNDS"
FULL_ROUNDS = 20
"""What `make faults` asks for."""
_SEEDS = 2**32
_Choice = TypeVar("_Choice")


@dataclass(frozen=True)
class FaultRound:
    """One repetition of a scenario; `number` counts from 0.

    Its random numbers depend on the seed, the scenario and the number alone, so a round repeats by itself. The
    short form, where each scenario has one round, does a part of what a round of any other run does.
    """

    seed: int
    scenario: str
    number: int
    is_short: bool = False

    @property
    def random(self) -> Random:
        """A generator at its beginning; ask once a test."""
        return Random(f"{self.seed}/{self.scenario}/{self.number}")

    def choose(self, random: Random, places: Iterable[_Choice], *, short: int) -> list[_Choice]:
        """The places of this round in a random order: all of them, or `short` of them in the short form."""
        known = list(places)
        return random.sample(known, short if self.is_short else len(known))

    @property
    def hypothesis_seed(self) -> int:
        """What to give to `hypothesis.seed`."""
        return self.random.randrange(_SEEDS)


def choose_seed(environ: Mapping[str, str]) -> int:
    """The seed of this run: the environment's, or a new one.

    Raises: ValueError for something that is not a whole number.
    """
    given = environ.get(SEED_VARIABLE)
    return SystemRandom().randrange(_SEEDS) if given is None else int(given)


def choose_rounds(environ: Mapping[str, str], option: int | None) -> int:
    """How often each scenario is repeated: the option, else the environment's, else once.

    Raises: ValueError for something below 1.
    """
    rounds = option if option is not None else int(environ.get(ROUNDS_VARIABLE, "1"))
    if rounds < 1:
        raise ValueError(f"{rounds} rounds: at least 1 is needed")
    return rounds
