"""The suite of Skew: training against stereotypes and steering against them, on the same pictures (arXiv 2408.06569)."""

from __future__ import annotations

from levelhead.evaluate.skew.run import SkewEvaluation, evaluate

__all__ = ["SkewEvaluation", "evaluate"]
