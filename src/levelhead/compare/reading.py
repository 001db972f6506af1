"""What probes read before and after, with the differences judged over all sites."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from levelhead.capture import Activations
from levelhead.metrics.statistics import roc_auc
from levelhead.metrics.statistics.shares import percentiles
from levelhead.probes.steered import old_scores
from levelhead.probes.sweep import ProbeSweep


def reading_columns(
    before: ProbeSweep, after: ProbeSweep, acts: Activations, weights: Float[Tensor, "draw example"]
) -> dict[str, list[float]]:
    """ROC AUC of probes before, anew after, and of those from before on what came after; differences are paired.

    `acts` are those that `after` was fitted on, `weights` resamples of groups, the same for every number.
    """
    positive = torch.tensor([label == before.classes_[1] for label in before.labels_])
    folds = torch.from_numpy(before.folds_)
    old = old_scores(before, acts)
    sites = list(before.sites_)
    scores = torch.stack(
        [torch.stack([sweep.scores(site) for site in sites]) for sweep in (before, after)]
        + [torch.stack([old[site].double() for site in sites])]
    )
    values, drawn = roc_auc(scores, positive, folds), roc_auc(scores, positive, folds, weights)
    found: dict[str, list[float]] = {}
    for name, sweep in (("before", before), ("after", after)):
        frame = sweep.frame()
        for end in ("", "_low", "_high"):
            found[f"{name}{end}"] = frame[f"auc{end}"].tolist()
        if name == "after":
            found["chance_low"], found["chance_high"] = (frame[f"shuffle_{end}"].tolist() for end in ("low", "high"))
    rest = {
        "change": (values[1] - values[0], drawn[1] - drawn[0]),
        "transfer": (values[2], drawn[2]),
        "transfer_change": (values[2] - values[0], drawn[2] - drawn[0]),
    }
    for name, (value, draws) in rest.items():
        low, high = percentiles(draws, before.confidence)
        found[name], found[f"{name}_low"], found[f"{name}_high"] = value.tolist(), low.tolist(), high.tolist()
        if name != "transfer":
            found[f"{name}_p"] = _largest(value, draws).tolist()
    return found


def _largest(value: Float[Tensor, " site"], draws: Float[Tensor, "site draw"]) -> Float[Tensor, " site"]:
    """p-values of differences, each against the largest that resampling alone makes at any site, in standard errors."""
    error = torch.from_numpy(np.nanstd(draws.numpy(), axis=1))
    # Where one example decides, the error is next to nothing and resamples are many errors off: a constant added to all
    # of them, as in the statistic of Tusher et al. (2001), keeps such sites from making up the whole distribution.
    varied = error[error > 0]
    error = error + (varied.median() if len(varied) else 1.0)
    off = torch.nan_to_num((draws - value[:, None]).abs() / error[:, None]).max(dim=0).values
    return (1 + (off >= (value.abs() / error)[:, None]).sum(dim=1)) / (1 + len(off))
