"""What steering buys and what it costs: bias against capability, over strengths, methods and baselines."""

from __future__ import annotations

from levelhead.tradeoff.arms import FAIRNESS_PROMPT
from levelhead.tradeoff.curves import Point, Tradeoff
from levelhead.tradeoff.run import tradeoff
from levelhead.tradeoff.selection import Selection, Trial, select

__all__ = ["FAIRNESS_PROMPT", "Point", "Selection", "Tradeoff", "Trial", "select", "tradeoff"]
