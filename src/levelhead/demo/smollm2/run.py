"""The demo's job: address, capture, probe, fit, check, steer, measure, save; on one small language model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

import levelhead as lh
from levelhead.capture import Activations
from levelhead.demo import controls
from levelhead.demo.controls import save_and_reload
from levelhead.demo.graphs import compare, wrap
from levelhead.demo.options import Options
from levelhead.demo.smollm2 import measure, model
from levelhead.demo.smollm2.findings import LayerTrial, Outcome, Report
from levelhead.demo.smollm2.measure import Prompts, Pronouns
from levelhead.demo.smollm2.prose import NEUTRAL
from levelhead.demo.smollm2.sentences import (
    contrast_sentences,
    named_sentences,
    noun_sentences,
    occupation_sentences,
    occupations,
)
from levelhead.demo.stages import Clock
from levelhead.graph import Graph
from levelhead.steer import Steer

STRENGTHS = (0.0, 0.5, 0.75, 1.0)
BUDGET = 1.0
"""Largest rise of the loss on neutral prose, in percent, that a layer may cost on the validation split."""


def run(options: Options, say: Callable[[str], None] = lambda stage: None) -> Report:
    """Do the demo's job.

    Parameters
    ----------
    options : Options
    say : callable
        Told the name of each stage as it begins.

    Returns
    -------
    Report

    Raises
    ------
    FileError
        When the model cannot be had, or the steer cannot be written.
    """
    clock = Clock(say)
    with clock("model"):
        folder = model.prepare(options.cache, verbose=options.verbose)
        net, tokenizer = model.load(folder)
        graph = lh.graph(net, tokenizer)
    with clock("probes for named people, at every layer and head"):
        sweep = sweep_names(graph, options)
    with clock("mean difference of gendered nouns, against the probes"):
        fitted, neutral = fit(graph, options)
        alignment = lh.align(fitted, sweep)
    with clock("layer, chosen on validation occupations"):
        unsteered, layers = try_layers(graph, tokenizer, fitted, options)
        steer = fitted.only(f"resid_post.{choose(layers).layer}")
    test = TestSplit(graph, tokenizer)
    with clock("before and after, on held-out occupations and templates"):
        doses = [(s, test.outcome(graph, steer * s)) for s in options.bar(STRENGTHS, "strengths")]
    with clock(f"{options.controls} random directions"):
        drawn = random_directions(graph, test, steer, neutral, float(doses[0][1].loss.mean()), options)
    report = Report(options, sweep, alignment, unsteered, layers, steer, doses, drawn, seconds=clock.seconds)
    with clock("steer saved, reloaded and applied again"):
        report.steer = steer.annotate(**_card(report))
        report.reloaded = save_and_reload(report.steer, options, lambda each: test.nouns.last_logits(graph, each))
    expected = {"before": doses[0][1].logits, "after": doses[-1][1].logits}

    def open_graph(name: str) -> Graph:
        return wrap(name, *model.load(folder))

    def gap(logits: Tensor) -> float:
        return test.jobs.pronouns_in(logits).gap()

    for name in options.graphs:
        with clock(f"the same on {name}"):
            report.graphs.append(compare(name, open_graph, steer, test.jobs.last_logits, gap, expected))
    return report


def sweep_names(graph: Graph, options: Options) -> Any:
    """Probe every layer and head for the perceived gender of a named person; tested on names never seen."""
    people = named_sentences("train")
    acts = lh.capture(graph, [p.text for p in people], sites=["resid_post.*", "z.*.*"], verbose=options.verbose)
    sweep = lh.ProbeSweep(cv=5, C=0.01, standardize=True, random_state=options.seed, verbose=options.verbose)
    return sweep.fit(acts, ["she" if p.female else "he" for p in people], groups=[p.unit for p in people])


def fit(graph: Graph, options: Options) -> tuple[Steer, Activations]:
    """Mean differences at every layer, ablated to the mean of plain occupation sentences, and those activations.

    Both are read where the next word may be a pronoun, on training words, occupations and templates. The groups'
    common mean would be that of women and men who are named as such, after whom the model is far surer of its pronoun
    than after "the nurse"; ablating to it makes every sentence lean one way. The mean over training occupations, as
    many male-typed as female-typed, is the level at which this model stands by itself.
    """
    contrast = contrast_sentences()
    acts = lh.capture(graph, [s.text for s in contrast], sites="resid_post.*", verbose=options.verbose)
    labels = ["she" if s.female else "he" for s in contrast]
    jobs = [s.text for s in occupation_sentences("train")]
    neutral = lh.capture(graph, jobs, sites="resid_post.*", verbose=options.verbose)
    method = lh.MeanDifference("resid_post.*", edit="ablate", to="mean", positive="she")
    return method.fit(acts, labels, reference=neutral), neutral


def try_layers(graph: Graph, tokenizer: Any, fitted: Steer, options: Options) -> tuple[LayerTrial, list[LayerTrial]]:
    """Ablation at one layer at a time, over the last third of the model, on the validation split."""
    prompts = Prompts.of(graph, tokenizer, occupation_sentences("validation"))
    prose = [dict(graph.encode([text])) for text in NEUTRAL["validation"]]
    loss = float(measure.loss(graph, prose).mean())
    layers = [site.layer for site in fitted.sites if site.layer is not None]
    trials: list[LayerTrial] = []
    for layer in options.bar(layers[2 * len(layers) // 3 :], "layers"):
        steer = fitted.only(f"resid_post.{layer}")
        cost = float(measure.loss(graph, prose, steer).mean())
        trials.append(LayerTrial(layer, prompts(graph, steer).gap(), 100 * (cost - loss) / loss))
    return LayerTrial(-1, prompts(graph).gap(), 0.0), trials


def choose(trials: Sequence[LayerTrial], budget: float = BUDGET) -> LayerTrial:
    """The smallest gap that is left, among the layers that cost at most `budget` percent."""
    affordable = [trial for trial in trials if trial.loss_percent <= budget]
    return min(affordable or trials, key=lambda trial: abs(trial.gap))


class TestSplit:
    """The sentences of the one final report, encoded once."""

    __test__ = False

    def __init__(self, graph: Graph, tokenizer: Any) -> None:
        self.jobs = Prompts.of(graph, tokenizer, occupation_sentences("test"))
        self.names = Prompts.of(graph, tokenizer, named_sentences("test", every=2))
        self.nouns = Prompts.of(graph, tokenizer, noun_sentences())
        self.prose = [dict(graph.encode([text])) for text in NEUTRAL["test"]]

    def outcome(self, graph: Graph, steer: Steer) -> Outcome:
        """Everything on this split, for the model as `steer` leaves it."""
        logits = self.jobs.last_logits(graph, steer)
        return Outcome(
            self.jobs.pronouns_in(logits),
            self.names(graph, steer),
            self.nouns(graph, steer),
            measure.loss(graph, self.prose, steer),
            logits,
        )


def random_directions(
    graph: Graph, test: TestSplit, steer: Steer, neutral: Activations, loss: float, options: Options
) -> list[tuple[Pronouns, float]]:
    """The same ablation along random directions: same site and rank, to the mean of the same activations.

    Each comes with how far it raises the loss on neutral prose above `loss`.
    """
    found: list[tuple[Pronouns, float]] = []
    for control in controls.random_directions(steer, neutral, options):
        cost = float(measure.loss(graph, test.prose, control).mean()) - loss
        found.append((test.jobs(graph, control), cost))
    return found


def _card(report: Report) -> dict[str, Any]:
    found = report.estimates
    results = {
        f"{name}_{state}": found[state][name].record() for name in ("gap", "spearman") for state in ("before", "after")
    }
    return {
        # A path on this machine says nothing to whoever is given the steer.
        "model": {
            **report.steer.card.get("model", {}),
            "id": f"SmolLM2-135M-Instruct, as in {model.WHEEL} {model.VERSION}",
        },
        "results": {
            "split": "test occupations in test templates; 95 % intervals over occupations",
            **results,
            "loss_percent": found["change"]["loss_percent"].record(),
        },
        "data": {
            **dict(report.steer.card.get("data", {})),
            "name": "levelhead demo: gendered nouns in four templates, alone and with an occupation",
            "occupations": len(occupations()),
            "reference": "training occupations in training templates",
        },
        "intended_use": "A demonstration of levelhead on SmolLM2-135M-Instruct.",
        "limits": (
            "Binary pronouns after English sentences about one person. At strength 1 the model also loses the pronoun of "
            "people whose gender the sentence states: see the strengths in the demo's summary."
        ),
    }
