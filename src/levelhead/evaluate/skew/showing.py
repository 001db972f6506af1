"""The study as Markdown, and in the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from levelhead.evaluate.page import plain_table
from levelhead.evaluate.skew.run import SkewEvaluation


def markdown(found: SkewEvaluation) -> str:
    """Render the tables, and what a reader must know.

    Parameters
    ----------
    found : SkewEvaluation

    Returns
    -------
    str
    """
    tables = [f"{title}:\n\n{_together(plain_table(table))}\n" for title, table in found.tables.items()]
    return "\n".join([*tables, *(f"* {note}" for note in found.notes)])


def show(found: SkewEvaluation, console: Console) -> None:
    """Print the tables, the Skews of one set of pictures at a time.

    Parameters
    ----------
    found : SkewEvaluation
    console : rich.console.Console
    """
    for title, frame in found.tables.items():
        heads = [str(head) for head in frame.columns]
        for first in range(1, len(heads), 4):
            table = Table(title=title, title_justify="left")
            for i, head in enumerate(["", *heads[first : first + 4]]):
                table.add_column(head, justify="right" if i else "left")
            for row in frame.itertuples(index=False):
                cells = [f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row]
                table.add_row(cells[0], *(cell.replace(" [", "\n[") for cell in cells[first : first + 4]))
            console.print(table)
    for note in found.notes:
        console.print(f"* {note}", highlight=False, markup=False)
    console.print(f"\nTables and picture: {found.options.out}", highlight=False)


def _together(table: str) -> str:
    """Numbers that do not break across lines."""
    return (
        table.replace(" [", "&nbsp;[").replace(", +", ",&nbsp;+").replace(", -", ",&nbsp;-").replace(", 0", ",&nbsp;0")
    )
