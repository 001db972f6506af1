"""Align: whether a steering direction is the one that a probe reads, or no better than a random one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from scipy.stats import beta
from torch import Tensor

from levelhead.capture import Activations
from levelhead.errors import EditError, InputError, SiteError
from levelhead.methods.base import fingerprint
from levelhead.metrics.statistics import auc_interval, roc_auc, upper_quantile
from levelhead.probes.crossfit import cross_fit
from levelhead.probes.folds import stratified_folds
from levelhead.probes.problem import Problem, check_finite, check_problem, plain
from levelhead.probes.sweep import ProbeSweep
from levelhead.sites import Site

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

IS_PROBE = "the probe's direction"
IN_PART = "reads the attribute, is not the only place"
UNSETTLED = "reads the attribute; more or other examples must show whether it is the only place"
MIXED = "unclear: beats random directions in angle or in reading, not in both"
RANDOM = "not distinguishable from a random direction"
NOTHING = "the probe reads nothing here"


@runtime_checkable
class Directed(Protocol):
    """What has directions: a `Steer`, or anything else with this method."""

    def directions(self) -> dict[Site, Float[Tensor, "k d"]]:
        """Directions at each site, rows not necessarily orthonormal."""
        ...


@dataclass(frozen=True, eq=False)
class Alignment:
    """A steer's directions beside the probes, site by site; made by `align`.

    Attributes
    ----------
    sites : list of Site
    columns : dict of str to list
        What `frame` shows.
    classes : list
        The two labels; the second is the positive class.
    n : int
        Examples.
    confidence : float
        Of the null bands and intervals.
    """

    sites: list[Site]
    columns: Mapping[str, list[Any]]
    classes: list[Any]
    n: int
    confidence: float

    def frame(self) -> pd.DataFrame:
        """A row a site; the columns are described at `align`."""
        import pandas as pd

        where = {
            "site": [str(site) for site in self.sites],
            "tower": [site.tower for site in self.sites],
            "component": [site.component for site in self.sites],
            "layer": pd.array([site.layer for site in self.sites], dtype="Int64"),
            "head": pd.array([site.head for site in self.sites], dtype="Int64"),
        }
        return pd.DataFrame({**where, **self.columns})

    def plot(self, ax: Axes | None = None) -> Axes:
        """ROC AUC of the whole site, along the steer and after removing it, beside random directions."""
        from levelhead.probes.charts import reading_chart

        return reading_chart(self, ax)

    def plot_cosines(self, ax: Axes | None = None) -> Axes:
        """Cosines of the steer to the probe and to the mean difference, beside random directions."""
        from levelhead.probes.charts import cosine_chart

        return cosine_chart(self, ax)


def align(
    steer: Directed,
    sweep: ProbeSweep,
    acts: Activations | None = None,
    labels: Iterable[Any] | Tensor | None = None,
    n_random: int = 1000,
    random_state: int | np.random.Generator | None = 0,
    *,
    groups: Iterable[Any] | Tensor | None = None,
    others: Mapping[str, Directed] | None = None,
) -> Alignment:
    """Compare the directions of a steer with the probes of a sweep at the same sites.

    Parameters
    ----------
    steer : Steer
        Or anything with ``directions() -> {site: [k, d]}``. Several directions at a site count as their span.
    sweep : ProbeSweep
        Fitted; its probes of all its examples give the probe directions.
    acts, labels, groups : optional
        Examples to read along and after removing the steer; by default the sweep's own. Better give others than the
        steer was fitted on: without their own mean difference, examples have class means equal by arithmetic, and
        what is learned on some folds is then reversed on the rest; scores fall below chance and settle nothing.
    n_random : int
        Random directions (or subspaces of the same dimension) with the covariance of the activations within classes.
    random_state : int, numpy.random.Generator or None
    others : mapping of str to Steer, optional
        Steers of other methods, say; each adds a column ``cosine to NAME``, as `cosines` gives it, and missing where that
        steer has no direction.

    Returns
    -------
    Alignment
        ``frame()`` has a row a site, with

        ``k``
            dimension of the span of the steer's directions.
        ``cosine``
            to the probe's weights; for one direction signed (positive: towards the positive class), for several the
            length of the projection of the unit weights onto their span.
        ``null_isotropic``, ``null_covariance``
            what ``abs(cosine)`` of a random direction reaches with probability ``1 - confidence``: directions uniform
            on the sphere (exact, from the beta distribution), and directions with the covariance that activations
            have within classes (empirical): as anisotropic as the activations, and blind to the attribute.
        ``p_value``
            chance of a random direction to reach ``abs(cosine)``: the larger of the two, not corrected for sites.
        ``cosine_mean``, ``null_mean``
            cosine to the difference of class means, and the larger of its two bands.
        ``auc``, ``auc_along``, ``auc_after``
            cross-validated ROC AUC of a probe of the whole site, of one that sees only the coordinates along the
            steer, and of one refitted after they were projected out; the last with ``_low`` and ``_high``.
        ``random_along``
            what reading along a random direction with that covariance reaches with probability ``1 - confidence``,
            its best sign (for several directions, its Fisher discriminant) chosen in sample.
        ``verdict``
            in words, below.

    Raises
    ------
    SiteError
        When the steer has a site that the sweep lacks, or no site with a fixed direction.
    InputError
        For acts without labels or the reverse, classes that the sweep does not know, non-finite activations,
        fewer groups than folds.
    EditError
        For directions of another width than the activations, or not finite, or zero.

    Notes
    -----
    Verdicts, in this order. *The probe reads nothing here*: the interval of ``auc`` reaches down to 0.5. Then, with
    *angle* meaning that ``abs(cosine)`` or ``abs(cosine_mean)`` exceeds both its bands, and *reading* meaning that
    ``auc_along`` exceeds ``random_along``: neither, *not distinguishable from a random direction*; one of
    the two, *unclear*; both, *reads the attribute, is not the only place* when the interval of ``auc_after`` lies
    above 0.5. *The probe's direction*, alone it reads the attribute and without it a linear probe does not, when that
    interval holds 0.5 and ends below half of the probe's edge over 0.5. Otherwise *more or other examples must show*:
    the interval is too wide, lies below 0.5, or the steer's card names these very examples (see `acts`).

    A steer and probes fitted on the same examples share those examples' noise, which raises their cosine even where
    nothing is encoded: look at ``auc`` first. A low cosine to the probe is no verdict by itself either. Weights also cancel noise, so where activations are anisotropic
    a mean difference that carries the whole signal is far from them (Haufe et al., 2014).
    """
    if n_random < 1:
        raise InputError(f"n_random must be at least 1; found {n_random}")
    spans, swept = _spans(steer, sweep), acts is None
    rng_folds, rng_boot, rng_random = np.random.default_rng(random_state).spawn(3)
    acts, problem, folds = _examples(sweep, acts, labels, groups, list(spans), rng_folds)
    reused = _fitted_on(steer, acts, sweep.labels_ if labels is None else plain(labels))
    rows: list[dict[str, Any]] = []
    # Every site draws from the same stream, so that a site's numbers do not depend on which others are there.
    seed_random, seed_boot = (int(rng.integers(2**63)) for rng in (rng_random, rng_boot))
    for site, basis in spans.items():
        x = acts[site].detach().double().cpu()
        if x.shape[1] != basis.shape[1]:
            raise EditError(
                f"directions at '{site}' have width {basis.shape[1]}, and activations there have {x.shape[1]}"
            )
        x = x - x.mean(dim=0)
        row = _angles(x, basis, sweep, site, problem, n_random, np.random.default_rng(seed_random))
        known = sweep.scores(site) if swept else None
        row |= _readings(x, basis, sweep, problem, folds, np.random.default_rng(seed_boot), known)
        angle = abs(row["cosine"]) > max(row["null_isotropic"], row["null_covariance"])
        angle |= abs(row["cosine_mean"]) > row["null_mean"]
        row["verdict"] = _verdict(row, angle, reused)
        rows.append(row)
    order = (
        *("k", "cosine", "null_isotropic", "null_covariance", "p_value", "cosine_mean", "null_mean"),
        *("auc", "auc_along", "random_along", "auc_after", "auc_after_low", "auc_after_high", "verdict"),
    )
    columns = {name: [row[name] for row in rows] for name in order}
    for name, other in (others or {}).items():
        beside = cosines(steer, other)
        columns[f"cosine to {name}"] = [beside.get(site, math.nan) for site in spans]
    return Alignment(list(spans), columns, sweep.classes_, acts.n, sweep.confidence)


def _fitted_on(steer: Directed, acts: Activations, labels: list[Any]) -> bool:
    """Whether the steer's card names these very examples."""
    card: Mapping[str, Any] = getattr(steer, "card", {})
    known = card.get("data", {}).get("sha256")
    return known is not None and known == fingerprint(labels, acts[min(steer.directions())])


