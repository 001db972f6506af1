"""What a steer leaves to be read: probes on activations without it and with it, on the same examples and folds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from levelhead.capture import Activations, capture
from levelhead.errors import InputError
from levelhead.metrics.statistics import bootstrap_weights, roc_auc
from levelhead.metrics.statistics.shares import percentiles
from levelhead.probes.linear import block_sizes, fit_logistic
from levelhead.probes.problem import check_problem
from levelhead.probes.sweep import ProbeSweep
from levelhead.sites import Patterns, Site
from levelhead.steer import Steer
from levelhead.tokens import Reader

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_DRAWS = 1000


@dataclass(frozen=True, eq=False)
class SteeredProbes:
    """Probes without and with a steer; made by `levelhead.probe_steered`.

    Attributes
    ----------
    before, after : ProbeSweep
        Fitted on the activations of the unsteered and of the steered model, with the same folds and controls.
    columns : dict of str to list of float
        What `frame` adds to them.
    """

    before: ProbeSweep
    after: ProbeSweep
    columns: dict[str, list[float]]

    def frame(self) -> pd.DataFrame:
        """A row a site, in execution order.

        Returns
        -------
        DataFrame
            ``site, tower, component, layer, head``; ROC AUC on groups never seen, each with ``_low`` and ``_high``:
            ``before`` and ``after``, of probes fitted anew on either; ``old``, of the probes from before on the steered
            activations; ``change = after - before`` and ``old_change = old - before``, paired; ``chance_low, chance_high``, what
            shuffled labels reach after; ``p_value``, of ``after``, corrected for the number of sites.
        """
        after = self.after.frame()
        found: Any = self.before.frame()[["site", "tower", "component", "layer", "head", "auc", "auc_low", "auc_high"]]
        found.columns = [*found.columns[:5], "before", "before_low", "before_high"]
        for end in ("", "_low", "_high"):
            found[f"after{end}"] = after[f"auc{end}"]
        for name, values in self.columns.items():
            found[name] = values
        found["chance_low"], found["chance_high"] = after["shuffle_low"], after["shuffle_high"]
        found["p_value"] = after["p_value"]
        return found

    def plot(self, ax: Axes | None = None, *, component: str = "resid_post", title: str = "") -> Axes:
        """Draw ROC AUC by layer before and after; see `levelhead.plots.steered_probes_chart`."""
        from levelhead.plots.steered import steered_probes_chart

        return steered_probes_chart(self, ax, component=component, title=title)


def probe_steered(
    model: Any,
    inputs: Any,
    labels: Iterable[Any] | Tensor,
    steer: Steer,
    sites: Patterns = ("resid_post.*", "z.*.*"),
    at: Reader = "last",
    groups: Iterable[Any] | Tensor | None = None,
    *,
    sweep: ProbeSweep | None = None,
    batch_size: int = 32,
    prompt_length: int | None = None,
    processor: Any = None,
    verbose: bool = True,
) -> SteeredProbes:
    """Whether a steer changes what is encoded or only what is used: probes before and after.

    Three numbers for each site. A probe fitted anew on steered activations says whether the attribute can still be read
    there; the probe from before, put to steered activations, whether it can be read as it could. If the first holds and the
    second falls, the attribute has moved; if both hold, the model keeps it and uses it otherwise.

    Parameters
    ----------
    model : transformers model, TransformerBridge, nnsight model or Graph
    inputs : list
        As `levelhead.capture` takes them; better others than the steer was fitted on.
    labels : sequence, "example"
        Two classes.
    steer : Steer
        At the strength that is to be judged.
    sites : patterns
        Behind the first edit: before it there is nothing to see.
    at : str, int or callable
        Tokens to read, one an example; see `levelhead.tokens.choose`.
    groups : sequence, "example", optional
        What must not be split between training and test; see `ProbeSweep.fit`.
    sweep : ProbeSweep, optional
        Hyper-parameters, if not the usual ones. Its ``random_state`` must be a number, so that both get the same folds.
    batch_size, prompt_length, processor, verbose
        As in `levelhead.capture`.

    Returns
    -------
    SteeredProbes

    Raises
    ------
    InputError
        For labels or groups that do not fit, or a reader that keeps several tokens.
    SiteError, EditError
        If a site is absent, or the steer does not fit.
    """
    settings: dict[str, Any] = {**(sweep or ProbeSweep()).get_params(), "verbose": verbose}
    check_refitted(settings)
    if not isinstance(settings["random_state"], int):
        raise InputError(
            f"both sweeps need the same folds: give a ProbeSweep whose random_state is a number; found {settings['random_state']!r}"
        )
    options: dict[str, Any] = {
        "batch_size": batch_size,
        "prompt_length": prompt_length,
        "processor": processor,
        "verbose": verbose,
    }
    labels = list(labels)
    groups = None if groups is None else list(groups)
    acts = [capture(model, inputs, sites, at, steer=each, **options) for each in (None, steer)]
    if acts[0].example is not None and len(acts[0].example.unique()) < acts[0].n:
        raise InputError(
            f"before and after are compared example by example, and at={at!r} keeps several tokens of each"
        )
    before, after = (ProbeSweep(**settings).fit(each, labels, groups) for each in acts)
    return SteeredProbes(before, after, _compared(before, after, acts[1]))


def _compared(before: ProbeSweep, after: ProbeSweep, steered: Activations) -> dict[str, list[float]]:
    """The probes from before on steered activations, and the differences, all from the same resamples of groups."""
    problem = check_problem(before.labels_, before.groups_, steered.n)
    positive, folds = torch.from_numpy(problem.positive), torch.from_numpy(before.folds_)
    rng = np.random.default_rng([before.random_state, 1])  # pyright: ignore[reportArgumentType]
    weights = bootstrap_weights(problem.groups, _DRAWS, rng)
    found: dict[str, list[float]] = {}
    for site, old in old_scores(before, steered).items():
        scores = torch.stack([before.scores(site), after.scores(site), old])
        values = roc_auc(scores, positive, folds)
        drawn = roc_auc(scores, positive, folds, weights)
        levels = {"old": (values[2], drawn[2]), "change": (values[1] - values[0], drawn[1] - drawn[0])}
        levels["old_change"] = (values[2] - values[0], drawn[2] - drawn[0])
        for name, (value, draws) in levels.items():
            low, high = percentiles(draws[None], before.confidence)
            for end, number in (("", value), ("_low", low[0]), ("_high", high[0])):
                found.setdefault(f"{name}{end}", []).append(float(number))
    return found


def check_refitted(settings: Mapping[str, Any]) -> None:
    """Raise for probes that cannot be put to other activations here.

    Parameters
    ----------
    settings : mapping
        Parameters of a `ProbeSweep`.

    Raises
    ------
    InputError
        For another estimator than logistic regression, or several strengths to choose from.
    """
    if settings["estimator"] != "logistic" or not isinstance(settings["C"], int | float):
        raise InputError(
            "probes from before are put to what came after by logistic regression of one strength; found "
            f"estimator={settings['estimator']!r}, C={settings['C']!r}"
        )


def old_scores(before: ProbeSweep, steered: Activations) -> dict[Site, Float[Tensor, " example"]]:
    """Each steered example's decision value, from the probe of the unsteered model that did not see the example."""
    n = steered.n
    problem = check_problem(before.labels_, before.groups_, n)
    y = torch.from_numpy(np.concatenate([problem.positive, problem.positive])).expand(before.cv, -1)
    folds = torch.from_numpy(before.folds_)
    # Steered rows are scored, and never learned from.
    train = torch.cat([folds != torch.arange(before.cv)[:, None], torch.zeros(before.cv, n, dtype=torch.bool)], dim=1)
    found: dict[Site, Tensor] = {}
    for sites, x in before.acts_.select([*before.sites_]).stacks():
        size, _ = block_sizes(2 * n, x.shape[2], before.cv)
        for first in range(0, len(sites), size):
            some = sites[first : first + size]
            both = torch.cat([x[first : first + size], torch.stack([steered[site] for site in some])], dim=1)
            both = both.double()
            if before.standardize:
                spread = both[:, :n].std(dim=1, keepdim=True, correction=0)
                both = both / torch.where(spread > 0, spread, 1.0)
            margins = fit_logistic(both, y, train, C=before.C).margins[:, :, n:]
            picked = margins.gather(1, folds.expand(len(some), 1, n))[:, 0]
            found.update(zip(some, picked.cpu(), strict=True))
    return {site: found[site] for site in before.sites_}
