"""The unsteered model's answers, found once and kept, from which drift is measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

_KEPT = 2**30
"""Bytes that are kept of each kind."""


class Reference:
    """Log-probabilities of the unsteered model: all kept if they fit, else each batch's found anew.

    Parameters
    ----------
    ask : callable
        Gives those of some prompts, by number: for each, a row for each position that is read.
    total : int
        How many prompts there are.
    """

    def __init__(self, ask: Callable[[Sequence[int]], list[Tensor]], total: int) -> None:
        self._ask, self._total = ask, total
        self._kept: list[Tensor] = []

    def keep(self, found: Sequence[Tensor]) -> bool:
        """Take the next prompts' rows; False if all of them together would not fit, and none is kept."""
        if sum(rows.nbytes for rows in found) / len(found) * self._total > _KEPT:
            self._kept = []
            return False
        self._kept += found
        return True

    def __call__(self, numbers: Sequence[int]) -> Float[Tensor, "read token"]:
        """Those of some prompts, without gradients."""
        if len(self._kept) == self._total:
            return torch.cat([self._kept[number] for number in numbers])
        with torch.no_grad():
            return torch.cat(self._ask(numbers))
