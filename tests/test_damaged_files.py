"""Files of unknown origin: nothing is believed that has not been checked, nothing is executed, and each error says where."""

from __future__ import annotations

import copy
import json
import pickle
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import levelhead as lh
from levelhead.errors import FileError
from test_files import FILES, a_steer


@cache
def healthy() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        a_steer().save(folder)
        return (Path(folder) / "steer.safetensors").read_bytes()


def taken_apart() -> tuple[dict[str, Any], dict[str, Any], bytes]:
    raw = healthy()
    end = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:end])
    return header, json.loads(header["__metadata__"]["levelhead"]), raw[end:]


def put_together(folder: Path, header: Any, card: Any, body: bytes) -> None:
    if card is not None:
        header["__metadata__"]["levelhead"] = json.dumps(card)
    text = json.dumps(header).encode()
    (folder / "steer.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + body)


def changed(change: Callable[..., Any]) -> Callable[[Path], None]:
    """A steer whose header, card or body `change` has been at."""

    def write(folder: Path) -> None:
        header, card, body = taken_apart()
        put_together(folder, header, card, change(header, card, body) or body)

    return write


def raw(data: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / "steer.safetensors").write_bytes(data) and None


def foreign(folder: Path) -> None:
    from safetensors.torch import save_file

    save_file({"0.vector": torch.ones(3)}, folder / "steer.safetensors")


def claim(header: dict[str, Any], card: dict[str, Any], everywhere: bool, offsets: bool) -> None:
    header["3.offset"]["shape"] = [10**12]
    if everywhere:
        card["entries"][3]["params"]["offset"]["shape"] = [10**12]
    if offsets:
        header["3.offset"]["data_offsets"][1] = header["3.offset"]["data_offsets"][0] + 4 * 10**12


def with_an_infinity(header: dict[str, Any], card: dict[str, Any], body: bytes) -> bytes:
    first = header["2.vector"]["data_offsets"][0]
    return body[:first] + b"\0\0\x80\x7f" + body[first + 4 :]


DAMAGED: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing": (lambda folder: None, "no steer at '.*': '.*steer.safetensors' is not a file"),
    "empty": (raw(b""), r"not a safetensors file.*\(0 bytes in all\)"),
    "text": (raw(b"version https://git-lfs.github.com/spec/v1\n"), "not a safetensors file"),
    "nested too deep": (raw((10**5).to_bytes(8, "little") + b"[" * 10**5), "its header cannot be read"),
    "foreign": (foreign, "was not written by levelhead: its header has no card"),
    "longer": (changed(lambda h, c, b: b + b"\0"), r"is longer than its header says: \d+ bytes were expected"),
    "future": (
        changed(lambda h, c, b: c.update(schema=3)),
        "card schema 3, and this levelhead reads 1 and 2; install",
    ),
    "no edits": (changed(lambda h, c, b: c.update(entries=[])), "describes no edits"),
    "no tensor": (changed(lambda h, c, b: h.pop("0.angle") and None), "tensor '0.angle' is on the card and not in"),
    "an extra": (
        changed(lambda h, c, b: h.update({"../../x": h["0.angle"]})),
        r"holds tensors that the card does not describe: \.\./\.\./x",
    ),
    "other dtype": (
        changed(lambda h, c, b: h["1.scale"].update(dtype="I32")),
        r"should be F32 \[2\] by the card, and is I32",
    ),
    "other kind": (changed(lambda h, c, b: c["entries"][0].update(kind="add")), "gives a 'add' edit the parameters"),
    "bad site": (changed(lambda h, c, b: c["entries"][1].update(site="ln9.0")), "edit 1: unknown component 'ln9'"),
    "read-only": (changed(lambda h, c, b: c["entries"][3].update(site="resid_mid.0")), "'resid_mid.0' is read only"),
    "bad scope": (changed(lambda h, c, b: c["entries"][3].update(scope="x")), "unknown scope 'x'"),
    "NaN strength": (changed(lambda h, c, b: c["entries"][3].update(strength=float("nan"))), "finite"),
    "no strength": (changed(lambda h, c, b: c.update(strength="full")), "strength"),
    "NaN": (changed(lambda h, c, b: b"\xff" * len(b)), r"edit 0 at 'vision/mlp_out.1': "),
    "one infinity": (
        changed(with_an_infinity),
        "edit 2 at 'resid_post.1': Add: 'vector' .* has 1 entries that are NaN or",
    ),
    "10**12 in the header": (
        changed(lambda h, c, b: claim(h, c, False, False)),
        r"should be F32 .* and is F32 \[1000000000000\]",
    ),
    "10**12 in both": (
        changed(lambda h, c, b: claim(h, c, True, False)),
        r"has 8 bytes, which F32 \[1000000000000\] does not",
    ),
    "10**12 throughout": (changed(lambda h, c, b: claim(h, c, True, True)), "is truncated: 4000000"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_file_that_is_no_good_is_refused_with_what_is_wrong_and_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    write, says = DAMAGED[name]
    write(tmp_path)
    if name.startswith("10**12"):
        monkeypatch.setattr("safetensors.safe_open", lambda *a, **k: pytest.fail("opened before it was checked"))
    with pytest.raises(FileError, match=says):
        lh.load(tmp_path)


@given(st.integers(0, 10**6))
@settings(deadline=None, max_examples=40)
def test_a_truncated_file_is_refused_wherever_it_ends(where: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "steer.safetensors").write_bytes(healthy()[: where % len(healthy())])
        with pytest.raises(FileError, match=r"is truncated: .*, and .* has \d+|no readable header length"):
            lh.load(folder)


JUNK = [None, [], {}, "x", "NaN", -1, 0, 1.5, 10**30, [1, 2], [["x"]], {"a": 1}, float("nan")]


@given(st.data())
@settings(deadline=None, max_examples=400)
def test_a_header_or_card_with_anything_anywhere_is_a_steer_or_a_file_error(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        header, card, body = taken_apart()
        part = data.draw(st.sampled_from([header, card]))
        while True:
            key = data.draw(st.sampled_from(sorted(part) if isinstance(part, dict) else range(len(part))))
            if not isinstance(part[key], dict | list) or not part[key] or data.draw(st.booleans()):
                break
            part = part[key]
        part[key] = copy.deepcopy(data.draw(st.sampled_from(JUNK)))
        metadata = header.get("__metadata__")
        sound = isinstance(metadata, dict) and isinstance(metadata.get("levelhead"), str)
        put_together(Path(folder), header, card if sound else None, body)
        try:
            steer = lh.load(folder)
        except FileError as error:
            assert str(folder) in str(error)
        else:
            assert all(torch.isfinite(torch.tensor(entry.strength)) for entry in steer)


def test_a_pickle_in_disguise_is_not_opened(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "executed",))

    (tmp_path / "steer.safetensors").write_bytes(pickle.dumps(Bomb()))
    (tmp_path / "card.json").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(FileError, match="not a safetensors file"):
        lh.load(tmp_path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("name", ["", "me", "me/", "/x", "../x", "me/..", "me/x/y", "../../etc/passwd"])
def test_a_malformed_hub_name_is_refused_before_any_request(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *a, **k: pytest.fail("asked the hub"))
    with pytest.raises(FileError, match=r"does not name a repository; the form is hub:owner/name"):
        lh.load(f"hub:{name}")


def test_from_the_hub_come_three_files_or_a_file_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_steer().save(tmp_path)

    def download(name: str, allow_patterns: list[str]) -> str:
        assert set(allow_patterns) == FILES
        if name != "me/x":
            raise ConnectionError("offline")
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert lh.load("hub:me/x") == a_steer()
    with pytest.raises(FileError, match="cannot fetch 'hub:me/y': offline"):
        lh.load("hub:me/y")
