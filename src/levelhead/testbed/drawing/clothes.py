"""What is worn on the body: the look that both occupations of a setting share, and coats, ties and badges."""

from __future__ import annotations

from collections.abc import Callable

from levelhead.testbed.drawing.body import body, collar
from levelhead.testbed.drawing.canvas import EDGE, GOLD, INK, RED, STEEL, WHITE, Color, Number, Pen, shade
from levelhead.testbed.drawing.figure import Figure

NAVY: Color = (24, 32, 78)
DENIM: Color = (84, 104, 124)
VEST: Color = (52, 50, 60)
SCARF: Color = (238, 70, 150)
CUFF = 86
"""Where long sleeves end."""


def dress(figure: Figure) -> None:
    """Draw the body and what is worn on it."""
    theme = figure.person.theme
    CLOTHES.get(theme.name if theme else "", _plain)(figure)


def _plain(figure: Figure) -> None:
    body(figure)
    collar(figure)


def _panels(figure: Figure, color: Color, gap: Number) -> None:
    """Both halves of an open coat, and its lapels."""
    pen, w, n = figure.pen, figure.torso, figure.neck
    dark, inner = shade(color, 0.72), w - figure.arm
    for sign in (-1, 1):
        pen.poly(
            [
                (sign * n, 60),
                (sign * w * 0.5, 61),
                (sign * (w - 3), 63),
                (sign * (w - 0.8), 66),
                (sign * w, 70),
                (sign * w, CUFF),
                (sign * inner, CUFF),
                (sign * inner, 104),
                (sign * gap, 104),
                (sign * gap, 76),
                (sign * n, 66),
            ],
            color,
        )
        pen.line([(sign * gap, 104), (sign * gap, 76), (sign * n, 62)], 1.0, dark)
        pen.line([(sign * inner, 71), (sign * inner, 104)], 0.9, dark)


def _hospital(figure: Figure) -> None:
    pen, w, n = figure.pen, figure.torso, figure.neck
    if figure.person.role == "doctor":
        body(figure, WHITE, CUFF)
        _panels(figure, WHITE, 0.4 * w)
        for sign in (-1, 1):
            pen.line([(sign * w, 70), (sign * w, CUFF)], 0.8, EDGE)
        x = -0.4 * w
        pen.line([(-n - 0.5, 60), (x, 70), (x, 76)], 1.8, INK)
        pen.line([(n + 0.5, 60), (0.36 * w, 67), (0.3 * w, 71)], 1.8, INK)
        pen.oval(x, 78, 4.2, 4.2, INK)
        pen.oval(x, 78, 2.8, 2.8, STEEL)
    else:
        body(figure)
        pen.poly([(-n - 1.4, 60.2), (n + 1.4, 60.2), (0, 72)], WHITE)
        pen.poly([(-n, 59), (n, 59), (0, 68)], figure.skin)
        pen.box(-n + 0.6, 56, n - 0.6, 60, figure.skin)
    _cross(pen, 0.56 * w, 79)


def _cross(pen: Pen, x: Number, y: Number) -> None:
    pen.box(x - 6.4, y - 6.4, x + 6.4, y + 6.4, EDGE)
    pen.box(x - 5.7, y - 5.7, x + 5.7, y + 5.7, WHITE)
    pen.box(x - 1.6, y - 4.7, x + 1.6, y + 4.7, RED)
    pen.box(x - 4.7, y - 1.6, x + 4.7, y + 1.6, RED)


def _airport(figure: Figure) -> None:
    pen, w = figure.pen, figure.torso
    inner = w - figure.arm
    body(figure, NAVY, CUFF)
    _panels(figure, NAVY, 0.44 * w)
    for sign in (-1, 1):
        pen.poly(
            [(sign * 0.46 * w, 61.4), (sign * 0.8 * w, 62.8), (sign * 0.94 * w, 66), (sign * 0.56 * w, 65.4)], GOLD
        )
        pen.box(min(sign * w, sign * inner), 82, max(sign * w, sign * inner), 84.4, GOLD)
    for color, more in ((INK, 0.9), (GOLD, 0.0)):
        for sign in (-1, 1):
            pen.poly(
                [
                    (0, 73.6 - more),
                    (sign * (10.6 + 1.6 * more), 72 - more),
                    (sign * (8.8 + more), 75.4 + more),
                    (sign * 5, 77.2 + more),
                    (0, 77.6 + more),
                ],
                color,
            )
        pen.oval(0, 75.4, 2.8 + more, 3.6 + more, color)
    pen.oval(0, 75.4, 1.4, 2.1, NAVY)


