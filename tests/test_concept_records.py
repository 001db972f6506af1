"""Pictures of social concepts: CMSC's names and labels, faces asked about concepts, and the testbed's sets of that shape."""

from __future__ import annotations

from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from levelhead.data import inspect, load
from levelhead.data.concepts import CMSC_CONCEPTS, CMSC_FAMILIES, Wording, asked_for, cmsc_concept
from levelhead.data.counterfactual import check_counterfactual_sets
from levelhead.data.records import ImageRecord
from levelhead.data.sets.cmsc import CMSC_PATTERNS, CONCEPT_FOLDER, name_pattern
from levelhead.errors import InputError
from levelhead.testbed.concept_records import COUNTERPARTS, LEANING, OVER, concept_records
from levelhead.testbed.pictures import concept_sets, write_set
from levelhead.testbed.world import CONCEPTS
from set_files import picture, pictures, told, write_csv


def paint(folder: Path, template: str, sets: int = 2, concepts: tuple[str, ...] = ("good_student", "tool")) -> int:
    """Small pictures of counterfactual sets, named after a template; the number of pictures."""
    cells = list(product(concepts, range(sets), ("man", "woman"), ("White", "Middle_Eastern"), ("young", "old")))
    for number, (concept, index, gender, race, age) in enumerate(cells):
        labels = {"concept": concept, "set": f"{index:03}", "gender": gender, "race": race, "age": age}
        picture(folder / (template.format(**labels, number=number) + ".png"), number)
    return len(cells)


# -- concepts ------------------------------------------------------------------------------------------


def test_eighteen_concepts_in_three_families_under_cmscs_names() -> None:
    sizes = {family: len(names) for family, names in CMSC_FAMILIES.items()}
    assert sizes == {"personality": 5, "responsibility": 6, "education": 7}
    assert len({concept.name for concept in CMSC_CONCEPTS}) == len({concept.phrase for concept in CMSC_CONCEPTS}) == 18
    for spelled in ("earning money", "Earning_Money", "earning-money", "earningmoney"):
        assert cmsc_concept(spelled) is not None and cmsc_concept(spelled).name == "earning money"  # type: ignore[union-attr]
    assert cmsc_concept("doctor") is None
    # The testbed draws fourteen of them, under the same names and in the same families.
    drawn = {name: theme.family for theme in CONCEPTS for name in theme.answers}
    assert all(cmsc_concept(name).family == family for name, family in drawn.items())  # type: ignore[union-attr]
    assert len(drawn) == 14 and all(COUNTERPARTS[COUNTERPARTS[name]] == name for name in drawn)


@pytest.mark.parametrize(
    ("concept", "question"),
    [
        ("authority", "Is this person in authority?"),
        ("Bad Student", "Is this person a bad student?"),
        ("barber", "Is this person a barber?"),
        ("accountant", "Is this person an accountant?"),
        ("usher", "Is this person an usher?"),
        ("university lecturer", "Is this person a university lecturer?"),
    ],
)
def test_concepts_are_asked_about_in_sentences(concept: str, question: str) -> None:
    assert Wording()(concept) == question


def test_a_wording_takes_phrases_of_ones_own_and_needs_a_place_for_them() -> None:
    assert Wording("Is she {concept}?", {"chef": "the cook"})("chef") == "Is she the cook?"
    with pytest.raises(InputError, match=r"has no \{concept\} in it"):
        Wording("Is this person a chef?")


def test_faces_are_asked_about_every_concept_and_stay_one_person() -> None:
    faces = [
        ImageRecord(id="1.jpg", image="1.jpg", groups={"perceived_race": "Indian"}),
        ImageRecord(id="2.jpg", image="2.jpg", concept="barber", set_id="b", groups={"perceived_race": "Black"}),
    ]
    asked = asked_for(faces)
    assert len(asked) == 36 and len({record.id for record in asked}) == 36
    assert [record.concept for record in asked[:18]] == [concept.name for concept in CMSC_CONCEPTS]
    assert {record.person for record in asked[:18]} == {"1.jpg"}, "eighteen answers about one picture are one unit"
    assert {(record.set_id, record.extra["shown"]) for record in asked[18:]} == {("b", "barber")}
    assert asked[20].groups == {"perceived_race": "Black"} and asked[20].image == "2.jpg"
    with pytest.raises(InputError, match="each concept once"):
        asked_for(faces, ["chef", "chef"])


