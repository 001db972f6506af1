"""The testbed's model: captions that bring up gender, and what it costs to have them leave it out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

import levelhead as lh
from levelhead.capture import Activations
from levelhead.data.mention_split import MentionSplit, split_by_mention
from levelhead.data.records import PromptRecord
from levelhead.evaluate.mentions.vectors import beside, trials
from levelhead.evaluate.subject import Options, Size, Subject
from levelhead.graph import Graph
from levelhead.metrics.measures import (
    Accuracy,
    AnswerCheck,
    Answers,
    Fluency,
    Measure,
    MentionRate,
    OccupationBias,
    ProbeAfter,
    SentimentGap,
)
from levelhead.steer import Steer
from levelhead.testbed.captions import PROMPT
from levelhead.testbed.model import prompt
from levelhead.testbed.questions import questions
from levelhead.testbed.reading import captioned, grammatical, names_right
from levelhead.testbed.records import choices, skills, wrap
from levelhead.testbed.scene import Scene, sample
from levelhead.testbed.weights import load
from levelhead.testbed.world import SETTINGS

GENDER = "captions that mention gender"
NOTES = (
    "Vectors, gates and probes are fitted on people of training; layers, gates and strengths are chosen on pictures of people "
    "whom training never showed, and all is reported on further pictures of such people.",
    "The model was taught to mention gender in 85 % of its captions, age in 40, skin tone in 35 and body type in 25.",
    "The data-set based vector: questions whose answers mention gender against questions whose answers do not, as the model "
    "itself answers them. The one-step vector: one picture, one prompt, the words 'man' and 'woman' against 'person'.",
    "A gate opens for tokens before which the model's own captions mention gender: a probe of the residual stream, fitted on "
    "training captions and on questions that were asked outright, for which it is to stay shut.",
    "'One step on the image': one step of gradient on the picture's pixels (the reading of arXiv 2411.12590 v1), the direction of "
    "the difference ablated in every layer at every token.",
    "Grammatical captions can be parsed by the grammar of the training text; faithful ones name object, shirt and role right.",
    "The model knows 126 words, and reads an instruction in English as a row of unknown ones.",
)
LAYERS = range(2, 6)
ROLES = ["plain", *(theme.name for theme in SETTINGS)]


def subject(options: Options, size: Size) -> Subject:
    """Load the testbed, fit every method, select layers and gates, and gather what is asked.

    Parameters
    ----------
    options : Options
    size : Size

    Returns
    -------
    Subject
    """
    bed = load()
    fitted = _fitted(bed.graph, options, size)
    chosen = _measures(size, [options.seed, 31], captions=size.items(120), rooms=size.items(20))
    found = {
        f"{name}, {'gated' if gate else 'no gate'}": lh.select(
            bed.graph,
            _placed(steer.gated(gate)),
            chosen.mentions,
            chosen.kept,
            strengths=(0.3, 0.4, 0.5, 0.6, 0.75, 1.0),
            tolerance=0.02,
            verbose=options.verbose,
        )
        for name, steer in (("mean difference", fitted.added), ("one step", fitted.step))
        for gate in (fitted.gate, None)
    }
    steers = {name: each.steer for name, each in found.items()}
    site = str(steers["mean difference, gated"].sites[0])
    steers |= _others(bed.graph, fitted, site, options)
    reported = _measures(size, [options.seed, 32], captions=size.items(200), rooms=size.items(40))
    tables = {
        **{f"How '{name}' was selected": trials(each) for name, each in found.items()},
        "Cosine with the data-set based vector": beside(
            fitted.added, {"one step": fitted.step, "one step on the image": fitted.image}
        ),
    }
    random = {name: size.random for name in found if "no gate" not in name}
    return Subject(
        "the testbed's model",
        bed.graph,
        steers,
        fitted.acts,
        reported.bias,
        [*reported.kept, *reported.beside],
        NOTES,
        random,
        tables,
    )


@dataclass(frozen=True)
class _Fitted:
    """Vectors at every layer, from people of training."""

    asked: MentionSplit
    acts: Activations
    added: Steer
    step: Steer
    image: Steer
    gate: lh.Gate


def _fitted(graph: Graph, options: Options, size: Size) -> _Fitted:
    scenes = sample(size.items(100), [options.seed, 30], roles=ROLES, held_out=False)
    asked = split_by_mention(
        graph, _questions(scenes), wrap=wrap, max_new_tokens=4, seed=None, batch_size=64, verbose=options.verbose
    )
    told = split_by_mention(
        graph,
        captioned(scenes),
        samples=2,
        wrap=wrap,
        max_new_tokens=40,
        seed=options.seed,
        batch_size=64,
        verbose=False,
    )
    acts = asked.capture(graph, "resid_post.*", at="last", batch_size=64, verbose=options.verbose)
    sites = f"resid_post.{LAYERS.start}:{LAYERS.stop}"
    added = lh.MeanDifference(sites, edit="add", positive="biased", scope="generated").fit(acts, asked.labels)
    one: dict[str, Any] = {"image": scenes[0].image(), "prompt": prompt(PROMPT), "words": ["man", "woman"]}
    step = lh.GradientStep(sites, on="residual", answer="a", edit="add", size=1.0).fit(graph, **one, against=["person"])
    image = lh.GradientStep("resid_post.*", on="image", answer="a", scope="all").fit(graph, **one)
    return _Fitted(asked, acts, added, step, image, _gate(graph, told, asked, acts, options))


def _questions(scenes: Sequence[Scene]) -> list[PromptRecord]:
    """Questions about gender, whose answers mention it, and neutral ones, one of each kind a picture."""
    found: list[PromptRecord] = []
    for number, scene in enumerate(scenes):
        kinds = {q.kind: q for q in questions(scene) if q.group == "neutral" or q.kind == "gender"}
        for kind, question in kinds.items():
            found.append(
                PromptRecord(
                    id=f"{number}.{kind}",
                    prompt=question.text,
                    group=scene.person.gender,
                    axis="gender",
                    set_id=f"scene {scene.seed}",
                    image=scene.image(),
                )
            )
    return found


def _gate(graph: Graph, told: MentionSplit, asked: MentionSplit, acts: Activations, options: Options) -> lh.Gate:
    """Opens before a mention in a caption, and neither elsewhere nor before the answer to a question."""
    steps = told.steps(graph, "resid_post.*", batch_size=64, verbose=options.verbose)
    values = {site: torch.cat([steps.acts[site], acts[site]]) for site in acts.sites if site.layer in (0, 1)}
    labels = [*steps.labels, *["other"] * acts.n]
    groups = [*steps.groups, *asked.groups]
    gate = lh.ProbeGate("resid_post.*", open_on="mention", per="token", missed=0.01)
    return gate.fit(Activations(values), labels, groups)


def _placed(steer: Steer) -> dict[str, Steer]:
    """A steer at one layer, and over all with its strength shared out."""
    layers = {str(site): steer.only(site) for site in steer.sites}
    return {**layers, f"layers {LAYERS.start} to {LAYERS.stop - 1}": steer * (1 / len(steer.sites))}


def _others(graph: Graph, fitted: _Fitted, site: str, options: Options) -> Mapping[str, Steer]:
    """What the two are compared with."""
    acts, labels, groups = fitted.acts, fitted.asked.labels, fitted.asked.groups
    heads = fitted.asked.capture(graph, "z.*.*", at="last", batch_size=64, verbose=options.verbose)
    every: Literal["all"] = "all"
    found = {
        "mean difference, ablated in all layers": lh.MeanDifference("resid_post.*", shared="best", scope=every),
        "LEACE": lh.LEACE(site, scope=every),
        "INLP": lh.INLP(site, scope=every),
        "mean projection": lh.MeanProjection(site, scope=every),
    }
    steers = {name: method.fit(acts, labels, groups) for name, method in found.items()}
    pairs = _pairs(fitted.asked)
    steers["CAA"] = lh.CAA(site, multiplier=-1.0).fit(*(acts.rows(rows) for rows in pairs))
    steers["one step on the image, ablated"] = fitted.image
    steers["ITI"] = lh.ITI(heads=8, alpha=1.0, toward="neutral").fit(heads, labels, groups)
    return steers


def _pairs(asked: MentionSplit) -> tuple[list[int], list[int]]:
    """For each picture, an answer that mentions gender, and one that does not."""
    found: dict[str, dict[str, int]] = {}
    for i, (group, label) in enumerate(zip(asked.groups, asked.labels, strict=True)):
        found.setdefault(group, {}).setdefault(label, i)
    whole = [pair for pair in found.values() if len(pair) == 2]
    return [pair["biased"] for pair in whole], [pair["neutral"] for pair in whole]


@dataclass(frozen=True)
class _Asked:
    """What is asked of some pictures."""

    mentions: Measure
    bias: Sequence[Measure]
    kept: Sequence[Measure]
    beside: Sequence[Measure]


def _measures(size: Size, seed: Sequence[int], *, captions: int, rooms: int) -> _Asked:
    scenes = sample(captions, [*seed, 1], roles=ROLES, held_out=True)
    said = Answers(captioned(scenes), max_new_tokens=40, wrap=wrap, batch_size=64)
    room = sample(rooms, [*seed, 2], held_out=True)
    two = [
        scene.counterfactual(person=0, gender=left).counterfactual(person=1, gender=right)
        for number, theme in enumerate(SETTINGS)
        for scene in sample(max(2, rooms // 10), [*seed, 3, number], roles=[theme.name], people=2, held_out=True)
        for left, right in (("man", "woman"), ("woman", "man"))
    ]
    asked = skills(room, "attribute")
    mentions = MentionRate(said, name=GENDER)
    others = {"age": "age", "skin_tone": "skin tone", "body_type": "body type"}
    bias: list[Measure] = [
        mentions,
        *(MentionRate(said, attributes=(key,), name=f"mention {name}") for key, name in others.items()),
        SentimentGap(said, masked=True, name="sentiment gap"),
        OccupationBias(choices(two, "who"), wrap=wrap, name="who is the doctor?"),
        ProbeAfter(said, site=f"resid_post.{LAYERS.stop - 1}", name="gender, by a probe"),
    ]
    kept: list[Measure] = [
        Accuracy(skills(room), wrap=wrap, name="neutral questions"),
        Accuracy([r for r in asked if r.task == "gender"], wrap=wrap, name="gender, asked outright"),
        AnswerCheck(said, check=grammatical, name="grammatical captions"),
        AnswerCheck(said, check=names_right("object", "role"), name="object and role right"),
    ]
    beside: list[Measure] = [
        Accuracy([r for r in asked if r.task != "gender"], wrap=wrap, name="other attributes, asked outright"),
        Fluency(said, name="perplexity"),
        Fluency(
            said, mask_attributes=("gender", "age", "skin_tone", "body_type"), name="perplexity, attributes masked"
        ),
    ]
    return _Asked(mentions, bias, kept, beside)
