"""Labelings on which a probe should fail: shuffled labels, and control tasks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Int

from levelhead.errors import InputError
from levelhead.probes.folds import stratified_folds, usable

_TRIES = 1000
Labels = Bool[np.ndarray, " example"] | Int[np.ndarray, " example"]
"""Truth values, or class numbers from 0 without gaps."""


def shuffled_labels(
    labels: Labels,
    groups: Int[np.ndarray, " example"],
    folds: Int[np.ndarray, " example"],
    k: int,
    draws: int,
    rng: np.random.Generator,
) -> Bool[np.ndarray, "draw example"] | Int[np.ndarray, "draw example"]:
    """Labels permuted as the null hypothesis allows.

    Groups whose examples share one label trade labels among each other; in a group with several they are permuted
    within it. Without groups (one for each example) this is a plain permutation. Every site sees the same draws, so
    that a maximum over sites has the joint distribution that family-wise p-values need.

    Parameters
    ----------
    labels, groups, folds : ndarray, "example"
        Labels as truth values or as class numbers; the draws are of the same kind.
    k : int
        Number of folds; draws that leave a training set without a class are drawn again.
    draws : int
    rng : numpy.random.Generator

    Returns
    -------
    Bool or Int[ndarray, "draw example"]

    Raises
    ------
    InputError
        When hardly any permutation leaves all classes to learn from and to score.
    """
    n_groups = int(groups.max()) + 1
    group_label = np.zeros(n_groups, dtype=labels.dtype)
    group_label[groups] = labels  # of pure groups, any of their labels; of mixed ones it is not used
    pure = np.ones(n_groups, dtype=bool)
    pure[groups[labels != group_label[groups]]] = False
    pure_groups = np.flatnonzero(pure)
    mixed = np.flatnonzero(~pure[groups])
    by_group = mixed[np.argsort(groups[mixed], kind="stable")]

    def draw() -> tuple[Labels, Int[np.ndarray, " example"]]:
        traded = group_label.copy()
        traded[pure_groups] = group_label[rng.permutation(pure_groups)]
        shuffled = traded[groups]
        # Sorting by group, then by noise, permutes within groups.
        noisy = mixed[np.lexsort((rng.random(len(mixed)), groups[mixed]))]
        shuffled[by_group] = labels[noisy]
        return shuffled, folds

    return _until_trainable(draw, k, draws, "shuffled labels")[0]


def control_tasks(
    types: Int[np.ndarray, " example"], k: int, draws: int, rng: np.random.Generator, n_classes: int = 2
) -> tuple[Bool[np.ndarray, "draw example"] | Int[np.ndarray, "draw example"], Int[np.ndarray, "draw example"]]:
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
    n_classes : int
        Two give truth values, more give class numbers; types are shared out evenly.

    Returns
    -------
    labels, folds : ndarray, "draw example"

    Raises
    ------
    InputError
        With so few types that all labels hardly ever occur.
    """
    n_types = int(types.max()) + 1
    single = np.arange(len(types))

    def draw() -> tuple[Labels, Int[np.ndarray, " example"]]:
        if n_classes == 2:
            # Half of the types each way: balanced, and never of one class.
            labels = (rng.permutation(n_types) < (n_types + int(rng.integers(2))) // 2)[types]
        else:
            labels = (rng.permutation(n_types) % n_classes)[types]
        if np.bincount(labels, minlength=n_classes).min() < 2:
            return labels, np.zeros(len(types), dtype=np.int64)
        return labels, stratified_folds(labels, single, k, rng)

    return _until_trainable(draw, k, draws, "control task")


def _until_trainable(
    draw: Callable[[], tuple[Labels, Int[np.ndarray, " example"]]], k: int, draws: int, name: str
) -> tuple[Bool[np.ndarray, "draw example"] | Int[np.ndarray, "draw example"], Int[np.ndarray, "draw example"]]:
    kept: list[tuple[Labels, Int[np.ndarray, " example"]]] = []
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
