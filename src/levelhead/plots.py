"""Pictures: each says its message in the title, names its axes, and labels its lines where they are.

Every function draws on the axes that it is given, or on a figure of its own, and returns the axes. Colors
are Okabe and Ito's, which color-blind people can tell apart; nothing is told by color alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from levelhead.errors import SiteError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from levelhead.align import Alignment
    from levelhead.probes import ProbeSweep

BLUE, ORANGE, GREEN, GRAY, INK = "#0072B2", "#D55E00", "#009E73", "#8C8C8C", "#333333"


def new_axes(width: float = 7.5, height: float = 4.5) -> Axes:
    """Axes on a figure of their own, in inches, that no global state knows of."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained").add_subplot()


def layer_curve(
    sweep: ProbeSweep,
    alignment: Alignment | None = None,
    ax: Axes | None = None,
    *,
    component: str = "resid_post",
    title: str = "",
) -> Axes:
    """Probe score by layer with its interval, what shuffled labels reach, and the score along a steer's direction.

    `levelhead.ProbeSweep.plot` draws every component; this is one of them, beside a direction.

    Parameters
    ----------
    sweep : ProbeSweep
    alignment : Alignment, optional
        Of a steer with sites of the same component.
    ax : matplotlib Axes, optional
    component : str
        One line's component, of the language model.
    title : str

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    SiteError
        When the sweep has no such component.
    """
    frame: Any = sweep.frame()
    line = frame[(frame["component"] == component) & (frame["tower"] == "language")]
    if not len(line):
        there = ", ".join(sorted(set(frame["component"])))
        raise SiteError(f"component '{component}' was asked for, and this sweep has {there}")
    ax = new_axes() if ax is None else ax
    x, auc = line["layer"].astype(int).to_numpy(), line["auc"].to_numpy()
    percent = f"{100 * sweep.confidence:g} %"
    ax.fill_between(x, line["shuffle_low"], line["shuffle_high"], color=GRAY, alpha=0.35, linewidth=0, zorder=1)
    ax.axhline(0.5, color=INK, linewidth=0.9, linestyle=":", zorder=1)
    ax.fill_between(x, line["auc_low"], line["auc_high"], color=BLUE, alpha=0.18, linewidth=0, zorder=2)
    ax.plot(x, auc, "-o", color=BLUE, markersize=4, zorder=4)
    # Labels stand over and under the lines, inside of the layers, and so never run off the picture.
    label: dict[str, Any] = {"textcoords": "offset points", "ha": "left", "fontsize": 10}
    first = min(2, len(x) - 1)
    ax.annotate(
        f"a linear probe (shaded: {percent} interval)",
        (x[first], float(line["auc_high"].iloc[first:].max())),
        xytext=(0, 5),
        va="bottom",
        color=BLUE,
        **label,
    )
    low = float(line["shuffle_low"].min())
    ax.annotate(f"shuffled labels ({percent} of draws)", (x[first], low), xytext=(0, -4), va="top", color=INK, **label)
    if alignment is not None:
        steer: Any = alignment.frame()
        steer = steer[(steer["component"] == component) & (steer["tower"] == "language")]
        along = steer["auc_along"].to_numpy()
        ax.plot(steer["layer"].astype(int), along, "-s", color=ORANGE, markersize=4, zorder=5)
        ax.annotate(
            "the steer's direction alone",
            (float(steer["layer"].iloc[len(steer) // 3]), float(along[len(steer) // 3 : 2 * len(steer) // 3].max())),
            xytext=(0, 7),
            va="bottom",
            color=ORANGE,
            **label,
        )
    ax.set_ylim(min(0.3, low - 0.08), 1.04)
    ax.set_xlim(x.min() - 0.5, x.max() + 0.5)
    ax.set_xlabel("layer")
    ax.set_ylabel("ROC AUC on groups never seen")
    ax.set_title(title, loc="left")
    _plain(ax)
    return ax


def head_map(sweep: ProbeSweep, ax: Axes | None = None, *, top: int = 5, title: str = "") -> Axes:
    """`levelhead.ProbeSweep.plot_heads` with the score written into the best heads.

    Parameters
    ----------
    sweep : ProbeSweep
    ax : matplotlib Axes, optional
    top : int
        How many heads to write into.
    title : str
        In place of the sweep's own.

    Returns
    -------
    matplotlib Axes
    """
    frame: Any = sweep.frame()
    scores = frame.set_index("site")["auc"]
    best = [site for site in sweep.best(len(sweep.sites_), "z") if site.head is not None][:top]
    if ax is None:
        heads = [site for site in sweep.sites_ if site.head is not None]
        columns, rows = 1 + max(site.head or 0 for site in heads), 1 + max(site.layer or 0 for site in heads)
        ax = new_axes(min(12.0, 0.5 * columns + 2.6), min(11.0, 0.24 * rows + 2.2))
    sweep.plot_heads(ax)
    for mark in ax.collections:
        # Small dots leave room for the numbers.
        mark.set_sizes([5.0])  # pyright: ignore[reportAttributeAccessIssue]
    for site in best:
        if site.head is not None and site.layer is not None:
            ax.text(
                site.head, site.layer, f"{scores[str(site)]:.2f}", ha="center", va="center", fontsize=8, color="black",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.9},
            )  # fmt: skip
    if title:
        ax.set_title(title, loc="left")
        if math.isfinite(sweep.threshold_):
            ax.set_xlabel(
                f"head\n(dot: above {sweep.threshold_:.2f}, what the best of all {len(sweep.sites_)} sites\n"
                f"reaches with shuffled labels in {100 - 100 * sweep.confidence:.0f} % of draws)"
            )
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
