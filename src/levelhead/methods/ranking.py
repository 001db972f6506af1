"""Which sites separate the classes best, on groups that the directions were not fitted on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from levelhead.capture import Activations
from levelhead.errors import InputError
from levelhead.methods.labeling import Labeling, values
from levelhead.methods.means import span, sums_of
from levelhead.metrics.statistics import roc_auc
from levelhead.probes.folds import stratified_folds
from levelhead.sites import Site

Ranking = list[tuple[Site, float]]
"""Sites and their scores, best first; ties in execution order."""


def ranked(scores: dict[Site, float]) -> Ranking:
    """Sort sites by score, the earlier first where scores are equal."""
    return sorted(scores.items(), key=lambda pair: (-round(pair[1], 12), pair[0].order))


def separation(
    acts: Activations,
    labels: Labeling,
    groups: Int[np.ndarray, " row"],
    sites: Sequence[Site],
    *,
    cv: int,
    seed: int,
    rank: int | None = None,
) -> Ranking:
    """Rank sites by how well the means of some groups tell the classes of other groups apart.

    Parameters
    ----------
    acts : Activations
    labels : Labeling
    groups : Int[ndarray, "row"]
        Group numbers from 0; no group is in two folds.
    sites : sequence of Site
    cv : int
        Folds.
    seed : int
        Of the folds.
    rank : int, optional
        Directions that are kept, with more than two classes.

    Returns
    -------
    list of (Site, float)
        Best first. For two classes the area under the ROC curve along the direction, for more the balanced accuracy
        of the nearest class mean in the span of the directions; both on held-out rows.

    Raises
    ------
    InputError
        For fewer groups than folds, or groups that leave a fold without some class to learn from.
    """
    folds = _folds(labels, groups, cv, seed)
    score = _area if len(labels.classes) == 2 else _nearest
    found: dict[Site, float] = {}
    for site in sites:
        x = values(acts, site, len(labels.codes))
        found[site] = score(x - x.mean(dim=0), labels, folds, cv, rank)
    return ranked(found)


def _folds(labels: Labeling, groups: Int[np.ndarray, " row"], k: int, seed: int) -> Int[Tensor, " row"]:
    rng, codes, n = np.random.default_rng(seed), labels.codes.numpy(), len(labels.classes)
    if n == 2:
        return torch.from_numpy(stratified_folds(codes == 1, groups, k, rng))
    n_groups = int(groups.max()) + 1
    if n_groups < k:
        raise InputError(
            f"{k} folds were asked for, and there are {n_groups} groups; a group is never split, so give fewer folds "
            "or finer groups"
        )
    # Groups of one class are dealt out in turn, so that each fold gets its share of each class.
    counts = np.zeros((n_groups, n))
    np.add.at(counts, (groups, codes), 1)
    order = rng.permutation(n_groups)
    order = order[np.argsort(counts[order].argmax(axis=1), kind="stable")]
    fold = np.empty(n_groups, dtype=np.int64)
    fold[order] = np.arange(n_groups) % k
    folds = torch.from_numpy(fold[groups])
    for held in range(k):
        left = torch.bincount(labels.codes[folds != held], minlength=n)
        if bool((left == 0).any()):
            absent = labels.classes[int((left == 0).nonzero()[0, 0])]
            raise InputError(
                f"{k} folds cannot be scored: all rows of class {absent!r} are in one; give finer groups, or more rows"
            )
    return folds


def _means_without(x: Tensor, labels: Labeling, folds: Tensor, k: int) -> Float[Tensor, "fold class d"]:
    """Class means over the rows that a fold does not hold out."""
    n = len(labels.classes)
    codes = folds * n + labels.codes
    sums = sums_of(x, codes, k * n).unflatten(0, (k, n))
    counts = torch.bincount(codes, minlength=k * n).unflatten(0, (k, n))
    return (sums.sum(dim=0) - sums) / (counts.sum(dim=0) - counts)[..., None]


def _area(x: Tensor, labels: Labeling, folds: Tensor, k: int, rank: int | None) -> float:
    means = _means_without(x, labels, folds, k)
    direction = means[:, 1] - means[:, 0]
    scores = (x * direction[folds]).sum(dim=1)
    return float(roc_auc(scores, labels.codes == 1, folds))


def _nearest(x: Tensor, labels: Labeling, folds: Tensor, k: int, rank: int | None) -> float:
    guess = torch.empty_like(labels.codes)
    for held, means in enumerate(_means_without(x, labels, folds, k)):
        directions, here = span(means, rank), folds == held
        guess[here] = torch.cdist(x[here] @ directions.T, means @ directions.T).argmin(dim=1)
    right = (guess == labels.codes).double()
    return float((sums_of(right[:, None], labels.codes, len(labels.classes))[:, 0] / labels.counts).mean())
