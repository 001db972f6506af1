"""CAA and ITI for choices: what is added comes from questions that end with the stereotype's answer, or the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from levelhead.capture import Activations, capture
from levelhead.data.records import ChoiceRecord, open_picture
from levelhead.graph import Graph
from levelhead.methods import CAA, ITI
from levelhead.metrics.decisions.asking import Wrap, orders_of, wording, wrapped
from levelhead.steer import Steer


def contrast_steers(
    graph: Graph,
    records: Sequence[ChoiceRecord],
    *,
    wrap: Wrap = "raw",
    site: str,
    size: float | int = 1.0,
    heads: int = 8,
    alpha: float | int = 15.0,
    batch_size: int = 64,
    verbose: bool = True,
) -> dict[str, Steer]:
    """Fit CAA and ITI on the same pairs, both away from the stereotype.

    Letters are what CAA's pairs end with as published; a model that answers in words gets pairs that end with the words.

    Parameters
    ----------
    graph : Graph
    records : sequence of ChoiceRecord
        With ``pro``, and two options.
    wrap
        As in `levelhead.metrics.decisions.Choices`.
    site : str
        Where CAA acts.
    size : float
        Length of CAA's vector, in mean lengths of the activations at its site: where answers on the left and on the right cancel,
        little is left of the difference of means, and a multiplier would say nothing of its size.
    heads : int
        Of ITI.
    alpha : float
        Of ITI, in standard deviations.
    batch_size : int
    verbose : bool

    Returns
    -------
    dict of str to Steer
        ``"CAA"`` and ``"ITI"``.
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
    sites = [site, "z.*.*"]
    acts = capture(graph, inputs, sites, at="last", batch_size=batch_size, verbose=verbose)
    pro, anti = (_rows(acts, labels, label) for label in ("pro", "anti"))
    (entry,) = CAA(site).fit(pro, anti).entries
    usual = acts[site].float().norm(dim=-1).mean()
    multiplier = -size * float(usual / entry.edit.params["vector"].norm())
    return {
        "CAA": CAA(site, multiplier=multiplier).fit(pro, anti),
        "ITI": ITI(heads=heads, alpha=alpha, toward="anti").fit(acts, labels, groups),
    }


def _rows(acts: Activations, labels: Sequence[str], wanted: str) -> Activations:
    return acts.rows([i for i, label in enumerate(labels) if label == wanted])
