"""DSO on two-person pictures that `make_choice_pairs` makes of any set of portraits: undecided ones to level, decided ones to keep."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import levelhead as lh
import tiny
import words
from levelhead.data import ChoiceRecord, ImageRecord, load, make_choice_pairs
from levelhead.errors import FallbackWarning, InputError
from levelhead.metrics.decisions import Choices, bias
from set_files import picture, write_jsonl

pytest.importorskip("PIL", reason="Pillow is not installed; run: pip install 'levelhead[data]'")

JOBS = {"nurse": "female", "doctor": "male", "user": None}
QUESTION = {"question": "who is the {occupation} , {0} or {1} ?", "options": ("yes", "no"), "height": 32}
"""In the tiny tokenizer's few words."""
QUICK: dict[str, Any] = {"steps": 10, "batch": 8, "lr": 0.01, "neutral_batch": 4, "validation": 0, "l1": 0}


def undecided(people: Any, attribute: str, **options: Any) -> list[ChoiceRecord]:
    return make_choice_pairs(people, JOBS, attribute=attribute, pairs=3, **QUESTION, **options)


def decided(people: Sequence[ImageRecord]) -> list[ChoiceRecord]:
    """Portraits whose picture shows what is asked for."""
    return [
        ChoiceRecord(
            id=each.id,
            prompt="is the person a {0} or a {1} ?",
            options=("doctor", "nurse"),
            condition="unambiguous",
            label=i % 2,
            image=each.image,
        )
        for i, each in enumerate(people[:4])
    ]


def check(pairs: list[ChoiceRecord], aside: list[ChoiceRecord]) -> None:
    """Records with a stereotype go straight in, those without only by their groups; what is decided goes aside."""
    model, processor = tiny.ARCHITECTURES["llava"].model(), words.llava()
    typed = [record for record in pairs if record.pro is not None]
    assert len(typed) == 2 * 3 * 2 and len(pairs) == 3 * 3 * 2
    method = lh.DSO(**QUICK)
    steer = method.fit(model, typed, aside, processor, verbose=False)
    found = Choices(lh.graph(model, processor), typed)(steer, [0, 1])
    # So small a model hardly sees who stands where; but it does see, and it learns that silence earns nothing.
    assert not found[0].logprobs[0].equal(found[0].logprobs[len(JOBS) - 1])
    before, after = map(bias, found)
    assert after.mass > 1.2 * before.mass and after.targets == 2
    assert all(0 <= row["kl_neutral"] < 0.5 for row in method.history_[1:])
    with pytest.raises(InputError, match=r"pro=None.*sides='groups'"):
        method.fit(model, pairs, aside, processor, verbose=False)
    with pytest.raises(InputError, match="give them as neutral="):
        method.fit(model, [*typed, *aside], (), processor, verbose=False)
    method.set_params(sides="groups", steps=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FallbackWarning)
        method.fit(model, pairs, aside, processor, verbose=False)
    assert len(method.history_) == 2


def test_real_portraits_whose_gender_is_self_reported(data: Path) -> None:
    faces = load("faces_london", data / "faces_london", validate="off")
    people = [face for face in faces if isinstance(face, ImageRecord) and face.person is not None]
    check(undecided(people, "gender"), decided(people))


def test_counterfactual_portraits_of_occupations(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = []
    for number, (race, gender) in enumerate((r, g) for r in ("White", "Black", "Asian") for g in ("male", "female")):
        path = picture(tmp_path / f"{number}.png", number)
        rows.append(
            {
                "image": path.name,
                "caption": f"A picture of a {race} {gender} optician",
                "counterfactual_set": "a_picture_of_race_gender_optician_0_17",
                "a1": race,
                "a1_type": "race",
                "a2": gender,
                "a2_type": "gender",
                "a1a2": f"{race}_{gender}",
            }
        )
    write_jsonl(tmp_path / "rows.jsonl", rows)
    found = load("socialcounterfactuals", tmp_path / "rows.jsonl", validate="off")
    people = [record for record in found if isinstance(record, ImageRecord)]
    check(undecided(people, "perceived_gender", match=("perceived_race",)), decided(people))
