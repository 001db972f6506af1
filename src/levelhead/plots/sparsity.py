"""Pictures of sparsity paths: what is left of a bias as more neurons are left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from levelhead.plots.looks import BLUE, GRAY, INK, new_axes, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from levelhead.methods.dso.path import SparsityPath


def sparsity_chart(path: SparsityPath, ax: Axes | None = None, *, title: str = "") -> Axes:
    """Bias against the share of untouched neurons, a point a penalty; open where training failed.

    Parameters
    ----------
    path : SparsityPath
    ax : matplotlib Axes, optional
    title : str

    Returns
    -------
    matplotlib Axes
    """
    ax = new_axes() if ax is None else ax
    runs = sorted(path.runs, key=lambda run: run.untouched)
    ax.plot([100 * run.untouched for run in runs], [run.bias for run in runs], "-", color=BLUE, alpha=0.6, zorder=2)
    before = runs[0].before
    top = 1.15 * max([before, *(run.bias for run in runs)]) or 1.0
    for number, run in enumerate(runs):
        face = "white" if run.note else BLUE
        ax.plot(100 * run.untouched, run.bias, "o", color=BLUE, markerfacecolor=face, markersize=7, zorder=3)
        # Of neighbors that are close, the lower one is named below.
        near = [each for each in runs[max(0, number - 1) : number + 2] if abs(each.untouched - run.untouched) < 0.1]
        under = any(run.bias < each.bias < run.bias + 0.12 * top for each in near)
        ax.annotate(
            f"{run.l1:g}", (100 * run.untouched, run.bias), (0, -8 if under else 8), textcoords="offset points",
            ha="center", va="top" if under else "bottom", fontsize=9, color=INK, zorder=4,
        )  # fmt: skip
    ax.axhline(before, color=INK, linewidth=0.9, linestyle=":", zorder=1)
    ax.annotate("unsteered", (0, before), (2, 3), textcoords="offset points", fontsize=9.5, color=INK)
    ax.set_xlim(-4, 104)
    ax.set_ylim(0, top)
    ax.set_xlabel("neurons left alone, %   (numbers: weight of the l1 penalty)")
    where = f"on {len(path.held_out)} held-out occupations" if path.held_out else "in training"
    ax.set_ylabel(f"per-occupation bias {where}")
    if any(run.note for run in runs):
        ax.plot([], [], "o", color=BLUE, markerfacecolor="white", label="training ended early")
        ax.legend(frameon=False, fontsize=9.5)
    ax.set_title(title, loc="left")
    ax.grid(axis="y", color=GRAY, alpha=0.2, linewidth=0.8)
    plain(ax)
    return ax
