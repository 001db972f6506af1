"""The span of the examples, in which every solution with an l2 penalty lies."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def in_span(
    x: Float[Tensor, "site example d"],
) -> tuple[Float[Tensor, "site example k"], Float[Tensor, "site 1 d"], Float[Tensor, "site d k"] | None]:
    """Center activations and, where features outnumber examples, express them in an orthonormal basis of their span.

    Parameters
    ----------
    x : Float[Tensor, "site example d"]

    Returns
    -------
    Float[Tensor, "site example k"], Float[Tensor, "site 1 d"], Float[Tensor, "site d k"] or None
        The coordinates, the mean, and the basis; None where the coordinates are the features themselves.
    """
    mean = x.mean(dim=1, keepdim=True)
    centered = x - mean
    if x.shape[2] <= x.shape[1]:
        return centered, mean, None
    basis, triangle = torch.linalg.qr(centered.mT)
    return triangle.mT, mean, basis
