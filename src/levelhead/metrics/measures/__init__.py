"""Measures: what is asked of a model, and the one number with an interval that comes of it."""

from __future__ import annotations

from levelhead.metrics.measures.accuracy import Accuracy
from levelhead.metrics.measures.answered import Answers
from levelhead.metrics.measures.checked import AnswerCheck
from levelhead.metrics.measures.drift import Drift
from levelhead.metrics.measures.fluency import Fluency
from levelhead.metrics.measures.gap import LogOddsGap
from levelhead.metrics.measures.mentioning import MentionRate
from levelhead.metrics.measures.occupations import OccupationBias
from levelhead.metrics.measures.pairs import StereotypePreference
from levelhead.metrics.measures.probed import ProbeAfter
from levelhead.metrics.measures.protocol import Measure, Reading, Run
from levelhead.metrics.measures.sentiment import SentimentGap
from levelhead.metrics.measures.texts import TextLoss, TextPerplexity

__all__ = [
    "Accuracy",
    "AnswerCheck",
    "Answers",
    "Drift",
    "Fluency",
    "LogOddsGap",
    "Measure",
    "MentionRate",
    "OccupationBias",
    "ProbeAfter",
    "Reading",
    "Run",
    "SentimentGap",
    "StereotypePreference",
    "TextLoss",
    "TextPerplexity",
]
