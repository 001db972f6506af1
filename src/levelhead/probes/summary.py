"""From out-of-fold scores to the columns of a sweep's frame."""

from __future__ import annotations

from collections.abc import Mapping
from math import log2

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from levelhead.errors import InputError
from levelhead.metrics.statistics import upper_quantile
from levelhead.probes.problem import Problem
from levelhead.probes.scoring import accuracy, area, area_interval, over_input
from levelhead.sites import Site

Columns = dict[str, Tensor]
"""Numbers by name, one a site."""


def input_rows(sites: list[Site]) -> Int[Tensor, " site"]:
    """Which row is each site's input: where its tower begins; -1 where that is not among the sites.

    Raises
    ------
    InputError
        When no tower's input is.
    """
    row = {site: i for i, site in enumerate(sites)}
    found = [row.get(Site("resid_pre", 0, tower=site.tower), -1) for site in sites]
    if max(found) < 0:
        raise InputError(
            "control 'input' compares with where the tower begins, and the activations do not have it; capture "
            "'resid_pre.0' (for a vision tower 'vision/resid_pre.0') beside the other sites"
        )
    return torch.tensor(found)


def columns_of(
    scores: Float[Tensor, "site example *output"],
    problem: Problem,
    folds: Int[Tensor, " example"],
    controls: Mapping[str, Float[Tensor, "site draw"]],
    rng: np.random.Generator,
    confidence: float,
    inputs: Int[Tensor, " site"] | None,
    bits: Float[Tensor, " site"] | None,
) -> tuple[Columns, Columns]:
    """The columns that every sweep has, and those that were asked for."""
    target, groups, n_classes = torch.from_numpy(problem.target), problem.groups, len(problem.classes)
    rng_auc, rng_accuracy, rng_input = rng.spawn(3)
    auc = area(scores, target, n_classes, folds)
    low, high = area_interval(scores, target, n_classes, groups, rng_auc, strata=folds, confidence=confidence)
    right, right_low, right_high = accuracy(scores, target, n_classes, groups, rng_accuracy, confidence)
    columns = {"auc": auc, "auc_low": low, "auc_high": high}
    name = "accuracy" if n_classes == 2 else "balanced_accuracy"
    columns |= {name: right, f"{name}_low": right_low, f"{name}_high": right_high}
    absent = torch.full_like(auc, torch.nan)
    columns |= dict.fromkeys(("shuffle_mean", "shuffle_low", "shuffle_high", "control_task", "selectivity"), absent)
    shuffled = controls.get("shuffle")
    if shuffled is not None:
        columns["shuffle_mean"] = shuffled.mean(dim=1)
        columns["shuffle_low"] = -upper_quantile(-shuffled, confidence)
        columns["shuffle_high"] = upper_quantile(shuffled, confidence)
    task = controls.get("control_task")
    if task is not None:
        columns["control_task"] = task.mean(dim=1)
        columns["selectivity"] = auc - columns["control_task"]
    more: Columns = {}
    if inputs is not None:
        more |= over_input(scores, inputs, target, n_classes, groups, rng_input, strata=folds, confidence=confidence)
    if bits is not None:
        more["mdl"] = bits / len(target)
        more["compression"] = log2(n_classes) / more["mdl"]
    return columns, more


def family_wise(
    auc: Float[Tensor, " site"], shuffled: Float[Tensor, "site draw"] | None, confidence: float
) -> tuple[Float[Tensor, " site"], float]:
    """Each site's p-value against the best of all sites in each shuffle, and what that best one reaches.

    Westfall and Young's (1993) single-step maximum; sites share their shuffles, so that it allows for their being alike.
    NaN without shuffles.
    """
    if shuffled is None:
        return torch.full_like(auc, torch.nan), float("nan")
    best = shuffled.max(dim=0).values
    p_value = (1 + (best >= auc[:, None]).sum(dim=1)) / (1 + len(best))
    return p_value, float(upper_quantile(best, confidence))
