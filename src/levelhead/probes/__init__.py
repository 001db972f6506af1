"""Linear probes at every site at once, with the controls that make their scores mean something."""

from __future__ import annotations

from levelhead.probes.sweep import ProbeSweep

__all__ = ["ProbeSweep"]
