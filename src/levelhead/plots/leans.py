"""Pictures of a measured bias: one row for each thing that is asked, before and after steering."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from levelhead.plots.looks import BLUE, GRAY, INK, LINES, ORANGE, new_axes, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def lean_chart(
    rows: Mapping[str, Mapping[str, Sequence[float]]],
    sides: tuple[str, str],
    labels: Mapping[str, str] | None = None,
    ax: Axes | None = None,
    *,
    title: str = "",
    unit: str = "probability of the first answer",
) -> Axes:
    """Probability of an answer on two sides of a counterfactual: planted, as the model is, and steered.

    Parameters
    ----------
    rows : mapping of str to mapping of str to (float, float)
        For each thing that is asked, the probability on either side; of ``"planted"``, ``"before"`` and ``"after"``.
    sides : tuple of str
        What the two sides are, such as ``("a man", "a woman")``.
    labels : mapping of str to str, optional
        Longer names of the rows.
    ax : matplotlib Axes, optional
    title : str
    unit : str
        What the numbers are.

    Returns
    -------
    matplotlib Axes
    """
    ax = new_axes(8.0, 1.9 + 0.52 * len(rows)) if ax is None else ax
    labels = labels or {}
    for number, row in enumerate(rows.values()):
        for state, y in (("before", number - 0.17), ("after", number + 0.17)):
            first, second = row[state]
            after = state == "after"
            ax.plot([first, second], [y, y], color=INK if after else GRAY, linewidth=1.6, alpha=0.6, zorder=2)
            for x, color, marker in ((first, BLUE, "s"), (second, ORANGE, "o")):
                face = color if after else "white"
                ax.plot(x, y, marker, markersize=7.5, color=color, markerfacecolor=face, zorder=4)
        for x, color in zip(row["planted"], (BLUE, ORANGE), strict=True):
            ax.plot([x, x], [number - 0.36, number + 0.02], color=color, linewidth=2.2, alpha=0.55, zorder=1)
    ax.axvline(0.5, color=INK, linewidth=0.9, linestyle=":", zorder=0)
    ax.set_ylim(len(rows) - 0.4, -1.15)
    ax.set_xlim(0, 1)
    ax.set_yticks(range(len(rows)), [labels.get(name, name) for name in rows])
    ax.tick_params(axis="y", length=0)
    first = next(iter(rows.values()))
    for x, name, color in zip(first["before"], sides, (BLUE, ORANGE), strict=True):
        ax.text(x, -0.52, name, color=color, ha="center", va="bottom", fontsize=10)
    ax.set_xlabel(f"{unit}\nopen: as the model is; full: steered; bars: what was planted")
    ax.set_title(title, loc="left")
    plain(ax)
    return ax


def budget_chart(
    points: Mapping[str, Sequence[tuple[float, float]]],
    budget: float,
    chosen: tuple[float, float],
    before: float,
    ax: Axes | None = None,
    *,
    title: str = "",
) -> Axes:
    """What every edit of a search left of a bias, against what it cost; and which one was chosen within a budget.

    Parameters
    ----------
    points : mapping of str to sequence of (float, float)
        For each kind of edit, the bias that is left and the share of right answers that is lost.
    budget : float
        Largest loss that was allowed.
    chosen : (float, float)
        The chosen edit.
    before : float
        The bias without any edit.
    ax : matplotlib Axes, optional
    title : str

    Returns
    -------
    matplotlib Axes
    """
    ax = new_axes(8.0, 4.8) if ax is None else ax
    losses = [budget, *(loss for row in points.values() for _, loss in row)]
    top = 1.15 * max(losses)
    ax.axhspan(min(-0.05 * top, *losses), budget, color=GRAY, alpha=0.18, linewidth=0, zorder=0)
    ax.axvline(before, color=INK, linewidth=0.9, linestyle=":", zorder=1)
    ax.annotate("as the model is", (before, top), xytext=(-4, -2), textcoords="offset points", ha="right", va="top")
    for (name, row), color, marker in zip(points.items(), LINES, "osD^vP", strict=False):
        ax.plot(
            [left for left, _ in row],
            [loss for _, loss in row],
            marker,
            color=color,
            markersize=6.5,
            alpha=0.8,
            label=name,
            zorder=3,
        )
    ax.plot(*chosen, "o", markersize=14, markerfacecolor="none", markeredgecolor=INK, markeredgewidth=1.5, zorder=4)
    ax.annotate("chosen", chosen, xytext=(0, 10), textcoords="offset points", ha="center", va="bottom", zorder=5)
    ax.set_xlim(left=0)
    ax.set_ylim(top=1.02 * top)
    ax.set_xlabel("bias that is left")
    ax.set_ylabel("largest loss of right answers\n(shaded: within the budget)")
    if points:
        ax.legend(frameon=False, fontsize=9.5)
    ax.set_title(title, loc="left")
    plain(ax)
    return ax


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
    plain(ax)
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
