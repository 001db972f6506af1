"""Pictures of a DSO training run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from levelhead.errors import InputError
from levelhead.plots.looks import BLUE, GRAY, GREEN, INK, ORANGE, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from levelhead.methods.dso.history import History

_PANELS: tuple[tuple[str, tuple[tuple[str, str, str, str], ...]], ...] = (
    (
        "bias, reward",
        (
            ("bias", BLUE, "-", "bias, in training"),
            ("validation_bias", BLUE, "o", "bias, held out"),
            ("reward", ORANGE, "-", "reward"),
        ),
    ),
    (
        "drift, nats",
        (
            ("kl", BLUE, "-", "choices"),
            ("validation_kl", BLUE, "o", "choices, held out"),
            ("kl_neutral", GREEN, "-", "neutral"),
            ("validation_kl_neutral", GREEN, "s", "neutral, held fixed"),
        ),
    ),
    (
        "share",
        (
            ("answered", BLUE, "-", "answered"),
            ("validation_answered", BLUE, "o", "answered, held out"),
            ("untouched", INK, "-", "neurons untouched"),
        ),
    ),
)


def training_chart(
    history: History,
    figure: Figure | SubFigure | None = None,
    *,
    kl: float | int | None = None,
    best: int | None = None,
    title: str = "",
) -> list[Axes]:
    """Bias and reward, drift, and the shares of answers and untouched neurons, over updates: three axes, one above another.

    Parameters
    ----------
    history : History
    figure : matplotlib Figure or SubFigure, optional
        An empty one.
    kl : float, optional
        The largest drift that was allowed, to be drawn as a line.
    best : int, optional
        The update whose state became the steer.
    title : str

    Returns
    -------
    list of matplotlib Axes

    Raises
    ------
    InputError
        If nothing was trained.
    """
    if len(history) < 2:
        raise InputError("a history of no updates cannot be drawn; train first")
    if figure is None:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8.0, 7.0), layout="constrained")
    frame: Any = history.frame()
    axes: list[Axes] = list(figure.subplots(len(_PANELS), 1, sharex=True))
    for ax, (unit, lines) in zip(axes, _PANELS, strict=True):
        for name, color, style, said in lines:
            known = frame[frame[name].notna()] if name in frame else frame[:0]
            if len(known):
                marks: dict[str, Any] = {"markersize": 5, "markerfacecolor": "white", "zorder": 4}
                light: dict[str, Any] = (
                    {"linewidth": 1.0, "alpha": 0.75} if name in ("reward", "kl", "kl_neutral") else {}
                )
                ax.plot(known["step"], known[name], style, color=color, label=said, **marks, **light)
        ax.set_ylabel(unit)
        if best is not None:
            ax.axvline(best, color=INK, linewidth=0.9, linestyle=":", zorder=1)
        plain(ax)
    axes[0].axhline(0, color=GRAY, linewidth=0.8, zorder=0)
    if kl is not None:
        axes[1].axhline(kl, color=INK, linewidth=0.9, linestyle="--", zorder=1, label="largest drift allowed")
    axes[1].set_ylim(bottom=0)
    axes[2].set_ylim(-0.03, 1.03)
    for ax in axes:
        ax.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1.0, 1.02))
    if best is not None:
        axes[0].annotate(
            "chosen", (best, 1.0), (0, 2), xycoords=("data", "axes fraction"), textcoords="offset points",
            ha="center", va="bottom", fontsize=9, color=INK,
        )  # fmt: skip
    axes[-1].set_xlabel("update")
    axes[0].set_title(title, loc="left", pad=14)
    return axes
