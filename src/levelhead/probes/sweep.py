"""ProbeSweep: one linear probe a site, cross-validated by group, beside controls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from levelhead.capture import Activations
from levelhead.errors import InputError, NotFittedError, SiteError
from levelhead.methods.base import Method
from levelhead.metrics.statistics import auc_interval, mean_interval, roc_auc, upper_quantile
from levelhead.probes.controls import control_tasks, shuffled_labels
from levelhead.probes.crossfit import cross_fit
from levelhead.probes.folds import stratified_folds
from levelhead.probes.linear import block_sizes
from levelhead.probes.problem import check_finite, check_problem, codes, plain
from levelhead.sites import Site, SiteLike

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

CONTROLS = ("shuffle", "control_task")
"""Controls that a sweep knows."""


class ProbeSweep(Method):
    """Where is an attribute encoded? One L2 logistic regression a site, cross-validated by group, beside controls.

    All folds, controls, layers and heads of equal width are one batched solve. Scores are ROC AUC and accuracy of
    examples that the probe did not see; with groups, of groups that it did not see. A fold's AUC compares only
    examples that the same probe scored, so the AUC is the mean over folds weighted by their pairs.

    Parameters
    ----------
    cv : int
        Folds. No group is in two folds, and classes are spread as evenly as the groups allow.
    C : float
        Inverse strength of the L2 penalty, as in scikit-learn's LogisticRegression; the intercept is not penalized.
    standardize : bool
        Divide each coordinate by its standard deviation over all examples. Labels play no part in it.
    controls : sequence of str
        ``shuffle``: labels permuted between groups (within groups whose labels differ). Gives the band that chance
        reaches at each site and, from the best site of each draw, p-values corrected for the number of sites.
        ``control_task``: a random label for each type (Hewitt and Liang, 2019), scored on folds that types share.
    n_controls : int
        Draws of each control. The smallest p-value is ``1 / (1 + n_controls)``.
    confidence : float
        Of all intervals and bands.
    random_state : int, numpy.random.Generator or None
        Folds, controls and bootstrap.
    verbose : bool
        A progress bar, when anybody watches.

    Attributes
    ----------
    sites_ : list of Site
    classes_ : list
        The two labels; the second is the positive class.
    threshold_ : float
        ROC AUC that the best of all sites reaches under shuffled labels with probability at most
        ``1 - confidence``; NaN without the shuffle control.
    folds_ : Int[ndarray, "example"]
    acts_, labels_, groups_
        What it was fitted on.

    Notes
    -----
    Intervals are percentiles of a bootstrap over groups with the folds and probes held fixed: they say how far
    the score would move with other people or templates scored, not with other probes trained.

    References
    ----------
    Hewitt and Liang (2019), Designing and Interpreting Probes with Control Tasks. Westfall and Young (1993) for the
    maximum over sites.

    Examples
    --------
    >>> generator = torch.Generator().manual_seed(0)
    >>> labels = [i % 2 for i in range(60)]
    >>> noise = torch.randn(60, 4, generator=generator)
    >>> acts = Activations({"resid_post.0": noise, "resid_post.1": noise + 3 * torch.tensor(labels)[:, None]})
    >>> sweep = ProbeSweep(verbose=False).fit(acts, labels)
    >>> sweep.best(1)
    [Site('resid_post.1')]
    """

    def __init__(
        self,
        cv: int = 5,
        C: float | int = 1.0,
        standardize: bool = False,
        controls: Iterable[str] = CONTROLS,
        n_controls: int = 20,
        confidence: float = 0.95,
        random_state: int | np.random.Generator | None = 0,
        verbose: bool = True,
    ) -> None:
        self.cv = cv
        self.C = C
        self.standardize = standardize
        self.controls = controls
        self.n_controls = n_controls
        self.confidence = confidence
        self.random_state = random_state
        self.verbose = verbose

    def __getattr__(self, name: str) -> Any:
        # Reached only where an attribute is missing; the fitted ones end in an underscore.
        if name.endswith("_") and not name.startswith("_"):
            raise NotFittedError(f"this ProbeSweep has no '{name}' before it is fitted; call fit(acts, labels) first")
        raise AttributeError(f"'ProbeSweep' object has no attribute '{name}'")

    def fit(
        self,
        acts: Activations,
        labels: Iterable[Any] | Tensor,
        groups: Iterable[Any] | Tensor | None = None,
        types: Iterable[Any] | Tensor | None = None,
    ) -> ProbeSweep:
        """Fit the probes and their controls.

        Parameters
        ----------
        acts : Activations
        labels : sequence, "example"
            Two classes.
        groups : sequence, "example", optional
            What must not be split between training and test: a person, a template, a counterfactual set. By default
            each row is a group, or each example where the activations hold several tokens of it.
        types : sequence, "example", optional
            Types of the control task; by default the groups.

        Returns
        -------
        ProbeSweep
            Itself.

        Raises
        ------
        InputError
            For labels of one class or more than two, lengths that differ, fewer groups or examples than folds,
            activations that are not finite (the site is named), hyper-parameters out of range.
        """
        controls = self._check_params()
        labels = plain(labels)
        if groups is None and acts.example is not None:
            groups = acts.example
        groups = None if groups is None else plain(groups)
        problem = check_problem(labels, groups, acts.n)
        for site in acts.sites:
            check_finite(acts[site], site, acts.n)
        if acts.n < self.cv:
            raise InputError(f"cv={self.cv} folds were asked for, and there are {acts.n} examples; give fewer folds")
        type_codes = problem.groups if types is None else codes(types, acts.n, "types")

        rng = np.random.default_rng(self.random_state)
        rng_folds, rng_shuffle, rng_task, rng_bootstrap = rng.spawn(4)
        folds = stratified_folds(problem.positive, problem.groups, self.cv, rng_folds)
        runs = {"real": (problem.positive[None], folds[None])}
        if "shuffle" in controls:
            draws = shuffled_labels(problem.positive, problem.groups, folds, self.cv, self.n_controls, rng_shuffle)
            runs["shuffle"] = (draws, np.broadcast_to(folds, draws.shape).copy())
        if "control_task" in controls:
            runs["control_task"] = control_tasks(type_codes, self.cv, self.n_controls, rng_task)

        self.sites_ = list(acts.sites)
        self.classes_ = problem.classes
        self.folds_ = folds
        self.acts_, self.labels_, self.groups_ = acts, labels, groups
        self.n_groups_ = problem.n_groups
        self._row = {site: row for row, site in enumerate(self.sites_)}
        self._coef: dict[Site, Float[Tensor, " d"]] = {}
        self._intercept: dict[Site, float] = {}
        self._scores = torch.empty(len(self.sites_), acts.n, dtype=torch.float64)
        self._controls = {
            name: torch.empty(len(self.sites_), self.n_controls, dtype=torch.float64) for name in runs if name != "real"
        }
        with tqdm(
            total=len(self.sites_), desc="probes", unit="site", disable=None if self.verbose else True, leave=False
        ) as bar:
            for sites, x in self._blocks(acts, max(len(y) for y, _ in runs.values()) * self.cv):
                self._fit_block(sites, x, runs)
                bar.update(len(sites))
        self._summarize(problem.positive, problem.groups, rng_bootstrap)
        return self

    # -- results ---------------------------------------------------------------------------------------

    def frame(self) -> pd.DataFrame:
        """A row a site, in execution order.

        Returns
        -------
        DataFrame
            ``site, tower, component, layer, head``; ``auc`` and ``accuracy``, each with ``_low`` and ``_high``;
            ``shuffle_mean, shuffle_low, shuffle_high``, the band of ROC AUC under shuffled labels at this site;
            ``control_task``, mean ROC AUC of the control tasks; ``selectivity = auc - control_task``, which is a
            hard measure where there are groups: the probe is scored on groups it never saw, and the control on
            groups that it did; ``n, n_groups``; ``p_value``, family-wise over all sites of this sweep.
            NaN where a control was not run.
        """
        import pandas as pd

        self._check_fitted()
        sites = self.sites_
        return pd.DataFrame(
            {
                "site": [str(site) for site in sites],
                "tower": [site.tower for site in sites],
                "component": [site.component for site in sites],
                "layer": pd.array([site.layer for site in sites], dtype="Int64"),
                "head": pd.array([site.head for site in sites], dtype="Int64"),
                **{name: column.numpy() for name, column in self._columns.items()},
                "n": self.acts_.n,
                "n_groups": self.n_groups_,
                "p_value": self._p_value.numpy(),
            }
        )

    def best(self, k: int = 1, component: str | None = None) -> list[Site]:
        """The `k` sites of highest ROC AUC, best first; of one component where it is given.

        Raises
        ------
        InputError
            For a component that was not swept.
        """
        self._check_fitted()
        chosen = [site for site in self.sites_ if component is None or site.component == component]
        if not chosen:
            there = ", ".join(sorted({site.component for site in self.sites_}))
            raise InputError(f"component '{component}' was asked for, and this sweep has {there}")
        auc = self._columns["auc"]
        return sorted(chosen, key=lambda site: (-float(auc[self._row[site]]), site.order))[:k]

    def coef(self, site: SiteLike) -> Float[Tensor, " d"]:
        """Weights of the probe fitted on all examples, in the basis of the activations; towards ``classes_[1]``."""
        found = self._find(site)
        return self._coef[found]

    def intercept(self, site: SiteLike) -> float:
        """Intercept of the probe fitted on all examples."""
        found = self._find(site)
        return self._intercept[found]

    def scores(self, site: SiteLike) -> Float[Tensor, " example"]:
        """Out-of-fold decision values (log-odds of ``classes_[1]``); compare them within a fold (``folds_``) only."""
        found = self._find(site)
        return self._scores[self._row[found]]

    def score(self, acts: Activations, labels: Iterable[Any] | Tensor) -> dict[Site, float]:
        """ROC AUC on other data of the probes fitted on all examples.

        Parameters
        ----------
        acts : Activations
            At some or all of the sweep's sites.
        labels : sequence, "example"

        Returns
        -------
        dict of Site to float

        Raises
        ------
        SiteError
            For a site that was not swept.
        InputError
            For another width, classes that the sweep does not know, or labels of one class.
        """
        self._check_fitted()
        sites = [self._find(site) for site in acts.sites]
        problem = check_problem(labels, None, acts.n)
        if problem.classes != self.classes_:
            raise InputError(f"this sweep separates {self.classes_}, and the labels have {problem.classes}")
        positive = torch.from_numpy(problem.positive)
        found: dict[Site, float] = {}
        for site in sites:
            check_finite(acts[site], site, acts.n)
            weight = self._coef[site]
            if acts[site].shape[1] != len(weight):
                raise InputError(
                    f"activations at '{site}' have width {acts[site].shape[1]}; its probe has {len(weight)}"
                )
            found[site] = float(roc_auc(acts[site].double().cpu() @ weight + self._intercept[site], positive))
        return found

    def plot(self, ax: Axes | None = None) -> Axes:
        """ROC AUC by layer, a line a component, with intervals and what shuffled labels reach; matplotlib axes."""
        from levelhead.probes.charts import layer_curves

        return layer_curves(self, ax)

    def plot_heads(self, ax: Axes | None = None) -> Axes:
        """ROC AUC of every head, layer by head; matplotlib axes."""
        from levelhead.probes.charts import head_map

        return head_map(self, ax)

    # -- inside ----------------------------------------------------------------------------------------

    def _check_params(self) -> tuple[str, ...]:
        controls = (self.controls,) if isinstance(self.controls, str) else tuple(self.controls)
        for name in controls:
            if name not in CONTROLS:
                raise InputError(f"unknown control '{name}'; there are {', '.join(CONTROLS)}")
        for name, fine, wants in (
            ("cv", self.cv >= 2, "at least 2"),
            ("C", self.C > 0, "above 0"),
            ("n_controls", self.n_controls >= 1, "at least 1"),
            ("confidence", 0 < self.confidence < 1, "between 0 and 1"),
        ):
            if not fine:
                raise InputError(f"{name} must be {wants}; found {getattr(self, name)}")
        return controls

    def _blocks(self, acts: Activations, problems: int) -> Iterator[tuple[list[Site], Float[Tensor, "site example d"]]]:
        for sites, x in acts.stacks():
            size, _ = block_sizes(x.shape[1], x.shape[2], problems)
            for first in range(0, len(sites), size):
                yield sites[first : first + size], x[first : first + size]

    def _fit_block(
        self, sites: list[Site], x: Float[Tensor, "site example d"], runs: dict[str, tuple[np.ndarray, np.ndarray]]
    ) -> None:
        x = x.detach().double()
        scale = torch.ones(len(x), 1, x.shape[2], dtype=x.dtype, device=x.device)
        if self.standardize:
            spread = x.std(dim=1, keepdim=True, correction=0)
            scale = torch.where(spread > 0, spread, 1.0)
            x = x / scale
        rows = torch.tensor([self._row[site] for site in sites])
        for name, (labels, folds) in runs.items():
            found = cross_fit(x, labels, folds, self.cv, C=self.C, full=name == "real")
            if found.coef is not None and found.intercept is not None:
                coef = (found.coef / scale)[:, 0].cpu()
                self._coef.update(zip(sites, coef, strict=True))
                self._intercept.update(zip(sites, found.intercept[:, 0].tolist(), strict=True))
                self._scores[rows] = found.scores[:, 0].cpu()
            else:
                for draw, (y, fold) in enumerate(zip(labels, folds, strict=True)):
                    auc = roc_auc(found.scores[:, draw], torch.from_numpy(y), torch.from_numpy(fold))
                    self._controls[name][rows, draw] = auc.cpu()

    def _summarize(self, positive: np.ndarray, groups: np.ndarray, rng: np.random.Generator) -> None:
        y, folds = torch.from_numpy(positive), torch.from_numpy(self.folds_)
        auc = roc_auc(self._scores, y, folds)
        rng_auc, rng_accuracy = rng.spawn(2)
        low, high = auc_interval(self._scores, y, groups, rng_auc, strata=folds, confidence=self.confidence)
        right = ((self._scores > 0) == y).double()
        right_low, right_high = mean_interval(right, groups, rng_accuracy, confidence=self.confidence)
        absent = torch.full_like(auc, torch.nan)
        columns = {"auc": auc, "auc_low": low, "auc_high": high}
        columns |= {"accuracy": right.mean(dim=1), "accuracy_low": right_low, "accuracy_high": right_high}
        columns |= dict.fromkeys(("shuffle_mean", "shuffle_low", "shuffle_high", "control_task", "selectivity"), absent)
        self._p_value, self.threshold_ = absent, float("nan")
        shuffled = self._controls.get("shuffle")
        if shuffled is not None:
            columns["shuffle_mean"] = shuffled.mean(dim=1)
            columns["shuffle_low"] = -upper_quantile(-shuffled, self.confidence)
            columns["shuffle_high"] = upper_quantile(shuffled, self.confidence)
            best = shuffled.max(dim=0).values
            self._p_value = (1 + (best >= auc[:, None]).sum(dim=1)) / (1 + len(best))
            self.threshold_ = float(upper_quantile(best, self.confidence))
        task = self._controls.get("control_task")
        if task is not None:
            columns["control_task"] = task.mean(dim=1)
            columns["selectivity"] = auc - columns["control_task"]
        self._columns: dict[str, Tensor] = columns

    def _check_fitted(self) -> None:
        if not hasattr(self, "sites_"):
            raise NotFittedError("this ProbeSweep has not been fitted; call fit(acts, labels) first")

    def _find(self, site: SiteLike) -> Site:
        self._check_fitted()
        parsed = Site.parse(site)
        if parsed not in self._row:
            near = [str(s) for s in self.sites_ if s.component == parsed.component] or [str(s) for s in self.sites_]
            shown = ", ".join(near if len(near) < 9 else [*near[:8], f"... ({len(near)} in all)"])
            raise SiteError(f"'{parsed}' was not swept; there are {shown}")
        return parsed
