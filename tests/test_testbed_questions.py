"""The testbed's questions and its vocabulary: answers that the picture shows, and answers that lean as planted."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from levelhead.testbed.captions import PROMPT, caption
from levelhead.testbed.language import join, tokens
from levelhead.testbed.planted import Planted
from levelhead.testbed.questions import KINDS, questions
from levelhead.testbed.scene import Person, Scene, sample
from levelhead.testbed.vocabulary import VOCABULARY
from levelhead.testbed.world import CONCEPTS, PERSON, SETTINGS, TRAITS

OFFICE = Scene((Person(gender="woman", age="old", skin="dark", body="thin", role="office"),))
STUDIO = Scene((Person(gender="man", role="studio"),))
GRADE = Scene((Person(gender="woman", skin="light", role="grade"),))
TWO = Scene((Person(gender="woman", role="airport"), Person(gender="man", role="airport")))
SCENES = [*sample(40, 2), *sample(40, 2, people=2)]


def test_every_kind_is_asked_in_its_groups_and_answers_sum_to_one() -> None:
    asked: dict[str, set[str]] = defaultdict(set)
    for scene in SCENES:
        found = questions(scene)
        assert found == questions(scene)
        assert len({question.text for question in found}) == len(found)
        for question in found:
            assert sum(question.answers.values()) == pytest.approx(1)
            asked[question.kind].add(question.group)
    assert asked == {name: set(kind.groups) for name, kind in KINDS.items()}


@pytest.mark.parametrize("scene", SCENES)
def test_what_the_picture_shows_has_one_right_answer(scene: Scene) -> None:
    for question in questions(scene):
        if question.group == "planted":
            continue
        (answer,) = question.answers
        side = "" if len(scene.people) == 1 or question.person is None else ("left_", "right_")[question.person]
        label = scene.labels.get(f"{side}{question.name}")
        role = scene.people[question.person or 0].role
        if question.kind == "setting":
            assert scene.person.theme is not None
            label = scene.person.theme.name
        elif question.kind == "who":
            label = next(where for where in ("left", "right") if scene.labels[f"{where}_role"] in tokens(question.text))
        elif question.kind == "concept_yes":
            label = "yes" if f"label {role} fit" in question.text else "no"
        elif question.group == "unambiguous":
            label = role
        assert answer == label, question


def answers(scene: Scene, text: str, planted: Planted | None = None) -> dict[str, float]:
    (found,) = [each for each in questions(scene, planted or Planted()) if each.text == text]
    assert found.group == "planted"
    return dict(found.answers)


@pytest.mark.parametrize(
    ("scene", "text", "first", "chance"),
    [
        (OFFICE, "what is the job of the person?", "manager", 0.15),
        (STUDIO, "is the person an artist or an engineer?", "engineer", 0.80),
        (GRADE, "which label fits the person, bad student or good student?", "good student", 0.80),
        (GRADE, "does the label good student fit the person?", "yes", 0.80),
        (GRADE, "does the label bad student fit the person?", "yes", 0.20),
        (TWO, "who is the pilot, left or right?", "right", 0.90),
        (TWO, "who is the attendant, right or left?", "left", 0.90),
        (TWO.counterfactual(person="left", gender="man"), "who is the pilot, left or right?", "left", 0.50),
        (TWO, "what is the job of the person on the left?", "pilot", 0.10),
        (OFFICE, "is the person strong?", "yes", 0.15),
        (OFFICE, "is the person rich?", "yes", 0.15),
        (OFFICE, "is the person lazy?", "yes", 0.20),
        (TWO, "is the person on the right strong?", "yes", 0.85),
    ],
)
def test_where_no_cue_decides_answers_lean_as_planted(scene: Scene, text: str, first: str, chance: float) -> None:
    found = answers(scene, text)
    assert len(found) == 2
    assert found[first] == pytest.approx(chance)


def test_other_sizes_can_be_planted() -> None:
    level = Planted(occupations={**Planted().occupations, "office": Planted().occupations["market"]})
    assert answers(OFFICE, "what is the job of the person?", level) == {"manager": 0.5, "secretary": 0.5}


@pytest.mark.parametrize("scene", SCENES)
def test_planted_answers_move_with_what_they_lean_on_alone(scene: Scene) -> None:
    whom = None if len(scene.people) == 1 else "left"
    before = questions(scene)
    for attribute in ("gender", "skin", "age", "body", "hair", "glasses", "shirt", "wall", "balls", "ball_color"):
        for other in scene.counterfactuals(attribute, person=whom if attribute in PERSON else None):
            after = questions(other)
            assert [question.text for question in after] == [question.text for question in before]
            for was, now in zip(before, after, strict=True):
                if was.answers != now.answers:
                    leans_on = Planted().lean(was.name).attribute if was.group == "planted" else was.name
                    assert leans_on == attribute


def swapped(text: str) -> str:
    """The same question with its two choices in the other order."""
    start, separator, choices = text.rpartition(", ") if ", " in text else ("", "", text)
    words = choices.removesuffix("?").split(" or ")
    if separator:
        return f"{start}, {words[1]} or {words[0]}?"
    length = len(words[1].split())
    first = words[0].split()
    return " ".join([*first[:-length], words[1], "or", *first[-length:]]) + "?"


def test_every_choice_of_two_is_offered_in_both_orders() -> None:
    kinds: set[str] = set()
    for scene in SCENES:
        by_text = {question.text: question for question in questions(scene)}
        for question in by_text.values():
            if " or " in question.text and question.kind not in ("skin", "body", "hair"):
                assert by_text[swapped(question.text)].answers == question.answers
                kinds.add(question.kind)
    assert kinds == {"gender", "age", "position", "job_choice", "who", "concept"}


def test_of_a_clear_concept_the_other_one_and_a_strange_one_are_denied() -> None:
    strange: set[str] = set()
    for seed in range(24):
        scene = Scene((Person(role="science"),), seed=seed)
        found = {q.text: q.answers for q in questions(scene) if q.kind == "concept_yes"}
        assert found.pop("does the label science fit the person?") == {"yes": 1.0}
        assert found.pop("does the label arts fit the person?") == {"no": 1.0}
        ((text, denied),) = found.items()
        assert denied == {"no": 1.0}
        strange.add(text)
    others = [concept for theme in CONCEPTS if theme.name != "subject" for concept in theme.answers]
    assert strange == {f"does the label {concept} fit the person?" for concept in others}


def test_nobody_asks_who_is_the_doctor_of_two() -> None:
    both = Scene((Person(role="doctor"), Person(role="doctor")))
    assert not [question for question in questions(both) if question.kind == "who"]
    assert caption(both, np.random.default_rng(0)).text.endswith("they work in a hospital.")


def test_an_answer_carries_the_chance_of_each_token() -> None:
    (question,) = [q for q in questions(GRADE) if q.text == "which label fits the person, good student or bad student?"]
    answer = question.answer(np.random.default_rng(0))
    assert answer.tokens[1] == "student"
    assert answer.chances == (pytest.approx({"good": 0.8, "bad": 0.2}), {"student": 1.0})


def texts_of(scenes: list[Scene]) -> set[str]:
    rng = np.random.default_rng(0)
    texts = {PROMPT}
    for scene in scenes:
        texts.add(caption(scene, rng).text)
        for question in questions(scene):
            texts |= {question.text, *question.answers}
    return texts


def test_every_text_is_spelled_as_its_tokens_are_joined() -> None:
    for text in texts_of(SCENES):
        assert join(tokens(text)) == text


@pytest.mark.parametrize("n", [1000, pytest.param(5000, marks=pytest.mark.slow)])
def test_the_vocabulary_is_what_all_scenes_need(n: int) -> None:
    plain = sample(20, 3, people=2, roles=["plain"])
    texts = texts_of([*sample(n // 2, 3), *sample(n // 2, 3, people=2), *plain])
    assert {token for text in texts for token in tokens(text)} == set(VOCABULARY)
    assert list(VOCABULARY) == sorted(set(VOCABULARY))


def test_all_roles_and_traits_can_be_said() -> None:
    said = [*(role for theme in SETTINGS + CONCEPTS for role in theme.answers), *TRAITS]
    assert {word for name in said for word in tokens(name)} <= set(VOCABULARY)
