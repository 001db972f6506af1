"""A pen that draws flat shapes in units of a 96 x 96 grid, whatever the size of the picture."""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, pi, sin

from PIL import ImageDraw

Number = float | int
Color = tuple[int, int, int]
Points = Sequence[tuple[Number, Number]]

INK: Color = (38, 36, 46)
WHITE: Color = (253, 253, 253)
PAPER: Color = (248, 246, 238)
EDGE: Color = (112, 120, 136)
RED: Color = (216, 34, 44)
GOLD: Color = (250, 200, 44)
STEEL: Color = (176, 186, 198)
WOOD: Color = (146, 92, 50)
GREEN: Color = (44, 150, 74)


class Pen:
    """Draws in units, moved and scaled: ``x`` becomes ``(x_origin + scale * x) * pixels``.

    Floats are rounded to pixels of the supersampled canvas, so that the same picture gets sharper with its size.
    """

    __slots__ = ("_draw", "_k", "_s", "_x", "_y")

    def __init__(
        self, draw: ImageDraw.ImageDraw, pixels: Number, x: Number = 0, y: Number = 0, scale: Number = 1
    ) -> None:
        self._draw, self._k = draw, pixels
        self._x, self._y, self._s = x * pixels, y * pixels, scale * pixels

    def at(self, x: Number, y: Number, scale: Number = 1) -> Pen:
        """Return a pen whose origin is the point (x, y) of this one."""
        k = self._k
        return Pen(self._draw, k, (self._x + self._s * x) / k, (self._y + self._s * y) / k, scale * self._s / k)

    def box(self, left: Number, top: Number, right: Number, bottom: Number, color: Color) -> None:
        """Fill a rectangle."""
        s, x, y = self._s, self._x + 0.5, self._y + 0.5
        x0, y0 = int(left * s + x), int(top * s + y)
        self._draw.rectangle((x0, y0, max(x0, int(right * s + x) - 1), max(y0, int(bottom * s + y) - 1)), fill=color)

    def oval(self, x: Number, y: Number, rx: Number, ry: Number, color: Color) -> None:
        """Fill an ellipse given by its center and radii."""
        s, cx, cy = self._s, self._x + 0.5, self._y + 0.5
        x0, y0 = int((x - rx) * s + cx), int((y - ry) * s + cy)
        x1, y1 = int((x + rx) * s + cx) - 1, int((y + ry) * s + cy) - 1
        self._draw.ellipse((x0, y0, max(x0, x1), max(y0, y1)), fill=color)

    def poly(self, points: Points, color: Color) -> None:
        """Fill a polygon."""
        s, x, y = self._s, self._x, self._y
        self._draw.polygon([(px * s + x, py * s + y) for px, py in points], fill=color)

    def line(self, points: Points, width: Number, color: Color) -> None:
        """Draw a stroke through points."""
        s, x, y = self._s, self._x, self._y
        self._draw.line([(px * s + x, py * s + y) for px, py in points], fill=color, width=max(1, int(width * s + 0.5)))

    def arc(
        self, x: Number, y: Number, rx: Number, ry: Number, start: int, end: int, width: Number, color: Color
    ) -> None:
        """Draw a part of an ellipse's rim; angles in degrees, clockwise from three o'clock."""
        s, cx, cy = self._s, self._x, self._y
        box = ((x - rx) * s + cx, (y - ry) * s + cy, (x + rx) * s + cx, (y + ry) * s + cy)
        self._draw.arc(box, start, end, fill=color, width=max(1, int(width * s + 0.5)))


def shade(color: Color, factor: Number) -> Color:
    """Return a darker color for a factor below one, a lighter one above."""
    r, g, b = color
    if factor > 1:
        t = factor - 1
        return int(r + (255 - r) * t), int(g + (255 - g) * t), int(b + (255 - b) * t)
    return int(r * factor), int(g * factor), int(b * factor)


def shift(color: Color, amount: int) -> Color:
    """Return a color made lighter by an amount, within 0 and 255."""
    r, g, b = color
    return max(0, min(255, r + amount)), max(0, min(255, g + amount)), max(0, min(255, b + amount))


def roundish(upper: float, lower: float, steps: int = 28) -> tuple[tuple[float, float], ...]:
    """Return the rim of a superellipse of radius one, whose halves have exponents of their own (2 is round)."""
    points: list[tuple[float, float]] = []
    for i in range(steps):
        c, s = cos(2 * pi * i / steps), sin(2 * pi * i / steps)
        power = 2 / (lower if s > 0 else upper)
        points.append((abs(c) ** power * (1 if c > 0 else -1), abs(s) ** power * (1 if s > 0 else -1)))
    return tuple(points)


def stretched(shape: Points, x: Number, y: Number, rx: Number, ry: Number) -> list[tuple[float, float]]:
    """Return a shape of radius one, moved and stretched."""
    return [(x + rx * px, y + ry * py) for px, py in shape]
