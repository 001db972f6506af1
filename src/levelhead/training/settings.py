"""The options of counter-stereotype training, apart from those of any training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from levelhead.errors import InputError
from levelhead.training.frequency import above_zero


@dataclass(frozen=True, kw_only=True)
class CSDSettings:
    """What counter-stereotype training (Cheng et al., arXiv 2408.06569) does with the Skew.

    Attributes
    ----------
    resample : bool
        Drop and copy samples by their Skew; see `BiasAwareSampler`. Otherwise each comes once an epoch.
    rescale : bool
        Multiply each sample's loss by ``exp(-Skew)``; see `rescaled_loss`.
    tau1, tau2 : float
        Of the sampler.
    clip : float or None
        Largest weight of a loss; ours.
    normalize : bool
        Divide the weights by their mean over all examples, so that the learning rate means what it means without them; ours.
    over : {"sum", "mean"}
        Whether the loss of an answer is the sum over its tokens, as in the source, or their mean.
    every : int
        Epochs from one estimate of the Skew to the next; 1 in the source.
    length : int or None
        Samples of an epoch; as many as there are examples when left out, since transformers' Trainer counts its steps in
        advance: passes are repeated, and the last one is cut.

    Raises
    ------
    InputError
        For numbers that are not above 0.
    """

    resample: bool = True
    rescale: bool = True
    tau1: float | int = 1.0
    tau2: float | int = 1.0
    clip: float | int | None = None
    normalize: bool = False
    over: Literal["sum", "mean"] = "sum"
    every: int = 1
    length: int | None = None

    def __post_init__(self) -> None:
        above_zero(
            tau1=self.tau1, tau2=self.tau2, every=self.every, **({} if self.clip is None else {"clip": self.clip})
        )
        if self.over not in ("sum", "mean"):
            raise InputError(f"over is 'sum' or 'mean'; found {self.over!r}")
