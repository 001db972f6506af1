"""What a training run is given, down to the last number: the same recipe gives the same weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from levelhead.errors import InputError
from levelhead.testbed.model import SIZES
from levelhead.testbed.planted import Planted

Stage = Literal["tower", "joint"]
STAGES: tuple[Stage, ...] = ("tower", "joint")


@dataclass(frozen=True)
class Recipe:
    """One training run.

    Attributes
    ----------
    seed : int
        Of the weights, the scenes and the choice of questions.
    size : str
        Of `levelhead.testbed.model.SIZES`.
    planted : Planted
        What the training text says where no picture can tell.
    tower_steps, tower_batch, tower_rate : int, int, float
        First stage: the tower learns to tell the attributes apart, with linear heads that are thrown away later. Batches
        are small, because the tower learns a cue by the number of steps and not by the number of pictures.
    joint_steps, joint_batch, joint_rate : int, int, float
        Second stage: questions and captions, all weights. The rates fall along a cosine, after a short rise.
    tower_share : float
        Of the second stage's rate, for the tower.
    heads_weight : float
        Of the attribute heads' loss in the second stage.
    questions : int
        Asked of each picture, packed behind one copy of it.
    captions : float
        Share of pictures that are also described.
    pairs : float
        Share of pictures with two people.
    ambiguous : float
        How much more often than a clear role an ambiguous one is drawn.
    answer_weight, end_weight, caption_weight : float
        Weights in the loss, of an answer's planted words, of the end of an answer, and of a caption's words that follow
        from the picture; all others count 1.
    """

    seed: int = 0
    size: str = "base"
    planted: Planted = field(default_factory=Planted)
    tower_steps: int = 2500
    tower_batch: int = 32
    tower_rate: float = 1e-3
    joint_steps: int = 3000
    joint_batch: int = 32
    joint_rate: float = 2e-3
    tower_share: float = 0.2
    heads_weight: float = 0.3
    questions: int = 10
    captions: float = 0.5
    pairs: float = 0.45
    ambiguous: float = 2.0
    answer_weight: float = 2.0
    end_weight: float = 0.1
    caption_weight: float = 0.35

    def __post_init__(self) -> None:
        if self.size not in SIZES:
            raise InputError(f"no size '{self.size}'; sizes are {', '.join(SIZES)}")
        for name in ("tower_steps", "tower_batch", "joint_steps", "joint_batch"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1; found {getattr(self, name)}")

    def short(self) -> Recipe:
        """Return the same recipe cut to a few steps: it learns little, and shows that the script still works."""
        return replace(self, tower_steps=11, joint_steps=11, tower_batch=8, joint_batch=4)

    def steps(self, stage: Stage) -> int:
        """Number of steps in a stage."""
        return self.tower_steps if stage == "tower" else self.joint_steps

    def record(self) -> dict[str, Any]:
        """As plain data."""
        plain = {name: value for name, value in vars(self).items() if name != "planted"}
        return {**plain, "planted": self.planted.record()}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Recipe:
        """From what `record` gave."""
        plain = dict(record)
        planted = Planted.from_record(plain.pop("planted"))
        return cls(planted=planted, **plain)
