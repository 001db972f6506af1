"""Folds that keep each group whole and each class as evenly spread as the groups allow."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from levelhead.errors import InputError


def stratified_folds(
    labels: Bool[np.ndarray, " example"] | Int[np.ndarray, " example"],
    groups: Int[np.ndarray, " example"],
    k: int,
    rng: np.random.Generator,
) -> Int[np.ndarray, " example"]:
    """Deal examples to `k` folds: no group in two folds, classes balanced as well as can be.

    Groups come in random order, large ones first, and each goes to the fold that has least of the classes it brings.
    With a group for each example this is stratified k-fold.

    Parameters
    ----------
    labels : Bool[ndarray, "example"] or Int[ndarray, "example"]
        Truth values, or class numbers from 0 without gaps.
    groups : Int[ndarray, "example"]
        Group numbers from 0, without gaps.
    k : int
        Number of folds.
    rng : numpy.random.Generator

    Returns
    -------
    Int[ndarray, "example"]
        The fold that holds each example out, 0 to k - 1. No fold is empty.

    Raises
    ------
    InputError
        With fewer groups than folds, or a class in so few groups that no probe could be trained or scored.
    """
    n_groups = int(groups.max()) + 1
    if n_groups < k:
        raise InputError(
            f"{k} folds were asked for, and there are {n_groups} groups; a group is never split, so give cv={n_groups} "
            "or fewer, or finer groups"
        )
    n_classes = int(labels.max()) + 1 if labels.dtype != bool else 2
    counts = np.zeros((n_groups, n_classes))
    np.add.at(counts, (groups, labels.astype(int)), 1)
    if n_groups == len(labels):
        shuffled = rng.permutation(len(labels))
        dealt = shuffled[np.argsort(labels[shuffled], kind="stable")]
        folds = np.empty(len(labels), dtype=np.int64)
        folds[dealt] = np.arange(len(labels)) % k
    else:
        folds = _deal(counts, k, rng)[groups]
    if not usable(labels, folds, k):
        rare = min(int((counts[:, c] > 0).sum()) for c in range(n_classes))
        which = "both classes" if n_classes == 2 else "each class and of others"
        raise InputError(
            f"{k} folds cannot be scored: no fold holds out examples of {which} while leaving {which} to learn from. "
            f"The rarer class lives in {rare} of {n_groups} groups; give fewer folds or finer groups"
        )
    return folds


def usable(
    labels: Bool[np.ndarray, " example"] | Int[np.ndarray, " example"], folds: Int[np.ndarray, " example"], k: int
) -> bool:
    """Whether each training set has all classes, and for each class some fold holds out it and another."""
    sides = range(2 if labels.dtype == bool else int(labels.max()) + 1)
    count = np.stack([np.bincount(folds[labels == side], minlength=k) for side in sides])
    learned = (count.sum(axis=1, keepdims=True) > count).all()
    return bool(learned and ((count > 0) & (count.sum(axis=0) > count)).any(axis=1).all())


def _deal(counts: Float[np.ndarray, "group class"], k: int, rng: np.random.Generator) -> Int[np.ndarray, " group"]:
    share = counts / counts.sum(axis=0)
    order = rng.permutation(len(counts))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    fold_share = np.zeros((k, counts.shape[1]))
    fold_of_group = np.empty(len(counts), dtype=np.int64)
    for group in order:
        # Adding a group to a fold raises the sum of squared shares by this much (up to a constant): the least is best.
        rise = fold_share @ share[group]
        fold = min(range(k), key=lambda f: (round(float(rise[f]), 12), round(float(fold_share[f].sum()), 12)))
        fold_share[fold] += share[group]
        fold_of_group[group] = fold
    return fold_of_group
