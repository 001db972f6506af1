"""CAA and ITI for choices: what is added comes from questions that end with the stereotype's answer, or the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from levelhead.capture import Activations, capture
from levelhead.data.records import ChoiceRecord, open_picture
from levelhead.graph import Graph
from levelhead.methods import CAA, ITI
from levelhead.metrics.decisions.asking import Wrap, orders_of, wording, wrapped
from levelhead.metrics.measures import Measure
from levelhead.steer import Steer
from levelhead.tradeoff import select

BUDGET = 0.05
"""Of accuracy on validation items: dear, since the two are to have a chance."""


def contrast_steers(
    graph: Graph,
    records: Sequence[ChoiceRecord],
    bias: Measure,
    capability: Measure,
    *,
    wrap: Wrap = "raw",
    sites: Sequence[str],
    batch_size: int = 64,
    verbose: bool = True,
) -> dict[str, Steer]:
    """Fit CAA and ITI on the same pairs, both away from the stereotype, where and as strong as does most on validation items.

    Parameters
    ----------
    graph : Graph
    records : sequence of ChoiceRecord
        With ``pro``, and two options.
    bias, capability : Measure
        On validation items; see `levelhead.select`.
    wrap
        As in `levelhead.metrics.decisions.Choices`.
    sites : sequence of str
        Where CAA may act.
    batch_size : int
    verbose : bool

    Returns
    -------
    dict of str to Steer
        ``"CAA"`` and ``"ITI"``; where nothing is allowed, the first candidate as it is.
    """
    found: dict[str, Steer] = {}
    every = contrast_candidates(graph, records, wrap=wrap, sites=sites, batch_size=batch_size, verbose=verbose)
    for name, candidates in every.items():
        best = select(graph, candidates, bias, [capability], budget=BUDGET, tolerance=0.01, verbose=verbose)
        found[name] = best.steer if best.strength else next(iter(candidates.values()))
    return found


def contrast_candidates(
    graph: Graph,
    records: Sequence[ChoiceRecord],
    *,
    wrap: Wrap = "raw",
    sites: Sequence[str],
    size: float | int = 1.0,
    heads: int = 8,
    alphas: Sequence[float | int] = (5.0, 15.0),
    batch_size: int = 64,
    verbose: bool = True,
) -> Mapping[str, Mapping[str, Steer]]:
    """Fit CAA at each site, and ITI at each strength.

    Letters are what CAA's pairs end with as published; a model that answers in words gets pairs that end with the words.

    Parameters
    ----------
    graph : Graph
    records : sequence of ChoiceRecord
        With ``pro``, and two options.
    wrap
        As in `levelhead.metrics.decisions.Choices`.
    sites : sequence of str
        Of CAA.
    size : float
        Length of CAA's vector, in mean lengths of the activations at its site: where answers on the left and on the right cancel,
        little is left of the difference of means, and a multiplier would say nothing of its size.
    heads : int
        Of ITI.
    alphas : sequence of float
        Of ITI, in standard deviations.
    batch_size : int
    verbose : bool

    Returns
    -------
    mapping of str to mapping of str to Steer
        Of ``"CAA"`` by site, and of ``"ITI"`` by strength.
    """
    inputs: list[Any] = []
    labels: list[str] = []
    groups: list[str] = []
    for i, record in enumerate(records):
        if record.pro is None:
            continue
        picture = None if record.image is None else open_picture(record.image)
        for order in orders_of(record):
            text = wording(record, order, "words")
            for label, option in (("pro", record.pro), ("anti", 1 - record.pro)):
                inputs.append(wrapped(f"{text} {record.options[option]}", picture, wrap, graph))
                labels.append(label)
                groups.append(record.set_id or f"item {i}")
    acts = capture(graph, inputs, [*sites, "z.*.*"], at="last", batch_size=batch_size, verbose=verbose)
    pro, anti = (_rows(acts, labels, label) for label in ("pro", "anti"))
    added: dict[str, Steer] = {}
    for site in sites:
        (entry,) = CAA(site).fit(pro, anti).entries
        usual = acts[site].float().norm(dim=-1).mean()
        multiplier = -size * float(usual / entry.edit.params["vector"].norm())
        added[site] = CAA(site, multiplier=multiplier).fit(pro, anti)
    shifted = {
        f"alpha {alpha:g}": ITI(heads=heads, alpha=alpha, toward="anti").fit(acts, labels, groups) for alpha in alphas
    }
    return {"CAA": added, "ITI": shifted}


def _rows(acts: Activations, labels: Sequence[str], wanted: str) -> Activations:
    return acts.rows([i for i, label in enumerate(labels) if label == wanted])
