"""One step on a picture: the fast gradient sign method on processed pixels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from levelhead.errors import InputError


def fast_gradient_sign(pixels: Tensor, gradient: Tensor, eps: float, processor: Any) -> Tensor:
    """Step down a gradient by `eps` in each color value: ``clip(x - eps * sign(g))``.

    Parameters
    ----------
    pixels, gradient : Tensor
        Processed pixels: [..., 3, height, width], or patches [patch, 3 * ...] as Qwen's processors cut them.
    eps : float
        In intensities of a picture, which lie in [0, 1]; the processor's scale and ``image_std`` convert it.
    processor : optional
        With an ``image_processor``, or one itself.

    Raises
    ------
    InputError
        Without a processor, or for pixels whose color channels cannot be told.

    Notes
    -----
    The fast gradient sign method: Goodfellow et al. 2015, arXiv 1412.6572.
    """
    images: Any = getattr(processor, "image_processor", processor)
    if images is None or not hasattr(images, "do_normalize"):
        raise InputError("a step on the picture needs the processor, whose scale it is measured in; pass processor=")
    channels = 3
    if pixels.dim() >= 4 and pixels.shape[-3] == channels:
        shape = (channels, 1, 1)
        view = pixels
    elif pixels.dim() == 2 and pixels.shape[1] % channels == 0:
        shape = (channels, 1)
        view = pixels.unflatten(1, (channels, -1))
    else:
        raise InputError(
            f"no color channels were found in 'pixel_values' of shape {tuple(pixels.shape)}; use on='embeddings' instead"
        )
    like = gradient.new_zeros(channels, dtype=torch.float32)
    mean = (like + like.new_tensor(images.image_mean if images.do_normalize else 0.0)).view(shape)
    std = (like + like.new_tensor(images.image_std if images.do_normalize else 1.0)).view(shape)
    # Unscaled pixels run from 0 to 255.
    unit = 1.0 if getattr(images, "do_rescale", True) else 255.0
    stepped = view.float() - eps * unit / std * gradient.view_as(view).float().sign()
    return stepped.clamp((0.0 - mean) / std, (unit - mean) / std).view_as(pixels).to(pixels.dtype)
