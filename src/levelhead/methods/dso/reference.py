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
        Gives those of some prompts, by number.
    total : int
        How many prompts there are.
    """

    def __init__(self, ask: Callable[[Sequence[int]], Float[Tensor, "asked token"]], total: int) -> None:
        self._ask, self._total = ask, total
        self._rows: list[Tensor] = []
        self._table: Tensor | None = None

    def keep(self, rows: Float[Tensor, "asked token"]) -> bool:
        """Take the next prompts' rows; False if all of them together would not fit, and none is kept."""
        if rows.nbytes // len(rows) * self._total > _KEPT:
            return False
        self._rows.append(rows)
        if sum(map(len, self._rows)) == self._total:
            self._table, self._rows = torch.cat(self._rows), []
        return True

    def __call__(self, numbers: Sequence[int]) -> Float[Tensor, "asked token"]:
        """Those of some prompts, without gradients."""
        if self._table is not None:
            return self._table[list(numbers)]
        with torch.no_grad():
            return self._ask(numbers)
