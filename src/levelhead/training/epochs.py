"""One epoch of bias-aware sampling, drawn as a whole: who is dropped, who is copied, and what is left for the next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from levelhead.errors import InputError
from levelhead.training.frequency import frequency

_PASSES = 1000
"""An epoch of more passes than this is taken for a mistake: nearly everything would be dropped."""


@dataclass
class Epoch:
    """One epoch's samples, and the state of everything at its start and behind its end."""

    start: dict[str, Any]
    end: dict[str, Any]
    skews: Float[np.ndarray, " sample"]
    keys: list[Hashable] | None
    plan: list[int]
    counts: dict[str, int]
    position: int = 0


def state_of(
    epoch: int,
    generator: Mapping[str, Any],
    accumulated: Mapping[Hashable, float],
    rest: Sequence[int] = (),
    owed: Sequence[int] = (),
) -> dict[str, Any]:
    """Between two epochs: what is left of a pass that was cut, and the copies that had no room."""
    return {"epoch": epoch, "generator": generator, "accumulated": accumulated, "rest": rest, "owed": owed}


def drawn(
    start: dict[str, Any],
    skews: Float[np.ndarray, " sample"],
    keys: list[Hashable] | None,
    *,
    tau1: float,
    tau2: float,
    length: int | None,
    shuffle: bool,
) -> Epoch:
    """The epoch that follows on a state; see `levelhead.training.BiasAwareSampler`."""
    n = len(skews)
    if length is not None and length > _PASSES * (often := float(frequency(skews, tau1=tau1, tau2=tau2).sum())):
        raise InputError(
            f"a pass gives {often:.3g} samples, and an epoch of {length} would take more than {_PASSES} passes: nearly all is "
            "dropped; look at the skews, or raise tau1"
        )
    rng = np.random.Generator(np.random.PCG64(0))
    rng.bit_generator.state = start["generator"]
    accumulated: dict[Hashable, float] = dict(start["accumulated"])
    rest: list[int] = list(start["rest"])
    plan: list[int] = list(start["owed"])
    counts = Counter(kept=0, dropped=0, copies=len(plan))
    while True:
        if not rest:
            rest = rng.permutation(n).tolist() if shuffle else list(range(n))
        chance = rng.random(len(rest)).tolist()
        walked = 0
        for i, lot in zip(rest, chance, strict=True):
            if length is not None and len(plan) >= length:
                break
            walked += 1
            skew = float(skews[i])
            if skew > 0 and lot < skew / (skew + tau1):
                counts["dropped"] += 1
                continue
            plan.append(i)
            counts["kept"] += 1
            if skew < 0:
                key = None if keys is None else keys[i]
                copies, accumulated[key] = _copies(accumulated.get(key, 0.0) - skew, tau2)
                plan += [i] * copies
                counts["copies"] += copies
        rest = rest[walked:]
        if length is None or len(plan) >= length:
            break
    if not plan:
        raise InputError(f"all {n} samples were dropped, and an epoch has none; raise tau1 or give more samples")
    owed = plan[len(plan) if length is None else length :]
    del plan[len(plan) - len(owed) :]
    counts["copies"] -= len(owed)
    if shuffle:
        plan = [plan[i] for i in rng.permutation(len(plan))]
    end = state_of(start["epoch"] + 1, rng.bit_generator.state, accumulated, rest, owed)
    return Epoch(start, end, skews, keys, plan, dict(counts))


def _copies(accumulated: float, tau2: float) -> tuple[int, float]:
    """How many copies that makes, and what is left over."""
    copies = 0
    while accumulated >= tau2:
        accumulated -= tau2
        copies += 1
    return copies, accumulated