def _verdict(row: Mapping[str, Any], angle: bool, reused: bool) -> str:
    reading = row["auc_along"] > row["random_along"]
    if row["auc_low"] <= 0.5:
        return NOTHING
    if angle and reading:
        if row["auc_after_low"] > 0.5:
            return IN_PART
        doubt = row["auc_after_high"] - 0.5 > 0.5 * (row["auc"] - 0.5)
        return UNSETTLED if reused or doubt or row["auc_after_high"] < 0.5 else IS_PROBE
    return MIXED if angle or reading else RANDOM


def cosines(steer: Directed, other: Directed) -> dict[Site, float]:
    """Cosine between two steers' directions, at each site that both have.

    Parameters
    ----------
    steer, other : Steer
        Or anything with ``directions() -> {site: [k, d]}``.

    Returns
    -------
    dict of Site to float
        In execution order. Signed for one direction each; for spans of several, the largest principal cosine: that of
        the smallest angle between a vector of one and a vector of the other, never negative.

    Raises
    ------
    SiteError
        When they have no site in common.
    EditError
        For directions of different widths, or not finite, or zero.

    Examples
    --------
    >>> from levelhead import Add, Steer
    >>> one, two = (Steer({"resid_post.0": Add(torch.tensor(v))}) for v in ([1.0, 0.0], [-3.0, 4.0]))
    >>> round(cosines(one, two)[Site.parse("resid_post.0")], 6)
    -0.6
    """
    ours, theirs = steer.directions(), other.directions()
    common = sorted(ours.keys() & theirs.keys())
    if not common:
        names = [_some([str(site) for site in sorted(each)]) or "none" for each in (ours, theirs)]
        raise SiteError(f"two steers with directions at a common site are needed; found {names[0]}, and {names[1]}")
    found: dict[Site, float] = {}
    for site in common:
        one, two = _basis(ours[site], site), _basis(theirs[site], site)
        if one.shape[1] != two.shape[1]:
            raise EditError(f"directions at '{site}' have widths {one.shape[1]} and {two.shape[1]}")
        products = one @ two.T
        alone = len(one) == len(two) == 1
        found[site] = float(products[0, 0] if alone else torch.linalg.matrix_norm(products, 2).clamp(max=1.0))
    return found


