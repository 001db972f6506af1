"""Numbers with their intervals, by the bootstrap over whatever is the unit: an occupation, a counterfactual set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RESAMPLES = 4999
"""Bootstrap draws an interval."""


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval.

    Attributes
    ----------
    value, low, high : float
    n : int
        Number of units that were resampled.
    """

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:+.2f} [{self.low:+.2f}, {self.high:+.2f}]"

    def record(self) -> dict[str, float]:
        """As plain numbers."""
        return asdict(self)


def mean_interval(values: Array, seed: int) -> Estimate:
    """The mean over units."""
    return bootstrap((values,), np.mean, seed, paired=False)


def bootstrap(samples: tuple[Array, ...], statistic: Callable[..., Any], seed: int, *, paired: bool) -> Estimate:
    """A statistic with its interval, by the bias-corrected and accelerated bootstrap.

    Parameters
    ----------
    samples : tuple of array, "unit"
        One value a unit: never several of the same occupation or counterfactual set, which resemble each other.
    statistic : callable
        Takes the samples and ``axis``.
    seed : int
    paired : bool
        Whether the samples are columns of the same units, which are then drawn together.
    """
    from scipy.stats import binomtest
    from scipy.stats import bootstrap as resample

    value, n = float(statistic(*samples)), sum(len(s) for s in samples) if not paired else len(samples[0])
    if all(np.ptp(sample) == 0 for sample in samples):
        # All units agree, and a bootstrap would claim to be certain: for shares of 0 or 1, Wilson's interval.
        if len(samples) == 1 and value in (0.0, 1.0):
            interval = binomtest(round(value * n), n).proportion_ci(method="wilson")
            return Estimate(value, float(interval.low), float(interval.high), n)
        return Estimate(value, value, value, n)
    found = resample(
        samples,
        statistic,
        n_resamples=RESAMPLES,
        paired=paired,
        vectorized=True,
        method="BCa",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Estimate(value, float(found.low), float(found.high), n)
