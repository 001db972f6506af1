"""Pictures of where a steer acts: by layer and kind of norm, and what reaches each head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from levelhead.errors import InputError
from levelhead.plots.looks import GRAY, INK, LINES, new_axes, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from levelhead.profile import Profile

_REACHED = {
    "relative": "what is written, relative to the projection's usual size",
    "scale_relative": "what the scale writes, relative to the projection's usual size",
    "shift_relative": "what the shift writes, relative to the projection's usual size",
    "gain": "how much of the shift passes, relative to directions at random",
}


def profile_chart(profile: Profile, ax: Axes | None = None, *, title: str = "") -> Axes:
    """L1 mass by layer, a bar a component, its scale full and its shift light; above, the share of untouched neurons.

    Sites without a layer stand at the right.

    Parameters
    ----------
    profile : Profile
    ax : matplotlib Axes, optional
    title : str
        In place of one that says the share of untouched neurons.

    Returns
    -------
    matplotlib Axes
    """
    frame: Any = profile.frame()
    frame["component"] = [
        f"vision/{name}" if tower == "vision" else name
        for name, tower in zip(frame["component"], frame["tower"], strict=True)
    ]
    layers = sorted(int(layer) for layer in frame["layer"].dropna().unique())
    beyond = list(dict.fromkeys(frame["component"][frame["layer"].isna()]))
    places: dict[Any, int] = {key: i for i, key in enumerate([*layers, *beyond])}
    layered = list(dict.fromkeys(frame["component"][frame["layer"].notna()])) or beyond
    ax = new_axes(float(np.clip(2.6 + 0.42 * len(places) * len(layered) ** 0.5, 6.5, 13)), 4.4) if ax is None else ax
    width = 0.8 / len(layered)
    top = 0.0
    for number, name in enumerate(list(dict.fromkeys(frame["component"]))):
        color = LINES[number % len(LINES)]
        part = frame[frame["component"] == name]
        keys = [name if name in beyond else int(layer) for layer in part["layer"].fillna(-1)]
        shift = 0.0 if name in beyond else (layered.index(name) - (len(layered) - 1) / 2) * width
        # Several edits at one site (heads, a chain) are one bar.
        sums = {key: part[[k == key for k in keys]].sum(numeric_only=True) for key in dict.fromkeys(keys)}
        x = np.array([places[key] + shift for key in sums])
        scale = np.array([float(each["scale_l1"]) for each in sums.values()])
        added = np.array([float(each["shift_l1"]) for each in sums.values()])
        ax.bar(x, scale, 0.92 * width, color=color, linewidth=0, label=name)
        ax.bar(x, added, 0.92 * width, bottom=scale, color=color, alpha=0.4, linewidth=0)
        top = max(top, float((scale + added).max()))
        if len(places) * len(layered) <= 30:
            for at, height, key in zip(x, scale + added, sums, strict=True):
                here = part[[k == key for k in keys]]
                left = float((here["untouched"] * here["neurons"]).sum() / here["neurons"].sum())
                ax.annotate(
                    f"{100 * left:.0f}", (at, height), (0, 2), textcoords="offset points", ha="center", va="bottom",
                    fontsize=8, color=GRAY,
                )  # fmt: skip
    ax.bar([0], [0], color=INK, linewidth=0, label="scale (full)")
    ax.bar([0], [0], color=INK, alpha=0.4, linewidth=0, label="shift (light)")
    ticks = list(places)
    step = max(1, -(-len(layers) // 20))
    shown = [key for i, key in enumerate(ticks) if key in beyond or i % step == 0]
    ax.set_xticks([places[key] for key in shown], [str(key) for key in shown])
    ax.set_xlim(-0.6, len(places) - 0.4)
    ax.set_ylim(0, 1.1 * top or 1.0)
    numbers = "   (numbers: % of neurons untouched)" if len(places) * len(layered) <= 30 else ""
    ax.set_xlabel(f"layer{numbers}" if layers else numbers)
    ax.set_ylabel("l1 mass")
    ax.legend(frameon=False, fontsize=9.5)
    ax.set_title(title or f"{100 * profile.untouched:.0f} % of the neurons are untouched", loc="left")
    plain(ax)
    return ax


def reach_map(profile: Profile, ax: Axes | None = None, *, what: str = "relative", title: str = "") -> Axes:
    """Map of what reaches each head's queries, keys and values, layer by head.

    Parameters
    ----------
    profile : Profile
        Made with a model.
    ax : matplotlib Axes, optional
    what : {"relative", "scale_relative", "shift_relative", "gain"}
        A column of `levelhead.profile.Reach`.
    title : str

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InputError
        For another column, or a profile that knows nothing of heads.
    """
    if what not in _REACHED:
        raise InputError(f"what is one of {', '.join(_REACHED)}; found {what!r}")
    frame: Any = profile.heads()
    tower = "language" if "language" in set(frame["tower"]) else "vision"
    frame = frame[frame["tower"] == tower]
    layers = sorted({int(layer) for layer in frame["layer"]})
    sizes = {name: 1 + int(frame["head"][frame["projection"] == name].max()) for name in ("q", "k", "v")}
    gap, starts, total = 1, {}, 0
    for name, size in sizes.items():
        starts[name] = total
        total += size + gap
    total -= gap
    grid = np.full((len(layers), total), np.nan)
    for layer, name, head, value in zip(frame["layer"], frame["projection"], frame["head"], frame[what], strict=True):
        grid[layers.index(int(layer)), starts[name] + int(head)] = value
    if ax is None:
        ax = new_axes(float(np.clip(0.3 * total + 2.2, 6.5, 13)), float(np.clip(0.3 * len(layers) + 2.0, 3.4, 11)))
    scale = 1.0 if what == "gain" else 100.0
    image = ax.imshow(scale * grid, origin="lower", aspect="auto", cmap="cividis", vmin=0, interpolation="nearest")
    figure: Any = ax.figure
    bar = figure.colorbar(image, ax=ax, pad=0.02)
    bar.set_label("times" if what == "gain" else "%")
    ticks: list[int] = []
    names: list[str] = []
    for name, size in sizes.items():
        step = max(1, -(-size // 8))
        ticks += [starts[name] + head for head in range(0, size, step)]
        names += [str(head) for head in range(0, size, step)]
        said = {"q": "queries", "k": "keys", "v": "values"}[name]
        ax.text(starts[name] + (size - 1) / 2, len(layers) - 0.4, said, ha="center", va="bottom")
    ax.set_xticks(ticks, names)
    step = max(1, -(-len(layers) // 20))
    ax.set_yticks(range(0, len(layers), step), [str(layer) for layer in layers[::step]])
    grouped = sizes["k"] < sizes["q"]
    shared = f" (each head of keys and values serves {sizes['q'] // sizes['k']} of queries)" if grouped else ""
    ax.set_xlabel(f"head{shared}")
    ax.set_ylabel("layer" if tower == "language" else "layer of the picture's tower")
    ax.set_title(title or _REACHED[what], loc="left", pad=22)
    ax.spines[:].set_visible(False)
    return ax
