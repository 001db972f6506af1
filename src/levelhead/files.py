"""Steers on disk: ``steer.safetensors``, ``card.json`` and a ``README.md`` to read.

``steer.safetensors`` holds the tensors and, in its header, the card, so that the one file that matters is
replaced in one rename. ``card.json`` is the same card for people and other programs. Nothing is ever
executed on loading, and nothing is allocated before names, shapes, dtypes and sizes have been checked.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from math import prod
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from levelhead.edits import LAYOUTS, from_params
from levelhead.errors import FileError, LevelheadError
from levelhead.gates import Gate
from levelhead.sites import Site
from levelhead.steer import Entry, Steer

SCHEMAS = (1, 2)
"""What is read; what has gates is written as 2, since a reader of 1 would leave them out."""
TENSORS, CARD, README = "steer.safetensors", "card.json", "README.md"
DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64}
MAX_HEADER = 64 * 2**20
_FACTS = ("entries", "gates", "schema", "strength", "strength_convention", "format")


def save(steer: Steer, path: str | PathLike[str]) -> None:
    """Write a steer into the folder `path`, which is made if need be.

    Every file is written in full under another name before the first is renamed, so that a full disk or a
    crash leaves an earlier steer as it was.

    Raises
    ------
    FileError
        When `path` is a file, the disk is full, or the folder cannot be written.
    """
    folder = Path(path)
    if isinstance(steer.strength, Tensor) or any(isinstance(entry.strength, Tensor) for entry in steer.entries):
        raise FileError(
            "a steer with one strength a row belongs to one batch and cannot be saved; save it before multiplying"
        )
    if folder.exists() and not folder.is_dir():
        raise FileError(f"cannot save a steer into '{folder}': that is a file, and a folder is needed")
    card = describe(steer)
    tensors = {
        # Copies, since safetensors refuses tensors that share memory, as one vector at many sites does.
        f"{number}.{name}": value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for number, entry in enumerate(steer.entries)
        for name, value in entry.edit.params.items()
    }
    for number, gate in enumerate(steer.gates):
        tensors[f"gate.{number}.weight"] = gate.weight.cpu().contiguous()
    unknown = sorted({str(t.dtype) for t in tensors.values() if t.dtype not in DTYPES.values()})
    if unknown:
        raise FileError(f"cannot save tensors of {', '.join(unknown)}; use float32, float16, bfloat16 or float64")
    from safetensors.torch import save as to_bytes

    text = _dump(card)
    contents = {
        TENSORS: to_bytes(tensors, metadata={"format": "pt", "levelhead": text}),
        CARD: text.encode(),
        README: readme(card).encode(),
    }
    made = not folder.exists()
    temporary: dict[str, str] = {}
    replaced: list[str] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in contents.items():
            temporary[name] = _write_beside(folder, name, data)
        for name in contents:
            os.replace(temporary[name], folder / name)
            del temporary[name]
            replaced.append(name)
    except BaseException as error:
        for leftover in temporary.values():
            Path(leftover).unlink(missing_ok=True)
        if made and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        if not isinstance(error, OSError):
            raise
        state = "what was there before is unchanged"
        if replaced:
            state = (
                f"{', '.join(replaced)} is written and loads as the new steer, {', '.join(temporary)} is the old one"
            )
        raise FileError(f"cannot save a steer into '{folder}': {error.strerror or error}; {state}") from error


def _write_beside(folder: Path, name: str, data: bytes) -> str:
    descriptor, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return temporary


def load(path: str | PathLike[str]) -> Steer:
    """Read a steer from a folder, or from the Hub.

    Parameters
    ----------
    path : str or PathLike
        The folder, its ``steer.safetensors``, or ``hub:owner/name`` (extra ``hub``).

    Returns
    -------
    Steer

    Raises
    ------
    FileError
        With what is wrong and where: a missing, truncated or foreign file, a schema from the future, tensors that
        the card does not describe, numbers that are not finite.
    """
    if isinstance(path, str) and path.startswith("hub:"):
        path = _from_hub(path.removeprefix("hub:"))
    file = Path(path)
    if file.is_dir() or file.suffix != ".safetensors":
        file = file / TENSORS
    if not file.is_file():
        raise FileError(f"no steer at '{path}': '{file}' is not a file")
    header = _read_header(file)
    metadata = header.get("__metadata__")
    text = metadata.get("levelhead") if isinstance(metadata, dict) else None
    if text is None:
        raise FileError(
            f"'{file}' was not written by levelhead: its header has no card; use levelhead.Steer to wrap foreign vectors"
        )
    card = _read_card(text, file)
    described, gated = _check_tensors(card, header, file)
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(file), framework="pt", device="cpu") as opened:
            gates = [_gate(fields, number, opened, file) for number, fields in enumerate(gated)]
            entries = [
                _entry(fields, number, names, gates, opened, file) for number, (fields, names) in enumerate(described)
            ]
    except SafetensorError as error:
        raise FileError(f"'{file}' is damaged: {error}") from error
    facts = {key: value for key, value in card.items() if key not in _FACTS}
    try:
        return Steer(entries, strength=float(card.get("strength", 1.0)), card=facts)
    except (LevelheadError, TypeError, ValueError, OverflowError) as error:
        raise FileError(f"'{file}': the card's strength, scopes or sites make no steer: {error}") from error


def describe(steer: Steer) -> dict[str, Any]:
    """The card of a steer: a dictionary that JSON can hold."""
    if isinstance(steer.strength, Tensor):
        strengths: Any = steer.strength.tolist()
    else:
        strengths = steer.strength
    gates = steer.gates
    gated: dict[str, Any] = {}
    if gates:
        gated["gates"] = [
            {
                "site": str(g.site),
                "per": g.per,
                "soft": g.soft,
                "bias": g.bias,
                "basis": g.basis,
                "weight": _sized(g.weight),
            }
            for g in gates
        ]
    return {
        "format": "levelhead steer",
        "schema": 2 if gates else 1,
        "basis": steer.basis,
        **{key: value for key, value in steer.card.items() if key not in _FACTS},
        "strength": strengths,
        "strength_convention": "0 leaves the model as it is, 1 applies the edits as fitted; other values extrapolate",
        "entries": [
            {
                "site": str(entry.site),
                "kind": entry.edit.kind,
                "strength": entry.strength,
                "scope": entry.scope,
                "params": {name: _sized(value) for name, value in entry.edit.params.items()},
                **({} if entry.gate is None else {"gate": gates.index(entry.gate)}),
            }
            for entry in steer.entries
        ],
        **gated,
    }


def _sized(value: Tensor) -> dict[str, Any]:
    return {"shape": list(value.shape), "dtype": _dtype_name(value.dtype)}


def readme(card: Mapping[str, Any]) -> str:
    """A model card in Markdown, from a steer's card."""
    sites = [entry["site"] for entry in card["entries"]]
    rows = [
        ("Model", _named(card, "model", "id")),
        ("Method", _named(card, "method", "name")),
        ("Sites", ", ".join(sites if len(sites) < 9 else [*sites[:4], "...", *sites[-2:]]) + f" ({len(sites)} edits)"),
        ("Edits", ", ".join(sorted({entry["kind"] for entry in card["entries"]}))),
        ("Scope", ", ".join(sorted({entry["scope"] for entry in card["entries"]}))),
        *(
            [("Gates", ", ".join(f"{gate['site']}, per {gate['per']}" for gate in card["gates"]))]
            if "gates" in card
            else []
        ),
        ("Strength", f"{card['strength']:g}; {card['strength_convention']}"),
        ("Basis", str(card.get("basis", "hf"))),
        ("Data", _named(card, "data", "name")),
    ]
    table = "\n".join(f"| {name} | {str(value).replace('|', ' ')} |" for name, value in rows)
    return (
        "---\nlibrary_name: levelhead\ntags: [levelhead, steering, fairness]\n---\n\n# A levelhead steer\n\n"
        f"| | |\n|---|---|\n{table}\n\n"
        '```python\nimport levelhead as lh\n\nsteer = lh.load("this/folder")\n'
        "with steer.on(model, strength=1.0) as steered:\n    ...\n```\n\n"
        f"## Intended use\n\n{card.get('intended_use', 'Research on how a model uses a protected attribute, and on lessening it.')}\n\n"
        f"## Limits\n\n{card.get('limits', 'A steer changes one model in one respect, as measured on its data; measure bias and capability on yours.')}\n\n"
        f"## Results\n\n```json\n{json.dumps(card.get('results', {}), indent=2, sort_keys=True, default=str)}\n```\n"
    )


