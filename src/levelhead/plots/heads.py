"""A map of what heads do to a bias, layer by head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from levelhead.errors import InputError
from levelhead.plots.looks import new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from levelhead.heads.localization import Localization

_SAID = {
    "bias_change": "change of the bias without the head (nats)",
    "difference_change": "change of the difference without the head (nats)",
    "gradient_bias": "change of the bias, by gradient (nats)",
    "gradient": "change of the difference, by gradient (nats)",
    "direct": "what the head adds to the difference directly (nats)",
}


def effect_map(found: Localization, ax: Axes | None = None, *, what: str = "bias_change", title: str = "") -> Axes:
    """Map of one number, layer by head, with attention and MLP outputs beside the heads where they were localized.

    A number stands in each of the five strongest places, and where the interval of an ablation holds no zero, a dot.

    Parameters
    ----------
    found : Localization
    ax : matplotlib Axes, optional
    what : {"bias_change", "difference_change", "gradient_bias", "gradient", "direct"}
        A column of `Localization.frame`.
    title : str
        In place of one that names the strongest place.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InputError
        For another column, or one that is empty.
    """
    frame: Any = found.frame()
    if what not in _SAID or bool(frame[what].isna().all()):
        reasons = "; ".join(found.notes)
        raise InputError(f"what is one of {', '.join(_SAID)} that has values; found {what!r}. {reasons}".strip())
    layers = sorted({int(layer) for layer in frame["layer"]})
    heads = 1 + max((int(head) for head in frame["head"].dropna()), default=-1)
    beside = [name for name in ("attn_out", "mlp_out") if name in set(frame["component"])]
    gap = int(bool(heads and beside))
    places = {name: heads + gap + i for i, name in enumerate(beside)}
    total = heads + gap + len(beside)
    grid = np.full((len(layers), total), np.nan)
    sure = np.zeros_like(grid, dtype=bool)
    names: dict[tuple[int, int], str] = {}
    for _, row in frame.iterrows():
        at = (
            layers.index(int(row["layer"])),
            int(row["head"]) if row["component"] == "z" else places[row["component"]],
        )
        grid[at], names[at] = float(row[what]), str(row["site"])
        if f"{what}_low" in frame:
            sure[at] = float(row[f"{what}_low"]) > 0 or float(row[f"{what}_high"]) < 0
    if ax is None:
        ax = new_axes(float(np.clip(0.5 * total + 2.6, 5.5, 13)), float(np.clip(0.42 * len(layers) + 2.0, 3.4, 11)))
    sizes = sorted((abs(grid[at]) for at in names), reverse=True)
    # One place that is far beyond all others, as a head that the model breaks without, would leave them pale.
    clipped = len(sizes) > 1 and sizes[0] > 2 * sizes[1] > 0
    most = float(sizes[1] if clipped else sizes[0]) or 1.0
    # Light in the middle, and both ends dark in different hues; in grey the numbers tell the sign.
    image = ax.imshow(
        grid, origin="lower", aspect="auto", cmap="PuOr_r", vmin=-most, vmax=most, interpolation="nearest"
    )
    figure: Any = ax.figure
    figure.colorbar(image, ax=ax, pad=0.02, extend="both" if clipped else "neither").set_label(_SAID[what])
    strongest = sorted(names, key=lambda at: -abs(grid[at]))[:5]
    for at, size in np.ndenumerate(grid):
        shade = "white" if abs(size) > 0.6 * most else "black"
        if at in strongest:
            ax.text(at[1], at[0], f"{size:+.2f}", ha="center", va="center", fontsize=8, color=shade)
        elif sure[at]:
            ax.plot(at[1], at[0], ".", color=shade, markersize=4)
    step = max(1, -(-heads // 16))
    ax.set_xticks([*range(0, heads, step), *places.values()], [*map(str, range(0, heads, step)), *places])
    step = max(1, -(-len(layers) // 20))
    ax.set_yticks(range(0, len(layers), step), [str(layer) for layer in layers[::step]])
    ax.set_xlabel("head" + ("   (dot: the interval holds no zero)" if sure.any() else ""))
    ax.set_ylabel("layer")
    first = min(names, key=lambda at: grid[at]) if what == "bias_change" else strongest[0]
    said = "bias falls most without" if what == "bias_change" else "strongest at"
    ax.set_title(title or f"{said} {names[first]}: {grid[first]:+.2f} nats", loc="left")
    ax.spines[:].set_visible(False)
    return ax
