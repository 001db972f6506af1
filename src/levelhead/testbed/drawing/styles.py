"""Other hands: the same drawing as a pencil sketch or a faded print, looks that the model never saw in training.

A style changes how a scene is drawn, never what it shows. Grain comes from the scene's seed alone, and every line from what
is drawn within two pixels of it, so that counterfactuals still differ only where, and right beside where, the attribute shows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageChops, ImageFilter

from levelhead.errors import InputError

PLAIN = "plain"
"""The look of all pictures in training."""

GRID = 96
LIGHT = np.array([0.299, 0.587, 0.114])
"""How light red, green and blue look (ITU-R BT.601)."""
WARM = np.array([1.0, 0.93, 0.81])

Pixels: TypeAlias = Float[np.ndarray, "size size 3"]
"""From 0 to 1."""


def sketch(large: Image.Image, size: int, seed: int) -> Pixels:
    """Pencil lines where colors meet, colors rubbed in thinly, the grain of paper."""
    # The lines are found in the large drawing, so that they are as thick in units at every size.
    step = max(1, large.width // 192)
    soft = large.filter(ImageFilter.BoxBlur(step))
    edge = _shrunk(_steps(soft, step, 0), size) + _shrunk(_steps(soft, 0, step), size)
    pencil = np.clip(1.4 / 255 * edge, 0, 0.7)[..., None]
    paper = 1 - 0.76 * (1 - _muted(_shrunk(large, size) / 255, 0.75))
    return paper * (1 - pencil) + 0.16 * pencil + 0.025 * _grain(seed, size)


def faded(large: Image.Image, size: int, seed: int) -> Pixels:
    """An old print: little contrast, pale colors, a warm cast and grain."""
    return (0.2 + 0.67 * _muted(_shrunk(large, size) / 255, 0.72)) * WARM + 0.03 * _grain(seed, size)


STYLES: dict[str, Callable[[Image.Image, int, int], Pixels]] = {"sketch": sketch, "faded": faded}
"""Every style but the plain one."""


def check_style(style: str) -> None:
    """Raise if there is no such style."""
    if style != PLAIN and style not in STYLES:
        raise InputError(f"pictures are not drawn in the style '{style}'; styles are {', '.join([PLAIN, *STYLES])}")


def restyled(large: Image.Image, size: int, style: str, seed: int) -> Image.Image:
    """Finish a large drawing in a style other than the plain one."""
    pixels = STYLES[style](large, size, seed)
    return Image.fromarray((255 * np.clip(pixels, 0, 1) + 0.5).astype(np.uint8))


def _shrunk(image: Image.Image, size: int) -> Float[np.ndarray, "size size *color"]:
    """Average the drawing over the pixels of the picture."""
    return np.asarray(image.resize((size, size), Image.Resampling.BOX), dtype=np.float64)


def _steps(image: Image.Image, x: int, y: int) -> Image.Image:
    """Find how far the color of a pixel is from that some pixels before it, in the primary in which it is farthest."""
    steps = ImageChops.difference(image, ImageChops.offset(image, x, y))
    # What went off the edge came in again on the other side.
    steps.paste(0, (0, 0, x or image.width, y or image.height))
    red, green, blue = steps.split()
    return ImageChops.lighter(ImageChops.lighter(red, green), blue)


def _muted(pixels: Pixels, share: float) -> Pixels:
    """Mix every color with the gray that is as light."""
    return share * pixels + (1 - share) * (pixels @ LIGHT)[..., None]


def _grain(seed: int, size: int) -> Float[np.ndarray, "size size 1"]:
    """Noise of unit variance on the grid of units, stretched to the size."""
    # A stream of its own: what the drawing draws from the seed stays as it is.
    noise = np.random.default_rng([seed, 7]).standard_normal((GRID, GRID)).astype(np.float32)
    return np.asarray(Image.fromarray(noise).resize((size, size), Image.Resampling.BICUBIC), dtype=np.float64)[
        ..., None
    ]
