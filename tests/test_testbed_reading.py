"""Captions of known scenes: what is a sentence of the grammar, what is true of the picture, what the lexicon makes of it."""

from __future__ import annotations

import numpy as np
import pytest

from levelhead.errors import InputError
from levelhead.metrics import AnswerCheck
from levelhead.metrics.mentions import mentions
from levelhead.testbed import Person, Planted, Scene
from levelhead.testbed.captions import caption, parse
from levelhead.testbed.captions import mentions as said_of
from levelhead.testbed.reading import (
    LEXICON_NAMES,
    NAMED,
    captioned,
    grammatical,
    names_right,
    planted_rates,
    read,
)
from levelhead.testbed.scene import sample

SCENES = [*sample(50, seed=11), *sample(20, seed=12, people=2)]
DOCTOR = Scene((Person(gender="woman", shirt="red", role="doctor"),), object="lamp")


def test_true_captions_are_faithful_and_those_of_another_scene_are_not() -> None:
    rng = np.random.default_rng(0)
    for scene in SCENES:
        text = caption(scene, rng).text
        found = read(text, scene)
        assert found.faithful and found.right["shirt"] is True, text
        if len(scene.people) == 1:
            assert found.right["object"] is True and found.right["role"] is True
            other = scene.counterfactual(object=scene.another("object"))
            assert read(text, other).right["object"] is False and not read(text, other).faithful
            for name in said_of(parse(text) or {}):
                wrong = read(text, scene.counterfactual(**{name: scene.another(name)}))
                assert {k for k, right in wrong.right.items() if right is False} == {name}


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("a woman in a red shirt works as a doctor. she is next to a lamp.", ""),
        ("a person in a red shirt works as a doctor. they are next to a lamp.", ""),
        ("a man in a red shirt works as a doctor. he is next to a lamp.", "gender"),
        ("a woman in a blue shirt works as a nurse. she is next to a clock.", "shirt role object"),
        ("an old woman in a red shirt works as a pilot. she is next to a lamp.", "age role setting"),
        ("a woman in a red shirt stands in the room. she is next to a lamp.", "role"),
        ("a woman in a red shirt fits the label weapon. she is next to a lamp.", "role"),
    ],
)
def test_what_is_wrong_is_named(text: str, wrong: str) -> None:
    found = read(text, DOCTOR)
    assert found.grammatical and {name for name, right in found.right.items() if right is False} == set(wrong.split())
    assert found.faithful == (not wrong)


def test_an_ambiguous_role_may_be_told_either_way_and_two_people_apart() -> None:
    scene = Scene((Person(role="hospital", shirt="red"),))
    for role, right in (("doctor", True), ("nurse", True), ("pilot", False)):
        found = read(f"a person in a red shirt works as a {role}. they are next to a clock.", scene)
        assert found.right["role"] is right and found.right["setting"] is right
    pair = Scene((Person(gender="man", role="shop", shirt="red"), Person(gender="woman", role="shop", shirt="blue")))
    text = "a {} in a {} shirt is on the left and a {} in a {} shirt is on the right. they work in a {}."
    assert read(text.format("man", "red", "woman", "blue", "shop"), pair).faithful
    mixed = read(text.format("woman", "red", "man", "blue", "school"), pair)
    assert {name for name, right in mixed.right.items() if right is False} == {"gender", "setting"}
    assert mixed.right["role"] is None and mixed.right["object"] is None
    half = read(text.format("man", "red", "man", "blue", "shop"), pair)
    assert {name for name, right in half.right.items() if right is False} == {"gender"}, "one of two is not both"
    alone = read(text.format("man", "red", "woman", "blue", "shop"), DOCTOR)
    assert alone.grammatical and alone.people is False and not alone.faithful


@pytest.mark.parametrize(
    "text", ["", "a woman", "a woman in a red shirt works as a doctor. she is next to.", "I see red."]
)
def test_what_is_no_sentence_names_nothing(text: str) -> None:
    found = read(text, DOCTOR)
    assert not found.grammatical and not found.faithful and set(found.right) == set(NAMED)
    assert set(found.right.values()) == {None}


def test_checks_count_over_records() -> None:
    scenes = [DOCTOR, DOCTOR.counterfactual(gender="man"), *sample(1, seed=1, people=2)]
    records = captioned(scenes)
    assert [r.group for r in records[:2]] == ["woman", "man"] and records[0].set_id == records[1].set_id
    assert records[0].target == "doctor" and captioned(scenes, "skin")[0].group == "medium"
    text = "a woman in a red shirt works as a doctor. she is next to a clock."
    rng = np.random.default_rng(1)
    texts = [text, "a lamp", caption(scenes[2], rng).text]
    assert AnswerCheck(records, grammatical).read(texts).value == pytest.approx(2 / 3)
    assert AnswerCheck(records, names_right("object")).read(texts).value == 0.0, (
        "a lamp is no sentence; two have no object"
    )
    assert AnswerCheck(records, names_right("object")).read(texts).beside["applies"] == pytest.approx(2 / 3)
    assert AnswerCheck(records, names_right("gender", "shirt")).read(texts).value == pytest.approx(2 / 3)
    assert AnswerCheck(records, names_right()).read(texts).value == pytest.approx(1 / 3)
    with pytest.raises(InputError, match="do not name 'hair'"):
        names_right("hair")
    with pytest.raises(InputError, match="no attribute 'height'"):
        captioned(scenes, "height")
    blank = [type(records[0])(id="0", prompt="x")]
    with pytest.raises(InputError, match="has no scene to compare with"):
        AnswerCheck(blank, names_right()).read([text])


def test_planted_rates_are_those_that_the_lexicon_finds_in_captions() -> None:
    rng = np.random.default_rng(2)
    texts = [caption(scene, rng).text for scene in sample(160, seed=3)]
    found = mentions(texts)
    for name, theirs in LEXICON_NAMES.items():
        by_grammar = [name in said_of(parse(text) or {}) for text in texts]
        assert found.any(theirs).tolist() == by_grammar, name
        assert abs(np.mean(by_grammar) - planted_rates()[theirs]) < 0.11
    level = Planted(mentions={"gender": 0.1, "age": 0.2, "skin": 0.3, "body": 0.4})
    assert planted_rates(level) == {"gender": 0.1, "skin_tone": 0.3, "age": 0.2, "body_type": 0.4}
