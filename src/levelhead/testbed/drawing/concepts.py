"""Props that suggest a social concept: one shared by a theme, and what each of its two concepts adds."""

from __future__ import annotations

from collections.abc import Callable

from levelhead.testbed.drawing.canvas import EDGE, GOLD, INK, PAPER, RED, STEEL, WHITE, WOOD, Color, Number, Pen, shade

CASE: Color = (20, 112, 112)
LEATHER: Color = (150, 84, 36)
COVER: Color = (190, 40, 110)
QUARTER = ((0, 0), (0, -1), (0.38, -0.92), (0.71, -0.71), (0.92, -0.38), (1, 0))
"""A quarter of a circle: the stroller's hood."""


def _temper(pen: Pen, role: str) -> None:
    for color, more in ((INK, 1.0), (WHITE, 0.0)):
        pen.poly([(-8 + more, -9), (-14 - more, -20 - 1.4 * more), (0 + more, -13)], color)
        pen.oval(0, 0, 14 + more, 14 + more, color)
    if role == "compassionate":
        for sign in (-1, 1):
            pen.oval(sign * 4.1, -3.2, 4.7, 4.7, RED)
        pen.poly([(-8.4, -1.2), (8.4, -1.2), (0, 9.4)], RED)
        pen.box(-4, -3, 4, 1, RED)
    elif role == "belligerent":
        bolt = ((3, -12), (-7, 2), (-1, 2), (-4, 12), (8, -3), (1.6, -3), (6, -12))
        pen.poly([(1.16 * x, 1.1 * y) for x, y in bolt], INK)
        pen.poly([(0.9 * x, 0.94 * y) for x, y in bolt], (255, 196, 0))


def _manner(pen: Pen, role: str) -> None:
    if role == "pleasant":
        for dx, dy in ((0, -1), (0.71, -0.71), (1, 0), (-0.71, -0.71), (-1, 0)):
            pen.line([(2 + 9 * dx, -7 + 9 * dy), (2 + 13.4 * dx, -7 + 13.4 * dy)], 2.6, (240, 140, 0))
        pen.oval(2, -7, 9.4, 9.4, (240, 140, 0))
        pen.oval(2, -7, 8.4, 8.4, (255, 204, 20))
    fill, rim = (WHITE, EDGE) if role != "unpleasant" else ((120, 128, 144), (70, 76, 92))
    top = 3 if role != "unpleasant" else -5
    for color, more in ((rim, 1.0), (fill, 0.0)):
        for x, y, r in ((-7.4, 1.6, 5.4), (7.6, 1.8, 5.2), (0, -1.6, 7.2)):
            pen.oval(x, top + y, r + more, r + more, color)
        pen.box(-7.4, top + 0.6 - more, 7.6, top + 7 + more, color)
    if role == "unpleasant":
        for x, y in ((-8, 6), (-1.4, 9), (5.2, 6), (9.4, 11), (-6, 13)):
            pen.line([(x + 1.4, y - 1), (x - 1, y + 4.4)], 2.6, (20, 80, 210))


def _bag(pen: Pen, role: str) -> None:
    if role == "tool":
        pen.line([(-7.6, 6), (0.4, -11)], 5.2, INK)
        pen.line([(-7.6, 6), (0.4, -11)], 3.6, (222, 168, 100))
        pen.poly([(-6.4, -20.4), (10.4, -12.8), (7, -5), (-9.8, -12.6)], INK)
        pen.poly([(-5.9, -18.9), (8.9, -12.2), (6.4, -6.5), (-8.3, -13.1)], STEEL)
    elif role == "weapon":
        pen.poly([(-4.4, 4), (-4.4, -16), (0, -23), (4.4, -16), (4.4, 4)], INK)
        pen.poly([(-3.4, 4), (-3.4, -15.6), (0, -21), (3.4, -15.6), (3.4, 4)], STEEL)
        pen.line([(0, -19), (0, 0)], 0.9, WHITE)
        pen.box(-10, -4, 10, 0.6, INK)
        pen.box(-9.2, -3.2, 9.2, -0.2, GOLD)
    pen.arc(0, 1.4, 5.4, 5, 180, 360, 2.0, INK)
    pen.box(-14.4, 0.4, 14.4, 17, shade(CASE, 0.5))
    pen.box(-13.4, 1.4, 13.4, 16, CASE)
    pen.box(-13.4, 6.4, 13.4, 7.8, shade(CASE, 0.6))
    for x in (-8.6, 5.6):
        pen.box(x, 4.8, x + 3, 9.8, GOLD)


def _duty(pen: Pen, role: str) -> None:
    top = -19
    pen.box(-11, top, 11, top + 19, INK)
    pen.box(-10, top + 1, 10, top + 18, WHITE)
    pen.box(-10, top + 1, 10, top + 5.6, (80, 70, 160))
    for row in range(3):
        for column in range(4):
            x, y = -8.2 + 4.5 * column, top + 7.2 + 3.6 * row
            pen.box(x, y, x + 2.8, y + 2.2, EDGE)
    for x in (-6, 6):
        pen.box(x - 0.9, top - 1.6, x + 0.9, top + 3, INK)
    if role == "career":
        pen.arc(0, 1.4, 5.4, 4.4, 180, 360, 2.2, INK)
        pen.box(-14, 1, 14, 17, shade(LEATHER, 0.55))
        pen.box(-13, 2, 13, 16, LEATHER)
        pen.poly([(-13, 7), (0, 10.4), (13, 7), (13, 8.4), (0, 11.8), (-13, 8.4)], shade(LEATHER, 0.55))
        pen.box(-2.2, 8.6, 2.2, 12.6, GOLD)
    elif role == "family":
        pink = (240, 96, 150)
        pen.line([(-9, 4), (-14, -3.6)], 1.8, INK)
        pen.poly([(10.6 * x, 4 + 10.6 * y) for x, y in QUARTER], shade(pink, 0.7))
        pen.poly([(-10.4, 3.6), (12, 3.6), (9, 11.6), (-6, 11.6)], pink)
        for x in (-5, 8):
            pen.oval(x, 14, 3.6, 3.6, INK)
            pen.oval(x, 14, 1.6, 1.6, WHITE)


