"""Rates and ranks with intervals: ROC AUC for many sites at once, and the bootstrap over groups.

The unit of resampling is the group (a person, a template, a counterfactual set), never the single example: examples of
one group resemble each other, and intervals that ignore it are too narrow.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.optimize import brentq
from scipy.stats import norm
from torch import Tensor

_CHUNK = 2**24  # numbers held at once while bootstrapping


def roc_auc(
    scores: Float[Tensor, "*batch example"],
    positive: Bool[Tensor, " example"],
    strata: Int[Tensor, " example"] | None = None,
    weights: Float[Tensor, "draw example"] | None = None,
) -> Float[Tensor, "*shape"]:
    """Area under the ROC curve: the share of (positive, negative) pairs that the scores put in order, ties half.

    Parameters
    ----------
    scores : Float[Tensor, "*batch example"]
    positive : Bool[Tensor, "example"]
        The same labels for the whole batch.
    strata : Int[Tensor, "example"], optional
        Only pairs within a stratum count. With folds as strata, scores of different probes are never compared; the
        result is the mean over folds weighted by their pairs.
    weights : Float[Tensor, "draw example"], optional
        Weights of the examples, as in a bootstrap: one area for each draw.

    Returns
    -------
    Float[Tensor, "*batch"] or, with weights, Float[Tensor, "*batch draw"]
        In [0, 1]; NaN where no pair counts.

    Examples
    --------
    >>> roc_auc(torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([False, False, True, True]))
    tensor(0.7500, dtype=torch.float64)
    """
    flat = scores.reshape(-1, scores.shape[-1])
    draws = torch.ones(1, flat.shape[1], dtype=torch.float64) if weights is None else weights
    draws = draws.to(flat.device).T.contiguous()
    ordered = draws.new_zeros(len(flat), draws.shape[1])
    pairs = draws.new_zeros(draws.shape[1])
    strata = torch.zeros(flat.shape[1], dtype=torch.int64) if strata is None else strata
    strata, positive = strata.to(flat.device), positive.to(flat.device)
    for stratum in strata.unique().tolist():
        pos = (positive & (strata == stratum)).nonzero()[:, 0]
        neg = (~positive & (strata == stratum)).nonzero()[:, 0]
        if not (len(pos) and len(neg)):
            continue
        pairs += draws[pos].sum(dim=0) * draws[neg].sum(dim=0)
        rows = max(1, _CHUNK // (flat.shape[1] * draws.shape[1]))
        for first in range(0, len(flat), rows):
            ordered[first : first + rows] += _ordered(flat[first : first + rows], pos, neg, draws)
    area = torch.where(pairs > 0, ordered / pairs, torch.nan)
    return area[:, 0].reshape(scores.shape[:-1]) if weights is None else area.reshape(*scores.shape[:-1], -1)


def _ordered(
    scores: Float[Tensor, "row example"],
    pos: Int[Tensor, " pos"],
    neg: Int[Tensor, " neg"],
    draws: Float[Tensor, "example draw"],
) -> Float[Tensor, "row draw"]:
    """Weight of the pairs in order, by running sums over the sorted negatives."""
    sorted_neg, order = scores[:, neg].sort(dim=1)
    below = draws.new_zeros(len(scores), len(neg) + 1, draws.shape[1])
    torch.cumsum(draws[neg[order]], dim=1, out=below[:, 1:])
    here = scores[:, pos].contiguous()
    left = torch.searchsorted(sorted_neg, here)
    right = torch.searchsorted(sorted_neg, here, right=True)
    row = torch.arange(len(scores), device=scores.device)[:, None]
    total = below[row, left].mul_(draws[pos]).sum(dim=1)
    if bool((left == right).all()):
        return total
    return 0.5 * (total + below[row, right].mul_(draws[pos]).sum(dim=1))


def bootstrap_weights(
    groups: Int[np.ndarray, " example"], draws: int, rng: np.random.Generator
) -> Float[Tensor, "draw example"]:
    """How often each example occurs when groups are drawn with replacement.

    Parameters
    ----------
    groups : Int[ndarray, "example"]
        Group numbers from 0, without gaps.
    draws : int
    rng : numpy.random.Generator

    Returns
    -------
    Float[Tensor, "draw example"]
    """
    n_groups = int(groups.max()) + 1
    drawn = rng.integers(n_groups, size=(draws, n_groups)) + n_groups * np.arange(draws)[:, None]
    times = np.bincount(drawn.ravel(), minlength=draws * n_groups).reshape(draws, n_groups)
    return torch.from_numpy(times[:, groups].astype(np.float32))  # exact: small counts, and half the memory


def auc_interval(
    scores: Float[Tensor, "*batch example"],
    positive: Bool[Tensor, " example"],
    groups: Int[np.ndarray, " example"],
    rng: np.random.Generator,
    *,
    strata: Int[Tensor, " example"] | None = None,
    confidence: float = 0.95,
    draws: int = 1000,
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Interval of ROC AUC: percentiles of a bootstrap over groups.

    Where draws pile up at 1 (or 0), because the scores separate the classes, the bootstrap has hardly any spread and
    would promise certainty; there `area_bound` with the numbers of groups gives the inner end.

    Parameters
    ----------
    scores, positive, strata
        As in `roc_auc`.
    groups : Int[ndarray, "example"]
    rng : numpy.random.Generator
    confidence : float
        Coverage, two-sided.
    draws : int

    Returns
    -------
    low, high : Float[Tensor, "*batch"]
    """
    weights = bootstrap_weights(groups, draws, rng)
    low, high = _percentiles(roc_auc(scores, positive, strata, weights), confidence)
    mask = positive.cpu().numpy()
    units = len(np.unique(groups[mask])), len(np.unique(groups[~mask]))
    return _mend(
        roc_auc(scores, positive, strata), low, high, lambda area: area_bound(area, *units, confidence=confidence)
    )


