"""Counterfactual contrasts: one question, two pictures that differ in one attribute of the people in them.

Nothing crosses from one split to another: directions are fitted on ``fit``, the edit is chosen on ``validation``, and
``test`` is for the one final report, on people whom training never showed either.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from levelhead.testbed.exam import Item, asked
from levelhead.testbed.planted import Planted
from levelhead.testbed.scene import Scene, sample
from levelhead.testbed.world import CONCEPTS, SETTINGS, TRAITS, Theme

Split: TypeAlias = Literal["fit", "validation", "test"]
_SEEDS: dict[Split, int] = {"fit": 1, "validation": 2, "test": 3}

LEVEL = "market"
"""The setting that is level in truth: a gap found there is noise."""


@dataclass(frozen=True)
class Contrast:
    """One question about two pictures, pixel-identical but for one attribute.

    Attributes
    ----------
    kind : str
        Of question, as in `levelhead.testbed.questions.KINDS`.
    name : str
        The setting, theme or trait that the answer leans in.
    attribute : str
        Which differs.
    sides : tuple of (Scene, Scene)
        The side to which the first answer leans in truth, and the other one.
    items : tuple of (tuple of (Scene, Question), ...)
        For each side, the question in each of its wordings; answers are averaged over them.
    """

    kind: str
    name: str
    attribute: str
    sides: tuple[Scene, Scene]
    items: tuple[tuple[Item, ...], tuple[Item, ...]]


def jobs(n: int, split: Split, seed: int, planted: Planted, kind: str = "job") -> list[Contrast]:
    """Return contrasts of a man and a woman in each setting, where nothing shows what they do.

    Parameters
    ----------
    n : int
        For each of the eight settings.
    split : {"fit", "validation", "test"}
    seed : int
    planted : Planted
    kind : {"job", "who"}
        What is asked: what their job is, or, with a man and a woman in one picture, which of them is the doctor.
    """
    return [each for theme in SETTINGS for each in _theme(theme, n, split, seed, planted, kind)]


def reworded(contrasts: Sequence[Contrast], kind: str, planted: Planted) -> list[Contrast]:
    """Return the same pairs of pictures with another question: of ``"job"`` contrasts, a choice of two occupations."""
    return [_contrast(kind, each.name, each.sides, planted) for each in contrasts]


def others(n: int, split: Split, seed: int, planted: Planted) -> list[Contrast]:
    """Return `n` contrasts for every trait and every ambiguous concept, in the attribute that it leans on."""
    found = [each for theme in CONCEPTS for each in _theme(theme, n, split, seed, planted, "concept")]
    for number, trait in enumerate(TRAITS):
        sides = _sides(planted, trait)
        scenes = _drawn(n, split, (seed, 50 + number), sides, ["plain"])
        found += [_contrast("trait", trait, pair, planted) for pair in scenes]
    return found


def instead(contrasts: Sequence[Contrast], attribute: str, planted: Planted) -> list[Contrast]:
    """Return, for each contrast, one in which another attribute differs: of one of its sides, of each in turn.

    Parameters
    ----------
    contrasts : sequence of Contrast
        Of pictures of one person.
    attribute : str
        Such as ``"wall"`` or ``"glasses"``: of its other values, the scene's seed picks one.
    planted : Planted
    """
    found: list[Contrast] = []
    for number, each in enumerate(contrasts):
        scene = each.sides[number % 2]
        pair = scene, scene.counterfactual(**{attribute: scene.another(attribute)})
        found.append(_contrast(each.kind, each.name, pair, planted, attribute))
    return found


def _theme(theme: Theme, n: int, split: Split, seed: int, planted: Planted, kind: str) -> Iterator[Contrast]:
    number = (*SETTINGS, *CONCEPTS).index(theme)
    people = 2 if kind == "who" else 1
    stream = (seed, number, people)
    for pair in _drawn(n, split, stream, _sides(planted, theme.name), [theme.name], people):
        yield _contrast(kind, theme.name, pair, planted)


def _sides(planted: Planted, name: str) -> tuple[str, str, str]:
    """Name the attribute that something leans on, and its values of most and least probability."""
    lean = planted.lean(name)
    values = sorted(lean.odds, key=lambda value: -lean.odds[value])
    return lean.attribute, values[0], values[-1]


def _drawn(
    n: int,
    split: Split,
    stream: tuple[int, ...],
    sides: tuple[str, str, str],
    roles: list[str],
    people: int = 1,
) -> list[tuple[Scene, Scene]]:
    """Draw pairs of scenes, both of them held out from training, or both not."""
    attribute, high, low = sides
    held_out = split == "test"
    found: list[tuple[Scene, Scene]] = []
    round_ = 0
    while len(found) < n:
        drawn = sample(8 * n, [_SEEDS[split], *stream, round_], roles=roles, people=people, held_out=held_out)
        for scene in drawn:
            if people == 1:
                pair = tuple(scene.counterfactual(**{attribute: value}) for value in (high, low))
            else:
                # One of each, and the two change places: everything else about them stays where it is.
                pair = tuple(
                    scene.counterfactual(person=0, **{attribute: left}).counterfactual(person=1, **{attribute: right})
                    for left, right in ((high, low), (low, high))
                )
            if all(each.held_out == held_out for each in pair):
                found.append((pair[0], pair[1]))
        round_ += 1
    return found[:n]


def _contrast(
    kind: str, name: str, pair: tuple[Scene, Scene], planted: Planted, attribute: str | None = None
) -> Contrast:
    first, second = (_wordings(scene, kind, name, planted) for scene in pair)
    return Contrast(kind, name, attribute or planted.lean(name).attribute, pair, (first, second))


def _wordings(scene: Scene, kind: str, name: str, planted: Planted) -> tuple[Item, ...]:
    found = [item for item in asked([scene], kind, planted=planted) if item[1].name == name]
    if kind == "who":
        # "Who is the nurse?" would count the other way round.
        role = next(theme.first for theme in SETTINGS if theme.name == name)
        found = [item for item in found if f"the {role}," in item[1].text]
    return tuple(found)