# -- CMSC ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "template"),
    [
        ("concept_gender_race_age_set", "{concept}_{gender}_{race}_{age}_{set}"),
        ("concept_race_gender_age_set", "{concept}_{race}_{gender}_{age}_{set}"),
        ("concept_age_race_gender_set", "{concept}_{age}_{race}_{gender}_{set}"),
        ("concept_set_gender_race_age", "{concept}_{set}_{gender}_{race}_{age}"),
        ("concept/race_gender_age_set", "x/{concept}/{race}_{gender}_{age}_{set}"),
        ("concept/set_gender_race_age", "{concept}/{set}_{gender}_{race}_{age}"),
        ("words", "all/{concept}-{set}/a {age} {race} {gender} #{number}"),
    ],
)
def test_names_of_likely_grammars_are_read(tmp_path: Path, key: str, template: str) -> None:
    count = paint(tmp_path, template)
    records = pictures(load("cmsc", tmp_path, pattern=CMSC_PATTERNS[key], validate="off"))
    assert len(records) == count == 32
    for record in records:
        spelled = record.id.replace("_", " ")
        assert record.concept in ("good student", "tool") and record.concept in spelled
        assert record.extra["family"] == {"good student": "education", "tool": "responsibility"}[record.concept]
        assert record.groups["perceived_race"] in ("White", "Middle Eastern")
        assert (record.groups["perceived_gender"] == "woman") == ("woman" in spelled)
        assert (record.groups["perceived_age"] == "old") == ("old" in spelled)
    if key != "words":
        # The same number under two concepts is two sets.
        assert Counter(record.set_id for record in records) == dict.fromkeys(
            (f"{concept} {number}" for concept in ("good student", "tool") for number in ("000", "001")), 8
        )


def test_pictures_whose_names_differ_in_the_labels_alone_are_a_set(tmp_path: Path) -> None:
    paint(tmp_path, "{concept}_{race}_{gender}_{age}_{set}")
    data = load("cmsc", tmp_path, pattern=CMSC_PATTERNS["words"], validate="off")
    records = pictures(data)
    assert sorted(Counter(record.set_id for record in records).values()) == [8, 8, 8, 8]
    assert all(str(record.concept).replace(" ", "_") in str(record.set_id) for record in records)
    assert told(data.report, "no set is labeled") == 1
    for index, file in enumerate(sorted(tmp_path.glob("*.png"))):
        file.rename(file.with_name(f"{file.stem}_{index}.png"))
    counted = pictures(load("cmsc", tmp_path, pattern=CMSC_PATTERNS["words"], validate="off"))
    assert len(counted) == 32 and {record.set_id for record in counted} == {None}


def test_the_report_says_which_names_do_not_fit_and_which_pattern_would(tmp_path: Path) -> None:
    paint(tmp_path, "{concept}_{race}_{gender}_{age}_{set}")
    for name in ("IMG_1.png", "IMG_2.png", "chef_White_person_old_001.png", "cover.png"):
        picture(tmp_path / name, 999 + len(name))
    report = inspect("cmsc", tmp_path, pattern=CMSC_PATTERNS["concept_race_gender_age_set"])
    assert not report.ok and report.n == 32
    (problem,) = report.fatal
    assert problem.text.startswith("the pattern does not fit the name: give pattern=")
    assert {"IMG_1.png", "IMG_2.png", "cover.png", "chef_White_person_old_001.png"} == set(problem.places)
    assert sum(name in str(report) for name in problem.places) >= 3
    with pytest.raises(InputError, match=r"no labels: .*of levelhead.data.CMSC_PATTERNS, 'words' fits 32 of 36 names"):
        load("cmsc", tmp_path)
    kept = load("cmsc", tmp_path, pattern=CMSC_PATTERNS["words"], on_bad="drop", use="train")
    assert len(kept) == 32 and kept.report.dropped == 4
    # Training is not refused; what the licence asks is in the report and the card.
    assert {"not for commercial use", "changed copies may not be passed on"} <= set(kept.report.notes)
    assert kept.card()["licence"]["derivatives"] is False