def mean_interval(
    values: Float[Tensor, "*batch example"],
    groups: Int[np.ndarray, " example"],
    rng: np.random.Generator,
    *,
    confidence: float = 0.95,
    draws: int = 1000,
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Interval of a mean over examples: percentiles of a bootstrap over groups.

    For a share (values in [0, 1]) whose draws pile up at 1 or 0 the bootstrap has hardly any spread; there Wilson's
    interval with the number of groups gives the inner end.

    Parameters
    ----------
    values : Float[Tensor, "*batch example"]
    groups : Int[ndarray, "example"]
    rng : numpy.random.Generator
    confidence : float
    draws : int

    Returns
    -------
    low, high : Float[Tensor, "*batch"]
    """
    weights = bootstrap_weights(groups, draws, rng).to(values.device).double()
    values = values.double()
    low, high = _percentiles(values @ weights.T / weights.sum(dim=1), confidence)
    if bool(((values < 0) | (values > 1)).any()):
        return low, high
    n_groups = int(groups.max()) + 1
    return _mend(values.mean(dim=-1), low, high, lambda share: wilson(share, n_groups, confidence)[0])


def wilson(share: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share of `n` independent units.

    Examples
    --------
    >>> [round(end, 3) for end in wilson(1.0, 20)]
    [0.839, 1.0]
    """
    z = float(norm.ppf(0.5 + confidence / 2))
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def area_bound(area: float, n_positive: int, n_negative: int, *, confidence: float = 0.95) -> float:
    """Lower end of an interval for an observed ROC AUC, sound also at 1.

    The area whose own standard error puts the observed one at the edge of the interval; the standard error is Hanley
    and McNeil's, as in Newcombe (2006), method 5.

    Parameters
    ----------
    area : float
        Observed, above 0.
    n_positive, n_negative : int
        Independent units of either class: groups.
    confidence : float

    Returns
    -------
    float

    Examples
    --------
    >>> round(area_bound(1.0, 20, 20), 3)
    0.899
    """
    z = float(norm.ppf(0.5 + confidence / 2))
    half = (n_positive + n_negative) / 2 - 1

    def excess(true: float) -> float:
        spread = 1 + half * (1 - true) / (2 - true) + half * true / (1 + true)
        return (area - true) - z * sqrt(true * (1 - true) * spread / (n_positive * n_negative))

    return float(cast(float, brentq(excess, 1e-12, area - 1e-12)))


def upper_quantile(draws: Float[Tensor, "*batch draw"], confidence: float = 0.95) -> Float[Tensor, "*batch"]:
    """The value that a further draw from the same distribution exceeds with probability at most ``1 - confidence``.

    The order statistic that matches the p-value ``(1 + exceedances) / (1 + draws)``. With fewer than
    ``1 / (1 - confidence) - 1`` draws there is none, and the largest draw stands in.
    """
    n = draws.shape[-1]
    rank = min(n, int(np.ceil(confidence * (n + 1) - 1e-9)))
    return draws.sort(dim=-1).values[..., rank - 1]


def _mend(
    estimate: Float[Tensor, "*batch"],
    low: Float[Tensor, "*batch"],
    high: Float[Tensor, "*batch"],
    bound: Callable[[float], float],
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Give the inner end of an interval that reaches 1, or 0, by `bound` where that is further in."""
    low, high, flat = low.clone(), high.clone(), estimate.reshape(-1)
    for i in (high >= 1).reshape(-1).nonzero()[:, 0].tolist():
        low.reshape(-1)[i] = min(float(low.reshape(-1)[i]), bound(float(flat[i])))
    for i in (low <= 0).reshape(-1).nonzero()[:, 0].tolist():
        high.reshape(-1)[i] = max(float(high.reshape(-1)[i]), 1 - bound(1 - float(flat[i])))
    return low, high


def _percentiles(
    draws: Float[Tensor, "*batch draw"], confidence: float
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    tail = (1 - confidence) / 2
    ends = np.nanquantile(draws.cpu().numpy(), [tail, 1 - tail], axis=-1)
    low, high = torch.from_numpy(np.asarray(ends, dtype=np.float64)).to(draws.device)
    return low, high
