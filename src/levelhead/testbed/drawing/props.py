"""What stands behind people at work, in front of them, or in their hands."""

from __future__ import annotations

from collections.abc import Callable

from levelhead.testbed.drawing.canvas import (
    EDGE,
    GOLD,
    GREEN,
    INK,
    PAPER,
    RED,
    STEEL,
    WHITE,
    WOOD,
    Color,
    Number,
    Pen,
    shade,
)
from levelhead.testbed.drawing.figure import Figure

BOARD: Color = (28, 92, 70)
SCREEN: Color = (90, 190, 240)
SHIELD = ((-7, -7), (0, -9), (7, -7), (6.6, 1), (3.6, 6.4), (0, 9), (-3.6, 6.4), (-6.6, 1))


def backdrop(pen: Pen, setting: str, alone: bool) -> None:
    """Draw what is behind everybody: the board of a school."""
    if setting == "school":
        left, right = (26, 70) if alone else (3, 93)
        pen.box(left, 17, right, 62, WOOD)
        pen.box(left + 1.6, 18.6, right - 1.6, 60.4, BOARD)
        for y, length in ((24, 7), (30, 4.6), (36, 7), (42, 5.4), (48, 6.6)):
            pen.box(left + 3.4, y, left + 3.4 + length, y + 1.4, PAPER)
            pen.box(right - 4 - length, y, right - 4, y + 1.4, PAPER)


def front(figure: Figure) -> None:
    """Draw what is in front of a person."""
    theme = figure.person.theme
    prop = FRONTS.get(theme.name if theme else "")
    if prop is not None:
        prop(figure)


def _hand(figure: Figure, x: Number, y: Number) -> None:
    figure.pen.oval(x, y, 3.4, 3.2, figure.shadow)
    figure.pen.oval(x, y, 2.8, 2.6, figure.skin)


def _office(figure: Figure) -> None:
    pen, half = figure.pen, figure.reach + 1
    pen.box(-half, 86, half, 104, WOOD)
    pen.box(-half, 85, half, 87.6, shade(WOOD, 1.25))
    pen.box(-half, 87.6, half, 88.4, shade(WOOD, 0.7))
    _hand(figure, -8, 85.4)
    pen.box(5.6, 71, 22, 84, INK)
    pen.box(7, 72.4, 20.6, 82.2, SCREEN)
    pen.box(12.2, 84, 15.4, 86, INK)
    pen.box(9, 85, 18.6, 86.6, INK)
    x = -figure.reach
    if figure.person.role == "manager":
        pen.box(x, 67, x + 14.5, 86, EDGE)
        pen.box(x + 0.8, 67.8, x + 13.7, 85.4, WHITE)
        for i, (height, color) in enumerate(((5, RED), (9, GOLD), (13.5, GREEN))):
            pen.box(x + 2 + 3.9 * i, 84 - height, x + 5 + 3.9 * i, 84, color)
    elif figure.person.role == "secretary":
        pen.poly([(x + 2, 85.6), (x + 3.6, 78), (x + 10.4, 78), (x + 12, 85.6)], RED)
        pen.box(x + 0.6, 74.4, x + 13.4, 77.6, shade(RED, 0.8))
        pen.box(x, 74.4, x + 3.8, 79.4, shade(RED, 0.8))
        pen.box(x + 10.2, 74.4, x + 14, 79.4, shade(RED, 0.8))
        pen.oval(x + 7, 81.8, 2.4, 2.4, WHITE)


def _school(figure: Figure) -> None:
    pen = figure.pen
    for sign in (-1, 1):
        pen.poly([(0, 79), (sign * 11, 76.4), (sign * 11, 89.4), (0, 92)], RED)
        pen.poly([(0, 78.4), (sign * 10, 76), (sign * 10, 87.4), (0, 90)], WHITE)
        for y in (79.6, 82.4, 85.2):
            pen.line([(sign * 2, y + 1), (sign * 8.4, y - 0.6)], 0.9, EDGE)
        _hand(figure, sign * 11, 85)
    pen.line([(0, 78.4), (0, 91)], 1.2, EDGE)
    if figure.person.role == "teacher":
        pen.oval(-6.6, 74, 5.2, 4.9, shade(RED, 0.7))
        pen.oval(-6.6, 74, 4.5, 4.2, RED)
        pen.poly([(-6.6, 70.6), (-5.4, 67.4), (-2, 66.6), (-3.4, 69.6)], GREEN)
        pen.line([(16, 84), (20.4, 24)], 3.8, INK)
        pen.line([(16, 84), (20.4, 24)], 2.5, (250, 226, 160))
        pen.oval(20.4, 24, 2.9, 2.9, RED)
        _hand(figure, 16.6, 79)


def _market(figure: Figure) -> None:
    pen = figure.pen
    pen.oval(-10, 85, 5, 4.6, RED)
    pen.oval(-10, 80.6, 2, 1.2, GREEN)
    for x in (-3, 1.4):
        pen.poly([(x - 1.6, 79), (x + 1.6, 79), (x, 74)], GREEN)
        pen.poly([(x - 2.4, 78.4), (x + 2.4, 78.4), (x, 90)], (244, 124, 24))
    for x, y in ((7.4, 83.6), (12, 84.6), (9.8, 81)):
        pen.oval(x, y, 4, 3.8, shade(GREEN, 0.8))
        pen.oval(x, y, 3, 2.8, (96, 190, 80))
    for y in (86, 91):
        pen.box(-16, y, 16, y + 4.4, shade(WOOD, 1.15))
        pen.box(-16, y + 3.6, 16, y + 5, shade(WOOD, 0.66))
    for x in (-16, 13.4):
        pen.box(x, 85, x + 2.6, 104, shade(WOOD, 0.8))
    pen.box(-16, 96, 16, 104, WOOD)


