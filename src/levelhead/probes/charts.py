"""Pictures: ROC AUC by layer, the map of heads, and a steer beside the probes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from levelhead.errors import InputError
from levelhead.sites import COMPONENTS, TOWERS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from levelhead.align import Alignment
    from levelhead.probes.sweep import ProbeSweep

# Okabe and Ito's colors, told apart with any color vision; markers tell lines apart without color.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_MARKERS = "osD^vPX"
_GAP = 1.5  # between the last layer and sites without one
_FONT = {"title": 12, "label": 11, "tick": 10, "legend": 9.5}


def layer_curves(sweep: ProbeSweep, ax: Axes | None = None) -> Axes:
    """ROC AUC by layer: a line a component with its interval, the band of shuffled labels, and chance.

    Heads are drawn as one line, the best head of each layer; compare that line with the dashed threshold, which
    allows for the choice among all sites. Sites without a layer stand at the right.

    Parameters
    ----------
    sweep : ProbeSweep
    ax : matplotlib Axes, optional
        Drawn on a new figure when absent.

    Returns
    -------
    matplotlib Axes
    """
    ax = ax if ax is not None else _new_axes((8.0, 5.4))
    frame = sweep.frame()
    percent = f"{100 * sweep.confidence:g} %"
    lines = _lines(frame)
    layers = frame["layer"].dropna()
    last = int(layers.max()) if len(layers) else -1
    _draw_chance(ax, frame, sweep.threshold_, percent, last)
    for i, (name, line) in enumerate(lines):
        color, marker = _COLORS[i % len(_COLORS)], _MARKERS[i % len(_MARKERS)]
        x = line["layer"].astype(float).fillna(last + _GAP).to_numpy()
        auc = line["auc"].to_numpy()
        ax.plot(x, auc, color=color, marker=marker, markersize=4.5, linewidth=1.8, label=name, zorder=3)
        if len(x) > 1:
            ax.fill_between(x, line["auc_low"], line["auc_high"], color=color, alpha=0.16, linewidth=0, zorder=2)
        else:
            spread = np.abs(line[["auc_low", "auc_high"]].to_numpy().T - auc)
            ax.errorbar(x, auc, yerr=spread, color=color, capsize=3, zorder=2)
    beyond = [name for name, line in lines if line["layer"].isna().all()]
    _label_layers(ax, last, "\n".join(beyond))
    low = float(np.nanmin(frame[["auc_low", "shuffle_low"]].to_numpy()))
    ax.set_ylim(min(0.4, np.floor(low * 20) / 20), 1.02)
    ax.set_ylabel(_score(sweep), fontsize=_FONT["label"])
    ax.set_title(f"Linear probes: {_what(sweep)} ({_size(sweep)})", fontsize=_FONT["title"], loc="left")
    ax.tick_params(labelsize=_FONT["tick"])
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    title = f"shaded along a line: {percent} interval"
    ax.legend(
        fontsize=_FONT["legend"],
        frameon=False,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.13),
        ncols=2,
        title=title,
        title_fontsize=_FONT["legend"],
    )
    return ax


def head_map(sweep: ProbeSweep, ax: Axes | None = None) -> Axes:
    """ROC AUC of every head, layer by head; heads above the threshold for all sites carry a dot.

    Parameters
    ----------
    sweep : ProbeSweep
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InputError
        When the sweep has no heads.
    """
    frame = sweep.frame()
    heads = _where(frame, frame["head"].notna())
    if not len(heads):
        raise InputError("this sweep has no heads; capture 'z.*.*' for a map of them")
    tower = min(heads["tower"].unique(), key=lambda t: -TOWERS.index(t))
    heads = _where(heads, heads["tower"] == tower)
    layer, head = heads["layer"].astype(int).to_numpy(), heads["head"].astype(int).to_numpy()
    grid = np.full((layer.max() + 1, head.max() + 1), np.nan)
    grid[layer, head] = heads["auc"].to_numpy()
    rows, columns = grid.shape
    if ax is None:
        ax = _new_axes((min(12.0, max(5.2, 0.34 * columns + 2.4)), min(11.0, max(3.4, 0.24 * rows + 2.0))))
    image = ax.imshow(grid, origin="lower", aspect="auto", cmap="cividis", vmin=0.5, vmax=1.0, interpolation="nearest")
    bar = ax.figure.colorbar(image, ax=ax, extend="min")
    bar.set_label(_score(sweep), fontsize=_FONT["label"])
    bar.ax.tick_params(labelsize=_FONT["tick"])
    subtitle = ""
    if np.isfinite(sweep.threshold_):
        above = heads["auc"].to_numpy() > sweep.threshold_
        ax.scatter(head[above], layer[above], s=9, color="white", edgecolor="black", linewidth=0.5)
        subtitle = f"\ndot: above {sweep.threshold_:.2f} (shuffled labels, best site)"
    ax.set_xticks(_ticks(columns))
    ax.set_yticks(_ticks(rows))
    ax.set_xlabel("head", fontsize=_FONT["label"])
    ax.set_ylabel("layer" if tower == "language" else f"layer ({tower})", fontsize=_FONT["label"])
    ax.set_title(f"Probes by head: {_what(sweep)}\n{_size(sweep)}{subtitle}", fontsize=_FONT["label"], loc="left")
    ax.tick_params(labelsize=_FONT["tick"])
    return ax


def reading_chart(alignment: Alignment, ax: Axes | None = None) -> Axes:
    """ROC AUC at each site of a steer: the whole site, along the steer, after removing it, along random directions.

    Parameters
    ----------
    alignment : Alignment
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    frame, ax, percent, x = _begin(alignment, ax)
    for i in range(len(frame)):
        label = f"along random directions, {percent}" if i == 0 else None
        ax.fill_between(
            [i - 0.4, i + 0.4], 0.5, frame["random_along"].iloc[i], color="0.6", alpha=0.35, linewidth=0, label=label
        )
    ax.axhline(0.5, color="0.35", linewidth=1, linestyle=":", label="chance")
    _dots(ax, x - 0.15, frame["auc"], 0, "probe of the whole site")
    _dots(ax, x, frame["auc_along"], 1, "along the steer alone")
    after, low, high = (frame[name].to_numpy() for name in ("auc_after", "auc_after_low", "auc_after_high"))
    ends = np.clip([after - low, high - after], 0, None)
    ax.errorbar(x + 0.15, after, yerr=ends, color=_COLORS[2], linestyle="none", capsize=2, linewidth=1.2)
    _dots(ax, x + 0.15, frame["auc_after"], 2, f"after removing the steer ({percent} interval)")
    ax.set_ylim(min(0.4, np.floor(20 * float(np.nanmin(low))) / 20), 1.02)
    ax.set_ylabel("ROC AUC, held-out", fontsize=_FONT["label"])
    _finish(ax, alignment, frame, "What can be read")
    return ax


