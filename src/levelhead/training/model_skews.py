"""Skews of one model at one moment: of every group, in every concept, for every attribute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from levelhead.errors import InputError
from levelhead.metrics.skew import ConceptSkews, furthest

if TYPE_CHECKING:
    import pandas as pd


LITTLE_MASS, ALL_ALIKE = 0.9, 0.98
"""Below which mass, and above which share of one answer, Skews must not be read as they stand; ours."""


def cautions(mass: float | None, yes: float | None) -> tuple[str, ...]:
    """Why Skews must not be read as they stand, by the mass and the share of yes that they come with."""
    found: list[str] = []
    if mass is not None and mass < LITTLE_MASS:
        found.append(
            f"the answers have only {mass:.0%} of the probability: the model hardly answers in these words, and its Skews "
            "are of what it does not say; ask in words that it knows"
        )
    if yes is not None and max(yes, 1 - yes) > ALL_ALIKE:
        found.append(
            f"the answer is yes to {yes:.0%} of the questions, which leaves no room for Skews: either the pictures leave nothing "
            "open, or the model says the same of everybody and has not become level; ask it about concepts that are not shown"
        )
    return tuple(found)


@dataclass(frozen=True)
class ModelSkews:
    """Skews of a model: above 0 where it assigns a group to a concept more often than the others, below where more rarely.

    Attributes
    ----------
    by_attribute : mapping of str to ConceptSkews
        For each attribute a table [concept, group], in nats.
    mass : float or None
        Mean probability of the two answers together, where it is known: with little of it, the Skews tell little of what the
        model says.
    yes : float or None
        Mean share of yes over all records, where it is known: a model that says the same of everybody has no Skew.

    Raises
    ------
    InputError
        For a Skew that is not finite, no attribute, or tables with draws.

    Examples
    --------
    >>> table = ConceptSkews(("chef",), ("man", "woman"), np.array([[0.3, -0.4]]))
    >>> skews = ModelSkews({"gender": table})
    >>> skews.of("chef", {"gender": "woman"}), skews.of(None, {"gender": "woman"})
    (-0.4, 0.0)
    """

    by_attribute: Mapping[str, ConceptSkews]
    mass: float | None = None
    yes: float | None = None

    def __post_init__(self) -> None:
        if not self.by_attribute:
            raise InputError("skews of a model need at least one attribute")
        for name, found in self.by_attribute.items():
            if found.table.ndim != 2:
                raise InputError(f"skews of '{name}' must be [concept, group]; found shape {found.table.shape}")
            bad = np.argwhere(~np.isfinite(found.table))
            if len(bad):
                concept, group = found.concepts[bad[0][0]], found.groups[bad[0][1]]
                raise InputError(
                    f"the Skew of {name} '{group}' in concept '{concept}' is {found.table[tuple(bad[0])]}, since the group, or "
                    "everybody, was never assigned to it: keep zero='half', which is finite, or take probabilities (hard=False)"
                )
        object.__setattr__(self, "by_attribute", MappingProxyType(dict(self.by_attribute)))

    @property
    def attributes(self) -> tuple[str, ...]:
        """Whose Skews these are."""
        return tuple(self.by_attribute)

    def pairs(self, concept: str, groups: Mapping[str, str]) -> dict[str, float]:
        """Skew of a sample's group in its concept, for each attribute that it has.

        Parameters
        ----------
        concept : str
        groups : mapping of str to str
            The sample's value of each attribute; other attributes than the measured are passed over.

        Returns
        -------
        dict of str to float

        Raises
        ------
        InputError
            For a concept or a group that was not measured, or a sample with none of the attributes.
        """
        found: dict[str, float] = {}
        for name, skews in self.by_attribute.items():
            if name not in groups:
                continue
            if concept not in skews.concepts:
                raise InputError(f"no Skew was measured for concept '{concept}'; there are {', '.join(skews.concepts)}")
            if groups[name] not in skews.groups:
                raise InputError(
                    f"no Skew was measured for {name} '{groups[name]}' in '{concept}'; there are {', '.join(skews.groups)}"
                )
            found[name] = float(skews.table[skews.concepts.index(concept), skews.groups.index(groups[name])])
        if not found:
            raise InputError(
                f"a sample of concept '{concept}' has none of the attributes {', '.join(self.attributes)}; it has "
                f"{', '.join(groups) or 'none at all'}"
            )
        return found

    def key(self, concept: str | None, groups: Mapping[str, str]) -> tuple[str, str, str] | None:
        """The (concept, attribute, group) whose Skew is a sample's: what copies accumulate by in `BiasAwareSampler`.

        Parameters
        ----------
        concept : str or None
        groups : mapping of str to str

        Returns
        -------
        tuple of str, or None for a sample without a concept
        """
        if concept is None:
            return None
        found = self.pairs(concept, groups)
        attribute = max(found, key=lambda name: abs(found[name]))
        return concept, attribute, groups[attribute]

    def of(self, concept: str | None, groups: Mapping[str, str]) -> float:
        """Skew(P_i) of a sample: of its attributes' Skews the one of largest absolute value, with its sign.

        That the sign is kept is what one of two notes on Cheng et al. (arXiv 2408.06569) says, and what their sampling needs. Of
        two equally large ones, the first attribute's.

        Parameters
        ----------
        concept : str or None
            None has a Skew of 0: neither resampled nor rescaled.
        groups : mapping of str to str
            The sample's value of each attribute.

        Returns
        -------
        float

        Raises
        ------
        InputError
            As in `pairs`.
        """
        return 0.0 if concept is None else max(self.pairs(concept, groups).values(), key=abs)

    def min_skew(self, attribute: str | None = None) -> float:
        """MinSkew@C: mean over concepts of the lowest Skew, among the groups of one attribute or of all.

        Parameters
        ----------
        attribute : str, optional

        Returns
        -------
        float
        """
        return self._mean("min", attribute)

    def max_skew(self, attribute: str | None = None) -> float:
        """MaxSkew@C: mean over concepts of the highest Skew, among the groups of one attribute or of all.

        Parameters
        ----------
        attribute : str, optional

        Returns
        -------
        float
        """
        return self._mean("max", attribute)

    def _mean(self, which: Literal["min", "max"], attribute: str | None) -> float:
        if attribute is not None and attribute not in self.by_attribute:
            raise InputError(f"no Skews of '{attribute}'; there are {', '.join(self.attributes)}")
        shown = [skews for name, skews in self.by_attribute.items() if attribute in (None, name)]
        return float(furthest(shown, which))

    def record(self) -> dict[str, dict[str, dict[str, float]]]:
        """As plain data for cards and histories: attribute, concept, group."""
        return {
            name: {
                concept: dict(zip(skews.groups, row.tolist(), strict=True))
                for concept, row in zip(skews.concepts, skews.table, strict=True)
            }
            for name, skews in self.by_attribute.items()
        }

    def frame(self) -> pd.DataFrame:
        """A row for each attribute, concept and group, with its ``skew``; needs pandas.

        Returns
        -------
        pandas.DataFrame
        """
        from levelhead.data.optional import pandas

        rows: list[dict[str, Any]] = [
            {"attribute": attribute, "concept": concept, "group": group, "skew": skew}
            for attribute, concepts in self.record().items()
            for concept, groups in concepts.items()
            for group, skew in groups.items()
        ]
        return pandas().DataFrame(rows)

    @property
    def cautions(self) -> tuple[str, ...]:
        """Why the Skews must not be read as they stand; empty where they may."""
        return cautions(self.mass, self.yes)

    def __str__(self) -> str:
        each = ", ".join(f"{name} {self.min_skew(name):+.2f} / {self.max_skew(name):+.2f}" for name in self.attributes)
        told = f"MinSkew@C / MaxSkew@C {self.min_skew():+.2f} / {self.max_skew():+.2f} ({each})"
        return "\n".join([told, *(f"! {caution}" for caution in self.cautions)])
