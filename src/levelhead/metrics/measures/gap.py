"""How far two groups' options lie apart, in nats."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from levelhead.data.records import ChoiceRecord
from levelhead.errors import InputError
from levelhead.graph import Graph
from levelhead.metrics.decisions import Choices, Decisions
from levelhead.metrics.decisions.asking import Style, Wrap
from levelhead.metrics.decisions.bias import per_target
from levelhead.metrics.measures.protocol import Asked, Better, Reading, Run
from levelhead.steer import Steer, Strengths


@dataclass(frozen=True)
class LogOddsGap(Asked[ChoiceRecord]):
    """Size of the difference between two groups' mean log-odds of the first option over the second, in nats.

    With the pronouns as options and occupations as targets, typed by who works in them, it is the pronoun gap: 0 where
    the occupation tells nothing about the pronoun. Targets count equally. `beside` has it signed, the mean log-odds
    (``level``, which a shift of all alike would move) and the options' common probability (``mass``).

    Parameters
    ----------
    records : sequence of ChoiceRecord
        With two options, a ``target``, and a ``group``, of which there are two.
    style, wrap, batch_size
        As in `levelhead.metrics.decisions.Choices`.
    name : str

    Raises
    ------
    InputError
        If there are not two groups and two options, or a target that is missing or in both groups.
    """

    style: Style = "words"
    wrap: Wrap = "raw"
    batch_size: int = 64
    name: str = "gap of log-odds"
    better: Better = field(default="lower", init=False)
    bounds: tuple[float, float] | None = field(default=None, init=False)
    chance: float = field(default=float("inf"), init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        belongs: dict[str, str | None] = {}
        for record in self.records:
            if not record.target or belongs.setdefault(record.target, record.group) != record.group:
                raise InputError(
                    f"a gap is between targets of two groups, and the record '{record.id}' has target {record.target!r} and "
                    f"group {record.group!r}; name each record's target, and put each target into one group"
                )
        groups = {record.group for record in self.records}
        options = {len(record.options) for record in self.records}
        if len(groups) != 2 or None in groups or options != {2}:
            raise InputError(
                f"a gap is between two groups, over two options; found groups {sorted(map(str, groups))} and "
                f"{sorted(options)} options"
            )

    def on(self, graph: Graph, prefix: str = "") -> Run:
        """Encode for a graph."""
        asked = Choices(
            graph, self.records, style=self.style, wrap=self.wrap, prefix=prefix, batch_size=self.batch_size
        )

        def run(
            steer: Steer | None = None, strengths: Strengths | None = None, *, verbose: bool = False
        ) -> list[Reading]:
            found = asked(steer, strengths, verbose=verbose)
            return [self._read(each) for each in found]

        return run

    def _read(self, decisions: Decisions) -> Reading:
        logprobs = decisions.logprobs.double().numpy()
        odds = np.nanmean(logprobs[..., 0] - logprobs[..., 1], axis=1)
        names = [record.target for record in self.records]
        first = sorted({str(record.group) for record in self.records})[0]
        columns = sorted(set(names))
        inside = np.array([{r.target: r.group for r in self.records}[name] == first for name in columns])

        def signed(weights: Float[np.ndarray, "draw item"]) -> Float[np.ndarray, " draw"]:
            means = per_target(odds, names, weights)
            return _mean(means[:, inside]) - _mean(means[:, ~inside])

        beside = {
            f"{first} minus the other": float(signed(np.ones((1, len(odds))))[0]),
            "level": float(np.nanmean(odds)),
            "mass": float(np.nanmean(decisions.mass)),
        }
        return Reading(lambda weights: np.abs(signed(weights)), len(odds), beside)


def _mean(means: Float[np.ndarray, "draw target"]) -> Float[np.ndarray, " draw"]:
    """Over the targets that a draw has; NaN where it has none."""
    known = ~np.isnan(means)
    count = known.sum(axis=1)
    return np.divide(np.where(known, means, 0.0).sum(axis=1), count, out=np.full(len(means), np.nan), where=count > 0)
