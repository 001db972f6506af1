"""Measures of bias and of what levelling it costs, and the statistics that make them believable.

Rooms: `mentions` (what free text brings up), `decisions` (which option is taken, in every order), `preferences` (which of
two texts is likelier), `skew`, `stereotype` (benchmarks' own scores), `quality`, `capability`, `frontier`, `statistics`;
and the measures that trade-offs are made of.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from levelhead.metrics import (
        capability,
        decisions,
        frontier,
        mentions,
        preferences,
        quality,
        skew,
        statistics,
        stereotype,
    )
    from levelhead.metrics.decisions import Choices
    from levelhead.metrics.measures import (
        Accuracy,
        AnswerCheck,
        Answers,
        Drift,
        Fluency,
        LogOddsGap,
        Measure,
        MentionRate,
        OccupationBias,
        ProbeAfter,
        Reading,
        SentimentGap,
        StereotypePreference,
        TextLoss,
        TextPerplexity,
    )
    from levelhead.metrics.preferences import Pairs

__all__ = [
    "mentions",
    "decisions",
    "preferences",
    "skew",
    "stereotype",
    "quality",
    "capability",
    "frontier",
    "statistics",
    "Choices",
    "Pairs",
    "Measure",
    "Reading",
    "OccupationBias",
    "StereotypePreference",
    "Answers",
    "LogOddsGap",
    "MentionRate",
    "SentimentGap",
    "Fluency",
    "AnswerCheck",
    "ProbeAfter",
    "Accuracy",
    "TextLoss",
    "TextPerplexity",
    "Drift",
]

_HOMES = {"Choices": "decisions", "Pairs": "preferences"}


def __getattr__(name: str) -> Any:
    # Loaded at first use: the probes need the statistics alone.
    if name not in __all__:
        raise AttributeError(f"module 'levelhead.metrics' has no attribute '{name}'")
    if name[0].islower():
        return import_module(f"levelhead.metrics.{name}")
    return getattr(import_module(f"levelhead.metrics.{_HOMES.get(name, 'measures')}"), name)
