"""The picture of a study: what a measure changes by, sites by strengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from levelhead.errors import InputError
from levelhead.plots.looks import INK, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from levelhead.study.result import Row


def study_map(rows: Sequence[Row], ax: Axes | None = None) -> Axes:
    """Draw the change of one measure under one method, sites downwards and strengths to the right.

    Lightness rises with the number, so the map can be read in grey; a dot says that the interval leaves out 0.

    Parameters
    ----------
    rows : sequence of Row
        Of one measure and one method.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InputError
        For no rows.
    """
    if not rows:
        raise InputError("no row of this measure and method to draw")
    sites = list(dict.fromkeys(row.site for row in rows))
    strengths = sorted({row.strength for row in rows})
    change = np.full((len(sites), len(strengths)), np.nan)
    for row in rows:
        change[sites.index(row.site), strengths.index(row.strength)] = row.change.value
    if ax is None:
        ax = new_axes(2.8 + 0.62 * max(4, len(strengths)), 1.6 + 0.24 * max(4, len(sites)))
    drawn: Any = ax.imshow(change, aspect="auto", cmap="cividis", interpolation="nearest")
    # The lighter half takes dark dots.
    middle = (np.nanmin(change) + np.nanmax(change)) / 2 if np.isfinite(change).any() else 0.0
    for row in rows:
        if row.change.low > 0 or row.change.high < 0:
            ink = INK if row.change.value > middle else "white"
            ax.plot(strengths.index(row.strength), sites.index(row.site), "o", markersize=4, color=ink, zorder=3)
    ax.set_xticks(range(len(strengths)), [f"{strength:g}" for strength in strengths])
    ax.set_yticks(range(len(sites)), sites, fontsize=8.5)
    ax.set_xlabel("strength (dot: the 95 % interval of the change leaves out 0)")
    ax.set_title(f"{rows[0].measure}: change under {rows[0].method}", loc="left")
    figure: Any = ax.figure
    figure.colorbar(drawn, ax=ax, label="change from the model as it is")
    return ax
