"""Pictures of what probes read: by layer, by head, for one attribute or for several."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from levelhead.errors import SiteError
from levelhead.plots.looks import BLUE, GRAY, INK, LINES, ORANGE, new_axes, plain
from levelhead.sites import TOWERS, Site

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from levelhead.align import Alignment
    from levelhead.probes import ProbeSweep


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
    plain(ax)
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


def attribute_curves(sweeps: Mapping[str, ProbeSweep], ax: Axes | None = None, *, title: str = "") -> Axes:
    """Probe scores of several attributes through the residual stream of one model, each a line with its name.

    Parameters
    ----------
    sweeps : mapping of str to ProbeSweep
        For each attribute, a sweep over the same sites; those of residual streams and of the projector are drawn, in
        execution order, the vision tower's first.
    ax : matplotlib Axes, optional
    title : str

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    SiteError
        When a sweep has no such site.
    """
    ax = new_axes() if ax is None else ax
    places: list[str] = []
    ends: list[tuple[float, str, str]] = []
    for (name, sweep), color, marker in zip(sweeps.items(), LINES, "osD^vP", strict=False):
        frame: Any = sweep.frame()
        line = frame[(frame["component"] == "resid_post") | (frame["component"] == "projector")]
        if not len(line):
            there = ", ".join(sorted(set(frame["component"])))
            raise SiteError(f"no 'resid_post' and no 'projector' is in the sweep for {name}; it has {there}")
        places = list(line["site"])
        x = range(len(line))
        if not ends:
            low, high = line["shuffle_low"], line["shuffle_high"]
            ax.fill_between(x, low, high, color=GRAY, alpha=0.35, linewidth=0, zorder=1)
            ax.axhline(0.5, color=INK, linewidth=0.9, linestyle=":", zorder=1)
            where: dict[str, Any] = {"xytext": (4, -4), "textcoords": "offset points", "va": "top"}
            text = f"shuffled labels ({100 * sweep.confidence:g} % of draws)"
            ax.annotate(text, (0, float(low.min())), fontsize=9, color=INK, **where)
        ax.fill_between(x, line["auc_low"], line["auc_high"], color=color, alpha=0.15, linewidth=0, zorder=2)
        ax.plot(x, line["auc"], f"-{marker}", color=color, markersize=5, zorder=4)
        ends.append((float(line["auc"].iloc[-1]), name, color))
    for height, (_, name, color) in zip(_spread([end for end, *_ in ends], 0.05), ends, strict=True):
        ax.annotate(
            name, (len(places) - 1, height), xytext=(9, 0), textcoords="offset points", va="center", color=color,
            annotation_clip=False,
        )  # fmt: skip
    _name_places(ax, places)
    ax.set_ylim(min(0.3, ax.get_ylim()[0]), 1.04)
    ax.set_ylabel("ROC AUC on groups never seen")
    ax.set_title(title, loc="left")
    plain(ax)
    return ax


def _spread(heights: list[float], apart: float) -> list[float]:
    """Move heights up or down as little as keeps labels from touching."""
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    placed = [heights[i] for i in order]
    for _ in range(100):
        for i in range(1, len(placed)):
            lack = apart - (placed[i] - placed[i - 1])
            if lack > 1e-9:
                placed[i - 1] -= lack / 2
                placed[i] += lack / 2
    found = dict(zip(order, placed, strict=True))
    return [found[i] for i in range(len(heights))]


def _name_places(ax: Axes, places: list[str]) -> None:
    """Name the towers under their layers."""
    sites = [Site.parse(place) for place in places]
    ax.set_xticks(range(len(sites)), ["projector" if s.layer is None else str(s.layer) for s in sites])
    ax.set_xlim(-0.4, len(sites) - 0.6)
    towers = {tower: [i for i, site in enumerate(sites) if site.tower == tower] for tower in TOWERS}
    if not towers["vision"]:
        ax.set_xlabel("layer of the language model")
        return
    for tower, name in (("vision", "layer of the picture's tower"), ("language", "layer of the language model")):
        if towers[tower]:
            middle = sum(towers[tower]) / len(towers[tower])
            ax.text(middle, -0.1, name, transform=ax.get_xaxis_transform(), ha="center", va="top")
