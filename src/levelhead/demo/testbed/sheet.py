"""The contact sheet: a counterfactual set of one ambiguous person, and what a cue changes, with the model's answers."""

from __future__ import annotations

from itertools import product

from levelhead.graph import Graph
from levelhead.steer import Steer
from levelhead.testbed.exam import Answers, Exam, asked
from levelhead.testbed.model import IDS
from levelhead.testbed.planted import Planted
from levelhead.testbed.scene import Person, Scene

COLUMNS = 6

_CUES = {
    "airport": ({"gender": "woman", "skin": "dark", "age": "young", "hair": "long", "shirt": "yellow"}, "pink"),
    "workshop": ({"gender": "man", "skin": "light", "age": "old", "hair": "short", "shirt": "red"}, "green"),
    "studio": ({"gender": "woman", "skin": "light", "age": "old", "hair": "short", "shirt": "purple"}, "gray"),
    "market": ({"gender": "man", "skin": "medium", "age": "young", "hair": "curly", "shirt": "orange"}, "blue"),
}


def captioned(graph: Graph, steer: Steer, planted: Planted) -> list[tuple[Scene, str]]:
    """Return pictures for a sheet of `COLUMNS` columns, each with the model's answer, as it is and steered.

    The first two rows are one person in a hospital, as a man and as a woman, of each skin tone, young and old. The
    others are people at the same places, with and without a cue that decides.
    """
    scene = Scene((Person(role="hospital", hair="curly", shirt="green"),), wall="yellow", object="plant", seed=7)
    ages, tones = ("young", "old"), ("light", "medium", "dark")
    shown = [
        scene.counterfactual(gender=gender, age=age, skin=skin)
        for gender, age, skin in product(("man", "woman"), ages, tones)
    ]
    for number, (setting, (looks, wall)) in enumerate(_CUES.items()):
        scene = Scene((Person(**looks, role=setting),), wall=wall, side="right", seed=number)
        theme = scene.person.theme
        assert theme is not None
        shown += [scene.counterfactual(role=role) for role in (setting, *theme.answers)]
    exam = Exam.of(graph, [asked([each], "job", planted=planted)[0] for each in shown])
    before, after = (_first_role(exam(graph, each)) for each in (None, steer))
    found: list[tuple[Scene, str]] = []
    for scene, first, last in zip(shown, before, after, strict=True):
        theme = scene.person.theme
        found.append((scene, f"{theme.first if theme else ''} {first:.2f}, steered {last:.2f}"))
    return found


def _first_role(answers: Answers) -> list[float]:
    """Return the probability of each theme's first occupation, whether or not a cue decides."""
    found: list[float] = []
    for number, (scene, _) in enumerate(answers.items):
        theme = scene.person.theme
        assert theme is not None
        found.append(float(answers.chances[number, IDS[theme.first]]))
    return found
