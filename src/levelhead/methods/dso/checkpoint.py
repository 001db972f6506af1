"""A training run on disk: one safetensors file, replaced in one rename, from which the run goes on to the same numbers."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from levelhead.errors import FileError

FILE = "dso.safetensors"
FORMAT = "levelhead dso checkpoint"
SCHEMA = 1


def write(folder: str | os.PathLike[str], tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write a checkpoint into a folder, which is made if need be; an earlier one stays until this one is complete.

    Parameters
    ----------
    folder : path
    tensors : mapping of str to Tensor
    facts : mapping
        Numbers, strings, lists and dictionaries.

    Raises
    ------
    FileError
        If the folder cannot be written.
    """
    from safetensors.torch import save

    kept = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    told = {"format": FORMAT, "schema": SCHEMA, "sha256": _digest(kept), **facts}
    data = save(kept, {"levelhead": json.dumps(told, allow_nan=False)})
    temporary = ""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{FILE}.", dir=folder)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, Path(folder) / FILE)
    except OSError as error:
        raise FileError(
            f"cannot write a checkpoint into '{folder}': {error.strerror or error}; what was there before is unchanged"
        ) from error
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)


def read(folder: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Read the checkpoint of a folder; None where there is none yet.

    Parameters
    ----------
    folder : path

    Raises
    ------
    FileError
        If it is damaged, or something else.
    """
    from safetensors import SafetensorError, safe_open

    file = Path(folder) / FILE
    if not file.exists():
        return None
    try:
        with safe_open(str(file), framework="pt", device="cpu") as opened:
            text = (opened.metadata() or {}).get("levelhead")
            facts: Any = None if text is None else json.loads(text)
            if not isinstance(facts, dict) or facts.get("format") != FORMAT or facts.get("schema") != SCHEMA:
                raise FileError(f"'{file}' is no DSO checkpoint of schema {SCHEMA}; give another folder, or remove it")
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}
        if facts.get("sha256") != _digest(tensors):
            raise FileError(
                f"'{file}' is damaged: its numbers are not those that were written; remove it to start anew"
            )
        return tensors, facts
    except (SafetensorError, OSError, ValueError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"'{file}' is damaged: {error}; remove it to start anew") from error


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """Safetensors itself does not notice a flipped bit."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
