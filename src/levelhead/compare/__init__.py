"""Where two models differ: what training did to what is encoded, layer by layer and head by head."""

from __future__ import annotations

from levelhead.compare.comparison import Comparison
from levelhead.compare.difference import model_difference
from levelhead.compare.run import compare, compare_activations

__all__ = ["Comparison", "compare", "compare_activations", "model_difference"]
