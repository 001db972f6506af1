"""The folder of a run: whose it is, and the model in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from levelhead.errors import FileError
from levelhead.training import checkpoint
from levelhead.training.adapter import with_saved_adapter
from levelhead.training.card import card
from levelhead.training.identity import differences

RUN, MODEL, CHECKPOINTS, RECORD = "run.json", "model", "checkpoints", "training.json"


def claim(folder: Path, record: Mapping[str, Any]) -> None:
    """Take a folder for this run, or see that it is this run's."""
    facts = json.loads(json.dumps({name: record[name] for name in ("settings", "data", "model", "asked")}))
    path = folder / RUN
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            others = [each.name for each in folder.iterdir() if not each.name.startswith(".")]
            if others:
                raise FileError(
                    f"'{folder}' holds something else than a run ({', '.join(sorted(others)[:3])}); choose another folder"
                )
            checkpoint.write_text(path, json.dumps(facts, indent=2) + "\n")
            return
        there: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        there.setdefault("asked", facts["asked"])  # runs that were begun before it was written down
        unlike = [each for part in facts for each in differences(there[part], facts[part])]
    except (OSError, ValueError, KeyError, AttributeError) as error:
        if isinstance(error, FileError):
            raise
        said = getattr(error, "strerror", None) or error
        raise FileError(f"the folder of the run '{folder}' cannot be used: {said}; choose another one") from error
    if unlike:
        raise FileError(
            f"'{folder}' holds another run: {'; '.join(unlike)}. Choose another folder or remove it; a model that was trained in "
            "part has to be loaded anew"
        )


def save(folder: Path, trained: Any, processor: Any, record: Mapping[str, Any]) -> None:
    """Write a trained model with its processor, its card, and the same as data."""
    trained.save_pretrained(folder)
    if processor is not None:
        processor.save_pretrained(folder)
    (folder / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(card(record), encoding="utf-8")


def is_finished(folder: Path) -> bool:
    """Whether the model is there, which appears as a whole."""
    return (folder / MODEL / RECORD).is_file()


def record_of(folder: Path) -> dict[str, Any]:
    """What is known of a run that has ended.

    Raises
    ------
    FileError
        If that is damaged.
    """
    path = folder / MODEL / RECORD
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FileError(f"'{path}' is damaged ({error}); remove '{folder}' to train anew") from error


def finished_model(model: Any, folder: Path) -> Any:
    """A model as a run that has ended left it: with the adapter on it, or the weights in it."""
    path = folder / MODEL
    if (path / "adapter_config.json").is_file():
        return with_saved_adapter(model, path)
    model.load_state_dict(type(model).from_pretrained(path, dtype=model.dtype).state_dict())
    return model
