"""What the demo is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from levelhead.errors import FileError, InputError

Item = TypeVar("Item")

GRAPHS = ("transformers", "transformer_lens", "nnsight")
MODELS = ("testbed", "smollm2")


@dataclass(frozen=True)
class Options:
    """What the command line sets.

    Attributes
    ----------
    out : Path
        Folder for pictures, tables, the summary and the steer.
    cache : Path or None
        Where the converted SmolLM2 is kept; None for the user's cache.
    graphs : tuple of str
        Of `GRAPHS`; the findings themselves come from the plain one.
    controls : int
        Number of random directions.
    seed : int
        Of the pictures, the bootstrap, the probes' controls and the random directions.
    verbose : bool
        Show progress bars, if this is a terminal.
    model : str
        Of `MODELS`, or a folder with a model of the testbed.
    """

    out: Path = Path("levelhead-demo")
    cache: Path | None = None
    graphs: tuple[str, ...] = GRAPHS
    controls: int = 20
    seed: int = 0
    verbose: bool = True
    model: str = "testbed"

    def __post_init__(self) -> None:
        if self.model not in MODELS and not Path(self.model).is_dir():
            raise InputError(
                f"unknown model '{self.model}'; models are {', '.join(MODELS)}, or a folder that "
                "'levelhead testbed train' wrote"
            )
        unknown = [name for name in self.graphs if name not in GRAPHS]
        if unknown:
            raise InputError(f"unknown graph '{unknown[0]}'; graphs are {', '.join(GRAPHS)}")
        if self.controls < 1:
            raise InputError(f"at least one random direction is needed as a control; found {self.controls}")
        if self.seed < 0:
            raise InputError(f"a seed is a number from 0; found {self.seed}")
        if self.out.exists() and not self.out.is_dir():
            raise FileError(f"results go into a folder, and '{self.out}' is a file; choose another with --out")

    def bar(self, items: Sequence[Item], name: str) -> Iterable[Item]:
        """Go through items under a progress bar."""
        from tqdm import tqdm

        return tqdm(items, desc=name, disable=None if self.verbose else True, leave=False)
