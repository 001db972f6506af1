"""Whether an attribute's steering vector, its difference of class means, still points where it did."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from levelhead.metrics.statistics.shares import percentiles

SHUFFLES = 199
"""Contrasts of shuffled labels that the cosine is set beside."""


def contrasts(
    positive: Bool[Tensor, "draw example"], weights: Float[Tensor, "draw example"]
) -> Float[Tensor, "draw example"]:
    """Rows that make of examples the mean of the positive ones minus that of the others; NaN where a class is absent."""
    sides = [weights.double() * side for side in (positive, ~positive)]
    ours, theirs = (side / side.sum(dim=1, keepdim=True) for side in sides)
    return ours - theirs


def direction_columns(
    before: Float[Tensor, "site example d"],
    after: Float[Tensor, "site example d"],
    real: Float[Tensor, "1 example"],
    resampled: Float[Tensor, "draw example"],
    shuffled: Float[Tensor, "shuffle example"],
    confidence: float,
) -> dict[str, list[float]]:
    """Cosine of the two vectors and ratio of their lengths, with intervals; and the cosines of shuffled labels' vectors."""
    names = ("cosine", "cosine_low", "cosine_high", "cosine_shuffled_low", "cosine_shuffled_high")
    found: dict[str, list[float]] = {
        name: [] for name in (*names, "length_ratio", "length_ratio_low", "length_ratio_high")
    }
    drawn = torch.cat([real, resampled])
    positive = real[0] > 0
    for x, y in zip(before.double(), after.double(), strict=True):
        cosine, ratio = _compared(drawn @ x, drawn @ y)
        others, _ = _compared(*(shuffled @ _within(side, positive) for side in (x, y)))
        for name, values in (("cosine", cosine), ("length_ratio", ratio)):
            value = float(values[0])
            low, high = _band(values[1:], confidence)
            # Resamples are noisier than the sample, and noise turns vectors apart: the sample may lie outside of them.
            found[name].append(value)
            found[f"{name}_low"].append(min(low, value))
            found[f"{name}_high"].append(max(high, value))
        low, high = _band(others, confidence)
        found["cosine_shuffled_low"].append(low)
        found["cosine_shuffled_high"].append(high)
    return found


def _within(x: Float[Tensor, "example d"], positive: Bool[Tensor, " example"]) -> Float[Tensor, "example d"]:
    """Without the class means: contrasts of what is left are blind to the attribute."""
    return x - torch.where(positive[:, None], x[positive].mean(dim=0), x[~positive].mean(dim=0))


def _compared(
    ours: Float[Tensor, "draw d"], theirs: Float[Tensor, "draw d"]
) -> tuple[Float[Tensor, " draw"], Float[Tensor, " draw"]]:
    lengths = [torch.where(side.norm(dim=1) > 0, side.norm(dim=1), torch.nan) for side in (ours, theirs)]
    cosine = (ours * theirs).sum(dim=1) / (lengths[0] * lengths[1])
    return cosine.clamp(-1, 1), theirs.norm(dim=1) / lengths[0]


def _band(drawn: Float[Tensor, " draw"], confidence: float) -> tuple[float, float]:
    if bool(drawn.isnan().all()):
        return float("nan"), float("nan")
    low, high = percentiles(drawn[None], confidence)
    return float(low[0]), float(high[0])