def test_a_concept_without_a_group_is_told_when_it_is_loaded_and_when_it_is_checked(tmp_path: Path) -> None:
    paint(tmp_path, "{concept}_{race}_{gender}_{age}_{set}")
    for file in tmp_path.glob("tool_*_woman_*.png"):
        file.unlink()
    next(tmp_path.glob("good_student_White_man_old_000.png")).unlink()
    data = load("cmsc", tmp_path, pattern=CMSC_PATTERNS["concept_race_gender_age_set"], validate="off")
    assert told(data.report, "a concept lacks a group") == 1
    report = check_counterfactual_sets(data)
    assert [problem.places for problem in report.fatal] == [("tool: no perceived_gender 'woman'",)]
    assert "good student 000: 1 missing: man White old" in str(report)
    with pytest.raises(InputError, match="no record has the group"):
        check_counterfactual_sets(data, ["perceived_gender", "religion"])


def test_checks_of_sets_know_sources_that_vary_two_of_three_attributes() -> None:
    def one(number: int, **groups: str) -> ImageRecord:
        return ImageRecord(
            id=str(number), image="x.png", groups=groups, concept="chef", set_id="s" if number < 4 else "t"
        )

    both = [one(i, race=race, gender=gender) for i, (race, gender) in enumerate(product("ab", "mw"))]
    other = [one(4 + i, body=body, gender=gender) for i, (body, gender) in enumerate(product("xy", "mw"))]
    assert not check_counterfactual_sets(both + other).problems
    named = check_counterfactual_sets(both + other, ["race"])
    assert sum("4: no race" in place for problem in named.fatal for place in problem.places) == 1 and not named.ok
    twice = check_counterfactual_sets([*both, one(0, race="a", gender="m")])
    assert twice.ok and "a cell more than once [s: a m]" in str(twice)


def test_columns_and_other_concepts_are_taken_as_they_stand(tmp_path: Path) -> None:
    rows = []
    for number, (concept, family) in enumerate((("arts", "personality"), ("juggler", "circus"))):
        picture(tmp_path / f"{number}.png", number)
        labels = {"perceived_gender": "woman", "perceived_skin": "dark", "set": "4"}
        rows.append({"file_name": f"{number}.png", "concept": concept, "family": family, **labels})
    write_csv(tmp_path / "metadata.csv", rows)
    data = load(CONCEPT_FOLDER, tmp_path, validate="off")
    assert [record.concept for record in pictures(data)] == ["arts", "juggler"]
    assert pictures(data)[1].groups == {"perceived_gender": "woman", "perceived_skin": "dark"}
    assert told(data.report, "of another family") == 1 and told(data.report, "none of CMSC's") == 1


def test_a_template_has_a_concept_and_each_label_once() -> None:
    for template in ("gender_race_age", "concept_gender_gender"):
        with pytest.raises(InputError, match="needs the word 'concept', and each label once"):
            name_pattern(template)


def test_folders_of_the_testbed_are_read_by_metadata_and_by_name(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "sets", concept_sets(1, families=["education"])[:2], size=24, verbose=False)
    by_table = pictures(load(CONCEPT_FOLDER, folder, validate="off"))
    (folder / "metadata.jsonl").unlink()
    by_name = pictures(load(CONCEPT_FOLDER, folder, pattern=CMSC_PATTERNS["testbed"], validate="off"))
    for records in (by_table, by_name):
        assert Counter(record.concept for record in records) == {"science": 12, "arts": 12}
        assert len({record.set_id for record in records}) == 2
        assert set(records[0].groups) == {"perceived_gender", "perceived_skin", "perceived_age"}
        assert check_counterfactual_sets(records).ok


