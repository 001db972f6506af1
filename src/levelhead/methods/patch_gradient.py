"""Gradients of pictures through the cutting into patches, as one matrix product.

Torch's own backward pass of a convolution whose patches do not overlap takes as long as several blocks on a processor, and is
most of what a step on the picture would cost a small model. The forward pass stays the convolution's, to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class _Cut(torch.autograd.Function):
    """The output of a convolution without overlap, with a backward pass of its own for the input."""

    @staticmethod
    def forward(ctx: Any, picture: Tensor, patches: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.shape = picture.shape
        return patches

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (weight,) = ctx.saved_tensors
        gradient: Tensor = gradients[0]
        kernel = weight.shape[2:]
        # [picture, place, ..., channel, within, ...], then each place beside what is within it.
        found = (gradient.movedim(1, -1) @ weight.flatten(1)).unflatten(-1, weight.shape[1:])
        n = len(kernel)
        order = [0, n + 1, *(axis for i in range(n) for axis in (1 + i, n + 2 + i))]
        found = found.permute(order).reshape(
            len(found), weight.shape[1], *(p * k for p, k in zip(gradient.shape[2:], kernel, strict=True))
        )
        # What is left over at the border belongs to no patch.
        borders = [
            side for want, have in zip(ctx.shape[:1:-1], found.shape[:1:-1], strict=True) for side in (0, want - have)
        ]
        return nn.functional.pad(found, borders), None, None


@contextmanager
def quick_patches(model: nn.Module) -> Iterator[None]:
    """Let every convolution without overlap, whose parameters need no gradient, pass one on quickly."""

    def swap(module: Any, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        if not args or not args[0].requires_grad or module.weight.requires_grad:
            return None
        return _Cut.apply(args[0], output.detach(), module.weight)

    handles = [
        m.register_forward_hook(swap) for m in model.modules() if isinstance(m, nn.Conv2d | nn.Conv3d) and _apart(m)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _apart(conv: nn.Conv2d | nn.Conv3d) -> bool:
    plain = all(one == 1 for one in conv.dilation) and conv.groups == 1
    return plain and conv.stride == conv.kernel_size and conv.padding in ("valid", (0,) * len(conv.stride))
