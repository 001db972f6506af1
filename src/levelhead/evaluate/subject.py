"""What is evaluated: a model, the steers that were fitted on it, and what is asked of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from levelhead.capture import Activations
from levelhead.errors import InputError
from levelhead.graph import Graph
from levelhead.metrics.measures import Measure
from levelhead.steer import Steer

if TYPE_CHECKING:
    import pandas as pd

MODELS = ("testbed", "smollm2")
SUITES = ("decisions", "mentions", "skew")


@dataclass(frozen=True)
class Size:
    """How much is asked.

    Attributes
    ----------
    share : float
        Of the usual number of items.
    random : int
        Random directions for each steer.
    strengths : tuple of float
    draws : int
        Bootstrap resamples.
    """

    share: float = 1.0
    random: int = 20
    strengths: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    draws: int = 1999

    def items(self, n: int) -> int:
        """So many of `n` items, two at least."""
        return max(2, round(self.share * n))


SIZES = {"full": Size(), "quick": Size(0.3, 3, (0.0, 0.5, 1.0), 999)}


@dataclass(frozen=True)
class Options:
    """What the command line sets.

    Attributes
    ----------
    model : {"testbed", "smollm2"}
    suite : {"decisions", "mentions", "skew"}
    out : Path
        Folder for tables and pictures.
    size : str
        Of `SIZES`.
    cache : Path or None
        Where the converted SmolLM2 is kept; None for the user's cache.
    seed : int
    verbose : bool
    """

    model: str = "testbed"
    suite: str = "decisions"
    out: Path = Path("levelhead-evaluate")
    size: str = "full"
    cache: Path | None = None
    seed: int = 0
    verbose: bool = True

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise InputError(f"unknown model '{self.model}'; models are {', '.join(MODELS)}")
        if self.suite not in SUITES:
            raise InputError(f"unknown suite '{self.suite}'; suites are {', '.join(SUITES)}")
        if self.size not in SIZES:
            raise InputError(f"unknown size '{self.size}'; sizes are {', '.join(SIZES)}")
        if self.seed < 0:
            raise InputError(f"a seed is a number from 0; found {self.seed}")


@dataclass(frozen=True)
class Subject:
    """A model that is ready to be evaluated.

    Attributes
    ----------
    title : str
    graph : Graph
    steers : mapping of str to Steer
    acts : Activations
        Whose mean random directions are ablated to, as their steers are.
    bias, capability : sequence of Measure
    notes : tuple of str
        What a reader of the figures must know.
    random : mapping of str to int, optional
        Random directions beside each steer, where not the size's number beside all.
    tables : mapping of str to DataFrame
        What else was found on the way: how a steer was selected, say.
    chosen_on : mapping of str to Measure
        Validation items of measures that have their own; see `levelhead.tradeoff`.
    """

    title: str
    graph: Graph
    steers: Mapping[str, Steer]
    acts: Activations
    bias: Sequence[Measure]
    capability: Sequence[Measure]
    notes: tuple[str, ...] = field(default=())
    random: Mapping[str, int] | None = None
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict["str", "pd.DataFrame"])
    chosen_on: Mapping[str, Measure] = field(default_factory=dict[str, Measure])
