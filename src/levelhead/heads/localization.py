"""What every head does to a difference, by three ways of asking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

from levelhead.errors import InputError
from levelhead.heads.asking import Asking
from levelhead.heads.stand_ins import StandIns
from levelhead.metrics.decisions.bias import pob
from levelhead.metrics.measures.protocol import Measure
from levelhead.metrics.statistics import Estimate, interval, intervals
from levelhead.sites import Patterns, Site, SiteLike, resolve
from levelhead.steer import Steer

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from levelhead.heads.minimal import HeadSet

Weights = Float[np.ndarray, "draw item"]


@dataclass(frozen=True, eq=False)
class Localization:
    """Effects of heads on the difference between two answers; made by `levelhead.localize`.

    Attributes
    ----------
    asking : Asking
        The graph and the items.
    stand : StandIns
        What was put in place.
    sites : list of Site
        In execution order.
    widths : dict of Site to int
    base : Float[ndarray, "item"]
        log P(pro) - log P(anti) of the model as it is, in nats.
    ablated : Float[ndarray, "site item"]
        The same with one site ablated.
    gradient : Float[ndarray, "site item"] or None
        The change that ablation would make by gradient attribution.
    direct : Float[ndarray, "site item"] or None
        What a site adds to the difference directly, at the last token.
    notes : tuple of str
        What could not be had, and why.
    settings : dict
    """

    asking: Asking
    stand: StandIns
    sites: list[Site]
    widths: dict[Site, int]
    base: Float[np.ndarray, " item"]
    ablated: Float[np.ndarray, "site item"]
    gradient: Float[np.ndarray, "site item"] | None
    direct: Float[np.ndarray, "site item"] | None
    notes: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def bias(self) -> float:
        """Mean over targets of |mean difference| of the model as it is, in nats."""
        return float(pob(self.base, self.asking.items.targets)[0])

    @property
    def difference(self) -> float:
        """Mean difference of the model as it is, in nats."""
        return float(self.base.mean())

    @cached_property
    def bias_changes(self) -> list[Estimate]:
        """Change of the bias when each site is ablated, with intervals; negative where that removes bias."""
        return self._intervals(self._bias_changes)

    @cached_property
    def difference_changes(self) -> list[Estimate]:
        """Change of the mean difference when each site is ablated, with intervals."""
        return self._intervals(self._difference_changes)

    def _bias_changes(self, weights: Weights) -> Float[np.ndarray, "draw site"]:
        return self._biases(self.ablated, weights) - self._biases(self.base[None], weights)

    def _difference_changes(self, weights: Weights) -> Float[np.ndarray, "draw site"]:
        return _means(self.ablated - self.base, weights)

    def _intervals(self, statistic: Any) -> list[Estimate]:
        given = {name: self.settings[name] for name in ("draws", "confidence", "seed")}
        return intervals(statistic, self.asking.items.clusters, **given)

    def _biases(self, values: Float[np.ndarray, "site item"], weights: Weights) -> Float[np.ndarray, "draw site"]:
        return np.stack([pob(row, self.asking.items.targets, weights) for row in values], axis=1)

    def frame(self) -> pd.DataFrame:
        """A row a site, that which removes most bias first; changes are in nats.

        Returns
        -------
        pandas.DataFrame
            ``bias_change`` and ``difference_change`` by ablation with ``_low`` and ``_high``; ``gradient_bias`` and
            ``gradient`` are estimates of the two from gradients; ``direct`` is what the site adds to the difference itself,
            not what is missed without it. NaN where there is none; `notes` says why.
        """
        import pandas as pd

        ones = np.ones((1, len(self.base)))
        none = np.full(len(self.sites), np.nan)
        columns: dict[str, Any] = {
            "site": [str(site) for site in self.sites],
            "component": [site.component for site in self.sites],
            "layer": [site.layer for site in self.sites],
            "head": [site.head for site in self.sites],
        }
        for name, estimates in (("bias_change", self.bias_changes), ("difference_change", self.difference_changes)):
            columns[name] = [each.value for each in estimates]
            columns[f"{name}_low"] = [each.low for each in estimates]
            columns[f"{name}_high"] = [each.high for each in estimates]
        columns["gradient_bias"] = none
        columns["gradient"] = none
        if self.gradient is not None:
            columns["gradient_bias"] = self._biases(self.base + self.gradient, ones)[0] - self.bias
            columns["gradient"] = self.gradient.mean(1)
        columns["direct"] = none if self.direct is None else self.direct.mean(1)
        found: Any = pd.DataFrame(columns).astype({"layer": "Int64", "head": "Int64"})
        return found.sort_values("bias_change", kind="stable").reset_index(drop=True)

    def best(self, k: int = 8) -> list[Site]:
        """The sites whose ablation removes most bias, on all items: choose and judge on different ones (`minimal`)."""
        order = np.argsort([each.value for each in self.bias_changes], kind="stable")
        return [self.sites[i] for i in order[:k]]

    def agreement(self, what: str = "difference") -> Estimate:
        """Spearman's rank correlation over sites between ablation and gradient attribution, with a bootstrap interval.

        Parameters
        ----------
        what : {"difference", "bias"}
            Change of the mean difference, or of the bias.

        Raises
        ------
        InputError
            Without gradients, with fewer than three sites, or for another `what`.
        """
        if self.gradient is None or len(self.sites) < 3:
            raise InputError(
                f"agreement compares two ways over three sites at least; found {len(self.sites)} sites, "
                + ("and no gradients" if self.gradient is None else "")
            )
        if what not in ("difference", "bias"):
            raise InputError(f"what is 'difference' or 'bias'; found {what!r}")
        estimate = self.gradient

        def correlation(weights: Weights) -> Float[np.ndarray, " draw"]:
            if what == "difference":
                return _spearman(_means(self.ablated - self.base, weights), _means(estimate, weights))
            return _spearman(self._biases(self.ablated, weights), self._biases(self.base + estimate, weights))

        given = {name: self.settings[name] for name in ("draws", "confidence", "seed")}
        found = interval(correlation, self.asking.items.clusters, **given)
        # Bounds of a share would be mended by Wilson's interval, which knows nothing of correlations.
        return replace(found, low=max(found.low, -1.0), high=min(found.high, 1.0))

    def steer(self, sites: Patterns | Sequence[SiteLike]) -> Steer:
        """A steer that ablates some of the sites together, at strength 1.

        With ``ablation="partner"`` it puts the mean over these data in place, since a prompt of yours has no partner here.

        Parameters
        ----------
        sites : patterns
            Of those that were localized.
        """
        chosen = resolve(sites, self.sites)
        graph = self.asking.graph
        method = {"name": "head ablation", "ablation": self.settings["ablation"], "items": len(self.base)}
        found = self.stand.steer(self.widths, chosen, graph.basis)
        return found.annotate(model=graph.identity(), method=method, basis=graph.basis)

    def minimal(
        self,
        share: float = 0.8,
        capability: Measure | None = None,
        *,
        tolerance: float = 0.01,
        most: int = 16,
        width: int = 8,
        seed: int = 0,
        verbose: bool = True,
    ) -> HeadSet:
        """A small set of heads without which most of the bias is gone; see `levelhead.heads.minimal.minimal`."""
        from levelhead.heads.minimal import minimal

        return minimal(self, share, capability, tolerance=tolerance, most=most, width=width, seed=seed, verbose=verbose)

    def plot(self, ax: Axes | None = None, *, what: str = "bias_change", title: str = "") -> Axes:
        """Draw a map of one column, layer by head; see `levelhead.plots.heads.effect_map`."""
        from levelhead.plots.heads import effect_map

        return effect_map(self, ax, what=what, title=title)

    def summary(self) -> str:
        """What was found, in words."""
        order = np.argsort([each.value for each in self.bias_changes], kind="stable")[:3]
        lines = [
            f"bias {self.bias:.3f} nats, mean difference {self.difference:+.3f}; {len(self.base)} items in "
            f"{len(set(self.asking.items.clusters))} sets, {len(self.sites)} sites",
            *(f"without {self.sites[i]}: bias {self.bias_changes[i]}" for i in order),
        ]
        if self.gradient is not None and len(self.sites) > 2:
            lines.append(f"ablation and gradient: rank correlation {self.agreement()} over sites")
        return "\n".join([*lines, *self.notes])

    __str__ = summary

    def __repr__(self) -> str:
        return f"Localization({len(self.sites)} sites, {len(self.base)} items, bias {self.bias:.3f})"


def _means(values: Float[np.ndarray, "site item"], weights: Weights) -> Float[np.ndarray, "draw site"]:
    return weights @ values.T / weights.sum(1, keepdims=True)


def _spearman(one: Float[np.ndarray, "draw site"], other: Float[np.ndarray, "draw site"]) -> Float[np.ndarray, " draw"]:
    """Draw by draw; scipy's own does one pair at a time."""
    ranks = [rankdata(each, axis=1) for each in (one, other)]
    first, second = (each - each.mean(1, keepdims=True) for each in ranks)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (first * second).sum(1) / np.sqrt((first**2).sum(1) * (second**2).sum(1))
