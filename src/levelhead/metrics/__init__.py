"""Measures, and the statistics that make them believable."""

from __future__ import annotations

from levelhead.metrics import statistics

__all__ = ["statistics"]
