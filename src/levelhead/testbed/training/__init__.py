"""How the testbed's model is trained: the picture's tower first, then everything together."""

from __future__ import annotations

from levelhead.testbed.training.recipe import Recipe
from levelhead.testbed.training.run import train

__all__ = ["Recipe", "train"]
