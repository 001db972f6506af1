"""Class means, and the directions in which they differ."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from levelhead.capture import Activations, Moments
from levelhead.errors import InputError
from levelhead.methods.labeling import check_several, labeling, values
from levelhead.sites import Site

ROUNDING = 1e-6
"""Singular values below this share of the largest are rounding: activations have 24 bits at most."""


def class_means(
    acts: Activations | Moments, labels: Collection[Any] | None, sites: list[Site]
) -> tuple[list[Any], Tensor, dict[Site, Tensor]]:
    """Classes, their counts, and their means at each site, float64 [class, d].

    Parameters
    ----------
    acts : Activations or Moments
    labels : sequence, optional
        One for each row or example; left out with moments.
    sites : list of Site

    Raises
    ------
    InputError
        For labels that are missing, too few or too many, or of one class; a class without examples; activations that
        are not finite.
    """
    if isinstance(acts, Moments):
        if labels is not None:
            raise InputError("moments were given, which know their classes; leave labels out")
        check_several(acts.classes)
        for label, count in zip(acts.classes, acts.counts.tolist(), strict=True):
            if count == 0:
                raise InputError(f"class {label!r} has no examples, and so no mean; leave it out, or capture some")
        known = {site: acts.means(site).double().cpu() for site in sites}
        for site, value in known.items():
            if not bool(torch.isfinite(value).all()):
                raise InputError(f"the moments at '{site}' are NaN or infinite; look at the inputs")
        return acts.classes, acts.counts, known
    given = labeling(acts, labels)
    means = {site: sums_of(values(acts, site, len(given.codes)), given.codes, len(given.classes)) for site in sites}
    return given.classes, given.counts, {site: sums / given.counts[:, None] for site, sums in means.items()}


def sums_of(x: Float[Tensor, "row d"], codes: Tensor, n: int) -> Float[Tensor, "class d"]:
    """Sums of the rows of each of `n` classes, or of whatever else the codes number."""
    return torch.zeros(n, x.shape[1], dtype=x.dtype).index_add_(0, codes, x)


def span(means: Float[Tensor, "class d"], rank: int | None = None) -> Float[Tensor, "k d"]:
    """Directions in which class means differ, those of greatest variance between classes first.

    Parameters
    ----------
    means : Float[Tensor, "class d"]
        The positive class first: directions point towards it.
    rank : int, optional
        Keep that many.

    Returns
    -------
    Float[Tensor, "k d"]
        Of two classes their difference as it is; of K the right singular vectors of the means around their common
        mean, each class counted once, of which at most K - 1 are more than rounding. All zeros if the means are equal.

    Raises
    ------
    InputError
        For more directions than there are.
    """
    if len(means) == 2:
        return means[:1] - means[1:]
    centered = means - means.mean(dim=0)
    _, sizes, axes = torch.linalg.svd(centered, full_matrices=False)
    there = int((sizes > ROUNDING * sizes[0]).sum())
    if there == 0:
        return torch.zeros_like(axes[:1])
    if rank is not None and rank > there:
        raise InputError(
            f"rank={rank} was asked for, and the means of {len(means)} classes differ in {there} directions"
        )
    axes = axes[:rank] if rank is not None else axes[:there]
    return torch.where((axes @ centered[0] < 0)[:, None], -axes, axes)
