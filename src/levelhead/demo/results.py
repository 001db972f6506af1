"""What a demo leaves on disk beside the steer: a summary, tables, pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from levelhead.errors import FileError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from levelhead.probes import ProbeSweep


DPI = 150
"""Dots an inch of every picture."""


def write(
    out: Path, record: Mapping[str, Any], tables: Mapping[str, pd.DataFrame] | None = None, name: str = "summary"
) -> Path:
    """Write a record as JSON, ``summary.json`` by default, and each table as CSV under its name, into a folder.

    Raises
    ------
    FileError
        When they cannot be written.
    """
    path = out / f"{name}.json"
    with writing(out):
        for table, frame in (tables or {}).items():
            frame.to_csv(out / f"{table}.csv", index=False)
        path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return path


def save(out: Path, **pictures: Axes | Figure) -> list[Path]:
    """Write each picture as PNG under its name; FileError when they cannot be written."""
    with writing(out):
        paths: list[Path] = []
        for name, drawn in pictures.items():
            figure: Any = getattr(drawn, "figure", drawn)
            path = out / f"{name}.png"
            figure.savefig(path, dpi=DPI)
            paths.append(path)
    return paths


@contextmanager
def writing(out: Path) -> Iterator[None]:
    """Make the folder of the results; what goes wrong there or in the block is a FileError."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise FileError(
            f"cannot write results into '{out}': {error.strerror or error}; choose another folder with --out"
        ) from error


def spell(layers: list[int], count: int) -> str:
    """Layers in words: ``from layer 1 on``, ``at layers 23 to 28``, ``at 4 layers``."""
    if not layers or layers != list(range(layers[0], layers[-1] + 1)):
        return f"at {len(layers) or 'no'} layers"
    if len(layers) == 1:
        return f"at layer {layers[0]}"
    return f"from layer {layers[0]} on" if layers[-1] == count - 1 else f"at layers {layers[0]} to {layers[-1]}"


def heads_read(sweep: ProbeSweep) -> tuple[int, int, Any]:
    """How many heads beat what the best site reaches with shuffled labels, out of how many, and the best one's row."""
    frame: Any = sweep.frame()
    heads = frame[frame["head"].notna()]
    return int((heads["auc"] > sweep.threshold_).sum()), len(heads), heads.loc[heads["auc"].idxmax()]
