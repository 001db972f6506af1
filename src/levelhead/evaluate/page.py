"""The figures as Markdown, put into their place in a page."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from levelhead.errors import FileError
from levelhead.evaluate.benchmarks import Score
from levelhead.evaluate.run import Evaluation
from levelhead.metrics.statistics import Estimate
from levelhead.tradeoff import Point, Tradeoff

if TYPE_CHECKING:
    import pandas as pd

_ENDS = ((("", ": low", ": high"), ""), ((": change", ": change low", ": change high"), "+"))
"""Columns of a summary that make a cell: the value and its interval, the change and its."""


def evaluation_table(evaluation: Evaluation) -> str:
    """Render the table of a model: each method at the strength that validation items chose, and at full strength.

    Parameters
    ----------
    evaluation : Evaluation

    Returns
    -------
    str
    """
    result = evaluation.result
    measures = result.measures
    names = [*measures["bias"], *measures["capability"], *measures["beside"]]
    tables = [_table(result, some, tau=not i) for i, some in enumerate(chunks(measures["bias"]))]
    tables += [_table(result, some, tau=False) for some in chunks(names[len(measures["bias"]) :])]
    tables += [f"{name}:\n\n{plain_table(table)}" for name, table in evaluation.tables.items()]
    if evaluation.subject.random and evaluation.options.suite != "decisions":
        tables.append(
            f"The whole frontier, on the reported items:\n\n{_frontier(result, list(evaluation.subject.random))}"
        )
    base = result.at("none", 0.0)
    facts = result.facts
    sets = ", ".join(
        f"{name} {result.at('none', 0.0, name).items} items in {result.at('none', 0.0, name).estimate.n} sets"
        for name in names
    )
    apart = " and ".join(f"'{name}'" for name in facts["chosen_on"])
    said = [
        f"On the reported items, {1 - facts['validation']:.0%} of the sets: {sets}."
        + (f" {apart}: all of them, strengths being chosen on others." if apart else ""),
        "In brackets 95 % intervals over sets (BCa); below, the paired change from the model as it is, with its own. "
        "Of the random directions, the mean and the range. Strengths are chosen on the other "
        f"{facts['validation']:.0%}: the least '{base.measure}' at a loss of at most {100 * facts['budget']:g} point of mean "
        "accuracy.",
        *evaluation.subject.notes,
        *(f"**Caution** {caution}." for caution in cautions(result)),
    ]
    return "\n".join([*(f"{table}\n" for table in tables), *(f"* {line}" for line in said)])


def chunks(names: Sequence[str], width: int = 4) -> list[Sequence[str]]:
    """Cut measures into as many as a page or a terminal is wide.

    Parameters
    ----------
    names : sequence of str
    width : int

    Returns
    -------
    list of sequence of str
    """
    return [names[first : first + width] for first in range(0, len(names), width)]


def _frontier(result: Tradeoff, methods: Sequence[str]) -> str:
    """Bias and accuracies of some methods at every strength."""
    names = [result.measures["bias"][0], *result.measures["capability"]]
    lines = ["| | strength | " + " | ".join(names) + " |", "|---|" + "---:|" * (len(names) + 1)]
    for method in methods:
        for strength in result.facts["strengths"]:
            points = [result.at(method if strength else "none", strength, name).estimate for name in names]
            lines.append(f"| {method} | {strength:g} | " + " | ".join(f"{point.value:.3f}" for point in points) + " |")
    return "\n".join(lines)


def plain_table(table: pd.DataFrame) -> str:
    """Render a table whose numbers need no rounding by measure.

    Parameters
    ----------
    table : DataFrame

    Returns
    -------
    str
    """
    heads = [str(name) for name in table.columns]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for row in table.itertuples(index=False):
        cells = [f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _table(result: Tradeoff, names: Sequence[str], *, tau: bool) -> str:
    """One table in Markdown, with numbers that do not break across lines."""
    heads = ["", "strength", *names, *(["tau"] if tau else [])]
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 1)]
    for row in rows(result, names):
        kept = [cell.replace(" [", "&nbsp;[").replace(", ", ",&nbsp;") for cell in (row if tau else row[:-1])[1:]]
        lines.append("| " + " | ".join([row[0], *kept]) + " |")
    return "\n".join(lines)


def rows(result: Tradeoff, names: Sequence[str]) -> list[list[str]]:
    """The cells of the table, as text."""
    summary: list[dict[str, Any]] = result.summary().to_dict("records")  # pyright: ignore[reportAssignmentType]
    found: list[list[str]] = []
    for row in summary:
        name = str(row["method"])
        method = {"none": "as it is", "prompt": "an instruction"}.get(name, name)
        cells = [method, "" if name in ("none", "prompt") else f"{row['strength']:g}"]
        for each in names:
            level, moved = (_number(*[float(row[f"{each}{end}"]) for end in ends], sign=sign) for ends, sign in _ENDS)
            cells.append(level if name == "none" else f"{level}<br>{moved}")
        tau = row.get("tau")
        found.append([*cells, "" if tau is None or tau != tau else f"{tau:+.2f}"])
        full = max(result.facts["strengths"])
        if name in result.methods and result.chosen[name] != full:
            found.append([f"{name}, in full", f"{full:g}", *(_cell(result.at(name, full, each)) for each in names), ""])
    return found


def _cell(point: Point) -> str:
    level, moved = point.estimate, point.change
    return f"{_number(level.value, level.low, level.high)}<br>{_number(moved.value, moved.low, moved.high, '+')}"


def _number(value: float, low: float, high: float, sign: str = "") -> str:
    return f"{value:{sign}.2f} [{low:{sign}.2f}, {high:{sign}.2f}]"


def cautions(result: Tradeoff) -> list[str]:
    """Why figures of the table must not be read as they stand, each once."""
    chosen = {"none": 0.0, **result.chosen}
    shown = [
        p
        for p in result.points
        if p.split == "test" and (p.kind == "prompt" or (p.kind != "random" and chosen.get(p.method) == p.strength))
    ]
    said = [f"({p.method} at {p.strength:g}, {p.measure}): {caution}" for p in shown for caution in p.cautions]
    return list(dict.fromkeys(said))


def score_table(scores: Sequence[Score]) -> str:
    """Render benchmarks, one table each.

    Parameters
    ----------
    scores : sequence of Score

    Returns
    -------
    str
    """
    parts: list[str] = []
    for each in scores:
        lines = [f"**{each.data.get('title', each.benchmark)}**, {each.items:,} items", "", "| | | 95 % interval | n |"]
        lines.append("|---|---:|---|---:|")
        for name, value in each.numbers.items():
            if isinstance(value, Estimate):
                lines.append(f"| {name} | {value.value:.3f} | [{value.low:.3f}, {value.high:.3f}] | {value.n:,} |")
            else:
                lines.append(f"| {name} | {value:.3f} | | |")
        lines += ["", *(f"* **Caution**: {caution}." for caution in each.cautions)]
        parts.append("\n".join(lines).strip())
    return "\n\n".join(parts)


def put(page: Path, sections: Mapping[str, str]) -> None:
    """Replace sections of a page, each between ``<!-- begin NAME -->`` and ``<!-- end NAME -->``, in one rename.

    Parameters
    ----------
    page : Path
    sections : mapping of str to str

    Raises
    ------
    FileError
        If the page cannot be read or written, or has no such section.
    """
    try:
        text = page.read_text(encoding="utf-8")
    except OSError as error:
        raise FileError(f"cannot read the page '{page}': {error.strerror or error}") from error
    for name, body in sections.items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        if begin not in text or end not in text:
            raise FileError(f"'{page}' has no place for '{name}'; put the lines '{begin}' and '{end}' into it")
        head, rest = text.split(begin, 1)
        text = f"{head}{begin}\n{body}\n{end}{rest.split(end, 1)[1]}"
    try:
        with tempfile.NamedTemporaryFile("w", dir=page.parent, delete=False, encoding="utf-8") as file:
            file.write(text)
        os.replace(file.name, page)
    except OSError as error:
        raise FileError(f"cannot write the page '{page}': {error.strerror or error}") from error
