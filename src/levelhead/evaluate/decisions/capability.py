"""What a steer of a language model may cost: grammar, some science, and the likelihood of text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

from levelhead.data import load
from levelhead.data.records import CapabilityRecord
from levelhead.demo.smollm2.prose import NEUTRAL
from levelhead.errors import FileError
from levelhead.metrics.measures import Accuracy, Measure, TextPerplexity


def capabilities(
    share: float | int = 1.0, seed: int = 0, *, pairs: int | None = None
) -> tuple[list[Measure], list[str]]:
    """BLiMP, ARC and WikiText-2, and the names of those that were not found.

    Parameters
    ----------
    share : float
        Of the usual number of items: 134 pairs of sentences, 30 questions, 20 pieces of text.
    seed : int
        Of the items drawn.
    pairs : int, optional
        Of BLiMP, where not the share.

    Returns
    -------
    list of Measure, list of str
        The last measure is the perplexity of WikiText-2, or of levelhead's own prose where that was not found.
    """
    found: list[Measure] = []
    missing: list[str] = []
    for name, title, n in (("blimp", "BLiMP", 134), ("arc", "ARC", 30)):
        n = pairs if pairs is not None and name == "blimp" else max(2, round(share * n))
        try:
            records = cast("list[CapabilityRecord]", list(load(name, limit=n if name == "arc" else None, seed=seed)))
        except FileError:
            missing.append(name)
            continue
        found.append(Accuracy(spread(records, n, seed) if name == "blimp" else records, name=title))
    try:
        documents = cast("list[CapabilityRecord]", list(load("wikitext")))
        pieces = max(2, round(share * 20))
        found.append(TextPerplexity(documents, pieces=pieces, name="perplexity of WikiText-2"))
    except FileError:
        missing.append("wikitext")
        prose = [CapabilityRecord(id=str(i), task="prose", prompt=text) for i, text in enumerate(NEUTRAL["test"])]
        found.append(TextPerplexity(prose, name="perplexity of prose"))
    return found, missing


def spread(records: Sequence[CapabilityRecord], n: int, seed: int) -> list[CapabilityRecord]:
    """Draw as many of each task, by seed.

    Parameters
    ----------
    records : sequence of CapabilityRecord
    n : int
        In all, about.
    seed : int

    Returns
    -------
    list of CapabilityRecord
    """
    by_task: dict[str, list[CapabilityRecord]] = {}
    for record in records:
        by_task.setdefault(record.task, []).append(record)
    each, rng = max(1, round(n / len(by_task))), np.random.default_rng(seed)
    return [members[i] for members in by_task.values() for i in sorted(rng.permutation(len(members))[:each])]
