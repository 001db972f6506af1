"""The rescaled loss: against its formula written out token by token, and against transformers' own."""

from __future__ import annotations

from math import exp
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from conftest import model_of
from levelhead.errors import InputError
from levelhead.training.loss import rescaled_loss, weights

SKEWS = [0.7, -0.4, 0.0]


def answered(lengths: tuple[int, ...] = (2, 1, 3), tokens: int = 7, vocab: int = 11) -> tuple[Tensor, Tensor]:
    """Random logits, and labels on answers that end before the row does, so that pads follow."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.full((len(lengths), tokens), -100)
    for row, length in enumerate(lengths):
        labels[row, 3 : 3 + length] = torch.randint(vocab, (length,), generator=generator)
    return torch.randn(len(lengths), tokens, vocab, generator=generator, dtype=torch.float64), labels


def by_hand(logits: Tensor, labels: Tensor, skews: list[float], over: str = "sum") -> float:
    total = 0.0
    for row, skew in enumerate(skews):
        found = [
            -float(logits[row, place - 1].log_softmax(-1)[labels[row, place]])
            for place in range(1, labels.shape[1])
            if labels[row, place] != -100
        ]
        total += exp(-skew) * sum(found) / (len(found) if over == "mean" else 1)
    return total / len(skews)


@pytest.mark.parametrize("over", ["sum", "mean"])
def test_it_is_the_weighted_sum_over_label_tokens(over: Any) -> None:
    logits, labels = answered()
    expected = by_hand(logits, labels, SKEWS, over)
    assert float(rescaled_loss(logits, labels, SKEWS, over=over)) == pytest.approx(expected, rel=1e-12)
    assert float(rescaled_loss(logits, labels, torch.tensor(SKEWS), over=over)) == pytest.approx(expected, rel=1e-6)


def test_at_skew_zero_it_is_the_loss_of_transformers() -> None:
    model = model_of("llama")
    ids = torch.randint(3, 50, (3, 7), generator=torch.Generator().manual_seed(1))
    alike, unlike = (torch.where(answered(lengths)[1] == -100, -100, ids) for lengths in ((2, 2, 2), (2, 1, 3)))
    for labels, options in ((alike, {"over": "mean"}), (unlike, {"num_items": 6})):
        with torch.no_grad():
            out = model(input_ids=ids, labels=labels)
        found = rescaled_loss(out.logits, labels, [0.0] * 3, **options)
        torch.testing.assert_close(found, out.loss)


def test_parts_of_a_batch_add_up_to_its_gradient() -> None:
    logits, labels = answered()
    whole = logits.clone().requires_grad_()
    options = {"clip": 1.2, "normalize": 0.8}
    rescaled_loss(whole, labels, SKEWS, **options).backward()
    split = logits.clone().requires_grad_()
    for rows in (slice(0, 1), slice(1, 3)):
        rescaled_loss(split[rows], labels[rows], SKEWS[rows], num_items=torch.tensor(3), **options).backward()
    torch.testing.assert_close(split.grad, whole.grad)
    assert float(whole.grad[0].abs().sum()) > 0
    with pytest.raises(InputError, match=r"another one for each part; give the mean weight of all samples"):
        rescaled_loss(logits[:1], labels[:1], SKEWS[:1], normalize=True, num_items=3)


def test_weights_are_those_of_the_paper_and_can_be_tamed() -> None:
    skews = [1.48, 0.40, 0.0, -0.50, -1.00, -2.06, -2.88]
    assert weights(skews).tolist() == pytest.approx([0.23, 0.67, 1, 1.65, 2.72, 7.85, 17.8], rel=0.02)
    clipped = np.minimum(np.exp(-np.array(skews)), 3.0)
    assert weights(skews, clip=3).numpy() == pytest.approx(clipped)
    assert weights(skews, 3, normalize=True).numpy() == pytest.approx(clipped / clipped.mean())
    assert weights(skews, 3, normalize=2.0).numpy() == pytest.approx(clipped / 2)
    logits, labels = answered()
    mean = float(weights(SKEWS).mean())
    assert float(rescaled_loss(logits, labels, SKEWS, normalize=True)) == pytest.approx(
        by_hand(logits, labels, SKEWS) / mean
    )
    # A weight is no way for a gradient to reach what the Skew was estimated with.
    skew = torch.tensor(SKEWS, requires_grad=True)
    assert not rescaled_loss(logits, labels, skew).requires_grad


def test_short_floats_are_summed_as_float32_and_only_where_a_label_is() -> None:
    logits, labels = answered(tokens=64, vocab=500)
    short = logits.bfloat16().requires_grad_()
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        loss = rescaled_loss(short, labels, SKEWS)
    assert loss.dtype == torch.float32
    assert float(loss.detach()) == pytest.approx(by_hand(short.detach().double(), labels, SKEWS), rel=1e-5)
    assert max(tensor.numel() for tensor in kept if tensor.dtype == torch.float32) <= 6 * 500
    loss.backward()
    # What stands before no label counts for nothing, be it not even a number.
    broken = logits.clone()
    broken[:, 5:], broken[:, :2] = torch.nan, torch.inf
    assert float(rescaled_loss(broken, labels, SKEWS)) == pytest.approx(by_hand(logits, labels, SKEWS))
    assert float(short.grad[:, 5:].abs().sum()) == 0 < float(short.grad[:, 2:5].abs().sum())


def test_bad_input_is_said() -> None:
    logits, labels = answered()
    masked = labels.clone()
    masked[1] = -100
    masked[1, 0] = 4
    with pytest.raises(InputError, match=r"rows \[1\] have no label to learn: .* was the answer cut off"):
        rescaled_loss(logits, masked, SKEWS)
    with pytest.raises(InputError, match=r"found \(3, 7, 11\), \(3, 7\) and 2 skews"):
        rescaled_loss(logits, labels, SKEWS[:2])
    with pytest.raises(InputError, match="Skew -inf of sample 1 gives no finite weight"):
        rescaled_loss(logits, labels, [0.0, -np.inf, 0.0])
    with pytest.raises(InputError, match="no finite weight"):
        weights([-800.0])
    with pytest.raises(InputError, match="clip is the largest weight, above 0; found 0"):
        weights(SKEWS, clip=0)
    with pytest.raises(InputError, match="above 0; found -1"):
        weights(SKEWS, normalize=-1)
    with pytest.raises(InputError, match="samples of the whole batch, above 0; found 0"):
        rescaled_loss(logits, labels, SKEWS, num_items=0)
