"""What all pictures share: colors, axes of their own, no frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, ORANGE, GREEN, GRAY, INK = "#0072B2", "#D55E00", "#009E73", "#8C8C8C", "#333333"
LINES = (ORANGE, BLUE, GREEN, "#CC79A7", "#56B4E9", "#000000")
"""For several lines in one picture, in this order."""


def new_axes(width: float = 7.5, height: float = 4.5) -> Axes:
    """Axes on a figure of their own, in inches, that no global state knows of."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained").add_subplot()


def plain(ax: Axes) -> None:
    """Take away the lines on top and at the right."""
    ax.spines[["top", "right"]].set_visible(False)
