"""Studies: where an intervention acts, over sites, strengths and methods, kept on disk cell by cell."""

from __future__ import annotations

from levelhead.study.result import Row, Study
from levelhead.study.run import study

__all__ = ["Row", "Study", "study"]