def cosine_chart(alignment: Alignment, ax: Axes | None = None) -> Axes:
    """Cosines of a steer to the probe and to the mean difference, with the bands that random directions reach.

    Parameters
    ----------
    alignment : Alignment
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    frame, ax, percent, x = _begin(alignment, ax)
    shifts = (-0.15, 0.15)
    reach = np.maximum(frame["null_isotropic"], frame["null_covariance"]), frame["null_mean"]
    names = ("to the probe's weights", "to the difference of class means")
    for i, (column, band, shift, name) in enumerate(zip(("cosine", "cosine_mean"), reach, shifts, names, strict=True)):
        for at, height in enumerate(band):
            label = f"random directions, {percent}" if i == at == 0 else None
            ends = [at + shift - 0.13, at + shift + 0.13]
            ax.fill_between(ends, -height, height, color="0.6", alpha=0.4, linewidth=0, label=label)
        _dots(ax, x + shift, frame[column], i, name)
    ax.axhline(0.0, color="0.35", linewidth=1, linestyle=":")
    ax.set_ylim(-1.05, 1.05)
    ax.set_ylabel("cosine of the steer", fontsize=_FONT["label"])
    _finish(ax, alignment, frame, "Where the steer points")
    return ax


def _begin(alignment: Alignment, ax: Axes | None) -> tuple[pd.DataFrame, Axes, str, np.ndarray]:
    """What a chart with a place for each site starts from: the frame, axes, the confidence in words, the places."""
    frame = alignment.frame()
    ax = ax if ax is not None else _new_axes((max(6.4, 0.42 * len(frame) + 2.2), 5.0))
    return frame, ax, f"{100 * alignment.confidence:g} %", np.arange(len(frame), dtype=float)


def _dots(ax: Axes, x: np.ndarray, y: pd.Series, style: int, label: str) -> None:
    ax.plot(x, y, linestyle="none", color=_COLORS[style], marker=_MARKERS[style], markersize=6, label=label, zorder=3)


def _finish(ax: Axes, alignment: Alignment, frame: pd.DataFrame, title: str) -> None:
    first, second = alignment.classes
    ax.set_title(f"{title}: {second} against {first} (n = {alignment.n:,})", fontsize=_FONT["title"], loc="left")
    ax.set_xticks(np.arange(len(frame)), frame["site"], rotation=90 if len(frame) > 6 else 0)
    ax.set_xlim(-0.6, len(frame) - 0.4)
    ax.tick_params(labelsize=_FONT["tick"])
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    below = -0.3 if len(frame) > 6 else -0.1
    ax.legend(fontsize=_FONT["legend"], frameon=False, loc="upper center", bbox_to_anchor=(0.5, below), ncols=2)


def _lines(frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    found: list[tuple[str, pd.DataFrame]] = []
    for tower in TOWERS:
        for component in COMPONENTS:
            part = _where(frame, (frame["tower"] == tower) & (frame["component"] == component))
            name = component if tower in ("language", "projector") else f"{tower}/{component}"
            whole, heads = _where(part, part["head"].isna()), _where(part, part["head"].notna())
            if len(whole):
                found.append((name, whole))
            if len(heads):
                best = _where(heads, heads.groupby("layer")["auc"].idxmax())
                found.append((f"{name}, best head of the layer", best))
    return found


def _where(frame: pd.DataFrame, rows: Any) -> pd.DataFrame:
    return frame.loc[rows]


def _draw_chance(ax: Axes, frame: pd.DataFrame, threshold: float, percent: str, last: int) -> None:
    ax.axhline(0.5, color="0.35", linewidth=1, linestyle=":", zorder=1, label="chance")
    if not np.isfinite(threshold):
        return
    layered = frame[frame["layer"].notna()]
    if len(layered):
        band = layered.groupby("layer")[["shuffle_low", "shuffle_high"]].mean().sort_index()
        x = band.index.to_numpy(dtype=float)
        label = f"shuffled labels, {percent}"
        if len(x) == 1:
            ax.axhspan(*band.iloc[0], color="0.6", alpha=0.35, linewidth=0, zorder=0, label=label)
        else:
            ax.fill_between(x, *band.to_numpy().T, color="0.6", alpha=0.35, linewidth=0, zorder=0, label=label)
    label = f"shuffled labels, best of {len(frame)} sites, {percent}"
    ax.axhline(threshold, color="0.25", linewidth=1.2, linestyle="--", zorder=1, label=label)


def _label_layers(ax: Axes, last: int, beyond: str) -> None:
    ticks: list[float] = [*_ticks(last + 1, most=16)]
    names = [f"{tick:g}" for tick in ticks]
    if beyond:
        ticks, names = [*ticks, last + _GAP], [*names, beyond]
    ax.set_xticks(ticks, names)
    ax.set_xlim(-0.6, (last + _GAP if beyond else last) + 0.6)
    ax.set_xlabel("layer", fontsize=_FONT["label"])


def _ticks(n: int, most: int = 20) -> list[int]:
    step = next(s for s in (1, 2, 4, 5, 10, 20, 50, 10**9) if n <= most * s)
    return list(range(0, n, step))


def _what(sweep: ProbeSweep) -> str:
    if len(sweep.classes_) > 2:
        names = [str(name) for name in sweep.classes_]
        return ", ".join(names) if len(names) < 5 else f"{len(names)} classes"
    first, second = sweep.classes_
    return f"{second} against {first}"


def _score(sweep: ProbeSweep) -> str:
    return "ROC AUC, held-out" if len(sweep.classes_) == 2 else "ROC AUC, held-out, mean over classes"


def _size(sweep: ProbeSweep) -> str:
    n, n_groups = sweep.acts_.n, sweep.n_groups_
    grouped = f" in {n_groups:,} groups" if n_groups < n else ""
    return f"n = {n:,}{grouped}, {sweep.cv} folds"


def _new_axes(size: tuple[float, float]) -> Axes:
    import matplotlib.pyplot as plt

    made: Any = plt.subplots(figsize=size, layout="constrained")
    return made[1]
