"""Pictures of where two models differ: curves by layer, and maps of heads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from levelhead.errors import InputError, SiteError
from levelhead.plots.looks import BLUE, GRAY, GREEN, INK, ORANGE, new_axes, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from levelhead.compare import Comparison

_LINES: dict[str, tuple[tuple[str, str, str, str, str], ...]] = {
    "probes": (
        ("before", INK, "-o", "white", "before"),
        ("after", BLUE, "-s", BLUE, "after, probes fitted anew"),
        ("transfer", ORANGE, "--^", ORANGE, "after, read by the probes from before"),
    ),
    "likeness": (
        ("cka", INK, "-o", "white", "CKA of activations"),
        ("cosine", BLUE, "-s", BLUE, "cosine of the attribute's directions"),
        ("moved", ORANGE, "--^", ORANGE, "distance moved, in shares of the norm"),
        ("length_ratio", GREEN, ":D", GREEN, "length of the attribute's direction, by before"),
    ),
}
_MAPS = {
    "change": "change of ROC AUC, after minus before",
    "transfer_change": "ROC AUC of the probes from before: after minus before",
    "before": "ROC AUC before",
    "after": "ROC AUC after",
    "transfer": "ROC AUC after, of the probes from before",
    "cka": "CKA of activations before and after",
    "cosine": "cosine of the attribute's directions before and after",
    "length_ratio": "length of the attribute's direction after, by before",
    "moved": "distance that activations moved, in shares of their norm",
    "moved_mean": "distance that the mean activation moved, in shares of the norm",
}


def compared_curves(
    comparison: Comparison,
    ax: Axes | None = None,
    *,
    attribute: str | None = None,
    positive: str | None = None,
    component: str = "resid_post",
    what: str = "probes",
    title: str = "",
) -> Axes:
    """Curves by layer with intervals: what probes read before and after, or how alike the two models are.

    Of heads, the one of each layer that tells most before is drawn, or that moved most.

    Parameters
    ----------
    comparison : Comparison
    ax : matplotlib Axes, optional
    attribute, positive : str, optional
        Which contrast; the first one when left out.
    component : str
        As in ``resid_post``; ``vision/resid_post`` for the picture's tower.
    what : {"probes", "likeness"}
    title : str
        In place of one that says the contrast.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InputError
        For another `what`, attribute or class.
    SiteError
        When there are no such sites with layers.
    """
    if what not in _LINES:
        raise InputError(f"what is one of {', '.join(_LINES)}; found {what!r}")
    frame: Any = comparison.of(attribute, positive)
    where = [
        name if tower != "vision" else f"vision/{name}"
        for name, tower in zip(frame["component"], frame["tower"], strict=True)
    ]
    line = frame[np.array([name == component for name in where]) & frame["layer"].notna().to_numpy()]
    if not len(line):
        raise SiteError(f"component '{component}' was asked for, and there are {', '.join(dict.fromkeys(where))}")
    if line["head"].notna().any():
        line = line[line["head"].notna()]
        line = line.loc[line.groupby("layer")["before" if what == "probes" else "moved"].idxmax()]
    ax = new_axes(7.5, 4.8) if ax is None else ax
    x = line["layer"].astype(int).to_numpy()
    percent = f"{100 * comparison.confidence:g} %"
    band, said = (
        (("chance_low", "chance_high"), f"shuffled labels ({percent} of draws)")
        if what == "probes"
        else (("cosine_shuffled_low", "cosine_shuffled_high"), f"cosine of other contrasts ({percent})")
    )
    if line[band[0]].notna().any():
        ends = [line[name].to_numpy(dtype=float) for name in band]
        if len(x) == 1:
            ax.axhspan(float(ends[0][0]), float(ends[1][0]), color=GRAY, alpha=0.3, linewidth=0, zorder=1, label=said)
        else:
            ax.fill_between(x, *ends, color=GRAY, alpha=0.3, linewidth=0, zorder=1, label=said)
    for name, color, style, face, label in _LINES[what]:
        if f"{name}_low" in line:
            ax.fill_between(
                x, line[f"{name}_low"], line[f"{name}_high"], color=color, alpha=0.13, linewidth=0, zorder=2
            )
        ax.plot(x, line[name], style, color=color, markersize=5, markerfacecolor=face, label=label, zorder=4)
    if what == "probes":
        ax.axhline(0.5, color=INK, linewidth=0.9, linestyle=":", zorder=1)
        low = np.nanmin(line[["before_low", "after_low", "transfer_low", "chance_low"]].to_numpy(dtype=float))
        ax.set_ylim(min(0.35, float(low) - 0.05), 1.03)
    else:
        low = np.nanmin(line[["cosine_low", "cosine_shuffled_low", "cka_low", "moved"]].to_numpy(dtype=float))
        high = np.nanmax(line[["moved", "length_ratio"]].to_numpy(dtype=float))
        # A direction that was next to nothing before can be many times as long after, and hide all else.
        ax.set_ylim(min(-0.03, float(low) - 0.05), min(2.5, max(1.03, 1.05 * float(high))))
    ax.set_xlim(x.min() - 0.4, x.max() + 0.4)
    ax.set_xticks(x[:: max(1, -(-len(x) // 16))])
    best = ", the head that reads best before" if what == "probes" else ", the head that moved most"
    ax.set_xlabel(f"layer ({component}{best if line['head'].notna().any() else ''})")
    ax.set_ylabel("ROC AUC on groups never seen" if what == "probes" else "before against after")
    ax.legend(frameon=False, fontsize=9.5, loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2)
    ax.set_title(title or _contrast(line), loc="left")
    plain(ax)
    return ax


def compared_heads(
    comparison: Comparison,
    ax: Axes | None = None,
    *,
    attribute: str | None = None,
    positive: str | None = None,
    what: str = "change",
    title: str = "",
) -> Axes:
    """Map of one number, layer by head; a dot where a change is more than resampling makes at any site.

    Parameters
    ----------
    comparison : Comparison
    ax : matplotlib Axes, optional
    attribute, positive : str, optional
        Which contrast; the first one when left out.
    what : {"change", "transfer_change", "before", "after", "transfer", "cka", "cosine", "length_ratio", "moved", "moved_mean"}
    title : str
        In place of one that says the number and the contrast.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InputError
        For another number, or a comparison without heads.
    """
    if what not in _MAPS:
        raise InputError(f"what is one of {', '.join(_MAPS)}; found {what!r}")
    frame: Any = comparison.of(attribute, positive)
    heads = frame[frame["head"].notna()]
    if not len(heads):
        raise InputError("this comparison has no heads; compare at 'z.*.*' for a map of them")
    tower = "language" if "language" in set(heads["tower"]) else "vision"
    heads = heads[heads["tower"] == tower]
    layer, head = (heads[name].astype(int).to_numpy() for name in ("layer", "head"))
    grid = np.full((layer.max() + 1, head.max() + 1), np.nan)
    grid[layer, head] = heads[what]
    rows, columns = grid.shape
    if ax is None:
        ax = new_axes(float(np.clip(0.36 * columns + 2.8, 6.5, 13)), float(np.clip(0.3 * rows + 2.0, 3.4, 11)))
    signed = what in ("change", "transfer_change")
    reach = max(0.05, float(np.nanmax(np.abs(grid)))) if signed else 1.0
    if signed:
        ends = -reach, reach
    elif what in ("moved", "moved_mean"):
        ends = 0.0, max(1e-6, float(np.nanmax(grid)))
    elif what == "length_ratio":
        ends = 0.0, 2.0
    else:
        ends = (0.0 if what in ("cka", "cosine") else 0.5), 1.0
    image = ax.imshow(
        grid, origin="lower", aspect="auto", cmap="PuOr_r" if signed else "cividis", vmin=ends[0], vmax=ends[1],
        interpolation="nearest",
    )  # fmt: skip
    figure: Any = ax.figure
    figure.colorbar(image, ax=ax, pad=0.02)
    note = ""
    if signed:
        sure = (heads[f"{what}_p"] <= 1 - comparison.confidence).to_numpy()
        ax.scatter(head[sure], layer[sure], s=14, color="white", edgecolor="black", linewidth=0.7)
        note = f"\ndot: p ≤ {1 - comparison.confidence:.2g}, corrected for all {len(frame)} sites"
    ax.set_xticks(range(0, columns, max(1, -(-columns // 16))))
    ax.set_yticks(range(0, rows, max(1, -(-rows // 20))))
    ax.set_xlabel("head")
    ax.set_ylabel("layer" if tower == "language" else "layer of the picture's tower")
    ax.set_title(title or f"{_MAPS[what]}\n{_contrast(heads)}{note}", loc="left", fontsize=11)
    ax.spines[:].set_visible(False)
    return ax


def _contrast(rows: Any) -> str:
    first = rows.iloc[0]
    return f"{first['attribute']}: {first['positive']} against {first['negative']}"
