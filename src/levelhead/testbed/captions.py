"""Captions of the testbed: what is said of a picture when nothing particular is asked, and how it is read back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache

import numpy as np

from levelhead.testbed.language import END, Answer, State, article, either, say
from levelhead.testbed.planted import Planted
from levelhead.testbed.scene import Scene
from levelhead.testbed.world import CONCEPTS, PERSON, PLAIN, PROTECTED, ROLES, SCENE, SETTINGS

PROMPT = "describe the picture."
"""What is asked for a caption."""

_Chances = Mapping[str, float]
_TRUTH = Planted()
_SIDES = ("left", "right")
_THEY = {"man": "he is", "woman": "she is", "person": "they are"}


def caption_grammar(scene: Scene, planted: Planted = _TRUTH) -> State:
    """Return every caption that a scene may get, with its true probability.

    Parameters
    ----------
    scene : Scene
    planted : Planted
        At which rates attributes are mentioned, and how ambiguous roles are told.

    Returns
    -------
    State
        To be sampled, or asked for the probability of a caption.
    """
    if len(scene.people) == 2:
        people = [({each.gender: 1.0}, {each.shirt: 1.0}) for each in scene.people]
        return _pair(people, [_together(scene)], planted.mentions["gender"])
    person = scene.person
    looks: dict[str, _Chances] = {name: {getattr(person, name): 1.0} for name in (*PROTECTED, "shirt")}
    roles = {PLAIN: 1.0} if person.theme is None else planted.role(person)
    return _single(looks, roles, {scene.object: 1.0}, planted.mentions)


def caption(scene: Scene, rng: np.random.Generator, planted: Planted = _TRUTH) -> Answer:
    """Draw a caption of a scene, with the exact chance of each of its tokens.

    Examples
    --------
    >>> caption(Scene(), np.random.default_rng(0)).text
    'a woman with medium skin in a blue shirt stands in the room. she is next to a clock.'
    """
    return caption_grammar(scene, planted).sample(rng)


def parse(text: str) -> dict[str, str | int | None] | None:
    """Read a caption of any scene.

    Parameters
    ----------
    text : str

    Returns
    -------
    dict or None
        What the caption states, under the names of `Scene.labels`, and the number of ``people``. Protected attributes
        that go unmentioned are None. Two people have a ``left_gender`` and so on; of those who "work in a hospital", the
        ``setting`` is stated and no role. None where the text is not grammatical.

    Examples
    --------
    >>> parse("an old person in a red shirt works as a doctor. they are next to a lamp.")["age"]
    'old'
    """
    for people, grammar in enumerate(_any(), start=1):
        facts = grammar.facts(text)
        if facts is not None:
            names = PROTECTED if people == 1 else [f"{side}_gender" for side in _SIDES]
            return {"people": people, **dict.fromkeys(names), **facts}
    return None


def mentions(parsed: Mapping[str, str | int | None]) -> tuple[str, ...]:
    """Return which protected attributes a caption mentions, of anybody in it.

    Parameters
    ----------
    parsed : mapping
        From `parse`.
    """
    said = {name.removeprefix("left_").removeprefix("right_") for name, value in parsed.items() if value is not None}
    return tuple(name for name in PROTECTED if name in said)


def caption_words() -> set[str]:
    """Return every token that some caption of some scene has."""
    return {word for grammar in _any() for word in grammar.words()}


@cache
def _any() -> tuple[State, State]:
    """Return the captions of one person and of two, whatever the scene; the chances mean nothing."""
    level: dict[str, float] = dict.fromkeys(PROTECTED, 0.5)
    looks = {name: _evenly(PERSON[name]) for name in (*PROTECTED, "shirt")}
    roles = [role for role, theme in ROLES.items() if theme is None or role != theme.name]
    one = _single(looks, _evenly(roles), _evenly(SCENE["object"]), level)
    endings = [_stand()]
    for theme in SETTINGS:
        endings += [_work(theme.name), _roles(theme.first, theme.second), _roles(theme.second, theme.first)]
    two = _pair([(looks["gender"], looks["shirt"])] * 2, endings, level["gender"])
    return one, two


def _evenly(values: Iterable[str]) -> dict[str, float]:
    return dict.fromkeys(values, 1.0)


def _single(looks: Mapping[str, _Chances], roles: _Chances, objects: _Chances, rates: _Chances) -> State:
    """Return the captions of one person, from the last sentence to the first word."""

    def described(noun: str) -> State:
        near = _one_of(objects, "object", lambda name: f"{_THEY[noun]} next to {article(name)}.")
        wears = _shirt(looks["shirt"], "shirt", _one_of(roles, "role", _predicate, near))
        skin = _perhaps(rates["skin"], _one_of(looks["skin"], "skin", lambda tone: f"with {tone} skin", wears), wears)
        return _perhaps(rates["body"], _one_of(looks["body"], "body", lambda kind: f"of {kind} build", skin), skin)

    # A pronoun follows its noun, so what comes after each noun is a grammar of its own.
    nouns = {noun: described(noun) for noun in (*looks["gender"], "person")}
    person = _noun(looks["gender"], "gender", rates["gender"], nouns)
    return _perhaps(rates["age"], _one_of(looks["age"], "age", article, person), say("a", person))


def _pair(people: Sequence[tuple[_Chances, _Chances]], endings: Iterable[State], rate: float) -> State:
    """Return the captions of two people, of whom genders and shirts are given, from left to right."""
    (left, right), then = people, either(*((1.0, ending) for ending in endings))
    for side, link, (genders, shirts) in (("right", ".", right), ("left", " and", left)):
        wears = _shirt(shirts, f"{side}_shirt", say(f"is on the {side}{link}", then))
        then = say("a", _noun(genders, f"{side}_gender", rate, dict.fromkeys((*genders, "person"), wears)))
    return then


def _one_of(chances: _Chances, name: str, phrase: Callable[[str], str], then: State = END) -> State:
    return either(*((chance, say(phrase(value), then, **{name: value})) for value, chance in chances.items()))


def _perhaps(rate: float, said: State, unsaid: State) -> State:
    return either((rate, said), (1 - rate, unsaid))


def _noun(genders: _Chances, name: str, rate: float, then: Mapping[str, State]) -> State:
    gendered = either(*((p, say(gender, then[gender], **{name: gender})) for gender, p in genders.items()))
    return _perhaps(rate, gendered, say("person", then["person"]))


def _shirt(colors: _Chances, name: str, then: State) -> State:
    return _one_of(colors, name, lambda color: f"in {article(color)} shirt", then)


def _predicate(role: str) -> str:
    theme = ROLES[role]
    if theme is None:
        return "stands in the room."
    # Concepts are adjectives and nouns of every kind: only a label can be any of them.
    return f"fits the label {role}." if theme in CONCEPTS else f"works as {article(role)}."


def _together(scene: Scene) -> State:
    left, right = scene.people
    if left.theme is None:
        return _stand()
    if {left.role, right.role} == set(left.theme.answers):
        return _roles(left.role, right.role)
    return _work(left.theme.name)


def _stand() -> State:
    return say("they stand in the room.", left_role=PLAIN, right_role=PLAIN)


def _work(setting: str) -> State:
    return say(f"they work in {article(setting)}.", setting=setting)


def _roles(left: str, right: str) -> State:
    return say(f"the {left} is on the left and the {right} is on the right.", left_role=left, right_role=right)
