"""Methods: estimators whose ``fit`` returns a `levelhead.Steer`."""

from __future__ import annotations

from levelhead.methods.base import Method
from levelhead.methods.caa import CAA, ContrastPairs, contrast_pairs
from levelhead.methods.controls import RandomDirection
from levelhead.methods.dso import DSO
from levelhead.methods.fairness_prompt import FAIRNESS_PROMPT, FAIRNESS_PROMPTS, FairnessPrompt
from levelhead.methods.gradient_step import GradientStep
from levelhead.methods.inlp import INLP
from levelhead.methods.iti import ITI
from levelhead.methods.leace import LEACE
from levelhead.methods.mean_difference import MeanDifference
from levelhead.methods.mean_projection import MeanProjection
from levelhead.methods.probe_gate import ProbeGate

__all__ = [
    "CAA",
    "ContrastPairs",
    "DSO",
    "FAIRNESS_PROMPT",
    "FAIRNESS_PROMPTS",
    "FairnessPrompt",
    "GradientStep",
    "INLP",
    "ITI",
    "LEACE",
    "MeanDifference",
    "MeanProjection",
    "Method",
    "ProbeGate",
    "RandomDirection",
    "contrast_pairs",
]
