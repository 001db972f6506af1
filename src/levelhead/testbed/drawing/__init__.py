"""Drawing scenes with Pillow, by rule and from a seed: flat shapes, big cues, everything else pixel-identical."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from levelhead.errors import InputError
from levelhead.testbed.drawing.canvas import Pen
from levelhead.testbed.drawing.clothes import dress
from levelhead.testbed.drawing.concepts import PROPS
from levelhead.testbed.drawing.face import eyes, head
from levelhead.testbed.drawing.figure import Figure, figure
from levelhead.testbed.drawing.hair import hair_before, hair_behind
from levelhead.testbed.drawing.hats import cover
from levelhead.testbed.drawing.props import backdrop, front
from levelhead.testbed.drawing.room import room
from levelhead.testbed.drawing.styles import PLAIN, check_style, restyled
from levelhead.testbed.scene import Scene

__all__ = ["draw"]

UNITS = 96
SAMPLES = 4
"""Pixels drawn for each pixel kept, in both directions: edges mix."""


def draw(scene: Scene, size: int = 96, style: str = PLAIN) -> Image.Image:
    """Draw a scene.

    Parameters
    ----------
    scene : Scene
    size : int
        Width and height in pixels; shapes are the same at every size.
    style : {"plain", "sketch", "faded"}
        The look; see `levelhead.testbed.drawing.styles`.

    Returns
    -------
    PIL.Image.Image
        RGB, of ``size`` by ``size`` pixels; the same scene gives the same pixels.

    Raises
    ------
    InputError
        If the size is not positive, or there is no such style.
    """
    check_style(style)
    if size < 1:
        raise InputError(f"a picture is at least one pixel wide; found size={size}")
    # Every random number is drawn before the first stroke, in an order that no attribute changes.
    jitter = np.random.default_rng(scene.seed).uniform(-1, 1, (3, 8)).tolist()
    image = Image.new("RGB", (SAMPLES * size, SAMPLES * size))
    pen = Pen(ImageDraw.Draw(image), SAMPLES * size / UNITS)
    room(pen, scene, jitter[0])
    theme = scene.person.theme
    alone = len(scene.people) == 1
    if theme is not None:
        backdrop(pen, theme.name, alone)
    middles = (48.0,) if alone else (24.0, 72.0)
    for person, own, middle in zip(scene.people, jitter[1:], middles, strict=False):
        _person(figure(pen, person, own, middle, alone))
    if theme is not None and theme.name in PROPS:
        PROPS[theme.name](pen.at(80 + 0.5 * jitter[0][4], 77 + 0.5 * jitter[0][5]), scene.person.role)
    return image.reduce(SAMPLES) if style == PLAIN else restyled(image, size, style, scene.seed)


def _person(one: Figure) -> None:
    hair_behind(one)
    dress(one)
    head(one)
    eyes(one)
    hair_before(one)
    cover(one)
    front(one)
