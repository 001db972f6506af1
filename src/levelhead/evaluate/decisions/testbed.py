"""The testbed's model: choices between people, occupations and concepts; captions; what its pictures show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from levelhead.capture import capture
from levelhead.data.records import ChoiceRecord
from levelhead.evaluate.decisions.contrast import contrast_steers
from levelhead.evaluate.decisions.dso_testbed import FEW_STEPS, STEPS, left_out, trained
from levelhead.evaluate.decisions.forms import FORMS, OCCUPATIONS, clear_choices, planted_choices
from levelhead.evaluate.subject import Options, Size, Subject
from levelhead.methods import MeanDifference, RandomDirection
from levelhead.metrics.measures import Accuracy, Answers, Measure, MentionRate, OccupationBias
from levelhead.testbed.model import prompt
from levelhead.testbed.reading import captioned
from levelhead.testbed.records import skills, wrap
from levelhead.testbed.scene import sample
from levelhead.testbed.weights import load
from levelhead.testbed.world import SETTINGS

QUESTION = "what is the job of the person?"
DSO_ALL, DSO_ONE, RANDOM = "DSO, three forms", "DSO, one form", "a random affine edit"
NOTES = (
    "The stereotypes are planted: as it is, the model should lean by .56 on average over the sixteen occupations.",
    "Steers are fitted on people of training; everything else is asked about people whom training never showed.",
    "DSO is trained on choices of all eight settings, in three forms or in the first alone, with a drift of at most 0.005 nats on "
    "questions that have an answer. Concepts, traits and captions are not trained on: their columns tell what happens to neighbours.",
    "CAA and ITI are fitted on the same questions, ended by the stereotype's answer or the other, and act against the first; CAA's "
    "layer, ITI's alpha and the strength of both were chosen on other pictures, at up to 5 points of unambiguous choices.",
    "'A random affine edit' has the numbers of 'DSO, three forms', permuted within each norm and with random signs.",
    "The model knows 126 words, and reads an instruction in English as a row of unknown ones: what it does to the "
    "testbed is what noise before the question does.",
    "Adding one vector moves every picture alike, and cannot level two people in one picture.",
)


def subject(options: Options, size: Size) -> Subject:
    """Load the testbed, fit every method on people of training, and draw what is asked.

    Parameters
    ----------
    options : Options
    size : Size

    Returns
    -------
    Subject
    """
    seed, verbose = options.seed, options.verbose
    bed = load()
    graph = bed.graph
    shown = [
        scene.counterfactual(gender=value)
        for number, theme in enumerate(SETTINGS)
        for scene in sample(12, [seed, 1, number], roles=[theme.name], held_out=False)
        for value in ("man", "woman")
    ]
    asked = [(scene.image(), prompt(QUESTION)) for scene in shown]
    acts = capture(graph, asked, "resid_post.*", at="image", batch_size=64, verbose=verbose)
    labels = [scene.person.gender for scene in shown]
    steers = {
        "mean difference, added": MeanDifference("resid_post.*", edit="add", scope="image").fit(acts, labels),
        "mean difference, ablated": MeanDifference("resid_post.*", edit="ablate", to="mean", scope="image").fit(
            acts, labels
        ),
    }
    ended: list[ChoiceRecord] = []
    for form in OCCUPATIONS:
        ended += planted_choices(form, 4, [seed, 8], held_out=False)
    validation = [r for form in ("who", "job_choice") for r in planted_choices(form, 3, [seed, 9], held_out=True)]
    steers |= contrast_steers(
        graph,
        ended,
        OccupationBias(validation, wrap=wrap),
        Accuracy(clear_choices(12, [seed, 9], held_out=True), wrap=wrap),
        wrap=wrap,
        sites=[f"resid_post.{layer}" for layer in range(1, 5)],
        verbose=verbose,
    )
    whole = size.share >= 1
    train: dict[str, Any] = {
        "seed": seed,
        "scenes": size.items(24),
        "kept": size.items(50),
        "steps": STEPS if whole else FEW_STEPS,
        "verbose": verbose,
    }
    several, alone = trained(graph, OCCUPATIONS, **train), trained(graph, ("who",), **train)
    steers |= {DSO_ALL: several.steer_, DSO_ONE: alone.steer_}
    steers[RANDOM] = RandomDirection(random_state=seed).fit(several.steer_)
    table = left_out(graph, folds=2 if whole else 1, n=size.items(8), **train)
    measures = _bias(seed, size), _capability(seed, size)
    random = {DSO_ALL: size.random, "mean difference, ablated": size.random}
    tables = {"Occupations that DSO was never trained on": table}
    return Subject("the testbed's model", graph, steers, acts, *measures, NOTES, random, tables)


def _bias(seed: int, size: Size) -> Sequence[Measure]:
    found: list[Measure] = []
    for form, name in FORMS.items():
        n = size.items(12 if form in ("who", "job_choice") else 6)
        found.append(OccupationBias(planted_choices(form, n, [seed, 2], held_out=True), wrap=wrap, name=name))
    captions = captioned(sample(size.items(160), [seed, 6], roles=["plain"], held_out=True))
    said = Answers(captions, max_new_tokens=40, wrap=wrap, batch_size=64, seed=seed)
    return [*found, MentionRate(said, name="captions that mention gender")]


def _capability(seed: int, size: Size) -> Sequence[Measure]:
    room = sample(size.items(40), [seed, 5], held_out=True)
    return (
        Accuracy(clear_choices(size.items(60), [seed, 4], held_out=True), wrap=wrap, name="unambiguous choices"),
        Accuracy(skills(room), wrap=wrap, name="neutral questions"),
        Accuracy(
            [r for r in skills(room, "attribute") if r.task == "gender"], wrap=wrap, name="gender, asked outright"
        ),
    )
