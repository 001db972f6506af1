"""Out-of-fold scores of many labelings at many sites, one answer for each strength of the penalty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from levelhead.probes.closed import Labels, fit_closed
from levelhead.probes.linear import block_sizes, fit_logistic
from levelhead.probes.softmax import fit_softmax

ESTIMATORS = ("logistic", "ridge", "mean_difference", "lda")
"""Kinds of probes."""

PROBABILISTIC = ("logistic", "lda")
"""Those whose scores are log-odds."""


@dataclass(frozen=True, eq=False)
class CrossFit:
    """Out-of-fold scores, and the probes fitted on all examples where they were wanted.

    Of two classes there is one output, and no axis for it; of more, an output a class.

    Attributes
    ----------
    scores : Float[Tensor, "site draw example *output"]
        Each example's decision value from the probe that did not see it.
    coef : Float[Tensor, "site draw *output d"], optional
    intercept : Float[Tensor, "site draw *output"], optional
    C : Float[Tensor, "site draw"], optional
        The strength of the probes fitted on all examples, where several were tried.
    """

    scores: Float[Tensor, "site draw example *output"]
    coef: Float[Tensor, "site draw *output d"] | None = None
    intercept: Float[Tensor, "site draw *output"] | None = None
    C: Float[Tensor, "site draw"] | None = None


def solve(
    x: Float[Tensor, "site example d"],
    labels: Labels,
    folds: Int[np.ndarray, "draw example"],
    k: int,
    *,
    estimator: str,
    strengths: Sequence[float],
    n_classes: int,
    full: bool = False,
) -> list[CrossFit]:
    """Fit every fold of every labeling at every site, for each strength.

    Parameters
    ----------
    x : Float[Tensor, "site example d"]
    labels : Bool or Int[ndarray, "draw example"]
    folds : Int[ndarray, "draw example"]
    k : int
        Folds 0 to k - 1 are held out in turn. An example of a fold from k on is always learned from, and its score
        means nothing.
    estimator : str
        One of `ESTIMATORS`.
    strengths : sequence of float
    n_classes : int
    full : bool
        Fit on all examples too.

    Returns
    -------
    list of CrossFit
        One a strength.
    """
    if estimator == "logistic":
        numbers = labels if n_classes == 2 else labels.astype(np.int64)
        found = [_logistic(x, numbers, folds, k, C, n_classes, full) for C in strengths]
    else:
        found = _closed(x, labels, folds, k, estimator, strengths, n_classes, full)
    if n_classes == 2:
        return [
            CrossFit(
                fit.scores[..., 0],
                None if fit.coef is None else fit.coef[:, :, 0],
                None if fit.intercept is None else fit.intercept[:, :, 0],
            )
            for fit in found
        ]
    if estimator not in PROBABILISTIC:
        return found
    return [CrossFit(against_rest(fit.scores), fit.coef, fit.intercept) for fit in found]


def against_rest(logits: Float[Tensor, "*batch classes"]) -> Float[Tensor, "*batch classes"]:
    """Log-odds of each class against all others; they order examples as the class's probability does."""
    columns = range(logits.shape[-1])
    rest = [logits[..., [other for other in columns if other != c]].logsumexp(dim=-1) for c in columns]
    return logits - torch.stack(rest, dim=-1)


def _closed(
    x: Tensor,
    labels: Labels,
    folds: Int[np.ndarray, "draw example"],
    k: int,
    estimator: str,
    strengths: Sequence[float],
    n_classes: int,
    full: bool,
) -> list[CrossFit]:
    outputs = 1 if n_classes == 2 else n_classes
    found = [_empty(x, len(labels), outputs, full) for _ in strengths]
    parts = fit_closed(x, labels, folds, k, estimator=estimator, strengths=strengths, n_classes=n_classes, full=full)
    for part in parts:
        fit = found[part.strength]
        draws = torch.from_numpy(part.draws).to(x.device)
        if part.fold < k:
            held = part.held.nonzero()[:, 0]
            fit.scores[:, draws[:, None], held] = part.margins.transpose(2, 3)
        elif fit.coef is not None and fit.intercept is not None:
            fit.coef[:, draws], fit.intercept[:, draws] = part.coef, part.intercept
    return found


def _empty(x: Tensor, draws: int, outputs: int, full: bool) -> CrossFit:
    wide = torch.zeros((), dtype=torch.float64, device=x.device)
    scores = wide.new_zeros(len(x), draws, x.shape[1], outputs)
    if not full:
        return CrossFit(scores)
    coef = wide.new_zeros(len(x), draws, outputs, x.shape[2])
    return CrossFit(scores, coef, wide.new_zeros(len(x), draws, outputs))


def _logistic(
    x: Tensor, labels: Labels, folds: Int[np.ndarray, "draw example"], k: int, C: float, n_classes: int, full: bool
) -> CrossFit:
    """All folds and labelings in one batched solve, split only as memory demands."""
    draws, n = labels.shape
    outputs = 1 if n_classes == 2 else n_classes
    held = torch.from_numpy(folds).to(x.device)
    y = torch.from_numpy(labels).to(x.device)
    # No example is held out in "fold" k: that fit sees all of them.
    fits = k + int(full)
    train = (held[:, None] != torch.arange(fits, device=x.device)[:, None]).reshape(-1, n)
    y_each = y.repeat_interleave(fits, dim=0)
    site_block, problem_block = block_sizes(n, x.shape[2], draws * fits * outputs)
    draw_block = max(1, problem_block // (fits * outputs))
    found = _empty(x, draws, outputs, full)
    for s in range(0, len(x), site_block):
        for r in range(0, draws, draw_block):
            here = slice(r, r + draw_block)
            some = slice(r * fits, (r + draw_block) * fits)
            where = slice(s, s + site_block)
            coef, intercept, margins = _fit(x[where], y_each[some], train[some], C, n_classes)
            margins = margins.unflatten(1, (-1, fits))
            index = held[here].clamp(max=fits - 1)[None, :, None, None].expand(len(margins), -1, 1, outputs, n)
            found.scores[where, here] = margins.gather(2, index)[:, :, 0].transpose(2, 3)
            if found.coef is not None and found.intercept is not None:
                found.coef[where, here] = coef.unflatten(1, (-1, fits))[:, :, k]
                found.intercept[where, here] = intercept.unflatten(1, (-1, fits))[:, :, k]
    return found


def _fit(
    x: Tensor, y: Tensor, train: Bool[Tensor, "problem example"], C: float, n_classes: int
) -> tuple[Tensor, Tensor, Tensor]:
    if n_classes > 2:
        fits = fit_softmax(x, y, train, n_classes, C=C)
        return fits.coef, fits.intercept, fits.margins
    binary = fit_logistic(x, y, train, C=C)
    return binary.coef[:, :, None], binary.intercept[:, :, None], binary.margins[:, :, None]
