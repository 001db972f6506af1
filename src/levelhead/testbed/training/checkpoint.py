"""A training run on disk: everything that the next step needs, replaced in one rename."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from levelhead.errors import FileError

NAME = "checkpoint.safetensors"


def write(folder: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Replace the checkpoint in a folder; a crash at any moment leaves the old one or the new one."""
    path, half = folder / NAME, folder / f"{NAME}.half"
    try:
        save_file(
            {name: value.contiguous() for name, value in tensors.items()}, half, {"facts": json.dumps(dict(facts))}
        )
        os.replace(half, path)
    except (OSError, SafetensorError) as error:
        raise FileError(f"the checkpoint '{path}' cannot be written: {error}") from None


def read(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Read the checkpoint in a folder; None when there is none.

    Raises
    ------
    FileError
        If there is one, and it is damaged.
    """
    path = folder / NAME
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["facts"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise FileError(
            f"the checkpoint '{path}' is damaged ({error}); delete it to train from the beginning"
        ) from None
    return tensors, facts


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The state of an optimizer as named tensors."""
    state = optimizer.state_dict()["state"]
    return {f"optimizer.{number}.{name}": value for number, own in state.items() for name, value in own.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` gave."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        kind, _, rest = key.partition(".")
        if kind == "optimizer":
            number, _, name = rest.partition(".")
            state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
