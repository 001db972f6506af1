"""Examples to learn from: which questions are asked of a picture, with which answers, and that nothing in them leans."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import pytest

from levelhead.data.concepts import Wording, asked_for
from levelhead.data.records import CapabilityRecord, ImageRecord
from levelhead.errors import InputError
from levelhead.testbed.concept_records import ASK, COUNTERPARTS, concept_records
from levelhead.training.examples import Example, concept_examples

CONCEPTS = ("chef", "science", "arts", "weapon", "career")


def records() -> list[ImageRecord]:
    """Eight sets for each concept, of four pictures each."""
    return [
        ImageRecord(
            id=f"{concept} {number} {gender} {age}",
            image=f"{concept}-{number}-{gender}-{age}.png",
            groups={"perceived_gender": gender, "perceived_age": age},
            concept=concept,
            set_id=f"{concept} {number}",
        )
        for concept in CONCEPTS
        for number in range(8)
        for gender in ("man", "woman")
        for age in ("old", "young")
    ]


def test_a_picture_is_asked_about_its_concept_and_about_others() -> None:
    made = concept_examples(records(), negatives=2, seed=4)
    assert len(made) == 3 * len(records()) and len({example.id for example in made}) == len(made)
    for record, (yes, *no) in zip(records(), zip(made[::3], made[1::3], made[2::3], strict=True), strict=True):
        assert (yes.prompt, yes.answer, yes.concept) == (f"is the person {record.concept}?", "yes", record.concept)
        assert yes.id == record.id
        for example in no:
            # Without a concept its Skew is 0: neither resampled nor rescaled.
            assert (example.answer, example.concept) == ("no", None)
            assert example.prompt in {f"is the person {name}?" for name in CONCEPTS if name != record.concept}
        assert no[0].prompt != no[1].prompt
        for example in (yes, *no):
            assert (example.image, example.groups, example.set_id) == (record.image, record.groups, record.set_id)


def test_drawn_negatives_are_the_sets_own_so_that_no_group_is_asked_about_other_things() -> None:
    made = [example for example in concept_examples(records(), seed=1) if example.answer == "no"]
    by_set: dict[Any, set[str]] = defaultdict(set)
    by_group: dict[str, Counter[str]] = defaultdict(Counter)
    for example in made:
        by_set[example.set_id].add(example.prompt)
        by_group[example.groups["perceived_gender"]][example.prompt] += 1
    assert all(len(prompts) == 1 for prompts in by_set.values())
    assert by_group["man"] == by_group["woman"]
    # Drawn anew for each set, not one for all sets of a concept.
    assert len({tuple(prompts) for name, prompts in by_set.items() if name.startswith("chef")}) > 1


def test_what_is_drawn_depends_on_the_seed_and_not_on_the_order() -> None:
    def drawn(given: list[ImageRecord], seed: int) -> set[tuple[str, str]]:
        return {(example.id, example.prompt) for example in concept_examples(given, seed=seed)}

    assert drawn(records(), 0) == drawn(records()[::-1], 0) != drawn(records(), 1)
    # Every other concept is drawn about as often: 8 sets for each of 5 concepts, over 30 seeds, a quarter each.
    counts = Counter(
        example.prompt
        for seed in range(30)
        for example in concept_examples(records()[::4], seed=seed)
        if example.answer == "no"
    )
    expected = 30 * 8 * 5 / 5
    assert set(counts) == {f"is the person {name}?" for name in CONCEPTS}
    assert all(abs(count - expected) < 4 * (expected * 0.8) ** 0.5 for count in counts.values())


def test_named_negatives_and_chosen_concepts() -> None:
    made = concept_examples(
        records(), negatives={"science": "arts", "arts": ["science", "chef"]}, concepts=["science", "chef"]
    )
    assert {(example.prompt, example.answer) for example in made if example.groups["perceived_age"] == "old"} == {
        ("is the person science?", "yes"),
        ("is the person arts?", "no"),
        ("is the person chef?", "yes"),
    }
    assert all(example.answer == "yes" for example in concept_examples(records(), negatives=0))


def test_the_question_may_be_worded_by_a_function_and_the_answers_be_others() -> None:
    made = concept_examples(records()[:1], ask=Wording(), answers=("Yes", "No"), negatives={"chef": "earning money"})
    assert [(example.prompt, example.answer) for example in made] == [
        ("Is this person a chef?", "Yes"),
        ("Is this person earning money?", "No"),
    ]


def test_the_testbeds_sets_ask_both_concepts_of_a_theme_equally_often_of_everybody() -> None:
    sets = concept_records(4, 2, ["subject", "duty"], size=16)
    made = concept_examples(sets, ask=ASK, negatives=COUNTERPARTS)
    table = Counter((example.prompt, example.answer, *example.groups.values()) for example in made)
    # Four sets of twelve, half of them about each concept: two yes and two no to each question for each kind of person.
    assert set(table.values()) == {2} and len(table) == 4 * 2 * 12
    assert made[0].image is sets[0].image, "pictures are drawn once, and shared"


def test_several_concepts_of_one_picture_are_never_its_negatives() -> None:
    faces = [ImageRecord(id=f"{i}.jpg", image=f"{i}.jpg", groups={"perceived_gender": "female"}) for i in range(6)]
    asked = asked_for(faces, CONCEPTS)[:3] + asked_for(faces[1:], CONCEPTS)
    for example in concept_examples(asked[:3] + asked[3:8], negatives={"chef": []}):
        assert example.answer == "yes"
    made = [example for example in concept_examples(asked[:3] + asked[6:8], negatives=1) if example.answer == "no"]
    assert made and {example.prompt for example in made if example.id.startswith("0.jpg")} <= {
        "is the person weapon?",
        "is the person career?",
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"negatives": 5}, "can be asked about 4 other concepts of the data"),
        ({"negatives": -1}, "negatives=-1"),
        ({"negatives": {"chef": "chef"}}, "asked about 'chef' with the answers 'yes' and 'no'"),
        ({"ask": "is the person a cook?"}, "no {concept} in it"),
        ({"answers": ("Yes", "yes ")}, "the answers have to differ"),
        ({"answers": ("yes", " ")}, "has no answer"),
        ({"concepts": ["sciense"]}, "did you mean 'science'"),
    ],
)
def test_what_cannot_be_asked_is_said(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message.replace("{", r"\{").replace("}", r"\}")):
        concept_examples(records(), **change)


def test_records_that_have_nothing_to_ask_about_are_named() -> None:
    with pytest.raises(InputError, match=r"record '7.jpg' has no concept to ask about; .*asked_for"):
        concept_examples([ImageRecord(id="7.jpg", image="7.jpg")])
    with pytest.raises(InputError, match="record 'q1' is of the kind 'capability'"):
        concept_examples([CapabilityRecord(id="q1", task="vqa", prompt="how many?")])
    with pytest.raises(InputError, match="there are no records"):
        concept_examples([])
    with pytest.raises(InputError, match="example 'e' has no prompt"):
        Example(id="e", prompt=" ", answer="yes")
