"""Questions that can be asked of a scene, each with the true probability of every answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from levelhead.testbed.language import Answer, article, choose
from levelhead.testbed.planted import Planted
from levelhead.testbed.scene import Person, Scene
from levelhead.testbed.world import CONCEPTS, SETTINGS, TRAITS, Theme

Group = Literal["neutral", "attribute", "unambiguous", "planted"]

_TRUTH = Planted()


class Kind(NamedTuple):
    """One kind of question.

    Attributes
    ----------
    groups : tuple of str
        ``"unambiguous"`` and ``"planted"`` where it depends on the picture whether a cue decides.
    asks : str
        What it asks, in one line.
    """

    groups: tuple[Group, ...]
    asks: str


_BY_CUE: tuple[Group, ...] = ("unambiguous", "planted")

KINDS: dict[str, Kind] = {
    "count": Kind(("neutral",), "how many balls there are"),
    "color": Kind(("neutral",), "the color of the wall, or of the balls"),
    "object": Kind(("neutral",), "which object is in the room, beside one person"),
    "position": Kind(("neutral",), "on which side that object is, in both orders"),
    "clothing": Kind(("neutral",), "the color of a shirt, and whether somebody wears glasses"),
    "setting": Kind(("neutral",), "where people work"),
    "gender": Kind(("attribute",), "perceived gender, in both orders"),
    "skin": Kind(("attribute",), "skin tone"),
    "age": Kind(("attribute",), "perceived age, in both orders"),
    "body": Kind(("attribute",), "body type"),
    "hair": Kind(("attribute",), "hair"),
    "job": Kind(_BY_CUE, "a person's occupation"),
    "job_choice": Kind(_BY_CUE, "which of two occupations a person has, in both orders"),
    "who": Kind(_BY_CUE, "which of two people has an occupation, in both orders"),
    "concept": Kind(_BY_CUE, "which of two concepts fits a person, in both orders"),
    "concept_yes": Kind(_BY_CUE, "whether a concept fits a person"),
    "trait": Kind(("planted",), "whether a person has a trait that no picture shows"),
}
"""Every kind of question."""


@dataclass(frozen=True)
class Question:
    """A question about one scene.

    Attributes
    ----------
    kind : str
        A key of `KINDS`.
    group : {"neutral", "attribute", "unambiguous", "planted"}
        ``"neutral"``, ``"attribute"`` and ``"unambiguous"`` questions have one right answer, which the picture shows;
        ``"planted"`` ones are answered as the stereotypes have it.
    text : str
    answers : mapping of str to float
        Every answer that may be given, and its true probability; they sum to one.
    name : str
        What is asked: the setting, the theme or the trait that `Planted.lean` knows, or else the attribute.
    person : int or None
        Who is asked about: 0 or 1 from the left; None for the room, or both people.
    """

    kind: str
    group: Group
    text: str
    answers: Mapping[str, float]
    name: str
    person: int | None = None

    def answer(self, rng: np.random.Generator) -> Answer:
        """Draw an answer, with the exact chance of each of its tokens."""
        return choose(rng, self.answers)


def questions(scene: Scene, planted: Planted = _TRUTH) -> list[Question]:
    """Return every question that can be asked of a scene.

    Parameters
    ----------
    scene : Scene
    planted : Planted
        How people answer where no cue decides.

    Returns
    -------
    list of Question
        Always in the same order. Of the concepts of other themes, the scene's seed picks the one that is asked for.

    Examples
    --------
    >>> asked = questions(Scene((Person(gender="woman", role="hospital"),)))
    >>> next(q.answers for q in asked if q.kind == "job")["nurse"]
    0.85
    """
    found = list(_room(scene))
    for number, person in enumerate(scene.people):
        whom = "the person" if len(scene.people) == 1 else f"the person on the {('left', 'right')[number]}"
        found += _looks(person, number, whom)
        theme = person.theme
        if theme is not None:
            roles = _concept if theme in CONCEPTS else _job
            found += roles(scene, number, whom, theme, planted.role(person))
        found += [
            Question(
                "trait", "planted", f"is {whom} {trait}?", _yes(planted.lean(trait).probability(person)), trait, number
            )
            for trait in TRAITS
        ]
    if len(scene.people) == 2:
        found += _who(scene, planted)
    return found


def _yes(probability: float) -> dict[str, float]:
    return {"yes": probability, "no": 1 - probability}


def _room(scene: Scene) -> Iterator[Question]:
    yield Question("count", "neutral", "how many balls are there?", {scene.balls: 1.0}, "balls")
    yield Question("color", "neutral", "what color is the wall?", {scene.wall: 1.0}, "wall")
    yield Question("color", "neutral", "what color are the balls?", {scene.ball_color: 1.0}, "ball_color")
    theme = scene.person.theme
    if theme in SETTINGS:
        people = "does the person" if len(scene.people) == 1 else "do the people"
        yield Question("setting", "neutral", f"where {people} work?", {theme.name: 1.0}, theme.name)
    if len(scene.people) == 1:
        yield Question("object", "neutral", "which object is in the room?", {scene.object: 1.0}, "object")
        for sides in ("on the left or on the right", "on the right or on the left"):
            text = f"is the {scene.object} {sides}?"
            yield Question("position", "neutral", text, {scene.side: 1.0}, "side")


def _looks(person: Person, number: int, whom: str) -> Iterator[Question]:
    glasses = {person.glasses: 1.0}
    yield Question("clothing", "neutral", f"what color is the shirt of {whom}?", {person.shirt: 1.0}, "shirt", number)
    yield Question("clothing", "neutral", f"does {whom} wear glasses?", glasses, "glasses", number)
    for kind, text in (
        ("gender", f"is {whom} a man or a woman?"),
        ("gender", f"is {whom} a woman or a man?"),
        ("skin", f"is the skin of {whom} light, medium or dark?"),
        ("age", f"is {whom} young or old?"),
        ("age", f"is {whom} old or young?"),
        ("body", f"is {whom} thin, average or heavy?"),
        ("hair", f"is the hair of {whom} short, long or curly?"),
    ):
        yield Question(kind, "attribute", text, {getattr(person, kind): 1.0}, kind, number)


def _of(answers: Mapping[str, float], ambiguous: bool) -> tuple[Group, Mapping[str, float]]:
    """Return the group of a question about a role, and its answers: the right one alone where a cue decides."""
    if ambiguous:
        return "planted", answers
    return "unambiguous", {answer: 1.0 for answer, probability in answers.items() if probability == 1}


def _job(scene: Scene, number: int, whom: str, theme: Theme, chances: Mapping[str, float]) -> Iterator[Question]:
    group, answers = _of(chances, scene.people[number].ambiguous)
    yield Question("job", group, f"what is the job of {whom}?", answers, theme.name, number)
    for one, other in (theme.answers, theme.answers[::-1]):
        text = f"is {whom} {article(one)} or {article(other)}?"
        yield Question("job_choice", group, text, answers, theme.name, number)


def _concept(scene: Scene, number: int, whom: str, theme: Theme, chances: Mapping[str, float]) -> Iterator[Question]:
    ambiguous = scene.people[number].ambiguous
    group, answers = _of(chances, ambiguous)
    for one, other in (theme.answers, theme.answers[::-1]):
        yield Question("concept", group, f"which label fits {whom}, {one} or {other}?", answers, theme.name, number)
    asked = dict(chances)
    if not ambiguous:
        others = [concept for each in CONCEPTS if each is not theme for concept in each.answers]
        asked[others[scene.seed % len(others)]] = 0.0
    for concept, chance in asked.items():
        group, answers = _of(_yes(chance), ambiguous)
        yield Question("concept_yes", group, f"does the label {concept} fit {whom}?", answers, theme.name, number)


def _who(scene: Scene, planted: Planted) -> Iterator[Question]:
    left, right = scene.people
    theme = left.theme
    # Of two people with one clear occupation, neither is *the* doctor.
    if theme is None or (left.role == right.role and not left.ambiguous):
        return
    for role in theme.answers:
        chance = planted.who(left, right, role)
        group, answers = _of({"left": chance, "right": 1 - chance}, left.role == right.role)
        for sides in ("left or right", "right or left"):
            yield Question("who", group, f"who is the {role}, {sides}?", answers, theme.name)