def _named(card: Mapping[str, Any], key: str, name: str) -> str:
    value = card.get(key)
    return str((value.get(name) if isinstance(value, Mapping) else value) or "not recorded")


# -- reading -------------------------------------------------------------------------------------------


def _read_header(file: Path) -> dict[str, Any]:
    size = file.stat().st_size
    with file.open("rb") as opened:
        first = opened.read(8)
        length = int.from_bytes(first, "little")
        if len(first) < 8 or not 2 <= length <= MAX_HEADER:
            raise FileError(
                f"'{file}' is not a safetensors file: it begins with no readable header length ({size} bytes in all)"
            )
        if length + 8 > size:
            raise FileError(f"'{file}' is truncated: its header should take {length} bytes, and the file has {size}")
        raw = opened.read(length)
    try:
        header = json.loads(raw)
        tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
        for entry in tensors.values():
            begin, end = entry["data_offsets"]
            if not isinstance(begin, int) or not isinstance(end, int) or {"dtype", "shape"} - set(entry):
                raise ValueError("a tensor lacks its offsets, dtype or shape")
        ends = [entry["data_offsets"][1] for entry in tensors.values()]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise FileError(f"'{file}' is not a safetensors file: its header cannot be read ({error})") from error
    expected = 8 + length + max(ends, default=0)
    if size != expected:
        state = "truncated" if size < expected else "longer than its header says"
        raise FileError(f"'{file}' is {state}: {expected} bytes were expected, and it has {size}")
    return header


