"""The rescaled loss of counter-stereotype training: what follows the stereotype weighs less, what breaks it more."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from levelhead.errors import InputError
from levelhead.training.frequency import Numbers

IGNORED = -100
"""Label of the tokens that are not learned, as transformers has it."""


def weights(
    skews: Numbers, clip: float | int | None = None, normalize: bool | float | int = False
) -> Float[Tensor, " row"]:
    """Weight of each sample: ``exp(-Skew)``.

    The exponential is that of Cheng et al. (arXiv 2408.06569), as a third party's notes report it; `clip` and `normalize`
    are ours.

    Parameters
    ----------
    skews : sequence, ndarray or Tensor, "row"
        In nats; 0 for samples without a concept.
    clip : float, optional
        Largest weight before normalizing: at a Skew of -2.9 it is 18 otherwise.
    normalize : bool or float
        True divides by the mean weight of the samples given; a number divides by that number.

    Returns
    -------
    Float[Tensor, "row"]
        float64 for what is no tensor.

    Raises
    ------
    InputError
        For Skews that are not finite, or a `clip` or `normalize` that is not above 0.

    Examples
    --------
    >>> weights([1.48, 0.0, -0.5]).round(decimals=2).tolist()
    [0.23, 1.0, 1.65]
    """
    given = skews.detach() if isinstance(skews, Tensor) else torch.as_tensor(np.asarray(skews, dtype=np.float64))
    if given.dim() != 1:
        raise InputError(f"skews are one number a sample; found shape {tuple(given.shape)}")
    given = given if given.dtype == torch.float64 else given.float()
    found = torch.exp(-given)
    if not bool((torch.isfinite(given) & torch.isfinite(found)).all()):
        bad = int((~(torch.isfinite(given) & torch.isfinite(found))).nonzero()[0])
        raise InputError(f"Skew {float(given[bad])} of sample {bad} gives no finite weight; estimate it with smoothing")
    if clip is not None:
        if not clip > 0:
            raise InputError(f"clip is the largest weight, above 0; found {clip}")
        found = found.clamp(max=float(clip))
    if normalize is False:
        return found
    by = found.mean() if normalize is True else float(normalize)
    if not 0 < float(by) < float("inf"):
        raise InputError(f"normalize is True, or the mean weight to divide by, above 0; found {normalize}")
    return found / by


def rescaled_loss(
    logits: Float[Tensor, "row token vocab"],
    labels: Int[Tensor, "row token"],
    skews: Numbers,
    *,
    clip: float | int | None = None,
    normalize: bool | float | int = False,
    over: Literal["sum", "mean"] = "sum",
    num_items: float | int | Tensor | None = None,
) -> Float[Tensor, ""]:
    """``1/N sum_i exp(-Skew_i) L_i``, with ``L_i = -sum_t log P(y_t | before)`` over label tokens alone.

    Cheng et al. (arXiv 2408.06569, "SFLoss"), as a third party's notes report it; `clip`, `normalize`, `over` and
    `num_items` are ours. With all skews 0 and ``over="mean"`` it is transformers' own loss for answers of one length, and with
    ``num_items`` the number of label tokens it is that for any.

    Parameters
    ----------
    logits : Float[Tensor, "row token vocab"]
        As the model gives them, not shifted. Only those in front of a label are copied, as float32 if they were shorter.
    labels : Int[Tensor, "row token"]
        -100 for what is not learned.
    skews : sequence, ndarray or Tensor, "row"
        In nats; 0 for rows without a concept.
    clip : float, optional
        Largest weight.
    normalize : bool or float
        A number divides the weights by it: take the mean weight of *all* samples, ``weights(skews, clip).mean()``, so that
        they have mean 1 over the data and no batch changes what another one weighs. True takes the mean over these rows,
        which undoes the weights in a batch of one, and is refused where rows are a part of a batch.
    over : {"sum", "mean"}
        Whether a row's tokens are summed, or averaged, as if all answers were equally long.
    num_items : float or Tensor, optional
        N: samples of the whole batch, where these rows are a part of it. Losses of the parts then add up to that of the
        whole, as they do under transformers' gradient accumulation. The number of rows when left out.

    Returns
    -------
    Float[Tensor, ""]

    Raises
    ------
    InputError
        For shapes that do not fit, a row without any label, or what `weights` refuses.

    Examples
    --------
    >>> labels = torch.tensor([[-100, 3], [-100, 1]])
    >>> round(float(rescaled_loss(torch.zeros(2, 2, 4), labels, [0.0, 0.0])), 3)  # ln 4
    1.386
    """
    rows = len(logits)
    if labels.shape != logits.shape[:2] or len(skews) != rows:
        raise InputError(
            f"logits [row, token, vocab], labels [row, token] and one skew a row are needed; found {tuple(logits.shape)}, "
            f"{tuple(labels.shape)} and {len(skews)} skews"
        )
    if over not in ("sum", "mean"):
        raise InputError(f"over is 'sum' or 'mean'; found {over!r}")
    if num_items is not None and not float(num_items) > 0:
        raise InputError(f"num_items is the number of samples of the whole batch, above 0; found {num_items}")
    if normalize is True and num_items is not None and float(num_items) != rows:
        raise InputError(
            f"normalize=True would take the mean over {rows} rows of a batch of {float(num_items):g}, another one for each "
            "part; give the mean weight of all samples: normalize=float(weights(skews, clip).mean())"
        )
    following = labels[:, 1:]
    learned = following != IGNORED
    tokens = learned.sum(dim=1)
    if not bool((tokens > 0).all()):
        empty = (tokens == 0).nonzero()[:, 0].tolist()
        raise InputError(
            f"rows {empty} have no label to learn: all are {IGNORED}, or the only one is the first token, which nothing "
            "predicts; was the answer cut off?"
        )
    # Chosen before they become float32: a whole float32 copy of [row, token, vocab] would be gigabytes.
    chosen = logits[:, :-1][learned]
    chosen = chosen if chosen.dtype == torch.float64 else chosen.float()
    losses = cross_entropy(chosen, following[learned], reduction="none")
    row = torch.arange(rows, device=logits.device).repeat_interleave(tokens)
    by_row = losses.new_zeros(rows).index_add(0, row, losses)
    if over == "mean":
        by_row = by_row / tokens
    weight = weights(skews, clip, normalize).to(by_row)
    return (weight * by_row).sum() / (rows if num_items is None else num_items)
