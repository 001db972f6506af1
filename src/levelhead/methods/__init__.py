"""Methods: estimators whose ``fit`` returns a `levelhead.Steer`."""

from __future__ import annotations

from levelhead.methods.base import Method
from levelhead.methods.controls import RandomDirection
from levelhead.methods.mean_difference import MeanDifference

__all__ = ["MeanDifference", "Method", "RandomDirection"]
