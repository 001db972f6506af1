"""Minimum description length: how many bits it takes to send the labels to somebody who has the activations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import softplus

from levelhead.errors import InputError
from levelhead.probes.closed import Labels
from levelhead.probes.solve import solve

PORTIONS = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.0625, 0.125, 0.25, 0.5, 1.0)
"""Shares of the examples after which a new probe is trained (Voita and Titov, 2020, section 2.2)."""


def blocks(
    target: Int[np.ndarray, " example"], groups: Int[np.ndarray, " example"], n_classes: int, rng: np.random.Generator
) -> Int[np.ndarray, " example"]:
    """The block in which each example is sent: whole groups, in random order.

    Block 0 is sent without a probe; it ends with the first portion that has two examples of each class.

    Raises
    ------
    InputError
        When only all groups together have those.
    """
    place = rng.permutation(int(groups.max()) + 1)[groups]
    # An example's position is that of the end of its group, so that no group is cut.
    ends = np.cumsum(np.bincount(place, minlength=int(place.max()) + 1))
    block = np.searchsorted(np.array(PORTIONS) * len(target), ends[place] - 0.5)
    block = np.minimum(block, len(PORTIONS) - 1)
    known = next(
        (b for b in range(len(PORTIONS)) if np.bincount(target[block <= b], minlength=n_classes).min() > 1), None
    )
    if known is None or (block <= known).all():
        raise InputError(
            "mdl=True: half of the groups, in random order, have fewer than two examples of a class, so no probe can "
            "be trained to send the rest; give finer groups or more examples"
        )
    return np.unique(np.where(block <= known, 0, block), return_inverse=True)[1].astype(np.int64)


def online_bits(
    x: Float[Tensor, "site example d"],
    labels: Labels,
    block: Int[np.ndarray, " example"],
    *,
    estimator: str,
    strengths: Sequence[float],
    n_classes: int,
) -> Float[Tensor, " site"]:
    """Length of the online code: each block is sent with the probe trained on all blocks before.

    Parameters
    ----------
    x : Float[Tensor, "site example d"]
    labels : Bool or Int[ndarray, "1 example"]
    block : Int[ndarray, "example"]
        From `blocks`; block 0 takes ``log2(n_classes)`` bits an example.
    estimator : {"logistic", "lda"}
    strengths : sequence of float
        Of several, the shortest code counts, and ``log2`` of their number to say which it is.
    n_classes : int

    Returns
    -------
    Float[Tensor, "site"]
        Bits for all examples.

    References
    ----------
    Voita and Titov (2020), Information-Theoretic Probing with Minimum Description Length, section 2.2.
    """
    last = int(block.max())
    # For block b, a "fold" that holds out what comes after the blocks before b.
    held = np.stack([(block < b).astype(np.int64) for b in range(1, last + 1)])
    repeated = np.repeat(labels, last, axis=0)
    fits = solve(x, repeated, held, 1, estimator=estimator, strengths=strengths, n_classes=n_classes)
    here = torch.from_numpy(block).to(x.device) == torch.arange(1, last + 1, device=x.device)[:, None]
    target = torch.from_numpy(labels[0]).long().to(x.device)
    first = float((block == 0).sum() * np.log2(n_classes))
    lengths = []
    for fit in fits:
        if n_classes == 2:
            odds = torch.where(target == 1, fit.scores, -fit.scores)
        else:
            odds = fit.scores.gather(3, target[None, None, :, None].expand(*fit.scores.shape[:3], 1))[..., 0]
        lengths.append(first + (softplus(-odds) * here).sum(dim=(1, 2)) / np.log(2))
    return torch.stack(lengths).min(dim=0).values + float(np.log2(len(fits)))