def _read_card(text: Any, file: Path) -> dict[str, Any]:
    try:
        card = json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise FileError(f"'{file}': the card in its header is not JSON ({error})") from error
    if not isinstance(card, dict) or not isinstance(card.get("entries"), list) or not card["entries"]:
        raise FileError(f"'{file}': the card in its header describes no edits")
    if card.get("schema") not in SCHEMAS:
        raise FileError(
            f"'{file}' has card schema {card.get('schema')!r}, and this levelhead reads {' and '.join(map(str, SCHEMAS))}; "
            "install the version that wrote it, or a newer one"
        )
    return card


Described = tuple[list[tuple[dict[str, Any], list[str]]], list[dict[str, Any]]]
"""Edits with the names of their tensors, and gates, as a card has them."""


def _check_tensors(card: dict[str, Any], header: dict[str, Any], file: Path) -> Described:
    described: list[tuple[dict[str, Any], list[str]]] = []
    expected: set[str] = set()
    gates = card.get("gates", [])
    if not isinstance(gates, list) or not all(isinstance(fields, dict) for fields in gates):
        raise FileError(f"'{file}': the card's gates are no list of gates")
    for number, fields in enumerate(gates):
        where, name = f"'{file}', gate {number}", f"gate.{number}.weight"
        try:
            Site.parse(str(fields["site"]))
            size = fields["weight"]
            shape, dtype = list(map(int, size["shape"])), str(size["dtype"])
        except LevelheadError as error:
            raise FileError(f"{where}: {error}") from error
        except (TypeError, KeyError, ValueError, AttributeError, OverflowError) as error:
            raise FileError(f"{where}: the card lacks or garbles {error}") from error
        _check_tensor(name, shape, dtype, header, where)
        expected.add(name)
    for number, fields in enumerate(card["entries"]):
        where = f"'{file}', edit {number}"
        try:
            params: dict[str, Any] = fields["params"]
            kind, _ = str(fields["kind"]), Site.parse(str(fields["site"]))
            sizes = {name: (list(map(int, p["shape"])), str(p["dtype"])) for name, p in params.items()}
        except LevelheadError as error:
            raise FileError(f"{where}: {error}") from error
        except (TypeError, KeyError, ValueError, AttributeError, OverflowError) as error:
            raise FileError(f"{where}: the card lacks or garbles {error}") from error
        if {name: len(shape) for name, (shape, _) in sizes.items()} not in LAYOUTS.get(kind, []):
            raise FileError(f"{where}: the card gives a '{kind}' edit the parameters {sorted(sizes)}, which make none")
        gate = fields.get("gate")
        if gate is not None and (not isinstance(gate, int) or not 0 <= gate < len(gates)):
            raise FileError(f"{where}: it stands behind gate {gate!r}, and the card has {len(gates)} gates")
        for name, (shape, dtype) in sizes.items():
            _check_tensor(f"{number}.{name}", shape, dtype, header, where)
        expected |= {f"{number}.{name}" for name in sizes}
        described.append((fields, list(sizes)))
    extra = sorted(set(header) - expected - {"__metadata__"})
    if extra:
        raise FileError(f"'{file}' holds tensors that the card does not describe: {', '.join(extra[:5])}")
    return described, gates


