from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from levelhead import testbed
from levelhead.errors import InputError
from levelhead.testbed.planted import Lean, Planted
from levelhead.testbed.scene import VALUES, Person, Scene, sample
from levelhead.testbed.world import CONCEPTS, PERSON, ROLES, SCENE, SETTINGS, THEMES

DOCTOR, NURSE = Person(role="doctor"), Person(role="nurse")


# -- the world -----------------------------------------------------------------------------------------


def test_there_are_enough_occupations_and_concepts_in_pairs():
    occupations = [role for theme in SETTINGS for role in theme.answers]
    concepts = [role for theme in CONCEPTS for role in theme.answers]
    assert len(set(occupations)) >= 16 and len(set(concepts)) >= 6
    assert {theme.family for theme in CONCEPTS} == {"personality", "responsibility", "education"}
    assert len(ROLES) == 1 + 3 * len(THEMES), "no two roles share a name"
    assert len(PERSON["skin"]) >= 3


# -- scenes --------------------------------------------------------------------------------------------


def test_a_counterfactual_changes_what_it_says_and_nothing_else():
    [scene] = sample(1, 3)
    for name, values in VALUES.items():
        for value in values:
            changed = scene.counterfactual(**{name: value})
            assert changed.labels == {**scene.labels, name: value}
            assert changed.seed == scene.seed


def test_a_set_is_the_full_product():
    [scene] = sample(1, 4)
    made = scene.counterfactuals("gender", "skin", "age")
    assert len(made) == len(set(made)) == 12 and scene in made
    combinations = {(each.person.gender, each.person.skin, each.person.age) for each in made}
    assert len(combinations) == 12
    assert len({str({**each.labels, "gender": 0, "skin": 0, "age": 0}) for each in made}) == 1


