"""DSO on SynthBias, as the paper's language models were steered: 600 ambiguous sentences, and occupations never trained on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from levelhead.data import load
from levelhead.data.occupations import FEMALE_TYPED, MALE_TYPED
from levelhead.data.records import ChoiceRecord
from levelhead.evaluate.decisions.dso_smollm2 import SITES
from levelhead.evaluate.decisions.measured import measured
from levelhead.graph import Graph
from levelhead.methods.dso import DSO
from levelhead.metrics.measures import Accuracy, OccupationBias
from levelhead.steer import Steer

if TYPE_CHECKING:
    import pandas as pd

TRAINED_ON = 600
"""Ambiguous sentences, as in the paper."""
STEPS = 60
HELD_OUT = 6
"""Occupations of each type that are never trained on, of twenty."""


def held_out(seed: int = 0) -> frozenset[str]:
    """Occupations that training never mentions, as many typed male as female.

    Parameters
    ----------
    seed : int
    """
    rng = np.random.default_rng([seed, 3])
    found: list[str] = []
    for typed in (sorted(MALE_TYPED), sorted(FEMALE_TYPED)):
        found += [typed[i] for i in rng.permutation(len(typed))[:HELD_OUT]]
    return frozenset(name.casefold() for name in found)


def divided(records: Sequence[ChoiceRecord], seed: int = 0, n: int | None = None, *, never: bool) -> list[ChoiceRecord]:
    """Sentences both of whose occupations are held out, or neither; evenly over the occupations that they are counted for.

    Parameters
    ----------
    records : sequence of ChoiceRecord
    seed : int
    n : int, optional
        How many at most.
    never : bool
        Those about occupations that are never trained on, or those about the others.

    Returns
    -------
    list of ChoiceRecord
        Sentences with one occupation of each kind are in neither.
    """
    kept = held_out(seed)
    by_target: dict[str, list[ChoiceRecord]] = {}
    for record in records:
        if all((option.casefold() in kept) == never for option in record.options):
            by_target.setdefault(record.target.casefold(), []).append(record)
    rng = np.random.default_rng([seed, 4])
    queues = [[members[i] for i in rng.permutation(len(members))] for _, members in sorted(by_target.items())]
    # In turn from every occupation, until there are enough.
    rounds = max((len(queue) for queue in queues), default=0)
    drawn = [queue[k] for k in range(rounds) for queue in queues if k < len(queue)]
    return drawn if n is None else drawn[:n]


def sentences(
    config: str, seed: int = 0, n: int | None = None, *, never: bool, source: str | None = None
) -> list[ChoiceRecord]:
    """Sentences of SynthBias about occupations that are held out, or that are not.

    Parameters
    ----------
    config : {"type1", "type2"}
        Ambiguous, or with one right answer.
    seed : int
    n : int, optional
    never : bool
        See `divided`.
    source : str, optional
        See `levelhead.data.load`.

    Raises
    ------
    FileError
        If the set cannot be found.
    """
    records = load("synthbias", source, config=config, use="evaluate" if never else "train")
    return divided(cast("Sequence[ChoiceRecord]", list(records)), seed, n, never=never)


def trained(
    graph: Graph,
    *,
    steps: int = STEPS,
    n: int = TRAINED_ON,
    kept: int = 40,
    batch: int = 14,
    seed: int = 0,
    checkpoint: str | os.PathLike[str] | None = None,
    verbose: bool = True,
    **settings: Any,
) -> DSO:
    """Level the answers to ambiguous sentences.

    Parameters
    ----------
    graph : Graph
    steps : int
    n : int
        Ambiguous sentences.
    kept : int
        Unambiguous sentences about the same occupations, whose answers are held as they are.
    batch : int
    seed : int
    checkpoint : path, optional
        See `DSO.fit`.
    verbose : bool
    **settings
        Of `levelhead.DSO`.

    Returns
    -------
    DSO
        Fitted; the steer is its ``steer_``.
    """
    chosen: dict[str, Any] = {
        "sites": SITES,
        # A sentence is counted for the occupation that its pronoun fits, and so each occupation with one pronoun alone.
        "within": "group",
        "soften": 0.2,
        "ema": 0.5,
        "lr": 0.002,
        "half_life": 30,
        "steps": steps,
        "batch": batch,
        "neutral_batch": 4,
        "validation": 0,
        "random_state": seed,
    }
    method = DSO(**{**chosen, **settings})
    asked = sentences("type1", seed, n, never=False)
    clear = sentences("type2", seed, kept, never=False)
    method.fit(graph, asked, clear, checkpoint=checkpoint, verbose=verbose)
    return method


def report(
    graph: Graph,
    steer: Steer,
    strengths: Sequence[float | int] = (0.0, 1.0),
    *,
    n: int = 240,
    seed: int = 0,
    draws: int = 1999,
    verbose: bool = True,
) -> pd.DataFrame:
    """Bias and accuracy on sentences about occupations that training never mentioned.

    Parameters
    ----------
    graph : Graph
    steer : Steer
    strengths : sequence of float
    n : int
        Sentences of each kind.
    seed : int
        That of the training, which decides what is held out.
    draws : int
        Bootstrap resamples.
    verbose : bool

    Returns
    -------
    pandas.DataFrame
        A row for each measure and strength, with its 95 % interval over sentences. Accuracy has beside it what guessing gives,
        and what taking the occupation that is mentioned last gives.
    """
    import pandas as pd

    asked, clear = (sentences(config, seed, n, never=True) for config in ("type1", "type2"))
    measures = (OccupationBias(asked), Accuracy(clear))
    table = measured(graph, steer, measures, strengths, seed=seed, draws=draws, verbose=verbose)
    last = float(np.mean([record.label == len(record.options) - 1 for record in clear]))
    guesses = pd.DataFrame({"measure": ["accuracy"], "chance": [0.5], "last mentioned": [last]})
    return table.merge(guesses, how="left")
