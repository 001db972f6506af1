"""Pictures: each says its message in the title, names its axes, and labels its lines where they are.

Every function draws on the axes that it is given, or on a figure of its own, and returns the axes. Colors
are Okabe and Ito's, which color-blind people can tell apart; nothing is told by color alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, ORANGE, GREEN, GRAY, INK = "#0072B2", "#D55E00", "#009E73", "#8C8C8C", "#333333"


def new_axes(width: float = 7.5, height: float = 4.5) -> Axes:
    """Axes on a figure of their own, in inches, that no global state knows of."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained").add_subplot()


def pronoun_gap(
    before: Mapping[str, float],
    after: Mapping[str, float],
    percent_women: Mapping[str, float],
    ax: Axes | None = None,
    *,
    title: str = "",
) -> Axes:
    """Log-odds of 'she' against 'he' for each occupation, before and after steering, ordered by women's share.

    Parameters
    ----------
    before, after : mapping of str to float
        For each occupation, log P(she) - log P(he), in nats.
    percent_women : mapping of str to float
        Women's share in each, in percent.
    ax : matplotlib Axes, optional
    title : str

    Returns
    -------
    matplotlib Axes
    """
    jobs = sorted(before, key=lambda job: percent_women[job])
    women, men = ([job for job in jobs if (percent_women[job] > 50) == side] for side in (True, False))
    top = len(jobs) + 1
    # The gap is the difference of the two means, so they head the picture.
    rows = [(float(row), job, [job], ORANGE if job in women else BLUE) for row, job in enumerate(jobs)]
    rows += [(top + 1.0, "mean, mostly women", women, ORANGE), (float(top), "mean, mostly men", men, BLUE)]
    ax = new_axes(8.0, 2.1 + 0.25 * len(jobs)) if ax is None else ax
    for row, _, members, color in rows:
        first, last = (sum(side[job] for job in members) / len(members) for side in (before, after))
        size = 10 if row >= top else 7
        ax.plot([first, last], [row, row], color=color, alpha=0.45, linewidth=size / 4, zorder=2)
        ax.plot(first, row, "o", markersize=size, markerfacecolor="white", markeredgecolor=color, zorder=3)
        ax.plot(last, row, "o", markersize=size, color=color, zorder=4)
        if row == top + 1:
            _say_which(ax, first, last, row)
    ax.axvline(0, color=INK, linewidth=0.9, zorder=1)
    for border in (len(men) - 0.5, len(jobs)):
        ax.axhline(border, color=GRAY, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    names = [f"{name} ({percent_women[name]:.0f} %)" if name in percent_women else name for _, name, *_ in rows]
    ax.set_yticks([row for row, *_ in rows], names)
    for label in ax.get_yticklabels()[len(jobs) :]:
        label.set_fontweight("bold")
    ax.set_ylim(-0.8, top + 2.2)
    reach = 1.1 * max(abs(value) for side in (before, after) for value in side.values())
    ax.set_xlim(-reach, reach)
    middle = len(men) - 0.5
    ax.text(reach * 0.985, middle + 0.2, "mostly women", color=ORANGE, ha="right", va="bottom")
    ax.text(reach * 0.985, middle - 0.25, "mostly men", color=BLUE, ha="right", va="top")
    ax.set_xlabel("log P(she) − log P(he), in nats\n← 'he' is likelier        'she' is likelier →")
    ax.set_ylabel("occupation (women's share)")
    ax.set_title(title, loc="left")
    _plain(ax)
    return ax


def _say_which(ax: Axes, before: float, after: float, row: float) -> None:
    """Name the open and the full circle, on their outer sides."""
    apart = before > after
    for at, text, outer in ((before, "as the model is", apart), (after, "steered", not apart)):
        ax.annotate(
            text,
            (at, row),
            xytext=(-5 if outer else 5, 8),
            textcoords="offset points",
            ha="left" if outer else "right",
            va="bottom",
            color=INK,
            fontsize=9,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0},
        )


def _plain(ax: Axes) -> None:
    ax.spines[["top", "right"]].set_visible(False)
