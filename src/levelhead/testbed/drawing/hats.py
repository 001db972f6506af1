"""What is worn on the head, and around the neck above beard and hair."""

from __future__ import annotations

from collections.abc import Callable

from levelhead.testbed.drawing.canvas import EDGE, GOLD, INK, RED, WHITE, Color, shade
from levelhead.testbed.drawing.clothes import NAVY, SCARF
from levelhead.testbed.drawing.figure import HEAD, Figure

STRAW: Color = (238, 208, 134)
HELMET: Color = (255, 190, 0)
BERET: Color = (176, 24, 76)
CYAN: Color = (40, 190, 210)
DOME = (
    (-1, 0),
    (-0.97, -0.3),
    (-0.86, -0.56),
    (-0.66, -0.8),
    (-0.36, -0.96),
    (0, -1),
    (0.36, -0.96),
    (0.66, -0.8),
    (0.86, -0.56),
    (0.97, -0.3),
    (1, 0),
)
SHIELD_ON_CAP = ((-4, 19.4), (0, 18), (4, 19.4), (3.6, 24.6), (0, 27.4), (-3.6, 24.6))


def cover(figure: Figure) -> None:
    """Draw the hat of a clear occupation, if it has one."""
    hat = HATS.get(figure.person.role)
    if hat is not None:
        hat(figure)


def _nurse(figure: Figure) -> None:
    pen = figure.pen
    pen.poly([(-9.6, 35.6), (-12.4, 21.4), (0, 18.4), (12.4, 21.4), (9.6, 35.6)], EDGE)
    pen.poly([(-9, 34.9), (-11.6, 22), (0, 19.3), (11.6, 22), (9, 34.9)], WHITE)
    pen.box(-1.6, 22, 1.6, 32.4, RED)
    pen.box(-5.2, 25.6, 5.2, 28.8, RED)


def _pilot(figure: Figure) -> None:
    pen = figure.pen
    pen.poly([(-17, 23), (-12, 17.4), (12, 17.4), (17, 23), (12.4, 30), (-12.4, 30)], EDGE)
    pen.poly([(-16, 23), (-11.6, 18.2), (11.6, 18.2), (16, 23), (12, 30), (-12, 30)], WHITE)
    pen.poly([(-12.6, 28), (12.6, 28), (13, 33.4), (-13, 33.4)], NAVY)
    pen.poly([(-13, 33), (13, 33), (9, 37), (0, 38), (-9, 37)], INK)
    for sign in (-1, 1):
        pen.poly([(0, 23), (sign * 7, 20.6), (sign * 5, 25.6), (0, 28)], GOLD)
    pen.oval(0, 25, 2.8, 3.2, GOLD)


def _attendant(figure: Figure) -> None:
    pen, n = figure.pen, figure.neck
    pen.poly([(-10.4, 33), (-9.4, 22.4), (9.4, 20.4), (10.4, 31.4)], shade(SCARF, 0.7))
    pen.poly([(-9.8, 32), (-8.8, 23), (8.8, 21), (9.8, 30.6)], SCARF)
    pen.oval(5, 26.6, 2.2, 2.2, GOLD)
    pen.poly([(-n - 2, 57), (n + 2, 57), (n + 1.4, 63), (-n - 1.4, 63)], SCARF)
    pen.poly([(1, 61), (8.4, 65), (6, 69.6), (-0.6, 63)], SCARF)
    pen.poly([(1, 61), (-8.4, 65.6), (-5.6, 69.6), (2.4, 63)], shade(SCARF, 0.8))
    pen.oval(0.6, 62.4, 2.9, 2.9, shade(SCARF, 0.7))


def _secretary(figure: Figure) -> None:
    pen, w = figure.pen, figure.face
    pen.arc(0, HEAD - 1, w + 3.4, 19, 180, 360, 4.4, WHITE)
    pen.arc(0, HEAD - 1, w + 2.8, 18.4, 180, 360, 3.0, INK)
    for sign in (-1, 1):
        pen.oval(sign * (w + 1.6), HEAD + 0.4, 4.4, 6.2, INK)
        pen.oval(sign * (w + 1.6), HEAD + 0.4, 2.5, 4.2, CYAN)
    pen.line([(-w - 1, HEAD + 5), (-w + 1, HEAD + 12), (-6, HEAD + 12.6)], 1.5, INK)
    pen.oval(-5.6, HEAD + 12.4, 2.4, 1.9, CYAN)