# -- the testbed's sets --------------------------------------------------------------------------------


def test_sets_are_full_products_of_one_look_and_one_concept() -> None:
    records = concept_records(2, 5)
    assert len(records) == len(LEANING) * 2 * 12 and not check_counterfactual_sets(records).problems
    assert len({record.id for record in records}) == len(records)
    for start in range(0, len(records), 12):
        members = records[start : start + 12]
        assert len({(record.set_id, record.concept) for record in members}) == 1
        assert len({tuple(record.groups.values()) for record in members}) == 12 and set(members[0].groups) == set(OVER)
        drawn = np.stack([np.asarray(record.image).astype(int) for record in members])
        shared = (drawn == drawn[0]).all((0, 3))
        # The wall, the shelf and the prop beside the person are the same, to the pixel.
        assert shared[:14].all() and shared[:, :18].all() and shared[:, 78:].all()


def test_concepts_are_half_each_and_whoever_is_shown() -> None:
    records = concept_records(4, 1, size=8)
    for theme in CONCEPTS:
        own = [record for record in records if record.extra["theme"] == theme.name]
        table = Counter((record.concept, *record.groups.values()) for record in own)
        assert not own or (set(table.values()) == {2} and len(table) == 24), theme.name
    orders = {tuple(record.concept for record in concept_records(4, seed, ["bag"], size=8)[::12]) for seed in range(4)}
    assert len(orders) > 1, "which set is about which concept is drawn"
    # By hand, after docs/testbed.md: science is taken for a man's subject in 80 of 100 cases, whatever the rest.
    for record in concept_records(2, 1, ["subject"]):
        assert record.extra["planted"] == pytest.approx(
            0.8 if (record.concept == "science") == (record.groups["gender"] == "man") else 0.2
        )


def test_sets_depend_on_their_own_seed_and_theme_alone() -> None:
    def seen(records: list[ImageRecord]) -> list[Any]:
        return [(record.id, record.concept, record.image.tobytes()) for record in records]

    one = seen(concept_records(2, 3, ["bag"]))
    assert one == seen(concept_records(2, 3, ["duty", "bag"]))[24:] == seen(concept_records(2, 3, ["bag"]))
    assert one != seen(concept_records(2, 4, ["bag"]))
    sketched = concept_records(2, 3, ["bag"], style="sketch")
    assert [record.concept for record in sketched] == [concept for _, concept, _ in one]
    assert sketched[0].extra["scene"] == concept_records(2, 3, ["bag"])[0].extra["scene"]
    assert not {record.set_id for record in sketched} & {record.set_id for record in concept_records(2, 3, ["bag"])}


def test_held_out_sets_show_nobody_who_is_in_the_others() -> None:
    def looks(held_out: bool) -> set[tuple[str, ...]]:
        people = [
            record.extra["scene"].person for record in concept_records(16, 1, ["temper"], held_out=held_out, size=2)
        ]
        return {(person.body, person.hair, person.glasses, person.shirt) for person in people}

    kept, rest = looks(True), looks(False)
    assert not kept & rest and len(kept) > 6 and len(rest) > 8


def test_clear_sets_show_the_concept_itself() -> None:
    records = concept_records(2, 3, ["grade"], clear=True)
    assert all(record.extra["scene"].person.role == record.concept for record in records)
    assert {record.extra["planted"] for record in records} == {1.0}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "needs one set or more"),
        ({"n": 1, "themes": ["science"]}, r"no theme \['science'\]; themes are temper"),
        ({"n": 1, "themes": []}, "no theme"),
        ({"n": 1, "style": "oil"}, "style 'oil'"),
    ],
)
def test_sets_that_cannot_be_drawn_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        concept_records(**arguments)
