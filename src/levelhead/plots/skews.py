"""MinSkew and MaxSkew of several methods, one panel for each set of pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from levelhead.metrics.statistics import Estimate
from levelhead.plots.looks import BLUE, GRAY, INK, ORANGE, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def skew_panels(found: Mapping[str, Mapping[str, tuple[Estimate, ...]]]) -> Figure:
    """Draw how far the groups that a model passes over and prefers are from level.

    Parameters
    ----------
    found : mapping of str to mapping of str to (Estimate, Estimate)
        For each set of pictures and method: MinSkew and MaxSkew, with their intervals.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure

    names = list(next(iter(found.values())))
    figure = Figure(figsize=(3.4 + 2.6 * len(found), 1.2 + 0.34 * len(names)), layout="constrained")
    panels: Any = figure.subplots(1, len(found), sharex=True, sharey=True, squeeze=False)[0]
    places = range(len(names))[::-1]
    for ax, (title, methods) in zip(panels, found.items(), strict=True):
        ax.axvline(0, color=INK, linewidth=0.8)
        for place, name in zip(places, names, strict=True):
            low, high = methods[name]
            ax.plot([low.value, high.value], [place, place], color=GRAY, linewidth=1, zorder=1)
            for end, color, marker in ((low, BLUE, "o"), (high, ORANGE, "s")):
                ax.plot([end.low, end.high], [place, place], color=color, linewidth=3.5, alpha=0.35, zorder=2)
                ax.plot(end.value, place, marker, color=color, markersize=5, zorder=3)
        ax.set_title(title, fontsize=10)
        ax.set_xlabel("Skew@C")
        plain(ax)
    panels[0].set_yticks(list(places), names)
    panels[0].plot([], [], "o", color=BLUE, label="MinSkew")
    panels[0].plot([], [], "s", color=ORANGE, label="MaxSkew")
    figure.legend(loc="outside upper right", ncols=2, frameon=False, fontsize=9)
    return figure
