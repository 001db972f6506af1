"""Pictures of what parts of a steer do, each alone and each left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from levelhead.errors import InputError
from levelhead.plots.looks import BLUE, GRAY, INK, ORANGE, new_axes, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from levelhead.restrict import Restrictions


def restriction_chart(
    result: Restrictions, ax: Axes | None = None, *, measure: str | None = None, title: str = ""
) -> Axes:
    """One measure for every part of a steer, kept alone and left out, between the unsteered model and the whole steer.

    Parameters
    ----------
    result : Restrictions
    ax : matplotlib Axes, optional
    measure : str, optional
        The first when left out.
    title : str

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InputError
        If that was not measured.
    """
    names = list(dict.fromkeys(row.measure for row in result.rows))
    measure = names[0] if measure is None else measure
    rows: list[Any] = [row for row in result.rows if row.measure == measure and not row.note]
    if not rows:
        raise InputError(f"there are no numbers of '{measure}'; measured were {', '.join(names)}")
    parts = list(dict.fromkeys((row.by, row.part) for row in rows if row.part))
    # A little room between one way of taking apart and the next.
    heights: dict[tuple[str, str], float] = {}
    for number, key in enumerate(parts):
        heights[key] = number + 0.6 * list(dict.fromkeys(by for by, _ in parts)).index(key[0])
    last = max(heights.values(), default=0.0)
    ax = new_axes(8.0, min(12.0, 1.9 + 0.36 * (last + 1))) if ax is None else ax
    ends = sorted((row for row in rows if row.keep in ("none", "all")), key=lambda row: row.estimate.value)
    values = [row.estimate.value for row in rows]
    close = len(ends) == 2 and ends[1].estimate.value - ends[0].estimate.value < 0.3 * (max(values) - min(values) or 1)
    for row, side in zip(ends, ("right", "left"), strict=False):
        said, style = (("unsteered", ":"), ("the whole steer", "-"))[row.keep == "all"]
        ax.axvline(row.estimate.value, color=INK, linewidth=1.0, linestyle=style, zorder=1)
        ax.axvspan(row.estimate.low, row.estimate.high, color=GRAY, alpha=0.15, linewidth=0, zorder=0)
        ax.annotate(
            said, (row.estimate.value, 1.0), (0, 3), xycoords=("data", "axes fraction"), textcoords="offset points",
            ha=side if close else "center", va="bottom", fontsize=9.5, color=INK,
        )  # fmt: skip
    both = len({row.keep for row in rows} & {"only", "without"}) == 2
    for keep, color, marker, said, side in (
        ("only", ORANGE, "o", "this alone", -1),
        ("without", BLUE, "s", "all but this", 1),
    ):
        some = [row for row in rows if row.keep == keep]
        if not some:
            continue
        y = [heights[row.by, row.part] + (0.14 * side if both else 0) for row in some]
        x = [row.estimate.value for row in some]
        bars = [[max(0.0, v - r.estimate.low), max(0.0, r.estimate.high - v)] for v, r in zip(x, some, strict=True)]
        ax.errorbar(
            x, y, xerr=list(zip(*bars, strict=True)), fmt=marker, color=color, markersize=6, elinewidth=1.2,
            markerfacecolor=color if keep == "only" else "white", label=said, zorder=3,
        )  # fmt: skip
    ax.set_yticks(list(heights.values()), [_said(by, part) for by, part in parts])
    ax.set_ylim(last + 0.6, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel(measure)
    ax.legend(frameon=False, fontsize=9.5, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    ax.set_title(title, loc="left", pad=20)
    plain(ax)
    return ax


def _said(by: str, part: str) -> str:
    return f"layer {part}" if by == "layer" and part.isdigit() else part