def _spans(steer: Directed, sweep: ProbeSweep) -> dict[Site, Float[Tensor, "k d"]]:
    """Orthonormal bases, in execution order; a single direction keeps its sign."""
    given = steer.directions()
    swept = set(sweep.sites_)
    if not given:
        raise SiteError("this steer has no fixed direction at any site (affine edits and rotations have none)")
    missing = [str(site) for site in sorted(given) if site not in swept]
    if missing:
        common = [str(site) for site in sorted(given) if site in swept]
        shared = (
            f"common to both: {_some(common)}; align steer.only(...) of these"
            if common
            else f"nothing is common to both; the sweep has {_some([str(site) for site in sorted(swept)])}"
        )
        raise SiteError(
            f"the steer writes at {_some(missing)}, which this sweep does not have; {shared}, or sweep the steer's sites"
        )
    return {site: _basis(given[site], site) for site in sorted(given)}


def _basis(directions: Tensor, site: Site) -> Float[Tensor, "k d"]:
    """Orthonormal rows of the same span; a single direction keeps its sign."""
    rows = torch.atleast_2d(directions.detach().double().cpu())
    lengths = rows.norm(dim=1, keepdim=True)
    if not bool(torch.isfinite(rows).all()) or not bool((lengths > 0).all()):
        raise EditError(f"directions at '{site}' must be finite and not zero")
    rows = rows / lengths
    if len(rows) > 1:
        _, strength, right = torch.linalg.svd(rows, full_matrices=False)
        rows = right[strength > 1e-6 * strength[0]]
    return rows


def _examples(
    sweep: ProbeSweep,
    acts: Activations | None,
    labels: Iterable[Any] | Tensor | None,
    groups: Iterable[Any] | Tensor | None,
    sites: list[Site],
    rng: np.random.Generator,
) -> tuple[Activations, Problem, np.ndarray]:
    if acts is None:
        if labels is not None or groups is not None:
            raise InputError("labels or groups were given without acts; give acts too, or none of them")
        return sweep.acts_, check_problem(sweep.labels_, sweep.groups_, sweep.acts_.n), sweep.folds_
    if labels is None:
        raise InputError(f"acts were given without labels; give one label for each of the {acts.n} rows")
    groups = acts.example if groups is None else groups
    problem = check_problem(labels, None if groups is None else plain(groups), acts.n)
    if problem.classes != sweep.classes_:
        raise InputError(f"this sweep separates {sweep.classes_}, and the labels have {problem.classes}")
    for site in sites:
        check_finite(acts[site], site, acts.n)
    return acts, problem, stratified_folds(problem.positive, problem.groups, sweep.cv, rng)


