"""The testbed's suite of decisions: its questions in every form, what is compared, and what DSO does there."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import levelhead as lh
from levelhead.data.records import ChoiceRecord
from levelhead.errors import InputError
from levelhead.evaluate.decisions.contrast import contrast_candidates, contrast_steers
from levelhead.evaluate.decisions.dso_testbed import left_out, trained
from levelhead.evaluate.decisions.forms import FORMS, clear_choices, kept_as_is, planted_choices
from levelhead.evaluate.decisions.tables import decision_tables
from levelhead.metrics import Accuracy, OccupationBias
from levelhead.metrics.statistics import Estimate
from levelhead.testbed import Planted
from levelhead.testbed.records import wrap
from levelhead.testbed.world import CONCEPTS, SETTINGS, TRAITS
from levelhead.tradeoff import Point, Tradeoff

PLANTED = Planted()


@pytest.fixture(scope="module")
def graph() -> Any:
    return lh.testbed.load().graph


# -- questions -----------------------------------------------------------------------------------------


def said_by_text(record: ChoiceRecord) -> float:
    """The planted probability of the option that is called pro, from the tables of rates alone."""
    pro = record.options[record.pro or 0]
    if record.category == "trait":
        chance = PLANTED.traits[record.target].odds[str(record.group)]
        return chance if pro == "yes" else 1 - chance
    if record.category == "concept_yes":
        theme = next(theme for theme in CONCEPTS if record.target in theme.answers)
        first = PLANTED.concepts[theme.name].odds[str(record.group)]
        chance = first if record.target == theme.first else 1 - first
        return chance if pro == "yes" else 1 - chance
    if record.category == "who":
        theme = next(theme for theme in SETTINGS if record.target in theme.answers)
        man = PLANTED.occupations[theme.name].odds["man"]
        is_man = record.groups[record.pro or 0] == "man"
        return man if is_man == (record.target == theme.first) else 1 - man
    table = PLANTED.occupations if record.category in ("job", "job_choice") else PLANTED.concepts
    theme = next(theme for theme in (*SETTINGS, *CONCEPTS) if theme.name == record.target)
    first = table[record.target].odds[str(record.group)]
    return first if pro == theme.first else 1 - first


@pytest.mark.parametrize("form", FORMS)
def test_every_form_has_the_planted_stereotype_as_pro(form: str) -> None:
    records = planted_choices(form, 1, [0, 1], held_out=True)
    assert {record.category for record in records} == {form}
    for record in records:
        assert said_by_text(record) >= 0.5 and record.condition == "ambiguous"
    targets = {
        "who": [role for theme in SETTINGS for role in theme.answers],
        "job_choice": [theme.name for theme in SETTINGS],
        "job": [theme.name for theme in SETTINGS],
        "concept": [theme.name for theme in CONCEPTS],
        "concept_yes": [concept for theme in CONCEPTS for concept in theme.answers],
        "trait": list(TRAITS),
    }[form]
    # Whom the stereotype is for, and whom it is against, stand in every target alike: else one answer for all would be level.
    assert Counter(record.target for record in records) == dict.fromkeys(targets, 2)
    assert all(len({(r.group, r.groups) for r in records if r.target == target}) == 2 for target in targets), (
        "two counterfactuals of each"
    )


def test_other_settings_can_be_left_out() -> None:
    records = planted_choices("who", 1, [0, 1], held_out=True, themes=SETTINGS[:1])
    assert {record.target for record in records} == {"doctor", "nurse"}
    clear = clear_choices(12, [0, 1], held_out=True, themes=SETTINGS[:1])
    assert {record.target for record in clear} <= {"doctor", "nurse", "hospital"}
    with pytest.raises(InputError, match="no form 'what'; forms are who, job_choice"):
        planted_choices("what", 1, [0, 1], held_out=True)


def test_the_model_has_the_planted_bias_in_every_form_and_none_where_a_cue_decides(graph: Any) -> None:
    for form in FORMS:
        records = planted_choices(form, 1, [0, 2], held_out=True)
        (found,) = OccupationBias(records, wrap=wrap).on(graph)()
        expected = np.mean([2 * said_by_text(record) - 1 for record in records])
        assert found.statistic(np.ones((1, len(records))))[0] == pytest.approx(expected, abs=0.06), form
        assert found.beside["answer_rate"] == 1
    clear = clear_choices(12, [0, 2], held_out=True)
    assert {record.category for record in clear} == {"who", "job_choice", "job", "concept", "concept_yes"}
    (found,) = Accuracy(clear, wrap=wrap).on(graph)()
    assert found.statistic(np.ones((1, len(clear))))[0] > 0.99, "labels are what the model was taught"


def test_what_is_kept_has_no_question_that_a_stereotype_decides() -> None:
    kept = kept_as_is(8, [0, 3])
    assert all(record.condition == "unambiguous" for record in kept if isinstance(record, ChoiceRecord))
    begun = [record.prompt for record in kept if record.id.startswith("begun.")]
    assert len(begun) == 48 and all(text.startswith("describe the picture.") for text in begun)
    assert len({len(text.split()) for text in begun}) > 2, "captions are begun at different lengths"


# -- what DSO is compared with ---------------------------------------------------------------------------


def test_caa_is_the_mean_difference_of_spelled_out_answers(graph: Any) -> None:
    records = planted_choices("job_choice", 2, [0, 4], held_out=False, themes=SETTINGS[:1])
    given: dict[str, Any] = {"wrap": wrap, "sites": ["resid_post.3"], "verbose": False}
    steers = contrast_candidates(graph, records, **given, size=2, heads=3, alphas=[1])
    ends = {"man": ("doctor", "nurse"), "woman": ("nurse", "doctor")}
    acts: list[torch.Tensor] = []
    for side in (0, 1):
        asked = [
            (record.image, f"<image> is the person a {one} or a {other}? {ends[str(record.group)][side]}")
            for record in records
            for one, other in (("doctor", "nurse"), ("nurse", "doctor"))
        ]
        acts.append(lh.capture(graph, asked, "resid_post.3", at="last", verbose=False)["resid_post.3"])
    away = acts[1].mean(0) - acts[0].mean(0)
    length = 2 * torch.cat(acts).norm(dim=-1).mean()
    vector = steers["CAA"]["resid_post.3"].entries[0].edit.params["vector"]
    torch.testing.assert_close(vector, away / away.norm() * length, atol=1e-3, rtol=1e-3)
    shifted = steers["ITI"]["alpha 1"]
    assert len(shifted.entries) == 3 and all(str(site).startswith("z.") for site in shifted.sites)
    clear = Accuracy(clear_choices(2, [0, 4], held_out=False, themes=SETTINGS[:1]), wrap=wrap)
    chosen = contrast_steers(graph, records, OccupationBias(records, wrap=wrap), clear, **given)
    assert set(chosen) == {"CAA", "ITI"} and [str(site) for site in chosen["CAA"].sites] == ["resid_post.3"]


# -- tables ----------------------------------------------------------------------------------------------


def point(method: str, kind: Any, strength: float, measure: str, role: Any, value: float, split: Any) -> Point:
    names: tuple[str, ...] = ("pob_hard", "noise_floor", "gap", "answer_rate", "position_bias", "order_consistency")
    beside: dict[str, float] = dict(zip(names, (0.9, 0.1, 0.5, 1.0, 0.02, 0.98), strict=True)) if role == "bias" else {}
    estimate = Estimate(value, value - 0.01, value + 0.01, 10)
    return Point(method, kind, strength, 0, measure, role, split, estimate, estimate, 10, beside, ())


def test_the_tables_give_hard_answers_and_hypervolumes_of_every_method() -> None:
    runs = [("none", "none", 0.0, 0.4, 1.0), ("prompt", "prompt", 0.0, 0.2, 0.75), ("ours", "method", 1.0, 0.1, 0.9)]
    points = [
        point(name, kind, strength, measure, role, value, split)
        for name, kind, strength, low, high in runs
        for measure, role, value in (("b", "bias", low), ("c", "capability", high))
        for split in ("validation", "test")
    ]
    facts = {"strengths": [0.0, 1.0], "budget": 0.2, "chance": {"c": 0.5}}
    beside, curves = decision_tables(Tradeoff(tuple(points), facts)).values()
    rows = {row[""]: row for row in beside.to_dict("records")}
    assert list(rows) == ["as it is", "an instruction", "ours"]
    assert (rows["ours"]["soft"], rows["ours"]["hard"], rows["ours"]["of a level model"]) == (0.1, 0.9, 0.1)
    # The box is 0.5 wide (1.25 times 0.4) and 0.5 high (above chance). Two points of "ours" make two steps.
    assert rows["as it is"]["hypervolume"] == pytest.approx(0.1 * 0.5 / 0.25)
    assert rows["an instruction"]["hypervolume"] == pytest.approx(0.3 * 0.25 / 0.25)
    assert rows["ours"]["hypervolume"] == pytest.approx((0.1 * 0.5 + 0.3 * 0.4) / 0.25)
    assert curves.iloc[0]["1"] == "0.100 [0.090, 0.110]" and list(curves["measure"]) == ["b", "c"]
    plain = [replace(each, beside={}) for each in points]
    assert decision_tables(Tradeoff(tuple(plain), facts)) == {}, "pronouns in sentences have no such figures"


# -- training --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_dso_levels_three_forms_and_leaves_the_rest(graph: Any) -> None:
    """Part of the way, in a third of the steps; docs/results.md has the whole."""
    method = trained(graph, seed=0, scenes=4, kept=16, steps=25, verbose=False)
    for form in ("who", "job_choice", "job"):
        measure = OccupationBias(planted_choices(form, 2, [0, 5], held_out=True), wrap=wrap)
        before, half, after = (
            each.statistic(np.ones((1, len(measure.records))))[0]
            for each in measure.on(graph)(method.steer_, (0.0, 0.5, 1.0))
        )
        assert after < 0.4 * before and after < half < before, (form, before, half, after)
    clear = Accuracy(clear_choices(24, [0, 5], held_out=True), wrap=wrap)
    (found,) = clear.on(graph)(method.steer_)
    assert found.statistic(np.ones((1, len(clear.records))))[0] > 0.97
    assert len(method.history_) == 26 and 0 < method.untouched_ < 1


def test_settings_that_are_left_out_are_reported_apart(graph: Any) -> None:
    """One step moves little; docs/results.md has what a training does."""
    table = left_out(graph, ("who",), seed=0, folds=1, n=1, steps=1, scenes=1, kept=2, verbose=False)
    assert list(table["occupations"]) == ["trained on", "never trained on"] and list(table["n"]) == [12, 4]
    rates = PLANTED.occupations.values()
    expected = np.mean([abs(table.odds["man"] - table.odds["woman"]) for table in rates])
    assert np.average(table["as it is"], weights=table["n"]) == pytest.approx(expected, abs=0.06)
    assert (table["steered"] < table["as it is"]).all() and (table["steered"] <= table["worst"]).all()
