"""Measures of one steer as a table: each strength with its interval, and with that of its change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from levelhead.graph import Graph
from levelhead.metrics.measures import Measure
from levelhead.metrics.statistics import interval
from levelhead.metrics.statistics.weighting import Weights
from levelhead.steer import Steer

if TYPE_CHECKING:
    import pandas as pd

BESIDE = ("pob_hard", "noise_floor", "gap", "answer_rate", "position_bias", "order_consistency", "among_options")
"""What stands beside a number, where the measure tells it."""


def measured(
    graph: Graph,
    steer: Steer,
    measures: Sequence[Measure],
    strengths: Sequence[float | int] = (0.0, 1.0),
    *,
    seed: int = 0,
    draws: int = 1999,
    verbose: bool = True,
) -> pd.DataFrame:
    """Measure a steer at some strengths on the same items.

    Parameters
    ----------
    graph : Graph
    steer : Steer
    measures : sequence of Measure
    strengths : sequence of float
        Changes are from the first.
    seed : int
        Of the bootstrap.
    draws : int
        Bootstrap resamples.
    verbose : bool

    Returns
    -------
    pandas.DataFrame
        A row for each measure and strength: value and change with their 95 % intervals over sets, items, what stands beside.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for measure in measures:
        readings = measure.on(graph)(steer, list(strengths), verbose=verbose)
        clusters, bounds = measure.clusters(), measure.bounds
        first = readings[0].statistic
        for strength, reading in zip(strengths, readings, strict=True):

            def change(weights: Weights, now: Any = reading.statistic) -> np.ndarray:
                return now(weights) - first(weights)  # noqa: B023

            level = interval(reading.statistic, clusters, draws=draws, seed=seed, bounds=bounds)
            moved = interval(change, clusters, draws=draws, seed=seed, bounds=None)
            rows.append(
                {
                    "measure": measure.name,
                    "strength": float(strength),
                    **{"value": level.value, "low": level.low, "high": level.high},
                    **{"change": moved.value, "change low": moved.low, "change high": moved.high},
                    "n": reading.items,
                    **{name: float(reading.beside.get(name, float("nan"))) for name in BESIDE},
                }
            )
    return pd.DataFrame(rows)
