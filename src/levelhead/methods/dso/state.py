"""What a training run is set to, and all of it that changes."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor

from levelhead.methods.dso.history import History
from levelhead.methods.dso.objective import Reward


@dataclass(frozen=True)
class Settings:
    """Hyper-parameters of the loop, by their names in `levelhead.DSO`."""

    estimator: str
    kl: float | int | None
    kl_counts: str
    kl_neutral: float | int | None
    dual_rate: float | int
    l1: float | int
    lr: float | int
    half_life: float | int | None
    optimizer: str
    reward: Reward | None
    invalid: float | int
    soften: float | int
    ema: float | int
    samples: int
    clip: float | int
    epochs: int
    neutral_batch: int
    evaluate_every: int
    patience: int
    random_state: int


def settings_of(method: Any) -> Settings:
    """Those of an estimator.

    Parameters
    ----------
    method : DSO
    """
    return Settings(**{each.name: getattr(method, each.name) for each in fields(Settings)})


@dataclass
class State:
    """All that changes, and what it began with; what is saved."""

    theta: Float[Tensor, "2 neuron"]
    mask: Bool[Tensor, " neuron"]
    shares: Float[Tensor, "cell side"]
    first: Float[Tensor, "cell side"]
    best: Float[Tensor, "2 neuron"]
    weights: list[float] = field(default_factory=lambda: [1.0, 1.0])
    step: int = 0
    asked: int = 0
    best_step: int = 0
    best_score: float = float("inf")
    waited: int = 0
    wild: int = 0
    seconds: float = 0.0
    stopped: bool = False
    history: History = field(default_factory=History)

    FACTS = ("weights", "step", "asked", "best_step", "best_score", "waited", "wild", "seconds", "stopped")
