"""Which questions a step asks: decided by the seed and the step alone, so that a resumed run asks the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from levelhead.data.records import ChoiceRecord
from levelhead.errors import InputError

CHUNK = 64
"""Questions of a pass without gradients."""


def chunks(numbers: Sequence[int]) -> list[list[int]]:
    """Numbers in parts that go through a model together."""
    return [list(numbers[first : first + CHUNK]) for first in range(0, len(numbers), CHUNK)]


def rng_of(seed: int, *key: int) -> np.random.Generator:
    """The generator of one step."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def split(records: Sequence[ChoiceRecord], share: float | int, seed: int) -> tuple[list[int], list[int]]:
    """Divide choices by target: those to train on, and those of the targets that are held out.

    Parameters
    ----------
    records : sequence of ChoiceRecord
    share : float
        Of the targets, in [0, 1); 0 holds none out.
    seed : int

    Returns
    -------
    list of int, list of int

    Raises
    ------
    InputError
        If there are too few targets to divide.
    """
    targets = list(dict.fromkeys(record.target for record in records))
    if not share:
        return list(range(len(records))), []
    n = max(1, round(share * len(targets)))
    if n >= len(targets):
        raise InputError(
            f"validation={share} of {len(targets)} occupations ({', '.join(targets[:4])}) leaves none to train on; give choices "
            "about more of them, or set validation=0 and judge the steer on others yourself"
        )
    held = {targets[i] for i in rng_of(seed, 0).permutation(len(targets))[:n]}
    sides: tuple[list[int], list[int]] = ([], [])
    for i, record in enumerate(records):
        sides[record.target in held].append(i)
    return sides


@dataclass(frozen=True)
class Batches:
    """Batches of items, each asked in one order by chance.

    Attributes
    ----------
    groups : list of list of int
        Items by cell when stratified, which get equal shares of every batch; else one list of all.
    orders : list of list of int
        Numbers of the questions that ask each item.
    size : int
    seed : int
    """

    groups: list[list[int]]
    orders: list[list[int]]
    size: int
    seed: int

    def __call__(self, step: int) -> list[int]:
        """Numbers of the questions of a step."""
        rng = rng_of(self.seed, 1, step)
        picked: list[int] = []
        turns = rng.permutation(len(self.groups))
        for place, group in enumerate(turns):
            each = self.groups[group]
            n = self.size // len(turns) + (place < self.size % len(turns))
            while n > 0:
                picked += [each[i] for i in rng.permutation(len(each))[:n]]
                n -= len(each)
        return [self.orders[item][rng.integers(len(self.orders[item]))] for item in picked]
