"""Heads that carry a bias: what each does to the difference between a stereotype's answer and the other one."""

from __future__ import annotations

from levelhead.heads.localization import Localization
from levelhead.heads.minimal import HeadSet
from levelhead.heads.run import localize

__all__ = ["HeadSet", "Localization", "localize"]
