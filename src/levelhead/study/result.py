"""The result of a study: rows, the best of them, pictures."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from levelhead.errors import InputError
from levelhead.metrics.statistics import Estimate
from levelhead.sites import Site
from levelhead.study.store import Cell, looked_into

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Role = Literal["bias", "capability", "beside"]


@dataclass(frozen=True)
class Row:
    """One measure of one method at one site and strength.

    Attributes
    ----------
    method : str
        ``"none"`` for the model as it is.
    site : str
        Empty for the model as it is.
    strength : float
    measure : str
    role : {"bias", "capability", "beside"}
    estimate : Estimate
        With its interval over sets.
    change : Estimate
        Paired difference from the model as it is, on the same items.
    items : int
    seconds : float
        Of all strengths together, which go in one batch.
    beside : mapping of str to float
        What has to stand beside the number.
    cautions : tuple of str
    """

    method: str
    site: str
    strength: float
    measure: str
    role: Role
    estimate: Estimate
    change: Estimate
    items: int
    seconds: float
    beside: Mapping[str, float]
    cautions: tuple[str, ...]

    @classmethod
    def of(cls, cell: Cell, role: Role, told: Mapping[str, Any]) -> Row:
        """Take up again what a store holds.

        Parameters
        ----------
        cell : Cell
        role : {"bias", "capability", "beside"}
        told : mapping

        Returns
        -------
        Row
        """
        return cls(
            cell.method,
            cell.site,
            float(told["strength"]),
            cell.measure,
            role,
            Estimate(**told["estimate"]),
            Estimate(**told["change"]),
            int(told["items"]),
            float(told["seconds"]),
            dict(told["beside"]),
            tuple(told["cautions"]),
        )


@dataclass(frozen=True)
class Study:
    """What `levelhead.study` found, or has found so far.

    Attributes
    ----------
    rows : tuple of Row
    facts : mapping
        Model, weights, strengths, seed and whatever else the figures depend on.
    """

    rows: tuple[Row, ...]
    facts: Mapping[str, Any]

    @classmethod
    def load(cls, out: str | os.PathLike[str]) -> Study:
        """Read what a folder holds, also while a study is running there.

        Parameters
        ----------
        out : path

        Returns
        -------
        Study

        Raises
        ------
        FileError
            If there is no study, or its store is damaged.
        """
        with looked_into(Path(out)) as store:
            facts, cells = store.facts(), store.cells()
        roles = {cell.measure: facts[f"measure '{cell.measure}' role"] for cell in cells}

        def place(cell: Cell) -> Any:
            return list(roles).index(cell.measure), cell.method, Site.parse(cell.site).order if cell.site else ()

        order = sorted(cells, key=place)
        return cls(tuple(Row.of(cell, roles[cell.measure], told) for cell in order for told in cells[cell]), facts)

    @cached_property
    def measures(self) -> dict[Role, list[str]]:
        """Names of the measures by role; the first bias is the one that sites are ranked by."""
        found: dict[Role, list[str]] = {"bias": [], "capability": [], "beside": []}
        for row in self.rows:
            if row.measure not in found[row.role]:
                found[row.role].append(row.measure)
        return found

    @cached_property
    def methods(self) -> list[str]:
        """Names of the methods."""
        return list(dict.fromkeys(row.method for row in self.rows if row.method != "none"))

    def frame(self) -> pd.DataFrame:
        """One row a method, site, strength and measure, with intervals; the model as it is has strength 0.

        Returns
        -------
        pandas.DataFrame
        """
        import pandas as pd

        found: list[dict[str, Any]] = []
        for r in self.rows:
            site = Site.parse(r.site) if r.site else None
            found.append(
                {
                    "method": r.method, "site": r.site, "tower": site and site.tower, "component": site and site.component,
                    "layer": site and site.layer, "head": site and site.head, "strength": r.strength,
                    "measure": r.measure, "role": r.role, "value": r.estimate.value, "low": r.estimate.low,
                    "high": r.estimate.high, "change": r.change.value, "change_low": r.change.low,
                    "change_high": r.change.high, "items": r.items, "clusters": r.estimate.n, "seconds": r.seconds,
                    "note": r.estimate.note, "cautions": "; ".join(r.cautions), **r.beside,
                }
            )  # fmt: skip
        return pd.DataFrame(found)

    def best(
        self, n: int = 10, *, measure: str | None = None, method: str | None = None, budget: float = 0.01
    ) -> pd.DataFrame:
        """Where steering leaves the least bias within a budget of capability, the best first.

        The best of many places looks good by luck as well. Choose here, and report on other items, as
        `levelhead.tradeoff` does.

        Parameters
        ----------
        n : int
            Rows at most.
        measure : str, optional
            Of bias; the first when left out.
        method : str, optional
            Of this one alone.
        budget : float
            Loss of mean capability that is allowed, as a share: 0.01 is one point.

        Returns
        -------
        pandas.DataFrame
            Columns ``method``, ``site``, ``strength``, the measure's ``value``, ``change`` and its interval, and
            ``capability`` and ``lost`` where any was measured.

        Raises
        ------
        InputError
            For a name that the study does not have.
        """
        import pandas as pd

        asked = self._known(measure, method, self.measures["bias"])
        names = self.measures["capability"]
        skill = {name: self._by_place(name) for name in names}
        found: list[dict[str, Any]] = []
        for (who, site, strength), row in self._by_place(asked).items():
            if who == "none" or method not in (None, who):
                continue
            here = {"method": who, "site": site, "strength": strength, "value": row.estimate.value}
            here |= {"change": row.change.value, "change_low": row.change.low, "change_high": row.change.high}
            if names:
                rows = [skill[name].get((who, site, strength)) for name in names]
                if None in rows:
                    continue  # a study that is still running
                here["capability"] = sum(each.estimate.value for each in rows if each) / len(names)
                here["lost"] = -sum(each.change.value for each in rows if each) / len(names)
                # NaN is within no budget.
                if not here["lost"] <= budget + 1e-12:
                    continue
            found.append(here)
        found.sort(key=lambda each: each["value"])
        return pd.DataFrame(found[:n])

    def plot(self, measure: str | None = None, method: str | None = None, ax: Axes | None = None) -> Axes:
        """Draw what steering changes as a map, sites by strengths; a dot where the interval leaves out 0.

        Parameters
        ----------
        measure : str, optional
            The first bias when left out.
        method : str, optional
            The first when left out.
        ax : matplotlib Axes, optional

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        InputError
            For a name that the study does not have.
        """
        from levelhead.study.chart import study_map

        every = [name for names in self.measures.values() for name in names]
        asked = self._known(measure, method, every)
        if not self.methods:
            raise InputError("no site has been measured yet; there is nothing to draw")
        who = self.methods[0] if method is None else method
        return study_map([row for row in self.rows if row.measure == asked and row.method == who], ax)

    def _by_place(self, measure: str) -> dict[tuple[str, str, float], Row]:
        return {(row.method, row.site, row.strength): row for row in self.rows if row.measure == measure}

    def _known(self, measure: str | None, method: str | None, known: list[str]) -> str:
        """The measure that is meant; refuses names that are not there."""
        if method is not None and method not in self.methods:
            raise InputError(f"no method '{method}' in this study; it has {', '.join(self.methods)}")
        if measure is not None and measure not in known:
            raise InputError(f"no measure '{measure}' to ask for here; there are {', '.join(known)}")
        if not known:
            raise InputError("nothing has been measured yet")
        return known[0] if measure is None else measure

    def __str__(self) -> str:
        sites = {row.site for row in self.rows if row.site}
        lines = [f"{len(self.rows)} rows: {len(sites)} sites, methods {', '.join(self.methods)}"]
        lines += [f"{row.measure} of the model as it is: {row.estimate}" for row in self.rows if row.method == "none"]
        return "\n".join(lines)