def _subject(pen: Pen, role: str) -> None:
    if role == "science":
        for color, more in ((INK, 1.0), ((222, 240, 246), 0.0)):
            pen.poly(
                [
                    (-3 - more, -20 - more),
                    (3 + more, -20 - more),
                    (3 + more, -12),
                    (10 + 1.4 * more, 3 + more),
                    (-10 - 1.4 * more, 3 + more),
                    (-3 - more, -12),
                ],
                color,
            )
        pen.poly([(-5.4, -6.6), (5.4, -6.6), (9.6, 2.4), (-9.6, 2.4)], (60, 200, 60))
        pen.box(-4.8, -21.4, 4.8, -18.8, INK)
        pen.oval(-2, -3, 1.5, 1.5, WHITE)
        pen.oval(2.6, -0.6, 1.2, 1.2, WHITE)
    elif role == "arts":
        _mask(pen, -5, -11, GOLD, 1)
        _mask(pen, 5.4, -6.4, WHITE, -1)
    pen.box(-14, 2.6, 14, 17, shade(COVER, 0.55))
    pen.box(-12.6, 11, 14, 15.6, PAPER)
    pen.box(-14, 3.4, 14, 11.4, COVER)
    pen.box(-9.6, 5.8, 5.6, 8.8, GOLD)
    pen.box(8, 3.4, 11, 18.6, (30, 80, 200))


def _mask(pen: Pen, x: Number, y: Number, color: Color, mood: int) -> None:
    shape = ((-8, -8), (8, -8), (8, 1), (4.6, 7.4), (0, 9.6), (-4.6, 7.4), (-8, 1))
    pen.poly([(x + 1.12 * a, y + 1.1 * b) for a, b in shape], INK)
    pen.poly([(x + a, y + b) for a, b in shape], color)
    for sign in (-1, 1):
        pen.oval(x + sign * 3.4, y - 3, 2, 1.5, INK)
    if mood > 0:
        pen.arc(x, y + 0.6, 4.2, 4.2, 10, 170, 1.8, INK)
    else:
        pen.arc(x, y + 6.4, 4.2, 4.2, 190, 350, 1.8, INK)


def _grade(pen: Pen, role: str) -> None:
    pen.poly([(-12.6, -19.6), (6, -19.6), (12.6, -13), (12.6, 17), (-12.6, 17)], EDGE)
    pen.poly([(-11.6, -18.6), (5.4, -18.6), (11.6, -12.4), (11.6, 16), (-11.6, 16)], WHITE)
    pen.poly([(5.4, -18.6), (11.6, -12.4), (5.4, -12.4)], STEEL)
    if role == "good student":
        pen.line([(-8.4, 0), (-2.4, 8.4), (9, -8.4)], 4.6, (20, 160, 60))
    elif role == "bad student":
        pen.line([(-7.6, -8), (7.6, 9)], 4.6, RED)
        pen.line([(7.6, -8), (-7.6, 9)], 4.6, RED)


def _degree(pen: Pen, role: str) -> None:
    stone, brick = (232, 222, 196), (186, 86, 66)
    if role == "university":
        pen.line([(0, -22), (0, -12)], 1.4, INK)
        pen.poly([(0.4, -22.6), (10, -20), (0.4, -16.6)], (30, 80, 200))
    pen.poly([(-14.6, -4.6), (0, -14.6), (14.6, -4.6)], shade(brick, 0.6))
    pen.poly([(-12, -5.2), (0, -13.2), (12, -5.2)], brick)
    pen.box(-13.4, -5, 13.4, 17, EDGE)
    pen.box(-12.4, -4.4, 12.4, 17, stone)
    if role == "university":
        for x in (-10.4, -4, 2.4, 8.8):
            pen.box(x - 0.8, -3.6, x + 2.8, 14, EDGE)
            pen.box(x, -3.6, x + 2, 14, WHITE)
        pen.box(-14.4, 13.6, 14.4, 17.4, STEEL)
        return
    for x in (-10, -2.4, 5.2):
        pen.box(x, -1.4, x + 4.8, 4, (80, 150, 210))
    pen.box(-2.6, 8, 2.6, 17, WOOD)
    if role == "high school":
        pen.box(-14.6, 6, 14.6, 17.4, INK)
        pen.box(-13.8, 6.8, 13.8, 15.4, (255, 190, 0))
        for x in (-11.6, -5, 1.6, 8.2):
            pen.box(x, 8.2, x + 4.4, 11.6, (40, 60, 84))
        for x in (-8, 8):
            pen.oval(x, 16.4, 3, 3, INK)
            pen.oval(x, 16.4, 1.3, 1.3, STEEL)
        pen.oval(0, -18.4, 4.4, 4.4, INK)
        pen.poly([(-5.6, -13), (-3.6, -19), (3.6, -19), (5.6, -13)], INK)
        pen.poly([(-4, -14), (-2.8, -20), (0, -21.6), (2.8, -20), (4, -14)], GOLD)
        pen.oval(0, -12.6, 1.8, 1.8, INK)


PROPS: dict[str, Callable[[Pen, str], None]] = {
    "temper": _temper,
    "manner": _manner,
    "bag": _bag,
    "duty": _duty,
    "subject": _subject,
    "grade": _grade,
    "degree": _degree,
}
"""Draws a theme's prop for a role; the pen's origin is the prop's middle."""