def _student(figure: Figure) -> None:
    pen, w = figure.pen, figure.face
    pen.poly([(-w, 36), (-w + 1, 26), (w - 1, 26), (w, 36), (0, 33)], (54, 52, 66))
    pen.poly([(0, 16.2), (21.6, 22.6), (0, 29.6), (-21.6, 22.6)], WHITE)
    pen.poly([(0, 17), (20, 22.6), (0, 28.8), (-20, 22.6)], INK)
    pen.line([(0, 22), (16, 25), (16, 34)], 1.5, GOLD)
    pen.box(14.2, 32.6, 17.8, 39, GOLD)


def _chef(figure: Figure) -> None:
    pen = figure.pen
    for color, more in ((EDGE, 0.8), (WHITE, 0.0)):
        for x, y, r in ((-9, 22.4, 6.2), (9, 22.4, 6.2), (0, 21.4, 6.8)):
            pen.oval(x, y, r + more, r + more - 0.8, color)
        pen.box(-10.6 - more, 24, 10.6 + more, 35.4 + more, color)
    for x in (-5, 0, 5):
        pen.line([(x, 25), (x, 30.6)], 0.9, EDGE)
    pen.line([(-10.6, 31.6), (10.6, 31.6)], 0.9, EDGE)


def _farmer(figure: Figure) -> None:
    pen = figure.pen
    pen.oval(0, 33.2, 22, 4.6, shade(STRAW, 0.7))
    pen.oval(0, 32.8, 21.2, 3.8, STRAW)
    pen.poly([(-11, 32.6), (-9, 19.4), (-4, 17), (4, 17), (9, 19.4), (11, 32.6)], shade(STRAW, 0.7))
    pen.poly([(-10.2, 32.6), (-8.4, 20), (-4, 17.8), (4, 17.8), (8.4, 20), (10.2, 32.6)], STRAW)
    pen.poly([(-9.6, 27), (9.6, 27), (10.4, 32.4), (-10.4, 32.4)], (160, 60, 36))


def _engineer(figure: Figure) -> None:
    pen, w = figure.pen, figure.face
    dark = shade(HELMET, 0.72)
    half = w + 2.4
    pen.poly([(half * x, 34.5 + 16.8 * y) for x, y in DOME], dark)
    pen.poly([((half - 0.8) * x, 34.5 + 16 * y) for x, y in DOME], HELMET)
    pen.box(-2.6, 17.2, 2.6, 33, dark)
    pen.box(-1.4, 17.2, 1.4, 33, shade(HELMET, 1.45))
    pen.box(-half - 3, 33, half + 3, 36.4, dark)
    pen.box(-half - 2.2, 33, half + 2.2, 35.4, HELMET)


def _artist(figure: Figure) -> None:
    pen = figure.pen
    pen.poly([(-11, 35), (-19, 30), (-18, 24), (-9, 19), (4, 17.6), (14, 21), (17, 27), (11, 35)], shade(BERET, 0.66))
    pen.poly([(-10, 33), (-18, 29.4), (-17, 24.6), (-8.6, 19.8), (4, 18.4), (13.4, 21.6), (16, 27), (10, 33)], BERET)
    pen.line([(-2, 19.4), (-3.4, 15.6)], 1.8, shade(BERET, 0.66))


def _guard(figure: Figure) -> None:
    pen = figure.pen
    pen.poly([(-16, 22), (-10, 18.6), (0, 16.4), (10, 18.6), (16, 22), (12, 29), (-12, 29)], INK)
    for i in range(8):
        for row in (0, 1):
            x = -12.4 + 3.1 * i
            pen.box(x, 28 + 2.6 * row, x + 3.1, 30.6 + 2.6 * row, WHITE if (i + row) % 2 else INK)
    pen.poly([(-12.4, 33), (12.4, 33), (9, 37), (0, 38), (-9, 37)], INK)
    pen.poly(SHIELD_ON_CAP, GOLD)


HATS: dict[str, Callable[[Figure], None]] = {
    "nurse": _nurse,
    "pilot": _pilot,
    "attendant": _attendant,
    "secretary": _secretary,
    "student": _student,
    "chef": _chef,
    "farmer": _farmer,
    "engineer": _engineer,
    "artist": _artist,
    "guard": _guard,
}
