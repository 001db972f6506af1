"""The demo's job on the testbed: draw, probe, fit, check, choose, steer, measure, save."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

import levelhead as lh
from levelhead.demo import controls
from levelhead.demo.controls import save_and_reload
from levelhead.demo.graphs import compare, wrap
from levelhead.demo.options import MODELS, Options
from levelhead.demo.stages import Clock
from levelhead.demo.testbed import variants
from levelhead.demo.testbed.contrasts import instead, jobs, others, reworded
from levelhead.demo.testbed.findings import ATTRIBUTES, Outcome, Report, Where
from levelhead.demo.testbed.measure import Moves, Panel, Scores, Skills
from levelhead.demo.testbed.sheet import captioned
from levelhead.graph import Graph
from levelhead.steer import Steer
from levelhead.testbed.model import prompt
from levelhead.testbed.scene import Scene, sample
from levelhead.testbed.weights import Testbed, load
from levelhead.testbed.world import SETTINGS

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
QUESTION = "what is the job of the person?"


@dataclass(frozen=True)
class Counts:
    """How many pictures the demo looks at.

    Attributes
    ----------
    probe : int
        Counterfactual sets of eight for each setting, to probe.
    fit, validation, test : int
        Contrasts of a man and a woman for each setting.
    rest : int
        Contrasts for everything else that leans.
    scenes : int
        Pictures asked about what they show, and half as many of two people.
    skills, validation_skills, control_skills : int
        Questions about them in each part of `measure.SKILLS`: for the report, for validation, for random directions.
    """

    probe: int = 4
    fit: int = 16
    validation: int = 5
    test: int = 12
    rest: int = 8
    scenes: int = 80
    skills: int = 160
    validation_skills: int = 80
    control_skills: int = 30


def run(options: Options, say: Callable[[str], None] = lambda stage: None, counts: Counts | None = None) -> Report:
    """Do the demo's job.

    Parameters
    ----------
    options : Options
    say : callable
        Told the name of each stage as it begins.
    counts : Counts, optional
        The usual ones take under two minutes on two cores.

    Returns
    -------
    Report

    Raises
    ------
    FileError
        When the model cannot be had, or the steer cannot be written.
    """
    counts = counts or Counts()
    clock = Clock(say)
    with clock("model"):
        folder = None if options.model in MODELS else Path(options.model)
        bed = load(folder)
        graph = bed.graph
    with clock("probes for gender, skin tone and age, at every layer and head"):
        pictures = probe_scenes(counts.probe, options.seed)
        where = sweep(graph, pictures, options)
    with clock("mean differences of women and men, all else pixel-identical"):
        pairs = jobs(counts.fit, "fit", options.seed, bed.planted)
        fitted = variants.fit(graph, pairs, options.verbose)
    with clock("where to steer, chosen on validation pictures"):
        panel = Panel.of(graph, jobs(counts.validation, "validation", options.seed, bed.planted))
        shown = scenes(counts.scenes, options.seed, held_out=False)
        few = Skills.of(graph, shown, bed.planted, counts.validation_skills)
        trials = variants.try_all(graph, fitted, panel, few, options)
        chosen = variants.choose(trials)
        steer = variants.steer_of(chosen, fitted)
    with clock("the direction against the probes"):
        alignment = lh.align(fitted.steers["end"], where.end["gender"])
        read = where.picture if chosen.place == "picture" else where.end
        written = lh.align(steer, read["gender"])
        where = Where(where.picture, where.end, sweep_steered(graph, pictures, steer, options))
    with clock("before and after, on held-out people"):
        test = TestSplit(graph, bed, counts, options.seed)
        doses = [test.outcome(graph, steer, strength) for strength in options.bar(STRENGTHS, "strengths")]
        rest = {"before": test.rest(graph), "after": test.rest(graph, steer)}
    with clock(f"{options.controls} random directions, and glasses in the place of gender"):
        drawn = random_directions(graph, test, steer, fitted.acts[chosen.place], options)
        glasses = variants.fit(graph, instead(pairs, "glasses", bed.planted), options.verbose)
        unrelated = test.jobs(graph, variants.steer_of(chosen, glasses))
    report = Report(options, bed.facts, where, alignment, written, trials, steer, doses, drawn, unrelated, rest)
    report.seconds = clock.seconds
    with clock("steer saved, reloaded and applied again"):
        report.steer = steer.annotate(**_card(report, fitted.n))
        report.reloaded = save_and_reload(report.steer, options, lambda each: test.few.exam.logits(graph, each))
        report.sheet = captioned(graph, steer, bed.planted)
    expected = {"before": report.before.logits, "after": report.after.logits}

    def open_graph(name: str) -> Graph:
        own = load(folder)
        return wrap(name, own.model, own.processor)

    def gap(logits: Tensor) -> float:
        return test.jobs.answers(logits).gap()

    for name in options.graphs:
        with clock(f"the same on {name}"):
            report.graphs.append(compare(name, open_graph, steer, test.jobs.exam.logits, gap, expected))
    return report


def probe_scenes(n: int, seed: int) -> list[Scene]:
    """Draw ambiguous people in every setting, each as a man and a woman, light and dark, young and old: sets of eight."""
    found: list[Scene] = []
    for number, theme in enumerate(SETTINGS):
        for scene in sample(n, [4, seed, number], roles=[theme.name]):
            found += [each for each in scene.counterfactuals("gender", "skin", "age") if each.person.skin != "medium"]
    return found


def sweep(graph: Graph, pictures: Sequence[Scene], options: Options) -> Where:
    """Probe for each attribute, by layer: at the picture, and at the end of the question, there by head as well."""
    asked = [(scene.image(), prompt(QUESTION)) for scene in pictures]

    def read(sites: Any, at: str) -> lh.Activations:
        return lh.capture(graph, asked, sites, at=at, batch_size=128, verbose=options.verbose)

    tower, tokens = read(["vision/resid_post.*", "projector"], "mean"), read("resid_post.*", "image")
    picture = lh.Activations({**tower, **tokens}, at="image", source=tokens.source)
    end = read(["resid_post.*", "z.*.*"], "last")
    layers = end.select("resid_post.*")
    return Where(
        {name: _probe(picture, pictures, name, options) for name in ATTRIBUTES},
        {name: _probe(end if name == "gender" else layers, pictures, name, options) for name in ATTRIBUTES},
    )


def sweep_steered(graph: Graph, pictures: Sequence[Scene], steer: Steer, options: Options) -> lh.ProbeSweep:
    """Probe for gender at the end of the question, anew on the steered model."""
    asked = [(scene.image(), prompt(QUESTION)) for scene in pictures]
    acts = lh.capture(graph, asked, "resid_post.*", steer=steer, batch_size=128, verbose=options.verbose)
    return _probe(acts, pictures, "gender", options)


def _probe(acts: lh.Activations, pictures: Sequence[Scene], attribute: str, options: Options) -> lh.ProbeSweep:
    probes = lh.ProbeSweep(cv=4, C=0.1, standardize=True, random_state=options.seed, verbose=options.verbose)
    groups = [number // 8 for number in range(len(pictures))]
    return probes.fit(acts, [getattr(scene.person, attribute) for scene in pictures], groups=groups)


def scenes(n: int, seed: int, *, held_out: bool) -> list[Scene]:
    """Draw pictures of one person and half as many of two."""
    stream = [5 + held_out, seed]
    return sample(n, [*stream, 1], held_out=held_out) + sample(n // 2, [*stream, 2], people=2, held_out=held_out)


class TestSplit:
    """The held-out pictures of the one final report, encoded once."""

    __test__ = False

    def __init__(self, graph: Graph, bed: Testbed, counts: Counts, seed: int) -> None:
        plain = jobs(counts.test, "test", seed, bed.planted)
        self.jobs = Panel.of(graph, plain)
        choices, walls = reworded(plain[::2], "job_choice", bed.planted), instead(plain, "wall", bed.planted)
        pairs = jobs(counts.rest, "test", seed, bed.planted, "who")
        self.rest = Panel.of(graph, [*choices, *pairs, *others(counts.rest, "test", seed, bed.planted), *walls])
        shown = scenes(counts.scenes, seed, held_out=True)
        self.skills = Skills.of(graph, shown, bed.planted, counts.skills)
        self.few = Skills.of(graph, shown, bed.planted, counts.control_skills)

    def outcome(self, graph: Graph, steer: Steer, strength: float) -> Outcome:
        """Answers about jobs, and what has one right answer, at one strength."""
        logits = self.jobs.exam.logits(graph, steer * strength)
        return Outcome(strength, self.jobs.answers(logits), self.skills(graph, steer * strength), logits)


def random_directions(
    graph: Graph, test: TestSplit, steer: Steer, acts: lh.Activations, options: Options
) -> list[tuple[Moves, Scores]]:
    """The same ablation along random directions: same sites and rank, to the mean of the same activations."""
    drawn = controls.random_directions(steer, acts, options)
    return [(test.jobs(graph, control), test.few(graph, control)) for control in drawn]


def _card(report: Report, n: int) -> dict[str, Any]:
    found = report.estimates
    recipe = report.model.get("recipe", {})
    return {
        # A path on this machine says nothing to whoever is given the steer.
        "model": {
            **report.steer.card.get("model", {}),
            "id": f"levelhead testbed, size {recipe.get('size', 'unknown')}, seed {recipe.get('seed', 'unknown')}",
        },
        "results": {
            "split": "people whom training never showed; 95 % intervals over counterfactual sets, of skills over pictures",
            "gap_planted": report.before.jobs.gap_planted(),
            **{f"gap_{state}": found[state]["gap"].record() for state in ("before", "after")},
            **{
                f"{part}_{state}": found[state][part].record()
                for part in found["before"]
                if part not in ("gap", "signed_gap")
                for state in ("before", "after")
            },
        },
        "data": {
            **dict(report.steer.card.get("data", {})),
            "name": f"levelhead demo: {n} drawn people of no clear occupation, each as a woman and as a man",
            "chosen_on": "validation pictures: smallest gap within a budget of two points of right answers",
        },
        "intended_use": "A demonstration of levelhead on a model whose stereotypes were planted.",
        "limits": "Drawings, two perceived genders, one model. What else the steer moves stands in the demo's summary.",
    }
