"""DSO: a scale and a shift of every norm's output, found by rewarding answers against the current stereotype."""

from __future__ import annotations

from levelhead.methods.dso.history import History
from levelhead.methods.dso.method import DSO

__all__ = ["DSO", "History"]
