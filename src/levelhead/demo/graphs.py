"""The same steer on the three graphs: equal gaps, equal logits."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from torch import Tensor

import levelhead as lh
from levelhead.graph import Graph
from levelhead.steer import Steer

STATES = ("before", "after")


@dataclass(frozen=True)
class GraphRow:
    """One graph against plain transformers, on the test items.

    Attributes
    ----------
    name : str
    skipped : str
        Why it did not run; empty when it did.
    reference : bool
        Whether this is the graph that the others are held to.
    gap_before, gap_after : float
        In the demo's own unit.
    difference_before, difference_after : float
        Largest absolute difference of any logit from that on plain transformers.
    seconds_to_open, seconds : float
    """

    name: str
    skipped: str = ""
    reference: bool = False
    gap_before: float = 0.0
    gap_after: float = 0.0
    difference_before: float = 0.0
    difference_after: float = 0.0
    seconds_to_open: float = 0.0
    seconds: float = 0.0

    def record(self) -> dict[str, Any]:
        """As plain data: why it was skipped, or what was found."""
        return {"name": self.name, "skipped": self.skipped} if self.skipped else dict(vars(self))


def compare(
    name: str,
    open_graph: Callable[[str], Graph],
    steer: Steer,
    logits: Callable[[Graph, Steer | None], Tensor],
    gap: Callable[[Tensor], float],
    expected: dict[str, Tensor],
) -> GraphRow:
    """Run the test items on another graph; the plain one is the reference and is not run again.

    Parameters
    ----------
    name : str
        Of `levelhead.demo.options.GRAPHS`.
    open_graph : callable
        Gives a graph of that name, around a model of its own: TransformerLens rewrites the one that it is given.
    steer : Steer
    logits : callable
        Puts the test items to a graph; Float[Tensor, "item vocabulary"].
    gap : callable
        What the demo measures, out of such logits.
    expected : dict of str to Float[Tensor, "item vocabulary"]
        Logits on the plain graph that the findings come from, ``before`` and ``after``.
    """
    if find_spec(name) is None:
        return GraphRow(name, skipped=f"not installed; pip install 'levelhead[{name.replace('_', '-')}]'")
    if name == "transformers":
        return GraphRow(name, reference=True, gap_before=gap(expected["before"]), gap_after=gap(expected["after"]))
    start = time.perf_counter()
    graph = open_graph(name)
    opened = time.perf_counter()
    gaps: dict[str, float] = {}
    differences: dict[str, float] = {}
    for state, each in zip(STATES, (None, steer), strict=True):
        found = logits(graph, each)
        gaps[state] = gap(found)
        differences[state] = float((found - expected[state]).abs().max())
    done = time.perf_counter()
    del graph
    gc.collect()
    return GraphRow(
        name,
        gap_before=gaps["before"],
        gap_after=gaps["after"],
        difference_before=differences["before"],
        difference_after=differences["after"],
        seconds_to_open=round(opened - start, 1),
        seconds=round(done - opened, 1),
    )


def wrap(name: str, net: Any, processor: Any) -> Graph:
    """Make a graph of a loaded model as users of each library do.

    Parameters
    ----------
    name : {"transformer_lens", "nnsight"}
    net : transformers model
        TransformerLens rewrites it.
    processor : tokenizer or processor
    """
    tokenizer = getattr(processor, "tokenizer", processor)
    if name == "transformer_lens":
        from transformer_lens.model_bridge import sources

        boot: Any = sources.build_bridge_from_module
        bridge = boot(net, type(net).__name__, hf_config=net.config, tokenizer=tokenizer)
        return lh.graph(bridge, processor)
    import nnsight

    open_model: Any = nnsight.TransformersModel
    if tokenizer is processor:
        return lh.graph(open_model(net, tokenizer=tokenizer, task="text-generation"))
    return lh.graph(open_model(net, processor=processor, task="image-text-to-text"))
