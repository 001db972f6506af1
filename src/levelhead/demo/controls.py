"""What a demo checks its steer against: random directions, and itself after a trip to disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

import levelhead as lh
from levelhead.capture import Activations
from levelhead.demo.options import Options
from levelhead.steer import Steer


def random_directions(steer: Steer, acts: Activations, options: Options) -> Iterator[Steer]:
    """Random directions in the place of a steer's own: same sites, rank and norm, to the mean of the same activations."""
    for draw in options.bar(range(options.controls), "directions"):
        yield lh.RandomDirection(random_state=options.seed + draw).fit(steer, acts)


def save_and_reload(steer: Steer, options: Options, logits: Callable[[Steer], Tensor]) -> dict[str, Any]:
    """Save a steer, load it, and apply both to the same items: where it lies, its size, whether logits are equal."""
    folder = options.out / "steer"
    steer.save(folder)
    first, second = (logits(each) for each in (steer, lh.load(folder)))
    size = sum(file.stat().st_size for file in folder.iterdir())
    return {"folder": str(folder), "bytes": size, "equal": torch.equal(first, second)}
