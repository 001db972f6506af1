"""What DSO optimizes: rewards, distance to the unsteered model, sparsity."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from levelhead.data.records import ChoiceRecord
from levelhead.errors import InputError
from levelhead.methods.dso.sides import Cells, unevenness

Reward: TypeAlias = "Callable[[ChoiceRecord, int | None, Mapping[str, float]], float]"
"""What an answer is worth: of the record, the option that was taken (None for anything else that was said), and the current
shares of the sides of its occupation, by name."""


def rewards(
    cells: Cells,
    items: Sequence[int],
    shares: Float[Tensor, "cell side"],
    *,
    invalid: float | int = -1.0,
    soften: float | int = 0.0,
    reward: Reward | None = None,
) -> Float[Tensor, "asked answer"]:
    """Return what each answer is worth: -1 on the side that the occupation leans to at present, +1 on any other.

    The reward of DSO (arXiv 2512.15926), as notes on the paper have it. There, "otherwise" takes in answers that are no option at all, and a model that
    always refuses earns the most; here they have a worth of their own.

    Parameters
    ----------
    cells : Cells
    items : sequence of int
        Which records are asked.
    shares : Float[Tensor, "cell side"]
        Of the sides, at present.
    invalid : float
        Worth of an answer that is no option, or takes no side; +1 opens the loophole of the published form.
    soften : float
        Below this unevenness, in [0, 1], rewards of the sides shrink in proportion, so that they do not flip back and forth
        about level; ours. 0 is as published.
    reward : callable, optional
        Used in place of all this; see `Reward`.

    Returns
    -------
    Float[Tensor, "asked answer"]
        By option; the last column is that of no option.

    Raises
    ------
    InputError
        If `reward` gives something that is no finite number.
    """
    width = cells.side.shape[1]
    found = torch.full((len(items), width + 1), float(invalid), dtype=torch.float64)
    if reward is not None:
        for row, item in enumerate(items):
            record, cell = cells.records[item], int(cells.cell[item])
            now = {name: float(share) for name, share in zip(cells.sides[cell], shares[cell], strict=False)}
            for k in [*range(len(record.options)), None]:
                worth = float(reward(record, k, now))
                if not abs(worth) < float("inf"):
                    raise InputError(
                        f"the reward of option {k} of choice '{record.id}' is {worth}; give a finite number"
                    )
                found[row, width if k is None else k] = worth
        return found
    cell = cells.cell[list(items)]
    side = cells.side[list(items)]
    size = torch.ones(len(cells.names), dtype=torch.float64)
    if soften:
        size = (unevenness(shares.double(), cells.count) / soften).clamp(0, 1)
    worth = torch.where(side == shares.argmax(1)[cell][:, None], -1.0, 1.0).double() * size[cell][:, None]
    found[:, :width] = torch.where(side >= 0, worth, float(invalid))
    return found


def drift(
    steered: Float[Tensor, "asked token"],
    unsteered: Float[Tensor, "asked token"],
    pooled: Bool[Tensor, "asked token"] | None = None,
) -> Float[Tensor, " asked"]:
    """Return KL(steered || unsteered) of the next token, in nats.

    The order of the two is that of the bound in DSO's objective as notes on the paper have it; whether it is estimated that way
    round, and over which tokens, is not known, and a reconstruction.

    Parameters
    ----------
    steered, unsteered : Float[Tensor, "asked token"]
        Log-probabilities.
    pooled : Bool[Tensor, "asked token"], optional
        Tokens that count as one, so that moving probability between them is free. Without it, levelling a choice of .85
        against .15 costs 0.34 nats by itself.

    Examples
    --------
    >>> before, after = torch.tensor([[0.85, 0.15]]).log(), torch.tensor([[0.5, 0.5]]).log()
    >>> round(float(drift(after, before)), 3), round(abs(float(drift(after, before, torch.tensor([[True, True]])))), 3)
    (0.337, 0.0)
    """
    terms = steered.exp() * (steered - unsteered)
    if pooled is None:
        return terms.sum(-1)
    now = steered.masked_fill(~pooled, -torch.inf).logsumexp(-1)
    before = unsteered.masked_fill(~pooled, -torch.inf).logsumexp(-1)
    return terms.masked_fill(pooled, 0.0).sum(-1) + now.exp() * (now - before)


def shrink(values: Tensor, by: Tensor | float) -> Tensor:
    """Soft threshold, the proximal step of an l1 penalty: move every number towards 0 by so much, and stop there.

    Parameters
    ----------
    values : Float[Tensor, "..."]
    by : Float[Tensor, "..."] or float

    Examples
    --------
    >>> shrink(torch.tensor([-0.5, 0.05, 0.75]), 0.25).tolist()
    [-0.25, 0.0, 0.5]
    """
    return values.sign() * (values.abs() - by).clamp_min(0.0)
