"""Evaluate a model, or score it on benchmarks, and leave tables and pictures behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import levelhead as lh
from levelhead.demo.results import save, write
from levelhead.demo.smollm2 import model as smollm2_model
from levelhead.evaluate import decisions, mentions
from levelhead.evaluate.benchmarks import Score, score
from levelhead.evaluate.decisions.tables import decision_tables
from levelhead.evaluate.subject import SIZES, Options, Size, Subject
from levelhead.methods.base import versions
from levelhead.tradeoff import Tradeoff, tradeoff

if TYPE_CHECKING:
    import pandas as pd

SUBJECTS: dict[str, Mapping[str, Callable[[Options, Size], Subject]]] = {
    "decisions": decisions.SUBJECTS,
    "mentions": mentions.SUBJECTS,
}


@dataclass(frozen=True)
class Evaluation:
    """The table of one model.

    Attributes
    ----------
    options : Options
    subject : Subject
    result : Tradeoff
    """

    options: Options
    subject: Subject
    result: Tradeoff

    @cached_property
    def beside(self) -> Mapping[str, pd.DataFrame]:
        """What has to stand beside a bias of decisions; nothing in another suite."""
        return decision_tables(self.result) if self.options.suite == "decisions" else {}

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """What was found on the way, and what has to stand beside the bias."""
        return {**self.subject.tables, **self.beside}

    def record(self) -> dict[str, Any]:
        """Everything as plain values, for a file."""
        return {
            "suite": self.options.suite,
            "model": self.options.model,
            "title": self.subject.title,
            "size": self.options.size,
            "notes": list(self.subject.notes),
            "tables": {name: table.to_dict("records") for name, table in self.tables.items()},
            "versions": versions(),
            **self.result.record(),
        }

    def write(self) -> Path:
        """Write ``summary.json``, ``points.csv``, ``summary.csv``, ``tradeoff.png`` and the other tables.

        Raises
        ------
        FileError
            When they cannot be written.
        """
        out = self.options.out
        tables = {"points": self.result.frame(), "summary": self.result.summary(), **self.tables}
        path = write(out, self.record(), tables)
        save(out, tradeoff=self.picture())
        return path

    def picture(self) -> Any:
        """Draw accuracy against bias.

        Returns
        -------
        matplotlib Axes
        """
        return self.result.plot(title=self.subject.title[0].upper() + self.subject.title[1:])


def evaluate(options: Options, say: Callable[[str], None] = lambda stage: None, size: Size | None = None) -> Evaluation:
    """Measure bias and capability of a model as it is, instructed, steered at several strengths, and steered at random.

    Parameters
    ----------
    options : Options
    say : callable
        Told the name of each stage as it begins.
    size : Size, optional
        In place of the one that the options name.

    Returns
    -------
    Evaluation
    """
    size = SIZES[options.size] if size is None else size
    say("model, steers and questions")
    subject = SUBJECTS[options.suite][options.model](options, size)
    say(f"{len(subject.bias) + len(subject.capability)} measures, {len(subject.steers)} methods, {size.random} random")
    result = tradeoff(
        subject.graph,
        subject.steers,
        bias=subject.bias,
        capability=subject.capability,
        strengths=size.strengths,
        random=subject.random if subject.random is not None else size.random,
        acts=subject.acts,
        chosen_on=subject.chosen_on,
        draws=size.draws,
        seed=options.seed,
        verbose=options.verbose,
    )
    return Evaluation(options, subject, result)


def score_all(
    benchmarks: Sequence[str],
    out: Path,
    *,
    limit: int | None = None,
    cache: Path | None = None,
    seed: int = 0,
    verbose: bool = True,
    say: Callable[[str], None] = lambda stage: None,
) -> list[Score]:
    """Score SmolLM2 on benchmarks by their own protocols, one after another; each is written as it is done.

    Parameters
    ----------
    benchmarks : sequence of str
        Of `levelhead.evaluate.benchmarks.BENCHMARKS`.
    out : Path
        Folder for ``<benchmark>.json``.
    limit : int, optional
        Items at most of each.
    cache : Path, optional
        Where the converted SmolLM2 is kept.
    seed : int
    verbose : bool
    say : callable

    Returns
    -------
    list of Score
    """
    say("model")
    net, tokenizer = smollm2_model.load(smollm2_model.prepare(cache, verbose=verbose))
    graph = lh.graph(net, tokenizer)
    found: list[Score] = []
    for name in benchmarks:
        say(name)
        found.append(score(graph, name, limit=limit, seed=seed, verbose=verbose))
        write(out, found[-1].record(), name=name)
    return found
