"""The testbed: pictures of people drawn by rule, and a small LLaVA whose stereotypes are known because they were planted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from levelhead.testbed.planted import Lean, Planted
from levelhead.testbed.scene import Person, Scene, sample

if TYPE_CHECKING:
    from levelhead.testbed.weights import Testbed, load

__all__ = ["Lean", "Person", "Planted", "Scene", "Testbed", "load", "sample"]


def __getattr__(name: str) -> Any:
    # The model needs torch and transformers; pictures do not.
    if name in ("Testbed", "load"):
        from levelhead.testbed import weights

        return getattr(weights, name)
    raise AttributeError(f"module 'levelhead.testbed' has no attribute '{name}'")
