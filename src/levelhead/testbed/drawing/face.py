"""Faces: age in the lines; gender in beard, brows, lips, lashes and a necklace."""

from __future__ import annotations

from levelhead.testbed.drawing.canvas import INK, WHITE, Color, roundish, shade, stretched
from levelhead.testbed.drawing.figure import HEAD, Figure

JAWS = {"man": roundish(2.1, 2.7), "woman": roundish(2.1, 1.9)}
LIPS: Color = (224, 36, 84)
LENS: Color = (226, 240, 250)


def head(figure: Figure) -> None:
    """Draw ears and face, without hair."""
    pen, w = figure.pen, figure.face
    for sign in (-1, 1):
        pen.oval(sign * w, HEAD + 1.5, 2.6, 3.4, figure.shadow)
        pen.oval(sign * w, HEAD + 1.5, 1.9, 2.7, figure.skin)
    pen.poly(stretched(JAWS[figure.person.gender], 0, HEAD, w, 13.6), figure.skin)
    pen.poly([(0, HEAD), (-1.8, HEAD + 4.2), (1.8, HEAD + 4.2)], shade(figure.skin, 0.8))
    if figure.person.age == "old":
        _wrinkles(figure)
    if figure.person.gender == "man":
        _man(figure)
    else:
        _woman(figure)


def _wrinkles(figure: Figure) -> None:
    pen, line = figure.pen, shade(figure.skin, 0.66)
    for y, half in ((-8.4, 4.4), (-7, 2)):
        pen.line([(-half, HEAD + y), (half, HEAD + y)], 1.0, line)
    for sign in (-1, 1):
        pen.line([(sign * 2.8, HEAD + 3.8), (sign * 5.8, HEAD + 6), (sign * 7.2, HEAD + 9.4)], 1.4, line)
        pen.arc(sign * 5.4, HEAD + 1.4, 3.6, 3, 20, 160, 1.2, line)
        pen.line([(sign * 8.8, HEAD + 3.4), (sign * 10.4, HEAD + 5)], 1.0, line)


def _man(figure: Figure) -> None:
    pen, w, hair, rim = figure.pen, figure.face, figure.hair, figure.strands
    mouth = (122, 32, 40)
    if figure.beard < 2:
        deep = 16.6 if figure.beard else 15.4
        chin = stretched(JAWS["man"], 0, HEAD, w + 0.9, deep)
        outline = [p for p in chin if p[1] >= HEAD + 0.8]
        # The rim of a shape of 28 steps starts on the right; below the middle it runs to the left.
        inner = [(-w + 2.6, HEAD + 3.4), (-5.6, HEAD + 5.2), (0, HEAD + 4.4), (5.6, HEAD + 5.2), (w - 2.6, HEAD + 3.4)]
        pen.poly([*outline, *inner], hair)
        pen.poly(
            [(-4.8, HEAD + 7.8), (0, HEAD + 8.6), (4.8, HEAD + 7.8), (2.6, HEAD + 10.8), (-2.6, HEAD + 10.8)], mouth
        )
        pen.line([(-6.4, HEAD + 7.4), (-2, HEAD + 6.2), (0, HEAD + 7.2), (2, HEAD + 6.2), (6.4, HEAD + 7.4)], 1.0, rim)
    else:
        pen.poly([(-4.4, HEAD + 8.6), (4.4, HEAD + 8.6), (2.2, HEAD + 11), (-2.2, HEAD + 11)], mouth)
        half = [(0, HEAD + 4), (6, HEAD + 4.6), (10.4, HEAD + 8), (8.4, HEAD + 9.8), (3.4, HEAD + 8.6), (0, HEAD + 7.8)]
        pen.poly([*half, *((-x, y) for x, y in reversed(half))], hair)
        pen.oval(0, HEAD + 13.6, 3.2, 1.9, hair)


def _woman(figure: Figure) -> None:
    pen, n = figure.pen, figure.neck
    pen.poly(
        [
            (-5.4, HEAD + 6.8),
            (-1.8, HEAD + 6.5),
            (0, HEAD + 7.2),
            (1.8, HEAD + 6.5),
            (5.4, HEAD + 6.8),
            (2.8, HEAD + 10.6),
            (-2.8, HEAD + 10.6),
        ],
        LIPS,
    )
    pen.line([(-4.8, HEAD + 7.4), (0, HEAD + 8.6), (4.8, HEAD + 7.4)], 0.8, (130, 8, 48))
    pen.arc(0, 57, n + 1.4, 5, 10, 170, 1.6, WHITE)


def eyes(figure: Figure) -> None:
    """Draw glasses, eyes and brows."""
    pen, man = figure.pen, figure.person.gender == "man"
    glasses = figure.person.glasses == "yes"
    y = HEAD - 0.6
    if glasses:
        pen.box(-figure.face, y - 1.2, figure.face, y + 0.4, INK)
        for x in (-5.4, 5.4):
            pen.oval(x, y, 5.0, 4.6, INK)
            pen.oval(x, y, 3.5, 3.1, LENS)
    for sign in (-1, 1):
        x = sign * 5.2
        if not glasses:
            pen.oval(x, y, 3.0, 2.4, WHITE)
        pen.oval(x, y, 1.9, 2.0, INK)
        pen.oval(x - 0.5, y - 0.7, 0.7, 0.7, WHITE)
    brow = shade(figure.hair, 0.7) if figure.person.age == "young" else figure.hair
    for sign in (-1, 1):
        if man:
            pen.poly(
                [(sign * 2, HEAD - 4.2), (sign * 8.4, HEAD - 4.8), (sign * 8, HEAD - 6.8), (sign * 2, HEAD - 6.2)], brow
            )
        else:
            pen.line([(sign * 2.4, HEAD - 5.6), (sign * 5.4, HEAD - 6.6), (sign * 8.4, HEAD - 5.4)], 0.9, brow)
            if not glasses:
                pen.arc(sign * 5.2, y, 3.4, 3.0, 180, 360, 1.2, INK)
            x = sign * (9.4 if glasses else 7.8)
            pen.line([(x, y - 1.2), (x + sign * 2.6, y - 3.6)], 1.3, INK)
            pen.line([(x, y + 0.2), (x + sign * 2.8, y - 1)], 1.1, INK)
