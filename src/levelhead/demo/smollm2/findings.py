"""What the demo found on SmolLM2."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from levelhead.demo import results
from levelhead.demo.graphs import GraphRow
from levelhead.demo.intervals import mean_interval
from levelhead.demo.options import Options
from levelhead.demo.smollm2 import measure
from levelhead.demo.smollm2.measure import Pronouns
from levelhead.metrics.statistics import Estimate
from levelhead.sites import Site
from levelhead.steer import Steer


@dataclass(frozen=True)
class Outcome:
    """Everything that is measured on the test split, for one state of the model.

    Attributes
    ----------
    jobs : Pronouns
        Over test occupations in test templates.
    names, nouns : Pronouns
        Where the sentence says who it is about: first names, and gendered nouns that nothing was fitted on.
    loss : Float[Tensor, "paragraph"]
        On neutral prose, in nats a token.
    logits : Float[Tensor, "sentence vocabulary"]
        Of the word after each sentence of `jobs`: what the other graphs are held to.
    """

    jobs: Pronouns
    names: Pronouns
    nouns: Pronouns
    loss: Float[Tensor, " paragraph"]
    logits: Float[Tensor, "sentence vocabulary"]

    def brief(self) -> dict[str, float]:
        """The few numbers that are shown for each strength."""
        return {
            "gap": self.jobs.gap(),
            "spearman": self.jobs.rank(),
            "level": self.jobs.level(),
            "names": float(self.names.fitting().mean()),
            "nouns": float(self.nouns.fitting().mean()),
            "loss": float(self.loss.mean()),
        }


@dataclass(frozen=True)
class LayerTrial:
    """Ablation at one layer, on the validation split.

    Attributes
    ----------
    layer : int
    gap : float
        In nats.
    loss_percent : float
        Rise of the loss on neutral prose, in percent of it.
    """

    layer: int
    gap: float
    loss_percent: float


@dataclass
class Report:
    """What the demo found.

    Attributes
    ----------
    options : Options
    sweep : ProbeSweep
        For the perceived gender of named people, at every layer and head.
    alignment : Alignment
        The mean difference of gendered nouns against those probes, at every layer.
    unsteered : LayerTrial
        The validation split as the model is (its layer means nothing).
    layers : list of LayerTrial
    steer : Steer
        The chosen one.
    doses : list of (float, Outcome)
        The test split at several strengths; the first is 0 and the last 1.
    controls : list of (Pronouns, float)
        For each random direction, the test split and the change of the loss, in nats a token.
    graphs : list of GraphRow
    reloaded : dict
        Whether the steer from disk gave the same logits, and its size.
    seconds : dict of str to float
        Wall time of each stage.
    """

    options: Options
    sweep: Any
    alignment: Any
    unsteered: LayerTrial
    layers: list[LayerTrial]
    steer: Steer
    doses: list[tuple[float, Outcome]]
    controls: list[tuple[Pronouns, float]]
    graphs: list[GraphRow] = field(default_factory=list[GraphRow])
    reloaded: dict[str, Any] = field(default_factory=dict[str, Any])
    seconds: dict[str, float] = field(default_factory=dict[str, float])

    @property
    def before(self) -> Outcome:
        """The model as it is."""
        return self.doses[0][1]

    @property
    def after(self) -> Outcome:
        """The model steered at strength 1."""
        return self.doses[-1][1]

    @property
    def site(self) -> Site:
        """Where the steer writes."""
        return self.steer.sites[0]

    @cached_property
    def estimates(self) -> dict[str, dict[str, Estimate]]:
        """Intervals on the test split: before, after, and the change on the same items."""
        seed, before, after = self.options.seed, self.before, self.after
        found: dict[str, dict[str, Estimate]] = {}
        for state, outcome in (("before", before), ("after", after)):
            found[state] = {
                "gap": measure.gap_interval(outcome.jobs, seed),
                "spearman": measure.rank_interval(outcome.jobs, seed),
                "names": mean_interval(outcome.names.fitting(), seed),
                "nouns": mean_interval(outcome.nouns.fitting(), seed),
                "loss": mean_interval(outcome.loss.numpy(), seed),
            }
        rise = (after.loss - before.loss).numpy()
        found["change"] = {
            "gap": measure.gap_change(before.jobs, after.jobs, seed),
            "loss": mean_interval(rise, seed),
            "loss_percent": mean_interval(100 * rise / float(before.loss.mean()), seed),
        }
        return found

    def record(self) -> dict[str, Any]:
        """The report as plain data, for ``summary.json``."""
        return {
            "model": "SmolLM2-135M-Instruct, float32",
            "units": {"gap": "nats", "level": "nats", "loss": "nats a token", "loss_percent": "percent"},
            "site": str(self.site),
            "seed": self.options.seed,
            "estimates": {
                state: {name: value.record() for name, value in rows.items()} for state, rows in self.estimates.items()
            },
            "occupations": {
                state: outcome.jobs.by_unit() for state, outcome in (("before", self.before), ("after", self.after))
            },
            "pronoun_mass": {
                "before": float(self.before.jobs.mass.mean()),
                "after": float(self.after.jobs.mass.mean()),
            },
            "validation": {"gap": self.unsteered.gap, "layers": [vars(trial) for trial in self.layers]},
            "strengths": [{"strength": strength, **outcome.brief()} for strength, outcome in self.doses],
            "random_directions": [
                {"gap": found.gap(), "spearman": found.rank(), "loss_change": cost} for found, cost in self.controls
            ],
            "graphs": [row.record() for row in self.graphs],
            "reloaded": self.reloaded,
            "seconds": self.seconds,
            "versions": dict(self.steer.card.get("versions", {})),
        }

    def write(self) -> Path:
        """Write ``summary.json``, ``probes.csv`` and ``alignment.csv`` into the folder of the results."""
        tables = {"probes": self.sweep.frame(), "alignment": self.alignment.frame()}
        return results.write(self.options.out, self.record(), tables)
