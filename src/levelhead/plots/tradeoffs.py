"""What steering buys and what it costs, in one picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from levelhead.plots.looks import GRAY, INK, LINES, new_axes, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from levelhead.tradeoff.curves import Point, Tradeoff

ROUNDS = (("o", "-"), ("^", "--"), ("v", ":"))
"""Markers and lines of the first methods, of those for whom colors come again, and so on."""


def tradeoff_chart(result: Tradeoff, ax: Axes | None = None, *, title: str = "") -> Axes:
    """Capability against bias on the reported items: up and to the left is better.

    Each method is a line over its strengths, with the chosen one full and its intervals drawn; small crosses are random
    directions of the same norm.

    Parameters
    ----------
    result : Tradeoff
        With at least one measure of capability.
    ax : matplotlib Axes, optional
    title : str

    Returns
    -------
    matplotlib Axes
    """
    ax = new_axes(8.0 if len(result.methods) <= len(LINES) else 10.5, 5.0) if ax is None else ax
    names = result.measures["capability"]
    bias = result.measures["bias"][0]
    for number, method in enumerate(result.methods):
        color = LINES[number % len(LINES)]
        marker, dashes = ROUNDS[number // len(LINES) % len(ROUNDS)]
        _random(ax, result, method, bias, color)
        curve = result.curve(method)
        ax.plot(curve.bias, curve.capability, dashes, color=color, linewidth=1.6, alpha=0.8, zorder=3)
        ax.plot(
            curve.bias[1:], curve.capability[1:], marker, markersize=5, color=color, markerfacecolor="white", zorder=4
        )
        ax.plot([], [], marker + dashes, color=color, label=method)
        for strength, x, y in zip(curve.strengths[1:], curve.bias[1:], curve.capability[1:], strict=True):
            if strength in (curve.strengths[-1], result.chosen[method]):
                ax.annotate(f"{strength:g}", (x, y), (5, 5), textcoords="offset points", fontsize=8, color=color)
        if result.chosen[method]:
            _cross(ax, result, method, result.chosen[method], bias, names, color, marker)
    if any(point.kind == "prompt" for point in result.points):
        _cross(ax, result, "prompt", 0.0, bias, names, INK, "D", label="an instruction")
    _cross(ax, result, "none", 0.0, bias, names, INK, "s", label="as the model is")
    ax.plot([], [], "x", color=GRAY, label="random directions")
    ax.set_xlabel(f"{bias} (less is better)")
    ax.set_ylabel(names[0] if len(names) == 1 else f"mean accuracy over {len(names)} measures")
    ax.set_xlim(left=min(0.0, ax.get_xlim()[0]))
    beside: Any = (
        {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)} if len(result.methods) > len(LINES) else {"loc": "best"}
    )
    ax.legend(frameon=False, fontsize=9, **beside)
    ax.set_title(title, loc="left")
    plain(ax)
    return ax


def _random(ax: Axes, result: Tradeoff, method: str, bias: str, color: str) -> None:
    drawn: dict[int, dict[str, Point]] = {}
    for point in result.points:
        if point.kind == "random" and point.method == method:
            drawn.setdefault(point.draw, {})[point.measure] = point
    names = result.measures["capability"]
    points = [
        (each[bias].estimate.value, np.mean([each[name].estimate.value for name in names])) for each in drawn.values()
    ]
    if points:
        x, y = zip(*points, strict=True)
        ax.plot(x, y, "x", color=color, markersize=5, alpha=0.45, zorder=2)


def _cross(
    ax: Axes, result: Tradeoff, method: str, strength: float, bias: str, names: list[str], color: str,
    marker: str, label: str | None = None,
) -> None:  # fmt: skip
    """A point with its intervals; the capability's, where there is one measure of it."""
    across = result.at(method, strength, bias).estimate
    up = [result.at(method, strength, name).estimate for name in names]
    y = float(np.mean([each.value for each in up]))
    bars: dict[str, Any] = {"xerr": [[across.value - across.low], [across.high - across.value]]}
    if len(up) == 1:
        bars["yerr"] = [[y - up[0].low], [up[0].high - y]]
    ax.errorbar(
        across.value, y, **bars, fmt=marker, color=color, markersize=7, elinewidth=1, capsize=2, zorder=6, label=label
    )
