"""The suite of Skew: its figures by hand, what it refuses, and the whole of it on very little."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from levelhead.data.records import ImageRecord
from levelhead.errors import InputError
from levelhead.evaluate.skew import evaluate
from levelhead.evaluate.skew.figures import Arm, Figures, extreme_skew
from levelhead.evaluate.skew.pictures import OTHERS, SAME, STYLE, TESTS, TRAINED, UNSEEN, Exam, Judged, training_records
from levelhead.evaluate.skew.run import Scale
from levelhead.evaluate.skew.showing import markdown
from levelhead.evaluate.subject import Options


def record(number: int, concept: str, gender: str, age: str) -> ImageRecord:
    groups = {"gender": gender, "skin": "light", "age": age}
    return ImageRecord(id=str(number), image=None, concept=concept, groups=groups, set_id=f"{concept} {number // 4}")


def four(concept: str, first: int) -> list[ImageRecord]:
    people = [("man", "old"), ("man", "young"), ("woman", "old"), ("woman", "young")]
    return [record(first + i, concept, *person) for i, person in enumerate(people)]


RECORDS = [*four("chef", 0), *four("tool", 4)]
YES = np.array([0.9, 0.9, 0.3, 0.3, 0.5, 0.1, 0.5, 0.1])


def test_the_extremes_are_over_all_attributes_and_averaged_over_concepts_and_seeds() -> None:
    """By hand: of chefs, men are .9 against a mean of .6; of tools, the old .5 against .3."""
    whole = np.ones((1, 8))
    low, high = (extreme_skew([YES, np.full(8, 0.5)], RECORDS, extreme)(whole)[0] for extreme in ("min", "max"))
    assert low == pytest.approx((np.log(0.3 / 0.6) + np.log(0.1 / 0.3)) / 2 / 2)
    assert high == pytest.approx((np.log(0.9 / 0.6) + np.log(0.5 / 0.3)) / 2 / 2)


def judged(yes: Any) -> Judged:
    return Judged({SAME: np.asarray(yes)}, 1.0, np.ones(4, dtype=bool), np.ones(4, dtype=bool))


def test_a_difference_is_paired() -> None:
    """Two methods that move every answer by the same factor differ in no resample, however much the sets do."""
    rng = np.random.default_rng(0)
    records = [r for k in range(12) for r in four("chef", 4 * k)]
    yes = rng.uniform(0.1, 0.5, len(records))
    figures = Figures({SAME: records}, ["a"] * 4, ["a"] * 4, 199, 0)
    one, other = (Arm(name, "training", (judged(each),)) for name, each in (("one", yes), ("other", 2 * yes)))
    alone, apart = figures.skew(one, SAME, "min"), figures.skew(one, SAME, "min", other)
    assert alone.low < alone.value < alone.high and alone.value < 0
    assert apart.value == pytest.approx(0) and apart.high - apart.low == pytest.approx(0)


def test_nothing_that_is_judged_is_trained_on() -> None:
    """Neither its pictures, nor the looks of the people in them, nor the unseen concepts, nor the other style."""
    exam = Exam(0, 2, 2)
    trained = training_records(2, 0)

    def looks(records: Any) -> set[Any]:
        people = [r.extra["scene"].person for r in records]
        return {(p.role, p.body, p.hair, p.glasses, p.shirt) for p in people}

    for name in TESTS:
        assert not looks(exam.records[name]) & looks(trained), name
    assert {r.extra["theme"] for r in trained} == {*TRAINED} == {r.extra["theme"] for r in exam.records[SAME]}
    assert {r.extra["theme"] for r in exam.records[OTHERS]} == {*UNSEEN} and not {*UNSEEN} & {*TRAINED}
    assert {r.extra["style"] for r in exam.records[STYLE]} == {"sketch"} and {r.extra["style"] for r in trained} == {
        "plain"
    }


def test_only_the_testbed_comes_with_pictures(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="reads none"):
        evaluate(Options("smollm2", "skew", tmp_path))


@pytest.mark.heavy
def test_training_against_stereotypes_levels_what_it_never_saw(tmp_path: Path) -> None:
    """Two trainings and a steer on few pictures; the full suite has nine methods and three seeds."""
    names = ("naive fine-tuning", "counter-stereotype training", "mean differences, ablated")
    options = Options("testbed", "skew", tmp_path, verbose=False)
    found = evaluate(options, scale=Scale((0,), 4, 4, 2, 99, names))
    found.write()
    assert len(found.arms) == 4
    worst = {(arm.name, test): found.estimates[arm.name, test, "min"].value for arm in found.arms for test in TESTS}
    for test in TESTS:
        base, full = worst["as it is", test], worst["counter-stereotype training", test]
        assert base < -0.7 and full > 0.7 * base
    assert worst["counter-stereotype training", SAME] > worst["naive fine-tuning", SAME]
    assert (tmp_path / "skews.png").stat().st_size > 10_000 < (tmp_path / "compared.png").stat().st_size
    told = json.loads((tmp_path / "summary.json").read_text())
    assert told["suite"] == "skew" and len(told["tables"]["Skews"]) == 4
    assert len(told["tables"]["Differences on the same pictures"]) == 2
    text = markdown(found)
    assert "counter-stereotype training" in text and "MinSkew, unseen style" in text
