"""Cross-validated scores of many labelings at many sites, the strength of the penalty chosen on other folds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from levelhead.probes.closed import Labels
from levelhead.probes.scoring import area
from levelhead.probes.solve import CrossFit, solve

__all__ = ["CrossFit", "cross_fit"]


def cross_fit(
    x: Float[Tensor, "site example d"],
    labels: Labels,
    folds: Int[np.ndarray, "draw example"],
    k: int,
    *,
    C: float | int | Sequence[float | int] = 1.0,
    full: bool = False,
    estimator: str = "logistic",
    n_classes: int = 2,
) -> CrossFit:
    """Fit every fold of every labeling at every site, and keep what each probe says of the examples it did not see.

    Parameters
    ----------
    x : Float[Tensor, "site example d"]
    labels : Bool or Int[ndarray, "draw example"]
        Truth values, or class numbers from 0.
    folds : Int[ndarray, "draw example"]
        The fold that holds an example out, 0 to k - 1.
    k : int
    C : float or sequence of float
        Inverse strength of the penalty. Of several, the scores of a fold come from the one with the highest ROC AUC
        on the *other* folds, chosen for each site and labeling anew; of equals, the strongest penalty.
    full : bool
        Fit on all examples too; of several strengths with the one that is best on all folds.
    estimator : str
        One of `levelhead.probes.solve.ESTIMATORS`.
    n_classes : int

    Returns
    -------
    CrossFit
    """
    strengths = strengths_of(C)
    found = solve(x, labels, folds, k, estimator=estimator, strengths=strengths, n_classes=n_classes, full=full)
    return found[0] if len(found) == 1 else _chosen(found, strengths, labels, folds, k, n_classes)


def strengths_of(C: float | int | Sequence[float | int]) -> list[float]:
    """One or several values of C, the strongest penalty first."""
    return [float(C)] if isinstance(C, int | float) else sorted(float(value) for value in C)


def _chosen(
    found: list[CrossFit],
    strengths: list[float],
    labels: Labels,
    folds: Int[np.ndarray, "draw example"],
    k: int,
    n_classes: int,
) -> CrossFit:
    sites, draws = found[0].scores.shape[:2]
    device = found[0].scores.device
    best = torch.empty(sites, draws, k + 1, dtype=torch.int64, device=device)
    for draw in range(draws):
        fold = torch.from_numpy(folds[draw]).to(device)
        # A row for each fold, without it; the last row has all.
        others = (fold != torch.arange(k + 1, device=device)[:, None]).double()
        target = torch.from_numpy(labels[draw]).long().to(device)
        scores = torch.stack([fit.scores[:, draw] for fit in found])
        areas = area(scores, target, n_classes, fold, others)
        best[:, draw] = areas.nan_to_num(-1.0).argmax(dim=0)
    whole = found[0].coef is not None
    by_example = best.gather(2, torch.from_numpy(folds).to(device).expand(sites, -1, -1))
    return CrossFit(
        _pick([fit.scores for fit in found], by_example),
        _pick([fit.coef for fit in found if fit.coef is not None], best[..., k]) if whole else None,
        _pick([fit.intercept for fit in found if fit.intercept is not None], best[..., k]) if whole else None,
        torch.tensor(strengths, dtype=torch.float64, device=device)[best[..., k]],
    )


def _pick(values: Sequence[Tensor], which: Int[Tensor, "..."]) -> Tensor:
    found = values[0].clone()
    for i, value in enumerate(values):
        found[which == i] = value[which == i]
    return found
