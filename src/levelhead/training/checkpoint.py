"""Training on disk: checkpoints that count once they are whole, and folders that appear in one rename."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from levelhead.errors import FileError

MARK = "levelhead.json"
"""Written last into a checkpoint of transformers' Trainer: a checkpoint without it is half a one."""
_NAME = re.compile(r"checkpoint-(\d+)")


def seal(folder: Path, facts: Mapping[str, Any]) -> None:
    """Make a checkpoint whole: all that is in it reaches the disk, and then the mark with the sampler's state.

    Raises
    ------
    FileError
        If it cannot be written.
    """
    try:
        for path in folder.rglob("*"):
            if path.is_file():
                _to_disk(path)
        write_text(folder / MARK, json.dumps(dict(facts)))
    except (OSError, FileError) as error:
        raise unwritten(folder, error) from error


def unwritten(folder: Path, error: Exception) -> FileError:
    """The error for a checkpoint that could not be written; what there is of it is removed, since disks are full."""
    shutil.rmtree(folder, ignore_errors=True)
    last = newest(folder.parent)
    kept = (
        f"'{last.name}' is whole, and training goes on from there" if last else "there is none before it to go on from"
    )
    said = getattr(error, "strerror", None) or error
    return FileError(f"the checkpoint '{folder}' cannot be written: {said}; {kept}. Make room, or choose another disk")


def newest(folder: Path) -> Path | None:
    """The last whole checkpoint in a folder."""
    whole = [path for path in _checkpoints(folder) if (path / MARK).is_file()]
    return max(whole, key=_step, default=None)


def facts_of(checkpoint: Path) -> dict[str, Any]:
    """What the mark of a checkpoint holds.

    Raises
    ------
    FileError
        If there is none, or it is damaged.
    """
    path = checkpoint / MARK
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileError(
            f"'{checkpoint}' is no whole checkpoint of this training: '{MARK}' is missing; resume from another one"
        ) from None
    except (OSError, ValueError) as error:
        raise FileError(
            f"'{path}' is damaged ({error}); remove that checkpoint to go on from the one before"
        ) from error
    return found


def clear(folder: Path) -> None:
    """Remove what a killed run left half-written, and checkpoints that are older than the last whole one."""
    last = newest(folder)
    for path in _checkpoints(folder):
        if path != last:
            shutil.rmtree(path, ignore_errors=True)


def made_whole(target: Path, fill: Callable[[Path], None]) -> None:
    """Make a new folder in one rename, so that nobody ever sees half of it.

    Raises
    ------
    FileError
        If it cannot be written; nothing is left of it then.
    """
    scratch = None
    try:
        for leftover in target.parent.glob(f".{target.name}-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        made = scratch / target.name
        made.mkdir()
        fill(made)
        for path in made.rglob("*"):
            if path.is_file():
                _to_disk(path)
        made.rename(target)
    except Exception as error:
        if not failed_to_write(error):
            raise
        raise FileError(f"'{target}' cannot be written: {getattr(error, 'strerror', None) or error}") from error
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)


def failed_to_write(error: BaseException) -> bool:
    """Whether an error is the disk's; torch and safetensors have words of their own for it."""
    said = str(error)
    return (
        isinstance(error, OSError)
        or (type(error).__name__ == "SafetensorError" and "os error" in said.lower())
        or (isinstance(error, RuntimeError) and ("PytorchStreamWriter" in said or "unexpected pos" in said))
    )


def write_text(path: Path, text: str) -> None:
    """Replace a small file in one rename."""
    half = path.with_name(f".{path.name}.half")
    try:
        half.write_text(text, encoding="utf-8")
        _to_disk(half)
        os.replace(half, path)
    except OSError as error:
        half.unlink(missing_ok=True)
        raise FileError(f"'{path}' cannot be written: {error.strerror or error}") from error


def _to_disk(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _checkpoints(folder: Path) -> list[Path]:
    return [path for path in folder.glob("checkpoint-*") if _NAME.fullmatch(path.name)]


def _step(path: Path) -> int:
    found = _NAME.fullmatch(path.name)
    return int(found[1]) if found else -1


def remove(folder: Path) -> None:
    """Remove a folder that is not needed any more."""
    shutil.rmtree(folder, ignore_errors=True)
