"""The same steer on the three graphs: equal gaps, equal logits."""

from __future__ import annotations

import gc
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import Tensor

import levelhead as lh
from levelhead.demo import model
from levelhead.demo.findings import GraphRow
from levelhead.demo.measure import Prompts
from levelhead.graph import Graph
from levelhead.steer import Steer

STATES = ("before", "after")


def compare(name: str, folder: Path, steer: Steer, prompts: Prompts, expected: dict[str, Tensor]) -> GraphRow:
    """Run the test sentences on another graph; the plain one is the reference and is not run again.

    Parameters
    ----------
    name : str
        Of `levelhead.demo.findings.GRAPHS`.
    folder : Path
        Of the converted model. Every graph gets a copy of its own: TransformerLens rewrites the one that it is given.
    steer : Steer
    prompts : Prompts
    expected : dict of str to Float[Tensor, "sentence vocabulary"]
        Logits on the plain graph that the findings come from, ``before`` and ``after``.
    """
    if find_spec(name) is None:
        return GraphRow(name, skipped=f"not installed; pip install 'levelhead[{name.replace('_', '-')}]'")
    if name == "transformers":
        gaps = {state: prompts.pronouns_in(logits).gap() for state, logits in expected.items()}
        return GraphRow(name, reference=True, gap_before=gaps["before"], gap_after=gaps["after"])
    start = time.perf_counter()
    graph = open_graph(name, folder)
    opened = time.perf_counter()
    gaps = {}
    differences: dict[str, float] = {}
    for state, each in zip(STATES, (None, steer), strict=True):
        logits = prompts.last_logits(graph, each)
        gaps[state] = prompts.pronouns_in(logits).gap()
        differences[state] = float((logits - expected[state]).abs().max())
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


def open_graph(name: str, folder: Path) -> Graph:
    """Load the model as users of each library do, and make a graph of it."""
    net, tokenizer = model.load(folder)
    if name == "transformer_lens":
        from transformer_lens.model_bridge import sources

        boot: Any = sources.build_bridge_from_module
        return lh.graph(boot(net, type(net).__name__, hf_config=net.config, tokenizer=tokenizer))
    import nnsight

    open_model: Any = nnsight.TransformersModel
    return lh.graph(open_model(net, tokenizer=tokenizer, task="text-generation"))