def test_of_two_people_one_is_named():
    scene = Scene((DOCTOR, NURSE))
    with pytest.raises(InputError, match="gender of whom\\? The picture shows two people; say person='left'"):
        scene.counterfactual(gender="man")
    changed = scene.counterfactual(person="right", gender="man")
    assert changed == scene.counterfactual(person=1, gender="man")
    assert [each.gender for each in changed.people] == ["woman", "man"]
    assert scene.counterfactual(wall="pink").people == scene.people, "the room belongs to both"
    assert {each.skin for each in scene.with_people(skin="dark").people} == {"dark"}
    with pytest.raises(InputError, match="no person 'middle' in a picture of 2; use 0 or 1"):
        scene.counterfactual(person="middle", gender="man")
    with pytest.raises(InputError, match="no person 1 in a picture of 1"):
        Scene().counterfactual(person=1, gender="man")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Scene().counterfactual(gendre="man"), "no attribute 'gendre' (did you mean 'gender'?); attributes are"),
        (lambda: Scene().counterfactual(gender="men"), "gender cannot be 'men' (did you mean 'man'?); values are man, woman"),
        (lambda: Person(role="docter"), "role cannot be 'docter' (did you mean 'doctor'?)"),
        (lambda: Scene(wall="mauve"), "wall cannot be 'mauve'"),
        (lambda: Scene(()), "a picture shows one person or two; found 0"),
        (lambda: Scene((DOCTOR, NURSE), object="clock"), "object='clock' cannot be drawn: two people fill the picture"),
        (lambda: Scene((DOCTOR, NURSE)).counterfactual(side="left"), "side='left' cannot be drawn"),
        (lambda: Scene((DOCTOR, Person(role="chef"))), "two people share a setting; found 'doctor' and 'chef'"),
        (lambda: Scene((Person(role="science"), Person(role="arts"))), "concepts are drawn beside one person"),
        (lambda: Scene(seed=-1), "a seed is a whole number from 0 on; found -1"),
        (lambda: Scene().counterfactuals(), "a set needs attributes, each once"),
        (lambda: Scene().counterfactuals("gender", "gender"), "a set needs attributes, each once"),
        (lambda: Scene().counterfactuals("sex"), "no attribute 'sex'"),
        (lambda: sample(1, people=3), "found people=3"),
        (lambda: sample(-1), "whole numbers from 0 on"),
        (lambda: sample(1, seed=[0, -4]), "whole numbers from 0 on"),
        (lambda: sample(1, roles=["doctor", "pilots"]), "role cannot be 'pilots' (did you mean 'pilot'?)"),
        (lambda: sample(1, shirt="beige"), "shirt cannot be 'beige'"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_said(make, message: str):
    with pytest.raises(InputError, match=re.escape(message)):
        make()


def test_a_sample_that_no_scene_fits_ends():
    person = next(scene.person for scene in sample(50, 1) if not scene.held_out)
    with pytest.raises(InputError, match="no scene with held_out=True in 1001 draws"):
        sample(1, held_out=True, **vars(person))


# -- samples -------------------------------------------------------------------------------------------


def test_same_seed_same_scenes_and_pictures():
    first, second = sample(20, 9, people=2), sample(20, 9, people=2)
    assert first == second != sample(20, 10, people=2)
    assert all(np.array_equal(a.image(), b.image()) for a, b in zip(first, second, strict=True))


def test_samples_are_balanced_and_attributes_independent():
    scenes = sample(6000, 2)
    for name, values in {**PERSON, **SCENE}.items():
        counts = Counter(scene.labels[name] for scene in scenes)
        expected = len(scenes) / len(values)
        assert all(abs(counts[value] - expected) < 5 * expected**0.5 for value in values), name
    # No role goes with a gender, a skin tone or an age: what the model says of them comes from its text.
    for name in ("gender", "skin", "age", "body"):
        for theme in THEMES:
            those = [scene.labels[name] for scene in scenes if scene.person.role == theme.name]
            share = Counter(those)[PERSON[name][0]] / len(those)
            assert abs(share - 1 / len(PERSON[name])) < 5 * (0.25 / len(those)) ** 0.5


def test_clear_pairs_have_one_of_each_in_either_order():
    orders = Counter(tuple(p.role for p in scene.people) for scene in sample(400, 3, people=2, roles=["doctor"]))
    assert set(orders) == {("doctor", "nurse"), ("nurse", "doctor")}
    assert min(orders.values()) > 150
    assert {tuple(p.role for p in s.people) for s in sample(30, 3, people=2, roles=["hospital"])} == {("hospital",) * 2}


def test_one_person_in_eight_is_held_out_in_every_room():
    scenes = sample(4000, 5)
    assert 0.10 < np.mean([scene.held_out for scene in scenes]) < 0.15
    for scene in scenes[:100]:
        assert scene.counterfactual(wall="gray", balls="four", ball_color="blue").held_out == scene.held_out
    assert all(scene.held_out for scene in sample(50, 6, held_out=True))
    assert not any(scene.held_out for scene in sample(50, 6, people=2, held_out=False))


# -- the truth -----------------------------------------------------------------------------------------


def test_planted_rates_lean_and_the_market_does_not():
    planted = testbed.Planted()
    odds = {name: lean.odds for name, lean in planted.occupations.items()}
    assert odds["market"]["man"] == odds["market"]["woman"] == 0.5
    assert all(each["man"] > each["woman"] for name, each in odds.items() if name != "market")
    attributes = {planted.lean(name).attribute for name in (*planted.concepts, *planted.traits)}
    assert attributes == {"gender", "skin", "age", "body"}


def test_the_truth_about_people():
    planted = Planted()
    man, woman = (Person(gender=gender, role="hospital") for gender in ("man", "woman"))
    assert planted.role(man) == pytest.approx({"doctor": 0.85, "nurse": 0.15})
    assert planted.role(DOCTOR) == {"doctor": 1, "nurse": 0}
    assert planted.who(man, woman, "doctor") == planted.who(woman, man, "nurse") == 0.85
    assert planted.who(man, man, "doctor") == 0.5
    assert planted.who(NURSE, DOCTOR, "doctor") == 0 and planted.who(NURSE, DOCTOR, "nurse") == 1
    with pytest.raises(InputError, match="a plain person shows neither an occupation nor a concept"):
        planted.role(Person())
    with pytest.raises(InputError, match="'chef' is no clear role that could be either of a hospital and a hospital"):
        planted.who(man, woman, "chef")
    with pytest.raises(InputError, match="nothing is planted for 'tall'"):
        planted.lean("tall")


def test_other_rates_can_be_planted_and_must_be_rates():
    occupations = {theme.name: Lean("gender", {"man": 0.6, "woman": 0.4}) for theme in SETTINGS}
    planted = Planted(occupations=occupations)
    assert planted.role(Person(gender="woman", role="school"))["teacher"] == 0.4
    with pytest.raises(InputError, match="occupations need one entry for each of hospital, airport"):
        Planted(occupations={"hospital": occupations["hospital"]})
    with pytest.raises(InputError, match=r"a probability between 0 and 1; found 1.2"):
        Planted(mentions={"gender": 1.2, "age": 0.0, "skin": 0.0, "body": 0.0})
    with pytest.raises(InputError, match=r"answers lean on gender, skin, .*; found 'gendr'"):
        Lean("gendr", {"man": 1.0})
    with pytest.raises(InputError, match="a lean on skin needs odds for light, medium, dark; found light"):
        Lean("skin", {"light": 1.0})
