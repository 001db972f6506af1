"""The room: wall, floor, a shelf with balls, one object on the wall."""

from __future__ import annotations

from collections.abc import Callable

from levelhead.testbed.drawing.canvas import EDGE, GREEN, INK, WHITE, WOOD, Color, Pen, shade, shift
from levelhead.testbed.scene import Scene

WALLS: dict[str, Color] = {
    "pink": (250, 184, 204),
    "yellow": (250, 232, 140),
    "blue": (150, 200, 245),
    "green": (164, 222, 156),
    "gray": (152, 154, 162),
    "white": (250, 250, 250),
}
BALLS: dict[str, Color] = {
    "red": (226, 38, 44),
    "yellow": (250, 200, 20),
    "green": (30, 152, 70),
    "blue": (36, 90, 216),
}
COUNTS = {"one": 1, "two": 2, "three": 3, "four": 4}
FLOOR: Color = (134, 116, 108)
SKY: Color = (96, 176, 236)


def room(pen: Pen, scene: Scene, jitter: list[float]) -> None:
    """Draw everything that is behind the people."""
    pen.box(0, 0, 96, 96, shift(WALLS[scene.wall], round(5 * jitter[0])))
    pen.box(0, 84, 96, 96, shift(FLOOR, round(5 * jitter[1])))
    pen.box(0, 82.5, 96, 84, shade(FLOOR, 0.7))
    _shelf(pen, scene)
    if scene.object in OBJECTS:
        x = 12.5 if scene.side == "left" else 83.5
        OBJECTS[scene.object](pen.at(x + 0.8 * jitter[2], 41 + 0.8 * jitter[3]))


def _shelf(pen: Pen, scene: Scene) -> None:
    color = BALLS[scene.ball_color]
    for i in range(COUNTS[scene.balls]):
        # One ball in the middle of each patch of 16 units.
        x = 8 + 16 * i
        pen.oval(x, 5.6, 5.6, 5.6, shade(color, 0.6))
        pen.oval(x, 5.6, 4.8, 4.8, color)
        pen.oval(x - 1.7, 3.9, 1.3, 1.3, shade(color, 1.6))
    pen.box(0, 11, 96, 13.5, WOOD)
    pen.box(0, 13, 96, 14, shade(WOOD, 0.7))


def _clock(pen: Pen) -> None:
    pen.oval(0, 0, 10.5, 10.5, INK)
    pen.oval(0, 0, 8.3, 8.3, WHITE)
    for x, y in ((0, -6.4), (6.4, 0), (0, 6.4), (-6.4, 0)):
        pen.oval(x, y, 1, 1, INK)
    pen.line([(0, -5.5), (0, 0), (4, 2.4)], 1.6, INK)


def _lamp(pen: Pen) -> None:
    pen.box(-1, 1, 1, 11, INK)
    pen.oval(0, 11.5, 6, 2, INK)
    pen.poly([(-5, -12), (5, -12), (10.5, 2), (-10.5, 2)], shade((255, 150, 40), 0.75))
    pen.poly([(-4.4, -11.3), (4.4, -11.3), (9.4, 1.3), (-9.4, 1.3)], (255, 168, 48))
    pen.poly([(-2, -11.3), (2, -11.3), (4, 1.3), (-4, 1.3)], (255, 214, 120))


def _plant(pen: Pen) -> None:
    dark = shade(GREEN, 0.72)
    for x, y in ((-6, -3), (6, -3), (0, -8)):
        pen.oval(x, y, 5.4, 6, dark)
    for x, y in ((-6.6, -4), (6, -4), (-0.6, -9), (0, -1)):
        pen.oval(x, y, 4, 4.6, GREEN)
    pen.box(-0.8, 0, 0.8, 6, dark)
    pen.poly([(-6.5, 3.5), (6.5, 3.5), (4.6, 13), (-4.6, 13)], (196, 84, 44))
    pen.box(-7.4, 2.6, 7.4, 5.2, (168, 66, 34))


def _window(pen: Pen) -> None:
    pen.box(-10.5, -12.5, 10.5, 12.5, EDGE)
    pen.box(-9.8, -11.8, 9.8, 11.8, WHITE)
    for x0, x1 in ((-8, -0.9), (0.9, 8)):
        pen.box(x0, -10, x1, -0.9, SKY)
        pen.box(x0, 0.9, x1, 10, SKY)
    pen.box(-11.5, 11, 11.5, 13.4, EDGE)


def _painting(pen: Pen) -> None:
    pen.box(-11, -9.5, 11, 9.5, shade(WOOD, 0.8))
    pen.box(-9.6, -8.1, 9.6, 8.1, (214, 158, 60))
    pen.box(-8, -6.5, 8, 6.5, (250, 214, 170))
    pen.oval(4, -2.5, 2.6, 2.6, (236, 84, 52))
    pen.poly([(-8, 6.5), (-8, 1), (-3, -4), (2.5, 6.5)], (110, 70, 150))
    pen.poly([(-3, 6.5), (3, 1), (8, 5), (8, 6.5)], (70, 130, 84))


OBJECTS: dict[str, Callable[[Pen], None]] = {
    "clock": _clock,
    "lamp": _lamp,
    "plant": _plant,
    "window": _window,
    "painting": _painting,
}
