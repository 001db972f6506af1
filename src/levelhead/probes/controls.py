"""Labelings on which a probe should fail: shuffled labels, and control tasks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Int

from levelhead.errors import InputError
from levelhead.probes.folds import stratified_folds, usable

_TRIES = 1000


def shuffled_labels(
    labels: Bool[np.ndarray, " example"],
    groups: Int[np.ndarray, " example"],
    folds: Int[np.ndarray, " example"],
    k: int,
    draws: int,
    rng: np.random.Generator,
) -> Bool[np.ndarray, "draw example"]:
    """Labels permuted as the null hypothesis allows.

    Groups whose examples share one label trade labels among each other; in a group with both labels they are permuted
    within it. Without groups (one for each example) this is a plain permutation. Every site sees the same draws, so
    that a maximum over sites has the joint distribution that family-wise p-values need.

    Parameters
    ----------
    labels, groups, folds : ndarray, "example"
    k : int
        Number of folds; draws that leave a training set with one class are drawn again.
    draws : int
    rng : numpy.random.Generator

    Returns
    -------
    Bool[ndarray, "draw example"]

    Raises
    ------
    InputError
        When hardly any permutation leaves both classes to learn from and to score.
    """
    n_groups = int(groups.max()) + 1
    positives = np.bincount(groups, weights=labels, minlength=n_groups)
    sizes = np.bincount(groups, minlength=n_groups)
    pure = (positives == 0) | (positives == sizes)
    group_label = positives > 0
    pure_groups = np.flatnonzero(pure)
    mixed = np.flatnonzero(~pure[groups])
    by_group = mixed[np.argsort(groups[mixed], kind="stable")]

    def draw() -> tuple[Bool[np.ndarray, " example"], Int[np.ndarray, " example"]]:
        traded = group_label.copy()
        traded[pure_groups] = group_label[rng.permutation(pure_groups)]
        shuffled = traded[groups]
        # Sorting by group, then by noise, permutes within groups.
        noisy = mixed[np.lexsort((rng.random(len(mixed)), groups[mixed]))]
        shuffled[by_group] = labels[noisy]
        return shuffled, folds

    return _until_trainable(draw, k, draws, "shuffled labels")[0]


def control_tasks(
    types: Int[np.ndarray, " example"], k: int, draws: int, rng: np.random.Generator
) -> tuple[Bool[np.ndarray, "draw example"], Int[np.ndarray, "draw example"]]:
    """Random labels, one for each type, with the folds to score them on.

    A control task can be learned only by recognizing the type (Hewitt and Liang, 2019, section 2). Types must
    therefore recur in training and test, and the folds split examples, not types: the score says how far a probe
    of this kind gets at this site by recognizing which group an example comes from.

    Parameters
    ----------
    types : Int[ndarray, "example"]
        Type numbers from 0, without gaps.
    k, draws : int
    rng : numpy.random.Generator

    Returns
    -------
    labels, folds : ndarray, "draw example"

    Raises
    ------
    InputError
        With so few types that both labels hardly ever occur.
    """
    n_types = int(types.max()) + 1
    single = np.arange(len(types))

    def draw() -> tuple[Bool[np.ndarray, " example"], Int[np.ndarray, " example"]]:
        # Half of the types each way: balanced, and never of one class.
        labels = (rng.permutation(n_types) < (n_types + int(rng.integers(2))) // 2)[types]
        if min(labels.sum(), (~labels).sum()) < 2:
            return labels, np.zeros(len(types), dtype=np.int64)
        return labels, stratified_folds(labels, single, k, rng)

    return _until_trainable(draw, k, draws, "control task")


def _until_trainable(
    draw: Callable[[], tuple[Bool[np.ndarray, " example"], Int[np.ndarray, " example"]]], k: int, draws: int, name: str
) -> tuple[Bool[np.ndarray, "draw example"], Int[np.ndarray, "draw example"]]:
    kept: list[tuple[Bool[np.ndarray, " example"], Int[np.ndarray, " example"]]] = []
    for _ in range(_TRIES + draws):
        if len(kept) == draws:
            break
        labels, folds = draw()
        if usable(labels, folds, k):
            kept.append((labels, folds))
    if len(kept) < draws:
        raise InputError(
            f"control '{name}': only {len(kept)} of {_TRIES + draws} draws could be trained and scored; "
            "there are too few groups for it. Give finer groups, fewer folds, or leave this control out"
        )
    return np.stack([labels for labels, _ in kept]), np.stack([folds for _, folds in kept])
