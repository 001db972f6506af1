"""The stages of a demo: each is named as it begins, and timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console


class Clock:
    """Times the stages, and says when one begins."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Time the block."""
        self._say(stage)
        start = time.perf_counter()
        yield
        self.seconds[stage] = round(time.perf_counter() - start, 2)


class Stages:
    """Prints each stage as it begins, and how long the whole took."""

    def __init__(self, console: Console) -> None:
        self._console, self._start = console, time.perf_counter()

    def __call__(self, stage: str) -> None:
        """Say that a stage begins."""
        self._console.print(f"[dim]{self.seconds:5.0f} s[/dim]  {stage}", highlight=False)

    def done(self) -> None:
        """Say that all are done."""
        self._console.print(f"[dim]{self.seconds:5.0f} s[/dim]  done\n", highlight=False)

    @property
    def seconds(self) -> float:
        """Wall time since the start."""
        return time.perf_counter() - self._start
