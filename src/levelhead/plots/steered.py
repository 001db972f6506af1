"""Pictures of what probes read without and with a steer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from levelhead.errors import SiteError
from levelhead.plots.looks import BLUE, GRAY, INK, ORANGE, new_axes, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from levelhead.probes.steered import SteeredProbes


def steered_probes_chart(
    result: SteeredProbes, ax: Axes | None = None, *, component: str = "resid_post", title: str = ""
) -> Axes:
    """ROC AUC by layer: probes before, anew after, and those from before on steered activations; with intervals.

    Of heads, the best of each layer before steering is drawn.

    Parameters
    ----------
    result : SteeredProbes
    ax : matplotlib Axes, optional
    component : str
        Of the language model.
    title : str

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    SiteError
        When there are no such sites.
    """
    frame: Any = result.frame()
    line = frame[(frame["component"] == component) & (frame["tower"] == "language") & frame["layer"].notna()]
    if not len(line):
        raise SiteError(
            f"component '{component}' was asked for; probed were {', '.join(sorted(set(frame['component'])))}"
        )
    if line["head"].notna().any():
        line = line[line["head"].notna()]
        line = line.loc[line.groupby("layer")["before"].idxmax()]
    ax = new_axes() if ax is None else ax
    x = line["layer"].astype(int).to_numpy()
    if line["chance_low"].notna().any():
        ax.fill_between(x, line["chance_low"], line["chance_high"], color=GRAY, alpha=0.3, linewidth=0, zorder=1)
        percent = f"{100 * result.before.confidence:g} %"
        ax.annotate(
            f"shuffled labels ({percent} of draws)", (x[0], float(line["chance_low"].min())), (0, -4),
            textcoords="offset points", va="top", fontsize=9.5, color=INK,
        )  # fmt: skip
    ax.axhline(0.5, color=INK, linewidth=0.9, linestyle=":", zorder=1)
    for name, color, style, face, said in (
        ("before", INK, "-o", "white", "unsteered"),
        ("after", BLUE, "-s", BLUE, "steered, probes fitted anew"),
        ("old", ORANGE, "--^", ORANGE, "steered, read by the probes from before"),
    ):
        ax.fill_between(x, line[f"{name}_low"], line[f"{name}_high"], color=color, alpha=0.12, linewidth=0, zorder=2)
        ax.plot(x, line[name], style, color=color, markersize=5, markerfacecolor=face, label=said, zorder=4)
    low = float(line[["before_low", "after_low", "old_low", "chance_low"]].min().min())
    ax.set_ylim(min(0.35, low - 0.06), 1.03)
    ax.set_xlim(x.min() - 0.4, x.max() + 0.4)
    step = max(1, -(-len(x) // 16))
    ax.set_xticks(x[::step])
    ax.set_xlabel("layer")
    ax.set_ylabel("ROC AUC on groups never seen")
    ax.legend(frameon=False, fontsize=9.5, loc="best")
    ax.set_title(title, loc="left")
    plain(ax)
    return ax