def _check_tensor(name: str, shape: list[int], dtype: str, header: dict[str, Any], where: str) -> None:
    found = header.get(name)
    if found is None:
        raise FileError(f"{where}: tensor '{name}' is on the card and not in the file")
    bits = 64 if dtype in ("F64", "I64") else 32 if dtype == "F32" else 16
    begin, end = found["data_offsets"]
    if dtype not in DTYPES or found["dtype"] != dtype or found["shape"] != shape:
        raise FileError(
            f"{where}: tensor '{name}' should be {dtype} {shape} by the card, and is {found['dtype']} {found['shape']}"
        )
    if (end - begin) * 8 != prod(shape) * bits:
        raise FileError(f"{where}: tensor '{name}' has {end - begin} bytes, which {dtype} {shape} does not take")


def _gate(fields: dict[str, Any], number: int, opened: Any, file: Path) -> Gate:
    try:
        weight: Tensor = opened.get_tensor(f"gate.{number}.weight")
        return Gate(
            str(fields["site"]),
            weight,
            float(fields["bias"]),
            fields["per"],
            bool(fields["soft"]),
            str(fields["basis"]),
        )
    except (LevelheadError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise FileError(f"'{file}', gate {number}: {error}") from error


def _entry(fields: dict[str, Any], number: int, names: list[str], gates: list[Gate], opened: Any, file: Path) -> Entry:
    try:
        params = {name: opened.get_tensor(f"{number}.{name}") for name in names}
        return Entry(
            Site.parse(str(fields["site"])),
            from_params(str(fields["kind"]), params),
            float(fields.get("strength", 1.0)),
            str(fields.get("scope", "all")),
            None if fields.get("gate") is None else gates[fields["gate"]],
        )
    except (LevelheadError, TypeError, ValueError, OverflowError) as error:
        raise FileError(f"'{file}', edit {number} at '{fields['site']}': {error}") from error


def _from_hub(name: str) -> str:
    if not all(part.strip(".") for part in name.split("/")) or name.count("/") != 1:
        raise FileError(f"'hub:{name}' does not name a repository; the form is hub:owner/name")
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise FileError("loading from the Hub needs huggingface_hub: pip install 'levelhead[hub]'") from error
    try:
        return snapshot_download(name, allow_patterns=[TENSORS, CARD, README])
    except Exception as error:
        raise FileError(f"cannot fetch 'hub:{name}': {error}") from error


def _dump(card: Mapping[str, Any]) -> str:
    try:
        return json.dumps(card, indent=2, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise FileError(
            f"the card cannot be written as JSON: {error}; annotate with numbers, strings, lists and dicts"
        ) from error


def _dtype_name(dtype: torch.dtype) -> str:
    return next((name for name, known in DTYPES.items() if known == dtype), str(dtype))
