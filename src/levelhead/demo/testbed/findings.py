"""What the demo found on the testbed."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from levelhead.demo import results
from levelhead.demo.graphs import GraphRow
from levelhead.demo.intervals import mean_interval
from levelhead.demo.options import Options
from levelhead.demo.testbed.measure import SKILLS, Moves, Scores
from levelhead.demo.testbed.variants import PLACES, Trial, choose
from levelhead.metrics.statistics import Estimate
from levelhead.sites import Site
from levelhead.steer import Steer
from levelhead.testbed.scene import Scene

if TYPE_CHECKING:
    import pandas as pd

ATTRIBUTES = ("gender", "skin", "age")
"""What is probed; skin tone as light against dark."""


@dataclass(frozen=True)
class Where:
    """Probes for perceived gender, skin tone and age, over the same pictures.

    Attributes
    ----------
    picture : dict of str to ProbeSweep
        For each of `ATTRIBUTES`, at the picture's patches and tokens, through the whole model.
    end : dict of str to ProbeSweep
        At the last token of the job question; for gender, every head as well.
    steered : ProbeSweep
        For gender at the last token, refitted on the steered model.
    """

    picture: dict[str, Any]
    end: dict[str, Any]
    steered: Any = None

    def frame(self) -> pd.DataFrame:
        """All probes of the model as it is, in one table."""
        import pandas as pd

        named = [
            (tokens, name, sweep) for tokens in ("picture", "end") for name, sweep in getattr(self, tokens).items()
        ]
        return pd.concat([sweep.frame().assign(attribute=name, tokens=tokens) for tokens, name, sweep in named])


@dataclass(frozen=True)
class Outcome:
    """What is measured on held-out pictures at every strength.

    Attributes
    ----------
    strength : float
    jobs : Moves
        Of ambiguous people in the eight settings.
    scores : Scores
        What has one right answer.
    logits : Float[Tensor, "question vocabulary"]
        Of the answers in `jobs`: what the other graphs are held to.
    """

    strength: float
    jobs: Moves
    scores: Scores
    logits: Float[Tensor, "question vocabulary"]


@dataclass
class Report:
    """What the demo found.

    Attributes
    ----------
    options : Options
    model : dict
        What is known of the model: recipe, versions, sha256.
    where : Where
    alignment : Alignment
        The mean difference at the end of the question against the probes there, at every layer.
    written : Alignment
        The chosen directions, where they are written.
    trials : list of Trial
        On validation pictures; the first is the model as it is.
    steer : Steer
        The chosen one.
    doses : list of Outcome
        Held-out pictures at several strengths; the first is 0 and the last 1.
    controls : list of (Moves, Scores)
        For each random direction, the same pictures.
    unrelated : Moves
        The same pairs under the same edit, fitted on people with and without glasses.
    rest : dict of str to Moves
        ``before`` and ``after``: the same stereotype asked otherwise, other stereotypes, and walls swapped.
    sheet : list of (Scene, str)
        Pictures and what is said under them.
    graphs : list of GraphRow
    reloaded : dict
        Whether the steer from disk gave the same logits, and its size.
    seconds : dict of str to float
        Wall time of each stage.
    """

    options: Options
    model: dict[str, Any]
    where: Where
    alignment: Any
    written: Any
    trials: list[Trial]
    steer: Steer
    doses: list[Outcome]
    controls: list[tuple[Moves, Scores]]
    unrelated: Moves
    rest: dict[str, Moves]
    sheet: list[tuple[Scene, str]] = field(default_factory=list[tuple[Scene, str]])
    graphs: list[GraphRow] = field(default_factory=list[GraphRow])
    reloaded: dict[str, Any] = field(default_factory=dict[str, Any])
    seconds: dict[str, float] = field(default_factory=dict[str, float])

    @property
    def before(self) -> Outcome:
        """The model as it is."""
        return self.doses[0]

    @property
    def after(self) -> Outcome:
        """The model steered at strength 1."""
        return self.doses[-1]

    @property
    def chosen(self) -> Trial:
        """The trial that was chosen."""
        return choose(self.trials)

    @property
    def site(self) -> Site:
        """The first site that the steer writes."""
        return self.steer.sites[0]

    @cached_property
    def estimates(self) -> dict[str, dict[str, Estimate]]:
        """Intervals on held-out pictures: before, after, and the change on the same items."""
        seed = self.options.seed
        found: dict[str, dict[str, Estimate]] = {}
        for state, outcome in (("before", self.before), ("after", self.after)):
            found[state] = {
                "gap": outcome.jobs.gap_interval(seed),
                "signed_gap": outcome.jobs.signed_interval(seed),
                **{part: outcome.scores.interval(part, seed) for part in SKILLS},
            }
        change = Moves(self.before.jobs.contrasts, self.after.jobs.values - self.before.jobs.values)
        found["change"] = {"signed_gap": change.signed_interval(seed)}
        return found

    def swapped(self, state: str) -> dict[str, Estimate]:
        """How far an answer about the job moves when only the gender is swapped, and when only the wall is."""
        jobs = self.before.jobs if state == "before" else self.after.jobs
        walls = self.rest[state].only(lambda each: each.attribute == "wall")
        return {"gender": jobs.moved(self.options.seed), "wall": walls.moved(self.options.seed)}

    def probe_after(self) -> tuple[float, float]:
        """ROC AUC for gender after the last layer, at the end of the question: as the model is, and steered."""
        last = max(site for site in self.where.steered.sites_)
        aucs = [
            sweep.frame().set_index("site")["auc"][str(last)]
            for sweep in (self.where.end["gender"], self.where.steered)
        ]
        return float(aucs[0]), float(aucs[1])

    def record(self) -> dict[str, Any]:
        """The report as plain data, for ``summary.json``."""
        return {
            "model": self.model,
            "units": {"gap": "probability", "skills": "share of right answers"},
            "sites": [str(site) for site in self.steer.sites],
            "place": PLACES[self.chosen.place],
            "seed": self.options.seed,
            "estimates": {
                state: {name: value.record() for name, value in rows.items()} for state, rows in self.estimates.items()
            },
            "planted_gap": self.before.jobs.gap_planted(),
            "settings": {
                state: _sides(outcome.jobs) for state, outcome in (("before", self.before), ("after", self.after))
            },
            "swapped": {
                state: {name: value.record() for name, value in self.swapped(state).items()}
                for state in ("before", "after")
            },
            "rest": {state: _rest(moves) for state, moves in self.rest.items()},
            "gender_probe_at_the_last_layer": dict(zip(("before", "after"), self.probe_after(), strict=True)),
            "validation": [vars(trial) for trial in self.trials],
            "strengths": [
                {
                    "strength": each.strength,
                    "gap": each.jobs.gap(),
                    "lean": each.jobs.lean(self.before.jobs),
                    "answered": each.jobs.answered(),
                    "off_level": each.jobs.off_level(),
                    **each.scores.by_part(),
                }
                for each in self.doses
            ],
            "random_directions": [{"gap": jobs.gap(), **scores.by_part()} for jobs, scores in self.controls],
            "glasses_instead": self.unrelated.gap_interval(self.options.seed).record(),
            "graphs": [row.record() for row in self.graphs],
            "reloaded": self.reloaded,
            "seconds": self.seconds,
            "versions": dict(self.steer.card.get("versions", {})),
        }

    def write(self) -> Path:
        """Write ``summary.json``, ``probes.csv`` and ``alignment.csv`` into the folder of the results."""
        import pandas as pd

        aligned = pd.concat([self.alignment.frame(), self.written.frame().assign(written=True)])
        return results.write(self.options.out, self.record(), {"probes": self.where.frame(), "alignment": aligned})


def _sides(moves: Moves) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for name in moves.names:
        first, second = moves.sides(name)
        found[name] = {"man": first[0], "woman": second[0], "planted_man": first[1], "planted_woman": second[1]}
    return {name: {side: float(value) for side, value in row.items()} for name, row in found.items()}


def _rest(moves: Moves) -> list[dict[str, Any]]:
    keys = dict.fromkeys((each.kind, each.name, each.attribute) for each in moves.contrasts)
    found: list[dict[str, Any]] = []
    for kind, name, attribute in keys:
        some = moves.only(lambda each, key=(kind, name, attribute): (each.kind, each.name, each.attribute) == key)
        found.append(
            {
                "asked": kind,
                "about": name,
                "swapped": attribute,
                "planted": float(some.planted.mean()),
                "found": mean_interval(some.found.astype(np.float64), 0).record(),
            }
        )
    return found
