"""Neck, torso and arms, in a plain shirt."""

from __future__ import annotations

from levelhead.testbed.drawing.canvas import Color, Number, shade
from levelhead.testbed.drawing.figure import Figure


def body(figure: Figure, sleeve: Color | None = None, cuff: Number = 80) -> None:
    """Draw neck, torso and arms; sleeves end at the height of the cuff and may have a color of their own."""
    pen, w, n = figure.pen, figure.torso, figure.neck
    arm = figure.arm
    side = sleeve or figure.shirt
    for sign in (-1, 1):
        outer, inner = sign * w, sign * (w - arm)
        pen.box(min(outer, inner), cuff - 2, max(outer, inner), 104, figure.skin)
        pen.poly(
            [
                (sign * 0.5 * w, 61),
                (sign * (w - 3), 63),
                (sign * (w - 0.8), 66),
                (outer, 70),
                (outer, cuff),
                (inner, cuff),
                (inner, 69),
            ],
            side,
        )
    pen.poly(
        [
            (-n, 60),
            (n, 60),
            (0.5 * w, 61),
            (w - 3, 63),
            (w - arm, 70),
            (w - arm, 104),
            (arm - w, 104),
            (arm - w, 70),
            (3 - w, 63),
            (-0.5 * w, 61),
        ],
        figure.shirt,
    )
    edge = shade(side, 0.76)
    for sign in (-1, 1):
        pen.line([(sign * (w - arm), 70), (sign * (w - arm), 104)], 0.9, edge)
        pen.line([(sign * w, cuff), (sign * (w - arm), cuff)], 1.2, edge)
    pen.box(-n, 50, n, 61.5, figure.skin)
    pen.box(-n, 54, n, 57, figure.shadow)
    pen.oval(0, 61, n, 2.8, figure.skin)


def collar(figure: Figure) -> None:
    """Draw the plain shirt's round neck."""
    pen, n = figure.pen, figure.neck
    pen.arc(0, 61, n + 0.9, 3.7, 0, 180, 1.4, figure.fold)
