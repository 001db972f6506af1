"""Hair in three cuts, some of it always beside the face, where no hat covers it; and earrings, which hang before it."""

from __future__ import annotations

from math import cos, pi, sin

from levelhead.testbed.drawing.canvas import GOLD, shade, stretched
from levelhead.testbed.drawing.figure import HEAD, Figure

ARCH = tuple((cos(pi + pi * i / 14), sin(pi + pi * i / 14)) for i in range(15))
"""The upper half of a circle, from left to right."""
CURLS = tuple((cos(a), sin(a)) for a in (pi * (0.86 + 1.28 * i / 8) for i in range(9)))


def hair_behind(figure: Figure) -> None:
    """Draw the hair that is behind the head."""
    pen, w, hair, rim = figure.pen, figure.face, figure.hair, figure.strands
    if figure.person.hair == "short":
        pen.poly([*stretched(ARCH, 0, HEAD - 1, w + 2.2, 16.8), (w + 2.2, HEAD + 3), (-w - 2.2, HEAD + 3)], rim)
    elif figure.person.hair == "long":
        pen.poly([*stretched(ARCH, 0, HEAD - 2, w + 5.4, 16.4), (w + 6, 68.6), (-w - 6, 68.6)], rim)
        pen.poly([*stretched(ARCH, 0, HEAD - 2, w + 4.6, 15.6), (w + 5.2, 68), (-w - 5.2, 68)], hair)
    elif figure.person.hair == "curly":
        for color, r in ((rim, 6.8), (hair, 6.0)):
            for x, y in CURLS:
                pen.oval(x * (w + 1.6), HEAD - 3 + 12 * y, r, r, color)


def hair_before(figure: Figure) -> None:
    """Draw the hair that frames the face, and what hangs beside it."""
    pen, w, hair, rim = figure.pen, figure.face, figure.hair, figure.strands
    kind = figure.person.hair
    if kind == "short":
        arch = stretched(ARCH, 0, HEAD - 1, w + 1.4, 16)
        line = [
            (w - 1.6, HEAD + 2.4),
            (w - 3, HEAD - 4.6),
            (w * 0.3, HEAD - 9.6),
            (-w * 0.4, HEAD - 8),
            (-w + 3, HEAD - 4.6),
            (-w + 1.6, HEAD + 2.4),
        ]
        pen.poly([*arch, (w + 1.4, HEAD + 2.4), *line, (-w - 1.4, HEAD + 2.4)], hair)
        pen.line([(-w * 0.4, HEAD - 8), (w * 0.3, HEAD - 13)], 1.0, rim)
    elif kind == "long":
        arch = stretched(ARCH, 0, HEAD - 1, w + 3.4, 16)
        line = [
            (w - 1, HEAD + 2),
            (w - 2.6, HEAD - 6),
            (1, HEAD - 11.5),
            (-1, HEAD - 11.5),
            (2.6 - w, HEAD - 6),
            (1 - w, HEAD + 2),
        ]
        pen.poly([*arch, *line], hair)
        pen.line([(0, HEAD - 16), (0, HEAD - 11)], 0.9, rim)
        for sign in (-1, 1):
            pen.poly(
                [
                    (sign * (w - 1), HEAD),
                    (sign * (w + 4.4), HEAD),
                    (sign * (w + 5.2), 68),
                    (sign * (w + 2), 70.4),
                    (sign * (w - 1.4), 67),
                ],
                hair,
            )
            pen.line([(sign * (w + 1.6), HEAD), (sign * (w + 1.8), 68)], 0.9, rim)
    else:
        for x, y, r in ((-w + 1, -7.5, 4.6), (-5.2, -11, 4.8), (0, -12, 4.8), (5.2, -11, 4.8), (w - 1, -7.5, 4.6)):
            pen.oval(x, HEAD + y, r, r, hair)
        for x, y in ((-w - 2, -3), (-w * 0.62, -12), (0, -15), (w * 0.62, -12), (w + 2, -3)):
            pen.arc(x, HEAD + y, 2.6, 2.6, 180, 330, 1.0, rim)
        for sign in (-1, 1):
            pen.oval(sign * (w + 2.6), HEAD + 1, 4.6, 4.8, hair)
    if figure.person.gender == "woman":
        for sign in (-1, 1):
            pen.oval(sign * (w + 0.6), HEAD + 8.4, 2.5, 3.1, shade(GOLD, 0.7))
            pen.oval(sign * (w + 0.6), HEAD + 8.4, 1.9, 2.5, GOLD)
