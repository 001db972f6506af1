"""What the commands print."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from levelhead.evaluate.benchmarks import Score
from levelhead.evaluate.page import cautions, chunks, rows
from levelhead.evaluate.run import Evaluation
from levelhead.metrics.statistics import Estimate


def show(evaluation: Evaluation, console: Console) -> None:
    """Print the table of a model, one method a row.

    Parameters
    ----------
    evaluation : Evaluation
    console : rich.console.Console
    """
    result = evaluation.result
    said = {"bias": "bias: less is better", "capability": "accuracy: more is better", "beside": "beside"}
    for role, names in [(role, some) for role, each in result.measures.items() for some in chunks(each)]:
        table = Table(title=f"{evaluation.subject.title}, {said[role]}", title_justify="left")
        table.add_column("", max_width=16)
        table.add_column("strength", justify="right")
        for name in names:
            table.add_column(name, justify="right")
        for row in rows(result, names):
            table.add_row(*row[:2], *(cell.replace("<br>", "\n").replace(" [", "\n[") for cell in row[2:-1]))
            table.add_section()
        console.print(table)
    for name, frame in evaluation.beside.items():
        table = Table(title=name, title_justify="left")
        for i, head in enumerate(frame.columns):
            table.add_column(str(head), justify="right" if i else "left")
        for row in frame.itertuples(index=False):
            cells = [f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row]
            table.add_row(*(cell.replace(" [", "\n[") for cell in cells))
        console.print(table)
    for note in (*evaluation.subject.notes, *cautions(result)):
        console.print(f"* {note}", highlight=False, markup=False)
    console.print(
        "* Each cell: the value and its interval; the change from the model as it is, and its interval.",
        highlight=False,
    )
    console.print(f"\nTables and picture: {evaluation.options.out}", highlight=False)


def show_score(score: Score, console: Console) -> None:
    """Print the figures of a benchmark.

    Parameters
    ----------
    score : Score
    console : rich.console.Console
    """
    table = Table(title=f"{score.data.get('title', score.benchmark)}, {score.items:,} items", title_justify="left")
    for name in ("", "value", "95 % interval", "n"):
        table.add_column(name, justify="right" if name else "left")
    for name, value in score.numbers.items():
        if isinstance(value, Estimate):
            table.add_row(name, f"{value.value:.3f}", f"{value.low:.3f} to {value.high:.3f}", f"{value.n:,}")
        else:
            table.add_row(name, f"{value:.3f}", "", "")
    console.print(table)
    for caution in score.cautions:
        console.print(f"! {caution}", highlight=False, markup=False)