def _angles(
    x: Float[Tensor, "example d"],
    basis: Float[Tensor, "k d"],
    sweep: ProbeSweep,
    site: Site,
    problem: Problem,
    n_random: int,
    rng: np.random.Generator,
) -> dict[str, Any]:
    k, d = basis.shape
    positive = torch.from_numpy(problem.positive)
    gap = x[positive].mean(dim=0) - x[~positive].mean(dim=0)
    within = x - torch.where(positive[:, None], x[positive].mean(dim=0), x[~positive].mean(dim=0))
    targets = torch.stack([sweep.coef(site).double(), gap])
    targets = targets / targets.norm(dim=1, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)
    along = targets @ basis.T
    cosines = along[:, 0] if k == 1 else along.norm(dim=1)
    # Combinations of examples with independent normal weights have exactly the examples' covariance.
    weights = torch.from_numpy(rng.standard_normal((n_random, k, len(x))))
    drawn, _ = torch.linalg.qr((weights @ within).mT)
    null = (targets @ drawn).norm(dim=2)
    reach = upper_quantile(null.T, sweep.confidence).tolist()
    flat = float(np.sqrt(beta.ppf(sweep.confidence, k / 2, (d - k) / 2))) if k < d else 1.0
    cosine, cosine_mean = cosines.tolist()
    p_flat = float(beta.sf(min(1.0, cosine**2), k / 2, (d - k) / 2)) if k < d else 1.0
    p_covariance = (1 + int((null[:, 0] >= abs(cosine)).sum())) / (1 + n_random)
    return {
        "k": k,
        "cosine": cosine,
        "null_isotropic": flat,
        "null_covariance": reach[0],
        "p_value": max(p_flat, p_covariance),
        "cosine_mean": cosine_mean,
        "null_mean": max(flat, reach[1]),
        "random_along": _random_reading(_coordinates(x, drawn), positive, sweep.confidence),
    }


def _coordinates(x: Float[Tensor, "example d"], drawn: Float[Tensor, "draw d k"]) -> Float[Tensor, "draw example k"]:
    # One product of two matrices; a batched product would read x once for every draw.
    return (x @ drawn.permute(1, 0, 2).flatten(1)).unflatten(1, (len(drawn), -1)).transpose(0, 1)


def _random_reading(coordinates: Float[Tensor, "draw example k"], positive: Tensor, confidence: float) -> float:
    gap = coordinates[:, positive].mean(dim=1) - coordinates[:, ~positive].mean(dim=1)
    within = coordinates - coordinates.mean(dim=1, keepdim=True)
    within = within - torch.where(positive[:, None], 1.0, -1.0) * gap[:, None] / 2
    scatter = within.mT @ within / within.shape[1]
    loose = scatter.diagonal(dim1=1, dim2=2).mean(dim=1)[:, None, None] * 1e-9 + torch.finfo(gap.dtype).tiny
    axis = torch.linalg.solve(scatter + loose * torch.eye(gap.shape[1], dtype=gap.dtype), gap)
    auc = roc_auc((coordinates @ axis[..., None])[..., 0], positive)
    return float(upper_quantile(torch.maximum(auc, 1 - auc), confidence))


def _readings(
    x: Float[Tensor, "example d"],
    basis: Float[Tensor, "k d"],
    sweep: ProbeSweep,
    problem: Problem,
    folds: np.ndarray,
    rng: np.random.Generator,
    known: Float[Tensor, " example"] | None,
) -> dict[str, Any]:
    spread = x.std(dim=0, correction=0)
    scale = torch.where(spread > 0, spread, 1.0) if sweep.standardize else torch.ones_like(spread)
    along = x @ basis.T
    size = along.std(dim=0, correction=0)
    y, strata = torch.from_numpy(problem.positive), torch.from_numpy(folds)

    def read(features: Float[Tensor, "example width"]) -> Float[Tensor, " example"]:
        found = cross_fit(
            features[None], problem.positive[None], folds[None], sweep.cv, C=sweep.C, estimator=sweep.estimator
        )
        return found.scores[0, 0]

    whole = read(x / scale) if known is None else known
    rest = read((x - along @ basis) / scale)
    scores = torch.stack([whole, rest, read(along / torch.where(size > 0, size, 1.0))])
    auc = roc_auc(scores, y, strata).tolist()
    low, high = auc_interval(scores, y, problem.groups, rng, strata=strata, confidence=sweep.confidence)
    return {
        **{"auc": auc[0], "auc_low": float(low[0]), "auc_along": auc[2]},
        **{"auc_after": auc[1], "auc_after_low": float(low[1]), "auc_after_high": float(high[1])},
    }


def _some(names: list[str]) -> str:
    return ", ".join(names if len(names) < 9 else [*names[:8], f"... ({len(names)} in all)"])