def _workshop(figure: Figure) -> None:
    pen = figure.pen
    if figure.person.role == "mechanic":
        x = 16
        _wrench(pen, x, INK, 0.9)
        _wrench(pen, x, STEEL, 0.0)
        _hand(figure, x, 82)
    elif figure.person.role == "cleaner":
        pen.line([(-17, 30), (-17, 82)], 3.2, INK)
        pen.line([(-17, 30), (-17, 82)], 2.2, (214, 150, 84))
        pen.poly([(-19.4, 78), (-14.6, 78), (-10.4, 97), (-23, 97)], shade(GOLD, 0.8))
        pen.box(-19.6, 77, -14.4, 80, RED)
        for x in (-19.4, -17, -14.4):
            pen.line([(-17 + 0.3 * (x + 17), 81), (x, 97)], 0.8, shade(GOLD, 0.55))
        _hand(figure, -17, 72)
        pen.arc(13, 82, 8, 9, 180, 360, 1.4, INK)
        pen.poly([(4, 82), (22, 82), (19.4, 97), (6.6, 97)], (20, 120, 150))
        pen.poly([(5, 83), (21, 83), (18.8, 97), (7.2, 97)], (40, 184, 212))
        pen.oval(13, 82.6, 9, 2.4, WHITE)


def _wrench(pen: Pen, x: Number, color: Color, more: Number) -> None:
    pen.box(x - 2 - more, 60, x + 2 + more, 92 + more, color)
    pen.poly(
        [
            (x - 6 - more, 48 - more),
            (x - 2.4 + more, 48 - more),
            (x - 2.4 + more, 54 - more),
            (x + 2.4 - more, 54 - more),
            (x + 2.4 - more, 48 - more),
            (x + 6 + more, 48 - more),
            (x + 6 + more, 57),
            (x + 2, 62 + more),
            (x - 2, 62 + more),
            (x - 6 - more, 57),
        ],
        color,
    )


def _studio(figure: Figure) -> None:
    pen = figure.pen
    for sign in (-1, 1):
        pen.line([(sign * 7, 88), (sign * 12, 104)], 2.2, WOOD)
    pen.box(-13, 74, 13, 94, shade(WOOD, 0.75))
    pen.box(-11.6, 75.4, 11.6, 91.6, WHITE)
    pen.box(-14, 92, 14, 95, WOOD)
    pen.line([(-9, 89.4), (9, 89.4)], 1.2, (40, 60, 190))
    pen.line([(-6, 89), (-6, 83), (0, 78), (6, 83), (6, 89)], 1.4, (40, 60, 190))
    pen.line([(-7.4, 83.4), (0, 77.4), (7.4, 83.4)], 1.4, (40, 60, 190))
    pen.box(-1.5, 85, 1.5, 89.4, (40, 60, 190))
    if figure.person.role == "artist":
        x = -13
        pen.oval(x, 74, 9.6, 7.8, shade(WOOD, 0.7))
        pen.oval(x, 74, 8.8, 7, (232, 184, 120))
        for dx, dy, color in ((-4.6, -1.6, RED), (0, -4, (40, 90, 220)), (4.6, -1.8, GOLD), (-3, 3, GREEN)):
            pen.oval(x + dx, 74 + dy, 2.1, 2.0, color)
        pen.oval(x + 3.4, 76.6, 1.8, 1.6, INK)


def _shop(figure: Figure) -> None:
    pen, half = figure.pen, figure.reach + 1
    pen.box(-half, 87, half, 104, WHITE)
    step = half / 4
    for i in range(4):
        pen.box(-half + 2 * i * step, 87, -half + (2 * i + 1) * step, 104, (20, 150, 150))
    pen.box(-half, 84.6, half, 88, (60, 70, 84))
    if figure.person.role == "cashier":
        x = -0.46 * figure.reach
        pen.box(x - 10.6, 77, x + 10.6, 86, INK)
        pen.box(x - 9.8, 77.8, x + 9.8, 85.2, (196, 202, 212))
        for dx in (-7.6, -2.8, 2, 6.8):
            for y in (78.8, 82.2):
                pen.box(x + dx - 0.8, y, x + dx + 2.2, y + 2.2, RED if dx > 6 else INK)
        pen.box(x - 9.6, 66.4, x + 9.6, 76, INK)
        pen.box(x - 8.2, 67.8, x + 8.2, 74.6, (130, 236, 110))
        for dx in (-6.2, -1.4, 3.4):
            pen.box(x + dx, 69, x + dx + 2.8, 73.4, (20, 70, 20))
        pen.box(x - 2, 75, x + 2, 78, INK)
    elif figure.person.role == "guard":
        for size, color in ((1.0, INK), (0.86, GOLD), (0.48, (30, 70, 160))):
            pen.poly([(size * x - 0.54 * figure.torso, 76 + size * y) for x, y in SHIELD], color)


FRONTS: dict[str, Callable[[Figure], None]] = {
    "office": _office,
    "school": _school,
    "market": _market,
    "workshop": _workshop,
    "studio": _studio,
    "shop": _shop,
}
