"""Steers on disk: the same to the bit, whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import levelhead as lh
from levelhead.edits import Ablate, Add, Affine, Edit, Rotate
from levelhead.errors import FileError
from levelhead.steer import Steer

FILES = {"steer.safetensors", "card.json", "README.md"}
DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
CARD = {"model": {"id": "tiny"}, "method": {"name": "MeanDifference"}, "results": {"auc": 0.9}}


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def a_steer(seed: int = 0) -> Steer:
    edits = {
        "resid_post.1": Add(noise(6, seed=seed)),
        "z.2.1": Ablate(noise(2, 4, seed=seed), noise(4, seed=seed + 1)),
        "ln1.0": Affine(scale=noise(2, seed=seed), index=torch.tensor([3, 0])),
        "vision/mlp_out.1": Rotate(noise(4, seed=seed), 0.3),
    }
    return Steer(edits, card=CARD)


@st.composite
def any_edit(draw: st.DrawFn) -> Edit:
    options = {"seed": draw(st.integers(0, 10**6)), "dtype": draw(st.sampled_from(DTYPES))}
    d = draw(st.integers(3, 40))
    return draw(
        st.sampled_from(
            [
                lambda: Add(noise(d, **options)),
                lambda: Ablate(noise(draw(st.integers(1, 2)), d, **options), draw(st.sampled_from([None, noise(d)]))),
                lambda: Affine(noise(d, **options), noise(d, seed=1)),
                lambda: Affine(shift=noise(2, **options), index=torch.tensor([d, 1])),
                lambda: Rotate(noise(d, **options), 0.1),
                lambda: Rotate(noise(d, **options), 0.1, source=torch.ones(d, dtype=options["dtype"])),
            ]
        )
    )()


# -- saved and loaded ----------------------------------------------------------------------------------


@given(st.lists(any_edit(), min_size=1, max_size=3), st.floats(-9, 9), st.sampled_from(["all", "prompt", "last"]))
@settings(deadline=None, max_examples=60)
def test_what_is_loaded_is_what_was_saved_to_the_bit(edits: list[Edit], strength: float, scope: str) -> None:
    card = {"seed": 3, "data": {"name": "Grüße", "rows": [1, 2.5, None, True]}}
    steer = Steer({f"ln1.{n}": edit for n, edit in enumerate(edits)}, scope, strength, card)
    steer = steer | Steer({"ln1.0": edits[0]}) * 0.1
    with tempfile.TemporaryDirectory() as folder:
        with mock.patch("os.fsync"):  # slow, and of no matter here
            steer.save(folder)
        again = lh.load(folder)
        assert set(os.listdir(folder)) == FILES
    assert again == steer
    assert dict(again.card) == {**steer.card}
    for old, new in zip(steer, again, strict=True):
        for name, value in old.edit.params.items():
            found = new.edit.params[name]
            assert (found.dtype, found.shape) == (value.dtype, value.shape)
            assert torch.equal(found.reshape(-1).view(torch.uint8), value.reshape(-1).view(torch.uint8))


def test_one_vector_at_many_sites_and_rows_of_a_matrix_can_be_saved(tmp_path: Path) -> None:
    vector, matrix = noise(8), noise(4, 8).T.contiguous().T
    training = noise(8).requires_grad_()
    edits = {f"resid_post.{n}": Add(vector) for n in range(3)} | {f"ln1.{n}": Add(matrix[n]) for n in range(3)}
    steer = Steer(edits | {"ln2.0": Add(training), "ln2.1": Add(training)})
    steer.save(tmp_path)
    assert lh.load(tmp_path) == steer


def test_any_folder_name_will_do_and_the_file_itself_can_be_named(tmp_path: Path) -> None:
    for name in ("deep/er/steer", "gender.safetensors", "with space"):
        a_steer().save(str(tmp_path / name))
        assert lh.load(str(tmp_path / name)) == a_steer()
        assert lh.load(tmp_path / name / "steer.safetensors") == a_steer()


def test_the_card_for_people_is_the_card_in_the_file_which_is_the_one_that_counts(tmp_path: Path) -> None:
    a_steer().save(tmp_path)
    card = json.loads((tmp_path / "card.json").read_text(encoding="utf-8"))
    assert card["entries"][0] == {
        "site": "vision/mlp_out.1",
        "kind": "rotate",
        "strength": 1.0,
        "scope": "all",
        "params": {"target": {"shape": [4], "dtype": "F32"}, "angle": {"shape": [], "dtype": "F32"}},
    }
    assert card["schema"] == 1 and card["basis"] == "hf" and card["results"] == {"auc": 0.9}
    card["strength"] = card["entries"][0]["strength"] = 100.0
    (tmp_path / "card.json").write_text(json.dumps(card))
    assert lh.load(tmp_path) == a_steer()
    (tmp_path / "card.json").unlink()
    assert lh.load(tmp_path) == a_steer()


@pytest.mark.parametrize("card", [CARD, {}, {"model": "gpt2", "method": "by hand", "data": "mine | yours"}])
def test_the_readme_says_what_it_is_in_markdown(tmp_path: Path, card: dict[str, Any]) -> None:
    (Steer(dict.fromkeys(["resid_post.1", "z.2.3"], Add(noise(4))), "generated", 0.5, card)).save(tmp_path)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    rows = dict(
        line.strip("| ").split(" | ", 1) for line in text.splitlines() if line.startswith("| ") and len(line) > 5
    )
    assert rows["Sites"] == "resid_post.1, z.2.3 (2 edits)" and rows["Scope"] == "generated"
    assert rows["Strength"].startswith("0.5; 0 leaves the model as it is")
    if card:
        assert rows["Model"] in ("tiny", "gpt2") and rows["Method"] in ("MeanDifference", "by hand")
    for part in ("---\nlibrary_name: levelhead", "lh.load(", "## Intended use", "## Limits", "## Results"):
        assert part in text


# -- written whole or not at all -----------------------------------------------------------------------


@contextmanager
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    def fsync(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fsync)
        yield "No space left on device"


@contextmanager
def small_quota(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A real limit: the kernel refuses the bytes beyond it."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        yield "File too large"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("disk", [full_disk, small_quota])
def test_a_full_disk_leaves_the_old_steer_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: Callable[..., Any]
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    a_steer(0).save(old)
    before = {path.name: path.read_bytes() for path in old.iterdir()}
    for folder in (old, new):
        with (
            disk(monkeypatch) as reason,
            pytest.raises(FileError, match=f"cannot save a steer into '{folder}': {reason}.*unchanged"),
        ):
            a_steer(1).save(folder)
    assert {path.name: path.read_bytes() for path in old.iterdir()} == before
    assert not new.exists()


@pytest.mark.parametrize("error", [OSError(errno.EIO, "I/O error"), KeyboardInterrupt()], ids=["error", "interrupt"])
@pytest.mark.parametrize("at", [1, 2, 3])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_an_interruption_at_any_step_leaves_one_whole_steer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, at: int, error: BaseException
) -> None:
    a_steer(0).save(tmp_path)
    real, calls = getattr(os, call), []

    def failing(*args: Any) -> Any:
        calls.append(args)
        if len(calls) == at:
            raise error
        return real(*args)

    with monkeypatch.context() as patched:
        patched.setattr(os, call, failing)
        with pytest.raises(KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else FileError) as caught:
            a_steer(1).save(tmp_path)
    renamed = call == "replace" and at > 1
    assert lh.load(tmp_path) == a_steer(1 if renamed else 0)
    assert ("unchanged" in str(caught.value)) == (caught.type is FileError and not renamed)
    assert set(os.listdir(tmp_path)) == FILES, "a temporary file is left"
    a_steer(2).save(tmp_path)
    assert lh.load(tmp_path) == a_steer(2)


@pytest.mark.parametrize(
    ("steer", "says"),
    [
        (a_steer() * torch.ones(2), "one strength a row belongs to one batch"),
        (a_steer().annotate(results={"auc": float("nan")}), "the card cannot be written as JSON"),
        (a_steer().annotate(data=torch.ones(2)), "annotate with numbers, strings, lists and dicts"),
    ],
)
def test_what_cannot_be_saved_is_refused_before_anything_is_written(tmp_path: Path, steer: Steer, says: str) -> None:
    with pytest.raises(FileError, match=says):
        steer.save(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_file_in_the_place_of_the_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(FileError, match="that is a file, and a folder is needed"):
        a_steer().save(tmp_path / "notes")
    assert (tmp_path / "notes").read_text() == "mine"
