"""ProbeSweep: one linear probe a site, cross-validated by group, beside controls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm import tqdm

from levelhead.capture import Activations
from levelhead.errors import InputError, NotFittedError, SiteError
from levelhead.methods.base import Method
from levelhead.probes.controls import control_tasks, shuffled_labels
from levelhead.probes.crossfit import cross_fit, strengths_of
from levelhead.probes.folds import stratified_folds
from levelhead.probes.linear import block_sizes
from levelhead.probes.online import blocks, online_bits
from levelhead.probes.problem import Problem, check_finite, check_problem, codes, plain
from levelhead.probes.scoring import area
from levelhead.probes.settings import check_settings
from levelhead.probes.solve import PROBABILISTIC, against_rest
from levelhead.probes.summary import columns_of, family_wise, input_rows
from levelhead.sites import Site, SiteLike

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_USUAL = ("shuffle", "control_task")


class ProbeSweep(Method):
    """Where is an attribute encoded? One linear probe a site, cross-validated by group, beside controls.

    All folds, controls, layers and heads of equal width are one batched solve. Scores are ROC AUC and accuracy of
    examples that the probe did not see; with groups, of groups that it did not see. A fold's AUC compares only
    examples that the same probe scored, so the AUC is the mean over folds weighted by their pairs. Of more than two
    classes, the scores are the mean ROC AUC of each class against the rest, and balanced accuracy.

    Parameters
    ----------
    cv : int
        Folds. No group is in two folds, and classes are spread as evenly as the groups allow.
    C : float or sequence of float
        Inverse strength of the L2 penalty, as in scikit-learn's LogisticRegression; the intercept is not penalized.
        Of several, the scores of each fold come from the one that is best on the other folds, for each site and for
        each draw of a control anew. Some optimism is left, because those folds were trained on; the band and p-values
        of ``shuffle`` have the same and so allow for it.
    standardize : bool
        Divide each coordinate by its standard deviation over all examples. Labels play no part in it.
    controls : str or sequence of str
        ``shuffle``: labels permuted between groups (within groups whose labels differ). Gives the band that chance
        reaches at each site and, from the best site of each draw, p-values corrected for the number of sites.
        ``control_task``: a random label for each type (Hewitt and Liang, 2019), scored on folds that types share.
        ``input``: what can be read of the same token where the tower begins (``resid_pre.0``, which must be among the
        activations), and what each site has over that.
    n_controls : int
        Draws of each control. The smallest p-value is ``1 / (1 + n_controls)``.
    confidence : float
        Of all intervals and bands.
    random_state : int, numpy.random.Generator or None
        Folds, controls and bootstrap.
    verbose : bool
        A progress bar, when anybody watches.
    estimator : {"logistic", "ridge", "mean_difference", "lda"}
        L2 logistic regression, multinomial where there are more than two classes; least squares on targets of 1 and
        -1 with the penalty ``|w|^2 / C`` (RidgeClassifier with ``alpha = 1 / C``); the nearest class mean, which has no
        penalty; linear discriminant analysis with ``1 / C`` added to the diagonal of the scatter within classes.
        Of two classes, ridge and LDA have the same direction.
    mdl : bool
        Minimum description length by the online code (Voita and Titov, 2020); logistic and lda only.

    Attributes
    ----------
    sites_ : list of Site
    classes_ : list
        The labels, sorted; of two, the second is the positive class.
    counts_ : dict
        Examples of each class.
    C_ : dict of Site to float
        Strength of the probe fitted on all examples.
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
    maximum over sites. Voita and Titov (2020), Information-Theoretic Probing with Minimum Description Length.

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
        C: float | int | Sequence[float | int] = 1.0,
        standardize: bool = False,
        controls: Iterable[str] = _USUAL,
        n_controls: int = 20,
        confidence: float = 0.95,
        random_state: int | np.random.Generator | None = 0,
        verbose: bool = True,
        estimator: str = "logistic",
        mdl: bool = False,
    ) -> None:
        self.cv = cv
        self.C = C
        self.standardize = standardize
        self.controls = controls
        self.n_controls = n_controls
        self.confidence = confidence
        self.random_state = random_state
        self.verbose = verbose
        self.estimator = estimator
        self.mdl = mdl

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
            Two classes or more.
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
            For labels of one class, lengths that differ, fewer groups or examples than folds, activations that
            are not finite (the site is named), hyper-parameters out of range, an input that was not captured.
        """
        controls = check_settings(self)
        labels = plain(labels)
        if groups is None and acts.example is not None:
            groups = acts.example
        groups = None if groups is None else plain(groups)
        problem = check_problem(labels, groups, acts.n, binary=False)
        inputs = input_rows(list(acts.sites)) if "input" in controls else None
        for site in acts.sites:
            check_finite(acts[site], site, acts.n)
        if acts.n < self.cv:
            raise InputError(f"cv={self.cv} folds were asked for, and there are {acts.n} examples; give fewer folds")
        type_codes = problem.groups if types is None else codes(types, acts.n, "types")

        rng = np.random.default_rng(self.random_state)
        rng_folds, rng_shuffle, rng_task, rng_bootstrap, rng_order = rng.spawn(5)
        given, n_classes = problem.labels, len(problem.classes)
        folds = stratified_folds(given, problem.groups, self.cv, rng_folds)
        runs = {"real": (given[None], folds[None])}
        if "shuffle" in controls:
            draws = shuffled_labels(given, problem.groups, folds, self.cv, self.n_controls, rng_shuffle)
            runs["shuffle"] = (draws, np.broadcast_to(folds, draws.shape).copy())
        if "control_task" in controls:
            runs["control_task"] = control_tasks(type_codes, self.cv, self.n_controls, rng_task, n_classes)
        block = blocks(problem.target, problem.groups, n_classes, rng_order) if self.mdl else None

        self.sites_ = list(acts.sites)
        self.classes_ = problem.classes
        self.counts_ = dict(zip(problem.classes, np.bincount(problem.target).tolist(), strict=True))
        self.folds_ = folds
        self.acts_, self.labels_, self.groups_ = acts, labels, groups
        self.n_groups_ = problem.n_groups
        self._row = {site: row for row, site in enumerate(self.sites_)}
        self.C_: dict[Site, float] = {}
        self._coef: dict[Site, Tensor] = {}
        self._intercept: dict[Site, Tensor] = {}
        outputs = () if n_classes == 2 else (n_classes,)
        self._scores = torch.empty(len(self.sites_), acts.n, *outputs, dtype=torch.float64)
        self._bits = torch.full((len(self.sites_),), torch.nan, dtype=torch.float64)
        self._controls = {
            name: torch.empty(len(self.sites_), self.n_controls, dtype=torch.float64) for name in runs if name != "real"
        }
        with tqdm(
            total=len(self.sites_), desc="probes", unit="site", disable=None if self.verbose else True, leave=False
        ) as bar:
            problems = max(len(y) for y, _ in runs.values()) * self.cv * max(1, sum(outputs))
            for sites, x in self._blocks(acts, problems):
                self._fit_block(sites, x, runs, n_classes, block)
                bar.update(len(sites))
        self._summarize(problem, rng_bootstrap, inputs)
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
            groups that it did; ``n, n_groups``; ``p_value``, family-wise over all sites of this sweep;
            ``majority``, the share of the most frequent class, which is the accuracy of always naming it.
            NaN where a control was not run. Of more than two classes ``balanced_accuracy`` stands for
            ``accuracy``; always naming one class gets one over their number.

            With the control ``input``: ``input``, the ROC AUC at the site's input, and ``over_input = auc - input``
            with ``_low`` and ``_high``, a paired interval. With `mdl`: ``mdl``, bits an example, and ``compression``,
            how many times shorter that is than a code which knows the number of classes alone.
        """
        import pandas as pd

        self._check_fitted()
        sites, most = self.sites_, max(self.counts_.values())
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
                "majority": most / self.acts_.n,
                **{name: column.numpy() for name, column in self._more.items()},
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

    def coef(self, site: SiteLike) -> Float[Tensor, "*output d"]:
        """Weights of the probe fitted on all examples, in the basis of the activations.

        Of two classes a vector, towards ``classes_[1]``; of more a row a class.
        """
        found = self._find(site)
        return self._coef[found]

    def intercept(self, site: SiteLike) -> float | Float[Tensor, " class"]:
        """Intercept of the probe fitted on all examples; of more than two classes, one a class."""
        found = self._intercept[self._find(site)]
        return float(found) if found.ndim == 0 else found

    def scores(self, site: SiteLike) -> Float[Tensor, "example *output"]:
        """Out-of-fold decision values; compare them within a fold (``folds_``) only.

        Log-odds of ``classes_[1]``, or of each of several classes against the rest; ridge and mean differences have
        decision values that are no log-odds.
        """
        found = self._find(site)
        return self._scores[self._row[found]]

    def decision_function(self, acts: Activations) -> dict[Site, Float[Tensor, "example *output"]]:
        """Decision values of other activations, from the probes fitted on all examples; as `scores` has them.

        Parameters
        ----------
        acts : Activations
            At some or all of the sweep's sites.

        Raises
        ------
        SiteError
            For a site that was not swept.
        InputError
            For another width, or entries that are not finite.
        """
        self._check_fitted()
        found: dict[Site, Tensor] = {}
        for site in [self._find(site) for site in acts.sites]:
            check_finite(acts[site], site, acts.n)
            weight = self._coef[site]
            if acts[site].shape[1] != weight.shape[-1]:
                raise InputError(
                    f"activations at '{site}' have width {acts[site].shape[1]}; its probe has {weight.shape[-1]}"
                )
            value = acts[site].detach().double().cpu() @ weight.movedim(-1, 0) + self._intercept[site]
            found[site] = against_rest(value) if weight.ndim == 2 and self.estimator in PROBABILISTIC else value
        return found

    def predict(self, acts: Activations) -> dict[Site, list[Any]]:
        """Labels of other activations, from the probes fitted on all examples.

        Parameters
        ----------
        acts : Activations
            At some or all of the sweep's sites.

        Raises
        ------
        SiteError, InputError
            As `decision_function`.
        """
        found: dict[Site, list[Any]] = {}
        for site, value in self.decision_function(acts).items():
            which = (value > 0).long() if value.ndim == 1 else value.argmax(dim=1)
            found[site] = [self.classes_[i] for i in which.tolist()]
        return found

    def score(self, acts: Activations, labels: Iterable[Any] | Tensor) -> dict[Site, float]:
        """ROC AUC on other data of the probes fitted on all examples; of several classes, the mean of each's.

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
        values = self.decision_function(acts)
        problem = check_problem(labels, None, acts.n, binary=False)
        if problem.classes != self.classes_:
            raise InputError(f"this sweep separates {self.classes_}, and the labels have {problem.classes}")
        target = torch.from_numpy(problem.target)
        return {site: float(area(value, target, len(self.classes_))) for site, value in values.items()}

    def plot(self, ax: Axes | None = None) -> Axes:
        """ROC AUC by layer, a line a component, with intervals and what shuffled labels reach; matplotlib axes."""
        from levelhead.probes.charts import layer_curves

        return layer_curves(self, ax)

    def plot_heads(self, ax: Axes | None = None) -> Axes:
        """ROC AUC of every head, layer by head; matplotlib axes."""
        from levelhead.probes.charts import head_map

        return head_map(self, ax)

    # -- inside ----------------------------------------------------------------------------------------

    def _blocks(self, acts: Activations, problems: int) -> Iterator[tuple[list[Site], Float[Tensor, "site example d"]]]:
        for sites, x in acts.stacks():
            size, _ = block_sizes(x.shape[1], x.shape[2], problems)
            for first in range(0, len(sites), size):
                yield sites[first : first + size], x[first : first + size]

    def _fit_block(
        self,
        sites: list[Site],
        x: Float[Tensor, "site example d"],
        runs: dict[str, tuple[np.ndarray, np.ndarray]],
        n_classes: int,
        block: np.ndarray | None,
    ) -> None:
        x = x.detach().double()
        scale = torch.ones(len(x), 1, x.shape[2], dtype=x.dtype, device=x.device)
        if self.standardize:
            spread = x.std(dim=1, keepdim=True, correction=0)
            scale = torch.where(spread > 0, spread, 1.0)
            x = x / scale
        rows = torch.tensor([self._row[site] for site in sites])
        options: dict[str, Any] = {"estimator": self.estimator, "n_classes": n_classes}
        strengths = strengths_of(self.C)[: 1 if self.estimator == "mean_difference" else None]
        for name, (labels, folds) in runs.items():
            found = cross_fit(x, labels, folds, self.cv, C=strengths, full=name == "real", **options)
            if found.coef is not None and found.intercept is not None:
                coef, intercept = found.coef[:, 0], found.intercept[:, 0].cpu()
                coef = (coef / (scale[:, 0] if n_classes == 2 else scale)).cpu()
                self._coef.update(zip(sites, coef, strict=True))
                self._intercept.update(zip(sites, intercept, strict=True))
                self._scores[rows] = found.scores[:, 0].cpu()
                chosen = strengths * len(sites) if found.C is None else found.C[:, 0].tolist()
                self.C_.update(zip(sites, chosen, strict=True))
            else:
                for draw, (y, fold) in enumerate(zip(labels, folds, strict=True)):
                    target = torch.from_numpy(y).long()
                    areas = area(found.scores[:, draw], target, n_classes, torch.from_numpy(fold))
                    self._controls[name][rows, draw] = areas.cpu()
        if block is not None:
            self._bits[rows] = online_bits(x, runs["real"][0], block, strengths=strengths, **options).cpu()

    def _summarize(self, problem: Problem, rng: np.random.Generator, inputs: Int[Tensor, " site"] | None) -> None:
        folds = torch.from_numpy(self.folds_)
        self._columns, self._more = columns_of(
            self._scores, problem, folds, self._controls, rng, self.confidence, inputs, self._bits if self.mdl else None
        )
        auc = self._columns["auc"]
        self._p_value, self.threshold_ = family_wise(auc, self._controls.get("shuffle"), self.confidence)

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
