"""Probes in closed form: ridge regression, linear discriminants and mean differences, for many sites at once.

All of them follow from sums: the scatter of the training examples and the sums of each class. A fold is taken out by
subtraction, and every labeling with the same folds shares one factorization.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from levelhead.probes.span import in_span

Labels = Bool[np.ndarray, "draw example"] | Int[np.ndarray, "draw example"]


@dataclass(frozen=True, eq=False)
class Fold:
    """Probes of one training set: weights and intercepts at each site for each labeling, for one strength.

    Attributes
    ----------
    strength : int
        Which of the strengths.
    draws : Int[ndarray, "some"]
        Which of the labelings.
    fold : int
        Which fold was held out; the number of folds when none was.
    held : Bool[Tensor, "example"]
    coef : Float[Tensor, "site some output d"]
    intercept : Float[Tensor, "site some output"]
    margins : Float[Tensor, "site some output held"]
        Decision values of the examples held out.
    """

    strength: int
    draws: Int[np.ndarray, " some"]
    fold: int
    held: Bool[Tensor, " example"]
    coef: Float[Tensor, "site some output d"]
    intercept: Float[Tensor, "site some output"]
    margins: Float[Tensor, "site some output held"]


def fit_closed(
    x: Float[Tensor, "site example d"],
    labels: Labels,
    folds: Int[np.ndarray, "draw example"],
    k: int,
    *,
    estimator: str,
    strengths: Sequence[float],
    n_classes: int,
    full: bool,
) -> Iterator[Fold]:
    """Fit every fold of every labeling at every site.

    With ``T`` the training examples' scatter around their mean ``m`` and ``b = class mean - m``, for each class:

    ``ridge``
        least squares on targets of 1 (this class) and -1 (another), penalty ``|w|^2 / C``: as scikit-learn's
        RidgeClassifier with ``alpha = 1 / C``; the intercept is not penalized.
    ``lda``
        Gaussian classes of one covariance, that of the examples around their class means, ``1 / C`` added to the
        diagonal of its scatter and the whole scaled back to the trace it had: as scikit-learn's
        LinearDiscriminantAnalysis with ``shrinkage = a / (1 + a)``, ``a = d / (C * trace of that scatter)``.
    ``mean_difference``
        the nearest class mean. Its weights are ``b``, along the difference of a class from the rest.

    Of two classes there is one output, towards the second. Where features outnumber examples all is done in the span
    of the examples, in which the solutions lie; that is exact.

    Parameters
    ----------
    x : Float[Tensor, "site example d"]
    labels : Bool or Int[ndarray, "draw example"]
    folds : Int[ndarray, "draw example"]
    k : int
        Folds 0 to k - 1 are held out in turn; an example of a fold from k on never is.
    estimator : {"ridge", "lda", "mean_difference"}
    strengths : sequence of float
        Values of C. A mean difference has none.
    n_classes : int
    full : bool
        Fit on all examples too.

    Yields
    ------
    Fold
    """
    x = x.double()
    z, mean, basis = in_span(x)
    hot = torch.nn.functional.one_hot(torch.from_numpy(labels).long(), n_classes).mT.to(x)
    gram = z.mT @ z
    patterns, pattern = np.unique(folds, axis=0, return_inverse=True)
    for i, row in enumerate(patterns):
        draws = np.flatnonzero(pattern.reshape(-1) == i)
        some = hot[draws]
        for fold in range(k + int(full)):
            # The last is of no fold: nothing is held out.
            held = torch.from_numpy((row == fold) & (fold < k)).to(x.device)
            out = z[:, held]
            counts = some[:, :, ~held].sum(dim=2)
            n = counts[0].sum()
            middle = z[:, ~held].mean(dim=1)
            sums = (some[:, :, ~held].flatten(0, 1) @ z[:, ~held]).unflatten(1, some.shape[:2])
            gaps = sums / counts[..., None] - middle[:, None, None]
            scatter = gram - out.mT @ out - n * middle[:, :, None] * middle[:, None]
            for strength, C in enumerate(strengths):
                w, b = _probe(estimator, scatter, gaps, counts, C, x.shape[2])
                if n_classes == 2:
                    w, b = (w[:, :, 1:], b[:, :, 1:]) if estimator == "ridge" else (w.diff(dim=2), b.diff(dim=2))
                b = b - (w * middle[:, None, None]).sum(dim=3)
                margins = (w.flatten(1, 2) @ out.mT).unflatten(1, w.shape[1:3]) + b[..., None]
                coef = w if basis is None else (w.flatten(1, 2) @ basis.mT).unflatten(1, w.shape[1:3])
                intercept = b - (coef * mean[:, :, None]).sum(dim=3)
                yield Fold(strength, draws, fold, held, coef, intercept, margins)


def _probe(
    estimator: str,
    scatter: Float[Tensor, "site k k"],
    gaps: Float[Tensor, "site draw class k"],
    counts: Float[Tensor, "draw class"],
    C: float,
    width: int,
) -> tuple[Float[Tensor, "site draw class k"], Float[Tensor, "site draw class"]]:
    """Weights of each class, and intercepts where the training mean is the origin."""
    share = counts / counts.sum(dim=1, keepdim=True)
    if estimator == "mean_difference":
        return gaps, -0.5 * (gaps * gaps).sum(dim=3)
    loose = 1 / C + 1e-14 * scatter.diagonal(dim1=1, dim2=2).mean(dim=1)[:, None]
    total = scatter + torch.diag_embed(loose.expand(-1, scatter.shape[1]))
    solved = torch.cholesky_solve(gaps.flatten(1, 2).mT, torch.linalg.cholesky(total)).mT.unflatten(1, gaps.shape[1:3])
    if estimator == "ridge":
        return 2 * counts[..., None] * solved, (2 * share - 1).expand(gaps.shape[:3])
    # What lies between classes is of low rank, so the scatter within them needs no factorization of its own.
    root = counts.sqrt()[..., None]
    inner = torch.eye(gaps.shape[2], dtype=gaps.dtype, device=gaps.device) - (root * gaps) @ (root * solved).mT
    w = counts[0].sum() * torch.linalg.solve(inner, root * solved) / root
    # Shrunk towards its mean variance, a covariance keeps its trace; without that, log-odds would be too small.
    within = scatter.diagonal(dim1=1, dim2=2).sum(dim=1)[:, None] - (root * gaps).square().sum(dim=(2, 3))
    w = w * torch.where(within > 0, 1 + width / (C * within), 1.0)[..., None, None]
    return w, share.log() - 0.5 * (gaps * w).sum(dim=3)
