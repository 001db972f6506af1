"""Counter-stereotype training: fine-tune against the prevalent stereotype, with transformers' own Trainer or without it.

After CSD (Cheng et al., arXiv 2408.06569; first called ASD): before every epoch a model is asked whom it assigns to social
concepts; examples of groups that it assigns too often are dropped by chance, those of the others are repeated, and losses are
weighed by ``exp(-Skew)``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from levelhead.training.callback import SkewCallback as SkewCallback
    from levelhead.training.collate import Collator as Collator
    from levelhead.training.examples import Example as Example
    from levelhead.training.examples import concept_examples as concept_examples
    from levelhead.training.freezing import frozen_names as frozen_names
    from levelhead.training.frequency import frequency as frequency
    from levelhead.training.loss import rescaled_loss as rescaled_loss
    from levelhead.training.loss import weights as weights
    from levelhead.training.model_skews import ModelSkews as ModelSkews
    from levelhead.training.run import Trained as Trained
    from levelhead.training.run import train as train
    from levelhead.training.sampler import BiasAwareSampler as BiasAwareSampler
    from levelhead.training.settings import CSDSettings as CSDSettings
    from levelhead.training.skew_epochs import SkewEpochs as SkewEpochs
    from levelhead.training.skews import Answers as Answers
    from levelhead.training.skews import Assignments as Assignments
    from levelhead.training.trainer import CSDTrainer as CSDTrainer

_HOMES = {
    "Assignments": "skews",
    "Answers": "skews",
    "ModelSkews": "model_skews",
    "BiasAwareSampler": "sampler",
    "frequency": "frequency",
    "rescaled_loss": "loss",
    "weights": "loss",
    "Example": "examples",
    "concept_examples": "examples",
    "Collator": "collate",
    "CSDSettings": "settings",
    "SkewEpochs": "skew_epochs",
    "SkewCallback": "callback",
    "CSDTrainer": "trainer",
    "frozen_names": "freezing",
    "train": "run",
    "Trained": "run",
}

__all__ = [
    "Answers",
    "Assignments",
    "BiasAwareSampler",
    "CSDSettings",
    "CSDTrainer",
    "Collator",
    "Example",
    "ModelSkews",
    "SkewCallback",
    "SkewEpochs",
    "Trained",
    "concept_examples",
    "frequency",
    "frozen_names",
    "rescaled_loss",
    "train",
    "weights",
]


def __getattr__(name: str) -> Any:
    # transformers' Trainer is loaded at the first use of what needs it.
    if name in _HOMES:
        value = getattr(import_module(f"levelhead.training.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'levelhead.training' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
