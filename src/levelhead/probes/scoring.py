"""Scores of probes of two classes or more: ROC AUC and accuracy, with intervals over groups."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from levelhead.metrics.statistics import (
    area_bound,
    auc_interval,
    bootstrap_weights,
    mean_interval,
    roc_auc,
    wilson,
)
from levelhead.metrics.statistics.shares import mend, percentiles

_DRAWS = 1000


def area(
    scores: Float[Tensor, "*batch"],
    target: Int[Tensor, " example"],
    n_classes: int,
    strata: Int[Tensor, " example"] | None = None,
    weights: Float[Tensor, "draw example"] | None = None,
) -> Float[Tensor, "*shape"]:
    """ROC AUC of two classes; of more, the mean over classes of each against the rest (macro one-versus-rest).

    Parameters
    ----------
    scores : Float[Tensor, "*batch example"], or "*batch example class" with more than two classes
    target : Int[Tensor, "example"]
    n_classes : int
    strata, weights
        As in `levelhead.metrics.statistics.roc_auc`.

    Returns
    -------
    Float[Tensor, "*batch"] or, with weights, Float[Tensor, "*batch draw"]
    """
    if n_classes == 2:
        return roc_auc(scores, target == 1, strata, weights)
    each = [roc_auc(scores[..., c].contiguous(), target == c, strata, weights) for c in range(n_classes)]
    return torch.stack(each).mean(dim=0)


def area_interval(
    scores: Float[Tensor, "*batch"],
    target: Int[Tensor, " example"],
    n_classes: int,
    groups: Int[np.ndarray, " example"],
    rng: np.random.Generator,
    *,
    strata: Int[Tensor, " example"],
    confidence: float,
) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    """Interval of `area`: percentiles of a bootstrap over groups; at 1, as for the rarest class against the rest."""
    if n_classes == 2:
        return auc_interval(scores, target == 1, groups, rng, strata=strata, confidence=confidence)
    weights = bootstrap_weights(groups, _DRAWS, rng)
    low, high = percentiles(area(scores, target, n_classes, strata, weights), confidence)
    codes = target.cpu().numpy()
    units = min((len(np.unique(groups[codes == c])), len(np.unique(groups[codes != c]))) for c in range(n_classes))
    value = area(scores, target, n_classes, strata)
    return mend(value, low, high, lambda one: area_bound(one, *units, confidence=confidence))


def accuracy(
    scores: Float[Tensor, "*batch"],
    target: Int[Tensor, " example"],
    n_classes: int,
    groups: Int[np.ndarray, " example"],
    rng: np.random.Generator,
    confidence: float,
) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    """Accuracy of two classes, balanced accuracy (mean recall of the classes) of more, with its interval."""
    if n_classes == 2:
        right = ((scores > 0) == (target == 1)).double()
        return right.mean(dim=-1), *mean_interval(right, groups, rng, confidence=confidence)
    right = (scores.argmax(dim=-1) == target).double()
    weights = bootstrap_weights(groups, _DRAWS, rng).to(right)
    value, drawn = (_mean_recall(right, target, n_classes, w) for w in (torch.ones_like(weights[:1]), weights))
    low, high = percentiles(drawn, confidence)
    codes = target.cpu().numpy()
    units = n_classes * min(len(np.unique(groups[codes == c])) for c in range(n_classes))
    low, high = mend(value[..., 0], low, high, lambda one: wilson(one, units, confidence)[0])
    return value[..., 0], low, high


def _mean_recall(
    right: Float[Tensor, "*batch example"], target: Tensor, n_classes: int, weights: Float[Tensor, "draw example"]
) -> Float[Tensor, "*batch draw"]:
    recalls = []
    for c in range(n_classes):
        mask = target == c
        recalls.append(right[..., mask] @ weights[:, mask].T / weights[:, mask].sum(dim=1))
    return torch.stack(recalls).mean(dim=0)


def over_input(
    scores: Float[Tensor, "site ..."],
    rows: Int[Tensor, " site"],
    target: Int[Tensor, " example"],
    n_classes: int,
    groups: Int[np.ndarray, " example"],
    rng: np.random.Generator,
    *,
    strata: Int[Tensor, " example"],
    confidence: float,
) -> dict[str, Float[Tensor, " site"]]:
    """ROC AUC of each site's input site, and what the site has over it, with a paired interval.

    `rows` says which site is the input of each; -1 where it has none.
    """
    weights = bootstrap_weights(groups, _DRAWS, rng)
    value = area(scores, target, n_classes, strata)
    there = rows >= 0
    absent = torch.full_like(value, torch.nan)
    found = {name: absent.clone() for name in ("input", "over_input", "over_input_low", "over_input_high")}
    found["input"][there] = value[rows[there]]
    found["over_input"][there] = value[there] - value[rows[there]]
    drawn = area(scores, target, n_classes, strata, weights)
    low, high = percentiles(drawn[there] - drawn[rows[there]], confidence)
    found["over_input_low"][there], found["over_input_high"][there] = low, high
    return found
