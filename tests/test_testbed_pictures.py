"""Counterfactual sets on disk: names and metadata say what the pictures show, and half a set is never left."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from levelhead.errors import FileError, InputError
from levelhead.testbed.pictures import concept_sets, parse_name, write_set
from levelhead.testbed.scene import Person, Scene, sample
from levelhead.testbed.world import CONCEPTS, PERSON, SCENE

OVER = ("gender", "skin", "age")


def read(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]


def rebuilt(row: dict[str, Any]) -> Scene:
    person = Person(role=row["role"], **{name: row[name] for name in PERSON})
    return Scene((person,), **{name: row[name] for name in SCENE}, seed=row["seed"])


def test_names_metadata_and_pixels_agree(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "sets", [*concept_sets(1, 4, ["education"]), *sample(1, 4, roles=["plain"])])
    rows = read(folder)
    assert {row["file_name"] for row in rows} | {"metadata.jsonl"} == {file.name for file in folder.iterdir()}
    for row in rows:
        labels = parse_name(folder / row["file_name"])
        assert labels == {name: row[name] for name in labels}
        assert set(labels) == {"set", "role", *PERSON, *SCENE}
    for row in rows[::9]:
        with Image.open(folder / row["file_name"]) as picture:
            assert np.array_equal(np.asarray(picture), np.asarray(rebuilt(row).image()))
    families = {row["role"]: (row["family"], row["theme"]) for row in rows}
    assert families["good student"] == ("education", "grade") and families["plain"] == ("none", "none")


def test_a_set_is_the_full_product_and_nothing_else_varies(tmp_path: Path) -> None:
    rows = read(write_set(tmp_path / "sets", concept_sets(2, families=["personality"]), over=("body", "wall"), size=24))
    assert Counter(row["set"] for row in rows) == dict.fromkeys(range(8), 18)
    for number in range(8):
        members = [row for row in rows if row["set"] == number]
        assert len({(row["body"], row["wall"]) for row in members}) == 18
        same = [{k: v for k, v in row.items() if k not in ("file_name", "body", "wall")} for row in members]
        assert same == [same[0]] * 18
        assert all(parse_name(row["file_name"])["set"] == number for row in members)
    assert "-00000__body-thin__wall-pink__gender-" in rows[0]["file_name"]


def test_datasets_reads_the_folder_as_it_is(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    folder = write_set(tmp_path / "sets", concept_sets(1, families=["responsibility"])[:2], size=32)
    loaded = datasets.load_dataset(
        "imagefolder", data_dir=str(folder), split="train", cache_dir=str(tmp_path / "cache")
    )
    rows = read(folder)
    assert len(loaded) == len(rows) == 24
    by_key = {tuple(row[name] for name in ("set", *OVER)): row for row in rows}
    for example in loaded:
        row = by_key[tuple(example[name] for name in ("set", *OVER))]
        assert (example["role"], example["seed"]) == (row["role"], row["seed"])
        assert np.array_equal(np.asarray(example["image"]), np.asarray(rebuilt(row).image(32)))


def test_concepts_are_balanced_and_do_not_depend_on_the_families_asked_for() -> None:
    scenes = concept_sets(3, 1)
    assert Counter(scene.person.role for scene in scenes) == dict.fromkeys(
        (role for theme in CONCEPTS for role in theme.answers), 3
    )
    assert scenes == concept_sets(3, 1) != concept_sets(3, 2)
    theirs = [scene for scene in scenes if scene.person.theme and scene.person.theme.family == "education"]
    assert concept_sets(3, 1, ["education"]) == theirs
    ambiguous = concept_sets(2, 1, clear=False, wall="gray")
    assert [scene.person.role for scene in ambiguous[::2]] == [theme.name for theme in CONCEPTS]
    assert {scene.wall for scene in ambiguous} == {"gray"}


@pytest.mark.parametrize(
    ("error", "raised"), [(KeyboardInterrupt(), KeyboardInterrupt), (OSError(28, "No space left"), FileError)]
)
@pytest.mark.parametrize("there", [False, True])
def test_an_interruption_leaves_no_half_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, raised: type[BaseException], there: bool
) -> None:
    target = tmp_path / "sets"
    if there:
        target.mkdir()
    drawn: list[int] = []

    def image(self: Scene, size: int = 96, style: str = "plain") -> Image.Image:
        del style
        drawn.append(size)
        if len(drawn) == 7:
            raise error
        return Image.new("RGB", (size, size))

    monkeypatch.setattr(Scene, "image", image)
    with pytest.raises(raised):
        write_set(target, concept_sets(1))
    assert len(drawn) == 7
    assert list(tmp_path.rglob("*")) == ([target] if there else [])
    monkeypatch.undo()
    assert len(read(write_set(target, [Scene()], over=["gender"]))) == 2


def test_other_files_are_never_touched(tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "notes.txt").write_text("mine")
    with pytest.raises(FileError, match="it is not empty; name a new folder"):
        write_set(full, [Scene()])
    with pytest.raises(FileError, match="that is a file, and a folder is needed"):
        write_set(full / "notes.txt", [Scene()])
    with pytest.raises(FileError, match=r"cannot write pictures into .*; no picture is left behind"):
        write_set(full / "notes.txt" / "sets", [Scene()])
    assert [(file.name, file.read_text()) for file in full.iterdir()] == [("notes.txt", "mine")]


def test_bad_input_writes_nothing_and_says_why(tmp_path: Path) -> None:
    target = tmp_path / "sets"
    with pytest.raises(InputError, match="no scenes to write"):
        write_set(target, [])
    with pytest.raises(InputError, match="scene 1 shows 2"):
        write_set(target, [Scene(), Scene((Person(), Person()))])
    with pytest.raises(InputError, match=r"no attribute 'gendre' \(did you mean 'gender'\?\)"):
        write_set(target, [Scene()], over=["gendre"])
    assert not target.exists()
    with pytest.raises(InputError, match="n of at least 1; found 0"):
        concept_sets(0)
    with pytest.raises(InputError, match="roles are the concepts themselves"):
        concept_sets(1, role="plain")
    with pytest.raises(InputError, match="families are personality, responsibility, education"):
        concept_sets(1, families=[])


@pytest.mark.parametrize(
    "name",
    ["photo.png", "science-3.jpg", "science-x__gender-man.png", "wizard-00001.png", "arts-00001__gender-cat.png"],
)
def test_foreign_names_are_refused(name: str) -> None:
    with pytest.raises(InputError):
        parse_name(name)
