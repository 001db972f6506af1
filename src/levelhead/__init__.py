"""levelhead: find where a model keeps a protected attribute, check the direction, and steer the model level."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from levelhead import data as data
    from levelhead import metrics as metrics
    from levelhead import plots as plots
    from levelhead import testbed as testbed
    from levelhead import training as training
    from levelhead.align import Alignment, align, cosines
    from levelhead.capture import Activations, Moments, capture
    from levelhead.compare import Comparison, compare, model_difference
    from levelhead.doctor import doctor
    from levelhead.edits import Ablate, Add, Affine, Erase, Rotate
    from levelhead.errors import LevelheadError
    from levelhead.files import load
    from levelhead.gates import Gate
    from levelhead.graph import graph
    from levelhead.heads import HeadSet, Localization, localize
    from levelhead.methods import (
        CAA,
        DSO,
        INLP,
        ITI,
        LEACE,
        FairnessPrompt,
        GradientStep,
        MeanDifference,
        MeanProjection,
        ProbeGate,
        RandomDirection,
    )
    from levelhead.methods.dso.path import SparsityPath, sparsity_path
    from levelhead.probes import ProbeSweep
    from levelhead.probes.steered import SteeredProbes, probe_steered
    from levelhead.profile import Profile
    from levelhead.restrict import Restrictions, restrict
    from levelhead.sites import Site
    from levelhead.steer import Steer
    from levelhead.study import Study, study
    from levelhead.tradeoff import Selection, Tradeoff, select, tradeoff

__version__ = "0.1.0"

_HOMES = {
    "Activations": "capture",
    "Moments": "capture",
    "capture": "capture",
    "Add": "edits",
    "Ablate": "edits",
    "Affine": "edits",
    "Erase": "edits",
    "Rotate": "edits",
    "Steer": "steer",
    "Site": "sites",
    "load": "files",
    "graph": "graph",
    "doctor": "doctor",
    "Gate": "gates",
    "CAA": "methods",
    "DSO": "methods",
    "INLP": "methods",
    "ITI": "methods",
    "LEACE": "methods",
    "FairnessPrompt": "methods",
    "GradientStep": "methods",
    "MeanProjection": "methods",
    "MeanDifference": "methods",
    "ProbeGate": "methods",
    "RandomDirection": "methods",
    "SparsityPath": "methods.dso.path",
    "sparsity_path": "methods.dso.path",
    "ProbeSweep": "probes",
    "SteeredProbes": "probes.steered",
    "probe_steered": "probes.steered",
    "Profile": "profile",
    "Restrictions": "restrict",
    "restrict": "restrict",
    "Comparison": "compare",
    "compare": "compare",
    "model_difference": "compare",
    "HeadSet": "heads",
    "Localization": "heads",
    "localize": "heads",
    "Study": "study",
    "study": "study",
    "align": "align",
    "Alignment": "align",
    "cosines": "align",
    "tradeoff": "tradeoff",
    "Tradeoff": "tradeoff",
    "Selection": "tradeoff",
    "select": "tradeoff",
    "LevelheadError": "errors",
}
_ROOMS = (
    "data",
    "demo",
    "edits",
    "errors",
    "files",
    "harness",
    "heads",
    "metrics",
    "methods",
    "plots",
    "probes",
    "sites",
    "testbed",
    "tokens",
    "training",
)

__all__ = [
    "Ablate",
    "Activations",
    "Add",
    "Affine",
    "Alignment",
    "CAA",
    "Comparison",
    "DSO",
    "Erase",
    "FairnessPrompt",
    "Gate",
    "GradientStep",
    "HeadSet",
    "INLP",
    "ITI",
    "LEACE",
    "LevelheadError",
    "Localization",
    "MeanDifference",
    "MeanProjection",
    "Moments",
    "ProbeGate",
    "ProbeSweep",
    "Profile",
    "RandomDirection",
    "Restrictions",
    "Rotate",
    "Selection",
    "Site",
    "SparsityPath",
    "Steer",
    "SteeredProbes",
    "Study",
    "Tradeoff",
    "align",
    "capture",
    "compare",
    "cosines",
    "data",
    "doctor",
    "graph",
    "load",
    "localize",
    "metrics",
    "model_difference",
    "plots",
    "probe_steered",
    "restrict",
    "select",
    "sparsity_path",
    "study",
    "testbed",
    "tradeoff",
    "training",
]


def __getattr__(name: str) -> Any:
    # Loaded at first use, so that `import levelhead` costs little more than `import torch`.
    if name in _HOMES:
        value = getattr(import_module(f"levelhead.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    if name in _ROOMS:
        return import_module(f"levelhead.{name}")
    raise AttributeError(f"module 'levelhead' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """Some public functions share the name of the file they live in; the function is what ``lh.name`` means."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
