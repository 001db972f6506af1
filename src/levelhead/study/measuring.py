"""One cell: a steer at one site, one measure, all strengths in a batch; and what it changes, with intervals."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from levelhead.errors import InputError
from levelhead.graph import Graph
from levelhead.metrics.measures.protocol import Measure, Reading, Run
from levelhead.metrics.statistics import Estimate, intervals
from levelhead.metrics.statistics.weighting import Weights
from levelhead.steer import Steer
from levelhead.study.reuse import forget, reusing
from levelhead.study.store import Cell


@dataclass(frozen=True)
class Asking:
    """What is asked in every cell.

    Attributes
    ----------
    measures : mapping of str to Measure
    strengths : tuple of float
    draws : int
        Bootstrap resamples.
    seed : int
    """

    measures: Mapping[str, Measure]
    strengths: tuple[float, ...]
    draws: int
    seed: int


@dataclass
class Bench:
    """Measures cells on one graph; keeps one measure encoded, with the unsteered model's answers and residual streams.

    Parameters
    ----------
    graph : Graph
    asking : Asking
    """

    graph: Graph
    asking: Asking
    _bound: tuple[str, Run, Reading] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.graph = reusing(self.graph)

    def __call__(self, cell: Cell, steer: Steer | None) -> list[dict[str, Any]]:
        """Measure a cell.

        Parameters
        ----------
        cell : Cell
        steer : Steer or None
            None for the model as it is.

        Returns
        -------
        list of dict
            One for each strength, as plain values.
        """
        measure = self.asking.measures[cell.measure]
        began = time.perf_counter()
        run, base = self._run(cell.measure, measure)
        if steer is None:
            readings, strengths = [], [0.0]
        else:
            strengths = list(self.asking.strengths)
            readings = run(steer, strengths)
            found = [reading.items for reading in readings]
            if found != [base.items] * len(strengths):
                raise InputError(
                    f"a measure gives one reading a strength, over the same items; '{measure.name}' has {base.items} items "
                    f"without a steer, and gave {found} for {len(strengths)} strengths"
                )
        levels, changes = self._intervals(measure, [base, *readings])
        seconds = time.perf_counter() - began
        if steer is not None:
            levels, changes = levels[1:], changes[1:]
        return [
            {
                "strength": strength,
                "estimate": level.record(),
                "change": change.record(),
                "items": reading.items,
                "beside": {name: float(value) for name, value in reading.beside.items()},
                "cautions": list(reading.cautions),
                "seconds": seconds,
            }
            for strength, reading, level, change in zip(strengths, readings or [base], levels, changes, strict=True)
        ]

    def _run(self, name: str, measure: Measure) -> tuple[Run, Reading]:
        if self._bound is None or self._bound[0] != name:
            # The last measure's prompts go before the next one's come.
            self._bound = None
            forget(self.graph)
            run = measure.on(self.graph)
            self._bound = name, run, run()[0]
        return self._bound[1], self._bound[2]

    def _intervals(self, measure: Measure, readings: list[Reading]) -> tuple[list[Estimate], list[Estimate]]:
        """All readings from the same resamples, which do not depend on the cell; and their differences from the first."""

        def values(weights: Weights) -> np.ndarray:
            return np.stack([reading.statistic(weights) for reading in readings], axis=1)

        def changes(weights: Weights) -> np.ndarray:
            found = values(weights)
            return found - found[:, :1]

        asked = self.asking
        bounds = measure.bounds
        span = None if bounds is None else (bounds[0] - bounds[1], bounds[1] - bounds[0])

        def judged(of: Callable[[Weights], np.ndarray], within: tuple[float, float] | None) -> list[Estimate]:
            return intervals(of, measure.clusters(), draws=asked.draws, seed=asked.seed, bounds=within)

        levels, moved = judged(values, bounds), judged(changes, span)
        # The unsteered model differs from itself by nothing, of which Wilson's interval would make something.
        moved[0] = Estimate(0.0, 0.0, 0.0, moved[0].n)
        return levels, moved
