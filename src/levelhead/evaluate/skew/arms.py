"""The arms: training with and without each part, and what needs no training, fitted on the same pictures."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import levelhead as lh
from levelhead.data.records import ImageRecord
from levelhead.evaluate.decisions.forms import kept_as_is, planted_choices
from levelhead.evaluate.skew.figures import Arm, extreme_skew
from levelhead.evaluate.skew.pictures import TRAINED, Exam, training_records
from levelhead.graph import Graph
from levelhead.metrics.capability import Questions
from levelhead.metrics.statistics.weighting import Weights
from levelhead.steer import Steer
from levelhead.testbed.concept_records import ASK, COUNTERPARTS, OVER, concept_records
from levelhead.testbed.model import prompt
from levelhead.testbed.records import skills, wrap
from levelhead.testbed.scene import sample
from levelhead.testbed.weights import load
from levelhead.testbed.world import CONCEPTS
from levelhead.training import Assignments, Trained, concept_examples, train

if TYPE_CHECKING:
    from levelhead.testbed.weights import Testbed

METHODS: Mapping[str, str] = {
    "naive fine-tuning": "ft",
    "resampling alone": "resample",
    "rescaled loss alone": "loss",
    "counter-stereotype training": "csd",
}
"""Of `levelhead.training.train`, by their names on the page."""
SETS, EPOCHS, BATCH, RATE = 10, 3, 24, 5e-5
"""Counterfactual sets of each theme, epochs, examples of a step, learning rate: the same for all four."""
LOST = 0.005
"""Share of neutral questions that a steer may cost where its strength is chosen."""


def trained(method: str, seed: int, out: Path, *, sets: int = SETS, verbose: bool = False) -> tuple[Trained, float]:
    """Fine-tune the testbed's model on counterfactual sets; a run that was stopped goes on.

    Parameters
    ----------
    method : {"ft", "resample", "loss", "csd"}
    seed : int
        Of pictures, samples and order.
    out : Path
        Folder of the run.
    sets : int
        For each theme.
    verbose : bool

    Returns
    -------
    Trained, float
        And the seconds of the call that finished it.
    """
    began = time.perf_counter()
    bed = load()
    records = training_records(sets, seed)
    examples = concept_examples(records, ask=ASK, negatives=COUNTERPARTS, seed=seed)
    asked = Assignments(bed.graph, records, ask=ASK, wrap=wrap, batch_size=64)
    found = train(
        bed.model,
        examples,
        asked,
        out,
        processor=bed.processor,
        method=method,
        wrap=wrap,
        epochs=EPOCHS,
        lr=RATE,
        batch=BATCH,
        freeze=("vision/*",),
        seed=seed,
        verbose=verbose,
    )
    return found, _took(out / "seconds.json", time.perf_counter() - began)


def _took(path: Path, seconds: float) -> float:
    """The seconds of the call that finished a run, however often it is looked up again."""
    if not path.exists():
        path.write_text(json.dumps(seconds), encoding="utf-8")
    return float(json.loads(path.read_text(encoding="utf-8")))


def training_arms(
    exam: Exam,
    seeds: Sequence[int],
    out: Path,
    say: Callable[[str], None],
    *,
    only: Collection[str] | None = None,
    sets: int = SETS,
    verbose: bool = False,
) -> tuple[list[Arm], dict[tuple[str, int], Trained]]:
    """Train with each method and seed, and examine what came out.

    Parameters
    ----------
    exam : Exam
    seeds : sequence of int
    out : Path
        A folder for each run is made in it.
    say : callable
        Told what begins.
    only : collection of str, optional
        Names of the methods; all when left out.
    sets : int
    verbose : bool

    Returns
    -------
    list of Arm, dict
        And the runs, by method's name and seed.
    """
    arms: list[Arm] = []
    runs: dict[tuple[str, int], Trained] = {}
    for name, method in METHODS.items():
        if only is not None and name not in only:
            continue
        judged, seconds = [], []
        for seed in seeds:
            say(f"{name}, seed {seed}")
            run, took = trained(method, seed, out / f"{method}-{seed}", sets=sets, verbose=verbose)
            runs[name, seed] = run
            judged.append(exam(lh.graph(run.model, load().processor)))
            seconds.append(took)
        arms.append(Arm(name, "training", tuple(judged), tuple(seconds)))
    return arms, runs


def steering_arms(
    bed: Testbed,
    after: Graph,
    exam: Exam,
    seed: int,
    say: Callable[[str], None],
    *,
    only: Collection[str] | None = None,
    sets: int = SETS,
) -> list[Arm]:
    """Fit what needs no training on the same pictures; strengths are chosen on further ones.

    Parameters
    ----------
    bed : Testbed
    after : Graph
        Of a trained model, whose difference from the untrained one is a steer too.
    exam : Exam
    seed : int
        That of the first training.
    say : callable
    only : collection of str, optional
        Names of the methods; all when left out.
    sets : int

    Returns
    -------
    list of Arm
        Their names tell the strength that was chosen.
    """
    chooser = _Chooser(bed.graph, seed)
    arms: list[Arm] = []
    for name, fit in _methods(bed, after, training_records(sets, seed), seed):
        if only is not None and name not in only:
            continue
        say(name)
        began = time.perf_counter()
        steer = fit()
        took = time.perf_counter() - began
        strength = chooser(steer)
        arms.append(Arm(f"{name}, at {strength:g}", "steering", (exam(bed.graph, steer * strength),), (took,)))
    return arms


def asked_of(records: Sequence[ImageRecord]) -> list[Any]:
    """What the model reads when it is asked about the concept of each picture.

    Parameters
    ----------
    records : sequence of ImageRecord

    Returns
    -------
    list of (image, str)
    """
    return [(record.image, prompt(ASK.replace("{concept}", str(record.concept)))) for record in records]


def _methods(
    bed: Testbed, after: Graph, records: Sequence[ImageRecord], seed: int
) -> Iterator[tuple[str, Callable[[], Steer]]]:
    """Each as a function that fits it: directions of gender, skin tone and age together, DSO on the same question."""

    def captured() -> lh.Activations:
        return lh.capture(bed.graph, asked_of(records), "resid_post.*", batch_size=64, verbose=False)

    def joined(method: Callable[[], lh.MeanDifference | lh.LEACE]) -> Steer:
        acts, sets = captured(), [str(record.set_id) for record in records]
        steers = [method().fit(acts, [record.groups[name] for record in records], sets) for name in OVER]
        return steers[0] | steers[1] | steers[2]

    def dso() -> Steer:
        themes = [theme for theme in CONCEPTS if theme.name in TRAINED]
        asked = planted_choices("concept_yes", 8, [seed, 61], held_out=False, themes=themes)
        method = lh.DSO(
            lr=0.02, half_life=40, kl=0.03, l1=3e-4, steps=60, batch=32, validation=0, wrap=wrap, random_state=seed
        )
        return method.fit(bed.graph, asked, kept_as_is(48, [seed, 62]), verbose=False)

    yield "mean differences, ablated", lambda: joined(lambda: lh.MeanDifference("resid_post.*", scope="all"))
    yield "LEACE", lambda: joined(lambda: lh.LEACE("resid_post.*", scope="all"))
    yield "DSO", dso
    yield (
        "what training moved, added",
        lambda: lh.model_difference(bed.graph, after, asked_of(records), "resid_post.*", verbose=False),
    )


class _Chooser:
    """Chooses the strength that leaves the least MinSkew among those that cost next to no neutral answer."""

    def __init__(self, graph: Graph, seed: int) -> None:
        self._graph = graph
        self._records = concept_records(4, 5000 + seed, TRAINED, held_out=True)
        self._asked = Assignments(graph, self._records, ask=ASK, wrap=wrap, batch_size=64)
        self._skills = Questions(graph, skills(sample(16, [seed, 72], held_out=True)), style="words", wrap=wrap)

    def __call__(self, steer: Steer) -> float:
        strengths = [0.0, 0.25, 0.5, 0.75, 1.0]
        right = [found.right.mean() for found in self._skills(steer, strengths)]
        yes = self._asked.ask(steer, strengths).yes
        lows = [float(extreme_skew([each], self._records, "min")(_whole(len(self._records)))[0]) for each in yes]
        kept = [i for i, each in enumerate(right) if each >= right[0] - LOST]
        return strengths[max(kept, key=lambda i: lows[i])]


def _whole(n: int) -> Weights:
    import numpy as np

    return np.ones((1, n))
