"""A data set in the order of an epoch: what is dropped is not in it, and what is copied is in it again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from torch.utils.data import Dataset

from levelhead.training.examples import Example


class Drawn(NamedTuple):
    """An example as an epoch draws it.

    Attributes
    ----------
    example : Example
    skew : float
        By which its loss is rescaled; 0 where it is not.
    """

    example: Example
    skew: float


class Resampled(Dataset[Drawn]):
    """The samples of the epoch that runs, in its order: number i is the i-th one that the epoch draws.

    A plain loop goes through it in sequence. Its length is the same in every epoch, whatever is dropped.

    Parameters
    ----------
    examples : sequence of Example
    length : int
        Samples of an epoch.
    """

    def __init__(self, examples: Sequence[Example], length: int) -> None:
        self.examples = list(examples)
        self.order = [i % len(self.examples) for i in range(length)]
        self.skews: Float[np.ndarray, " example"] = np.zeros(len(self.examples))

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: int) -> Drawn:
        number = self.order[index]
        return Drawn(self.examples[number], float(self.skews[number]))
