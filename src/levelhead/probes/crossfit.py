"""Cross-validated scores of many labelings at many sites."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from levelhead.probes.linear import block_sizes, fit_logistic


@dataclass(frozen=True, eq=False)
class CrossFit:
    """Out-of-fold scores, and the probes fitted on all examples where they were wanted.

    Attributes
    ----------
    scores : Float[Tensor, "site draw example"]
        Each example's decision value from the probe that did not see it.
    coef : Float[Tensor, "site draw d"], optional
    intercept : Float[Tensor, "site draw"], optional
    """

    scores: Float[Tensor, "site draw example"]
    coef: Float[Tensor, "site draw d"] | None = None
    intercept: Float[Tensor, "site draw"] | None = None


def cross_fit(
    x: Float[Tensor, "site example d"],
    labels: Bool[np.ndarray, "draw example"],
    folds: Int[np.ndarray, "draw example"],
    k: int,
    *,
    C: float = 1.0,
    full: bool = False,
) -> CrossFit:
    """Fit every fold of every labeling at every site in one batched solve, split only as memory demands.

    Parameters
    ----------
    x : Float[Tensor, "site example d"]
    labels : Bool[ndarray, "draw example"]
    folds : Int[ndarray, "draw example"]
        The fold that holds an example out, 0 to k - 1.
    k : int
    C : float
    full : bool
        Fit on all examples too.

    Returns
    -------
    CrossFit
    """
    draws, n = labels.shape
    held = torch.from_numpy(folds).to(x.device)
    y = torch.from_numpy(labels).to(x.device)
    # No example is held out in "fold" k: that fit sees all of them.
    fits = k + int(full)
    train = (held[:, None] != torch.arange(fits, device=x.device)[:, None]).reshape(-1, n)
    y_each = y.repeat_interleave(fits, dim=0)
    site_block, problem_block = block_sizes(n, x.shape[2], draws * fits)
    draw_block = max(1, problem_block // fits)
    scores = torch.empty(len(x), draws, n, dtype=torch.float64, device=x.device)
    coef = torch.empty(len(x), draws, x.shape[2], dtype=torch.float64, device=x.device) if full else None
    intercept = torch.empty(len(x), draws, dtype=torch.float64, device=x.device) if full else None
    for s in range(0, len(x), site_block):
        for r in range(0, draws, draw_block):
            here = slice(r, r + draw_block)
            some = slice(r * fits, (r + draw_block) * fits)
            found = fit_logistic(x[s : s + site_block], y_each[some], train[some], C=C)
            margins = found.margins.unflatten(1, (-1, fits))
            index = held[here][None, :, None].expand(len(margins), -1, 1, n)
            scores[s : s + site_block, here] = margins.gather(2, index)[:, :, 0]
            if coef is not None and intercept is not None:
                coef[s : s + site_block, here] = found.coef.unflatten(1, (-1, fits))[:, :, k]
                intercept[s : s + site_block, here] = found.intercept.unflatten(1, (-1, fits))[:, :, k]
    return CrossFit(scores, coef, intercept)