def _office(figure: Figure) -> None:
    pen, n = figure.pen, figure.neck
    body(figure)
    for sign in (-1, 1):
        pen.poly([(0, 63), (sign * (n + 1), 58.6), (sign * (n + 2.4), 64), (sign * 2.6, 67.4)], figure.fold)
    if figure.person.role == "manager":
        for sign in (-1, 1):
            pen.poly([(0, 62.6), (sign * (n + 1), 58.6), (sign * (n + 2), 64), (sign * 3, 67)], WHITE)
        pen.poly([(-3, 62), (3, 62), (2, 66), (4.4, 84), (0, 90), (-4.4, 84), (-2, 66)], WHITE)
        pen.poly([(-2.3, 62.4), (2.3, 62.4), (1.4, 66), (3.6, 83.4), (0, 88), (-3.6, 83.4), (-1.4, 66)], INK)
        pen.line([(-2.4, 72), (2.4, 69.6)], 1.1, STEEL)
        pen.line([(-2.8, 77), (2.8, 74.6)], 1.1, STEEL)


def _market(figure: Figure) -> None:
    pen, w, n = figure.pen, figure.torso, figure.neck
    body(figure)
    collar(figure)
    half = 0.48 * w
    for sign in (-1, 1):
        pen.line([(sign * (n + 0.8), 60), (sign * half * 0.8, 69)], 2.2, WHITE)
    pen.poly(
        [
            (-half * 0.9, 68),
            (half * 0.9, 68),
            (half * 1.15, 80),
            (half * 1.2, 104),
            (-half * 1.2, 104),
            (-half * 1.15, 80),
        ],
        WHITE,
    )
    pen.line([(-half * 0.9, 68.4), (half * 0.9, 68.4)], 0.9, EDGE)


def _workshop(figure: Figure) -> None:
    pen, w, n = figure.pen, figure.torso, figure.neck
    body(figure)
    collar(figure)
    half = 0.56 * w
    for sign in (-1, 1):
        pen.poly([(sign * (n + 0.6), 60), (sign * (n + 4), 60.6), (sign * half, 72), (sign * (half - 3.4), 72)], DENIM)
    pen.poly(
        [(-half, 71), (half, 71), (half * 1.08, 84), (w, 86), (w, 104), (-w, 104), (-w, 86), (-half * 1.08, 84)], DENIM
    )
    pen.line([(-half, 71.5), (half, 71.5)], 1.1, shade(DENIM, 0.66))
    pen.poly([(-4.4, 76), (4.4, 76), (4.4, 82), (0, 84.4), (-4.4, 82)], shade(DENIM, 0.66))
    for sign in (-1, 1):
        pen.oval(sign * (half - 1.6), 73.4, 1.9, 1.9, GOLD)


def _shop(figure: Figure) -> None:
    pen, w, n = figure.pen, figure.torso, figure.neck
    body(figure)
    collar(figure)
    arm = w - figure.arm
    for sign in (-1, 1):
        pen.poly(
            [
                (sign * (n + 0.8), 60),
                (sign * 0.76 * w, 63),
                (sign * arm, 70),
                (sign * arm, 104),
                (sign * 0.32 * w, 104),
                (sign * 0.32 * w, 74),
            ],
            VEST,
        )
        pen.line([(sign * (n + 1.2), 60.6), (sign * 0.32 * w, 74), (sign * 0.32 * w, 104)], 1.3, GOLD)


CLOTHES: dict[str, Callable[[Figure], None]] = {
    "hospital": _hospital,
    "airport": _airport,
    "office": _office,
    "market": _market,
    "workshop": _workshop,
    "shop": _shop,
}
