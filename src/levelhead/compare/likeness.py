"""How alike two sets of activations of the same examples are: debiased linear CKA, and how far they moved."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.stats import t as student
from torch import Tensor

from levelhead.metrics.statistics import upper_quantile

ROWS = 1024
"""CKA looks at so many examples at most: it holds matrices of examples by examples, and more say little more."""

_BLOCKS = 10  # groups are left out a tenth at a time
_SHUFFLES = 19  # the fewest that have a 95 % quantile
_HELD = 2**20  # numbers in one stack of such matrices


def cka(before: Float[Tensor, "site example d"], after: Float[Tensor, "site example d"]) -> Float[Tensor, " site"]:
    """Linear CKA with the unbiased estimator of HSIC.

    ``<A, B> / (|A| |B|)`` with A and B the U-centered matrices of inner products between examples. 1 where one set is
    a rotation of the other up to a factor, around 0 where they have nothing in common, whatever the width; below 0
    only by chance. The plain estimator tends to 1 as the width grows past the number of examples.

    Parameters
    ----------
    before, after : Float[Tensor, "site example d"]
        Row by row the same examples, four or more.

    Returns
    -------
    Float[Tensor, "site"]
        NaN where activations are constant.

    References
    ----------
    Kornblith et al. (2019) for CKA; Song et al. (2012) for the estimator; Székely and Rizzo (2014) for U-centering.

    Examples
    --------
    >>> x = torch.randn(1, 20, 5, generator=torch.Generator().manual_seed(0))
    >>> round(float(cka(x, -3 * x.flip(2))), 6)
    1.0
    """
    a, b = (_centered(_inner(x)).flatten(1) for x in (before, after))
    return (a * b).sum(dim=1) / _positive(a.square().sum(dim=1) * b.square().sum(dim=1)).sqrt()


def cka_columns(
    before: Float[Tensor, "site example d"],
    after: Float[Tensor, "site example d"],
    groups: Int[np.ndarray, " example"],
    rng: np.random.Generator,
    confidence: float,
) -> dict[str, list[float]]:
    """CKA with its interval, from a jackknife over tenths of the groups, and what it reaches with rows shuffled."""
    # A bootstrap would repeat rows, and the inner product of a row with its copy is what the estimator leaves out.
    order = np.argsort(rng.permutation(int(groups.max()) + 1)[groups], kind="stable")[:ROWS]
    n, rows = len(order), torch.from_numpy(order)
    _, number = np.unique(groups[order], return_inverse=True)
    block = torch.from_numpy(rng.permutation(int(number.max()) + 1)[number] % _BLOCKS)
    member = (block[:, None] == block.unique()).double()
    possible = bool((n - member.sum(dim=0) > 3).all())
    # The place of each entry of a matrix whose rows and columns have been shuffled alike.
    shuffles = [
        (p[:, None] * n + p).flatten() for p in (torch.from_numpy(rng.permutation(n)) for _ in range(_SHUFFLES))
    ]
    found: dict[str, list[float]] = {name: [] for name in ("cka", "cka_low", "cka_high", "cka_shuffled")}
    size = max(1, _HELD // n**2)
    for first in range(0, len(before), size):
        k, other = (_inner(x[first : first + size][:, rows]) for x in (before, after))
        pairs = ((k, other), (k, k), (other, other))
        across, ours, theirs = (_left_out(*pair, member) for pair in pairs)
        out = across / (ours * theirs).clamp(min=0).sqrt()
        a, b = _centered(k).flatten(1), _centered(other).flatten(1)
        sizes = _positive(a.square().sum(dim=1) * b.square().sum(dim=1)).sqrt()
        value = (a * b).sum(dim=1) / sizes
        shuffled = torch.stack([(a * b[:, place]).sum(dim=1) / sizes for place in shuffles], dim=1)
        blocks = out.shape[1]
        spread = ((blocks - 1) / blocks * (out - out.mean(dim=1, keepdim=True)).square().sum(dim=1)).sqrt()
        if not possible:  # one group is nearly all there is
            spread = torch.full_like(spread, torch.nan)
        half = float(student.ppf(0.5 + confidence / 2, max(1, blocks - 1))) * spread
        found["cka"] += value.tolist()
        found["cka_low"] += (value - half).clamp(min=-1).tolist()
        found["cka_high"] += (value + half).clamp(max=1).tolist()
        found["cka_shuffled"] += upper_quantile(shuffled, confidence).tolist()
    return found


def moved_columns(
    before: Float[Tensor, "site example d"], after: Float[Tensor, "site example d"]
) -> dict[str, list[float]]:
    """How far activations moved, root mean square, and how far their mean did; in shares of their norm before."""
    change = after - before
    usual = before.square().sum(dim=2).mean(dim=1).sqrt()
    moved = change.square().sum(dim=2).mean(dim=1).sqrt()
    return {"moved": (moved / usual).tolist(), "moved_mean": (change.mean(dim=1).norm(dim=1) / usual).tolist()}


def _inner(x: Float[Tensor, "site example d"]) -> Float[Tensor, "site example example"]:
    """Inner products of different examples; 0 on the diagonal."""
    x = x.double()
    x = x - x.mean(dim=1, keepdim=True)  # U-centering takes it out anyway; without it there is less rounding
    k = x @ x.mT
    k.diagonal(dim1=1, dim2=2).zero_()
    return k


def _centered(k: Float[Tensor, "site example example"]) -> Float[Tensor, "site example example"]:
    """U-centering: rows and columns sum to 0 with the diagonal left out."""
    n = k.shape[1]
    sums = k.sum(dim=2)
    whole = sums.sum(dim=1)[:, None, None] / ((n - 1) * (n - 2))
    k = k - (sums[:, :, None] + sums[:, None, :]) / (n - 2) + whole
    k.diagonal(dim1=1, dim2=2).zero_()
    return k


def _left_out(
    k: Float[Tensor, "site example example"],
    other: Float[Tensor, "site example example"],
    member: Float[Tensor, "example block"],
) -> Float[Tensor, "site block"]:
    """The inner product of U-centered matrices without each block's examples, from sums over blocks.

    What remains of a sum over pairs is the whole, less the block's rows and columns, plus where those two overlap.
    """
    pairs = member.T @ (k * other) @ member
    rest = pairs.sum(dim=(1, 2))[:, None] - 2 * pairs.sum(dim=2) + pairs.diagonal(dim1=1, dim2=2)
    ours, theirs = ((x.sum(dim=2, keepdim=True) - x @ member) * (1 - member) for x in (k, other))
    n = len(member) - member.sum(dim=0)
    wholes = ours.sum(dim=1) * theirs.sum(dim=1) / ((n - 1) * (n - 2))
    return rest + wholes - 2 / (n - 2) * (ours * theirs).sum(dim=1)


def _positive(x: Float[Tensor, " site"]) -> Float[Tensor, " site"]:
    return torch.where(x > 0, x, torch.nan)
