"""Skew@C: of those whom a model assigns to a concept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Shaped

from levelhead.errors import InputError
from levelhead.metrics.skew.shares import Reference, Zero, composition, skew
from levelhead.metrics.statistics.clusters import Labels, numbered
from levelhead.metrics.statistics.weighting import Statistic, Weights


@dataclass(frozen=True)
class ConceptSkews:
    """Skew@C of every group in every concept.

    Attributes
    ----------
    concepts, groups : tuple of str
    table : Float[ndarray, "*draw concept group"]
        NaN where a group was dropped, is not in the concept, or nobody was assigned to the concept.
    """

    concepts: tuple[str, ...]
    groups: tuple[str, ...]
    table: Float[np.ndarray, "*draw concept group"]

    def min_skew(self) -> Float[np.ndarray, "*draw"]:
        """MinSkew@C: mean over concepts of the lowest skew; how far the worst-off group is passed over."""
        return furthest([self], "min")

    def max_skew(self) -> Float[np.ndarray, "*draw"]:
        """MaxSkew@C: mean over concepts of the highest skew."""
        return furthest([self], "max")

    def undefined(self) -> tuple[str, ...]:
        """Concepts to which nobody was assigned in some draw; the means leave them out there."""
        judged = np.isfinite(self.table).reshape(-1, *self.table.shape[-2:])  # "draw concept group"
        return tuple(name for i, name in enumerate(self.concepts) if not judged[:, i].any(axis=-1).all())


def furthest(found: Sequence[ConceptSkews], extreme: Literal["min", "max"]) -> Float[np.ndarray, "*draw"]:
    """Mean over concepts of the lowest or highest skew among the groups of several attributes.

    Parameters
    ----------
    found : sequence of ConceptSkews
        One for each attribute; a concept may be missing in some.
    extreme : {"min", "max"}

    Returns
    -------
    Float[ndarray, "*draw"]
        Concepts to which nobody was assigned are left out.
    """
    by_concept: dict[str, list[np.ndarray]] = {}
    for skews in found:
        for i, concept in enumerate(skews.concepts):
            by_concept.setdefault(concept, []).append(skews.table[..., i, :])
    return _mean(np.stack([_extreme(np.concatenate(tables, -1), extreme) for tables in by_concept.values()], -1))


def skew_at_c(
    yes: Shaped[np.ndarray, " item"],
    concepts: Labels,
    groups: Labels,
    *,
    reference: Reference = "uniform",
    zero: Zero = "one_over_k",
    weights: Weights | None = None,
) -> ConceptSkews:
    """Skew@C: ``ln(Pr(yes | a, c) / sum_a' d_a' Pr(yes | a', c))`` for group a and concept c.

    Rates, not counts, are compared, so that a set with more pictures of one group is not skewed for that. With the
    reference ``"data"`` this is exactly ``ln(share of a among the yes / share of a in the concept)``; with ``"uniform"``
    it is that on a set where all groups are equally frequent. The formula is a reading of Cheng et al. (2025), whose
    own text was not at hand.

    Parameters
    ----------
    yes : ndarray, "item"
        Whether the model assigns the picture to its concept, or with what probability; an answer that is neither yes nor
        no counts as no, and its rate must be told beside (`levelhead.metrics.decisions`).
    concepts, groups : sequence or array, one an item
    reference : {"uniform", "data"} or mapping of group to share
        The composition ``d``, within each concept; see `Reference`.
    zero : {"one_over_k", "drop", "epsilon"} or float
        For a group that is never assigned to a concept; K is the number of pictures assigned to it. See `Zero`.
    weights : Float[ndarray, "draw item"], optional
        As in a bootstrap: one table for each draw.

    Returns
    -------
    ConceptSkews

    Raises
    ------
    InputError
        For lengths that differ, values outside [0, 1], or groups without a wanted share.

    Examples
    --------
    >>> found = skew_at_c(np.array([1, 1, 1, 0]), ["chef"] * 4, ["man", "man", "woman", "woman"])
    >>> dict(zip(found.groups, found.table[0].round(3).tolist()))
    {'man': 0.288, 'woman': -0.405}
    """
    concept_names, concept = numbered(concepts, "concepts")
    group_names, group = numbered(groups, "groups")
    values = yes.astype(np.float64)
    if not len(values) == len(concept) == len(group):
        raise InputError(f"need one concept and group an item; found {len(values)}, {len(concept)}, {len(group)}")
    if not ((values >= 0) & (values <= 1)).all():
        raise InputError("yes must be booleans or probabilities in [0, 1]; a refusal is 0 here, never left empty")
    cells = (len(concept_names), len(group_names))
    member = np.zeros((len(values), cells[0] * cells[1]))
    member[np.arange(len(values)), concept * cells[1] + group] = 1
    given = np.ones((1, len(values))) if weights is None else weights
    n = (given @ member).reshape(-1, *cells)
    k = (given @ (member * values[:, None])).reshape(-1, *cells)
    wanted = composition(reference, group_names.tolist(), n)
    rate = np.divide(k, n, out=np.zeros_like(k), where=n > 0)
    among = np.where(n > 0, wanted, 0) * rate
    total = among.sum(axis=-1, keepdims=True)
    shares = np.divide(among, total, out=np.full_like(among, np.nan), where=total > 0)
    table = skew(shares, wanted, zero, k.sum(axis=-1))
    names = tuple(map(str, concept_names)), tuple(map(str, group_names))
    return ConceptSkews(*names, table[0] if weights is None else table)


def concept_skew(
    yes: Shaped[np.ndarray, " item"],
    concepts: Labels,
    groups: Labels,
    extreme: Literal["min", "max"],
    *,
    reference: Reference = "uniform",
    zero: Zero = "one_over_k",
) -> Statistic:
    """MinSkew@C or MaxSkew@C as a statistic, for `levelhead.metrics.statistics.interval`.

    Parameters
    ----------
    yes, concepts, groups, reference, zero
        As in `skew_at_c`.
    extreme : {"min", "max"}

    Returns
    -------
    Statistic
    """

    def statistic(weights: Weights) -> Float[np.ndarray, " draw"]:
        found = skew_at_c(yes, concepts, groups, reference=reference, zero=zero, weights=weights)
        return found.min_skew() if extreme == "min" else found.max_skew()

    return statistic


def _extreme(table: Float[np.ndarray, "*draw group"], which: str) -> Float[np.ndarray, "*draw"]:
    """Of the groups that have a skew; NaN where none has."""
    fill = np.inf if which == "min" else -np.inf
    filled = np.where(np.isnan(table), fill, table)
    found = filled.min(axis=-1) if which == "min" else filled.max(axis=-1)
    return np.where(np.isnan(table).all(axis=-1), np.nan, found)


def _mean(values: Float[np.ndarray, "*draw concept"]) -> Float[np.ndarray, "*draw"]:
    """Over the concepts that have a value."""
    there = ~np.isnan(values)
    n = there.sum(axis=-1)
    total = np.where(there, values, 0).sum(axis=-1)
    return np.asarray(np.divide(total, n, out=np.full(total.shape, np.nan), where=n > 0))
