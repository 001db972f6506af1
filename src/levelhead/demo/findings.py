"""What the demo is asked, and what it found."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from jaxtyping import Float
from torch import Tensor

from levelhead.demo import measure
from levelhead.demo.measure import Estimate, Pronouns
from levelhead.errors import FileError, InputError
from levelhead.sites import Site
from levelhead.steer import Steer

Item = TypeVar("Item")

GRAPHS = ("transformers", "transformer_lens", "nnsight")


@dataclass(frozen=True)
class Options:
    """What the command line sets.

    Attributes
    ----------
    out : Path
        Folder for pictures, tables, the summary and the steer.
    cache : Path or None
        Where the converted model is kept; None for the user's cache.
    graphs : tuple of str
        Of `GRAPHS`; the findings themselves come from the plain one.
    controls : int
        Number of random directions.
    seed : int
        Of the bootstrap, the probes' controls and the random directions.
    verbose : bool
        Show progress bars, if this is a terminal.
    """

    out: Path = Path("levelhead-demo")
    cache: Path | None = None
    graphs: tuple[str, ...] = GRAPHS
    controls: int = 20
    seed: int = 0
    verbose: bool = True

    def __post_init__(self) -> None:
        unknown = [name for name in self.graphs if name not in GRAPHS]
        if unknown:
            raise InputError(f"unknown graph '{unknown[0]}'; graphs are {', '.join(GRAPHS)}")
        if self.controls < 1:
            raise InputError(f"at least one random direction is needed as a control; found {self.controls}")
        if self.out.exists() and not self.out.is_dir():
            raise FileError(f"results go into a folder, and '{self.out}' is a file; choose another with --out")

    def bar(self, items: Sequence[Item], name: str) -> Iterable[Item]:
        """Go through items under a progress bar."""
        from tqdm import tqdm

        return tqdm(items, desc=name, disable=None if self.verbose else True, leave=False)


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


@dataclass(frozen=True)
class GraphRow:
    """One graph against plain transformers, on the test sentences.

    Attributes
    ----------
    name : str
    skipped : str
        Why it did not run; empty when it did.
    reference : bool
        Whether this is the graph that the others are held to.
    gap_before, gap_after : float
        In nats.
    difference_before, difference_after : float
        Largest absolute difference of any logit from that on plain transformers.
    seconds_to_open, seconds : float
    """

    name: str
    skipped: str = ""
    reference: bool = False
    gap_before: float = 0.0
    gap_after: float = 0.0
    difference_before: float = 0.0
    difference_after: float = 0.0
    seconds_to_open: float = 0.0
    seconds: float = 0.0


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
                "names": measure.mean_interval(outcome.names.fitting(), seed),
                "nouns": measure.mean_interval(outcome.nouns.fitting(), seed),
                "loss": measure.mean_interval(outcome.loss.numpy(), seed),
            }
        rise = (after.loss - before.loss).numpy()
        found["change"] = {
            "gap": measure.gap_change(before.jobs, after.jobs, seed),
            "loss": measure.mean_interval(rise, seed),
            "loss_percent": measure.mean_interval(100 * rise / float(before.loss.mean()), seed),
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
            "graphs": [{"name": row.name, "skipped": row.skipped} if row.skipped else vars(row) for row in self.graphs],
            "reloaded": self.reloaded,
            "seconds": self.seconds,
            "versions": dict(self.steer.card.get("versions", {})),
        }

    def write(self) -> Path:
        """Write ``summary.json``, ``probes.csv`` and ``alignment.csv`` into the folder of the results."""
        out = self.options.out
        out.mkdir(parents=True, exist_ok=True)
        self.sweep.frame().to_csv(out / "probes.csv", index=False)
        self.alignment.frame().to_csv(out / "alignment.csv", index=False)
        path = out / "summary.json"
        path.write_text(json.dumps(self.record(), indent=2) + "\n", encoding="utf-8")
        return path
