"""Methods: estimators whose ``fit`` returns a `levelhead.Steer`."""

from __future__ import annotations

from levelhead.methods.base import Method
from levelhead.methods.controls import RandomDirection
from levelhead.methods.mean_difference import MeanDifference
from levelhead.methods.probe_gate import ProbeGate

__all__ = ["MeanDifference", "Method", "ProbeGate", "RandomDirection"]
