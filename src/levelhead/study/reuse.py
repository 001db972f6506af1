"""Prefix reuse, where the adapter of a graph knows how to."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from levelhead.graph import Graph


def reusing(graph: Graph) -> Graph:
    """A graph that computes what comes before an edit once for each batch; as it is, where its adapter has no such thing.

    Parameters
    ----------
    graph : Graph

    Returns
    -------
    Graph
        With the same logits, to the bit.
    """
    if find_spec(f"levelhead_{graph.name}") is None or find_spec(f"levelhead_{graph.name}.prefix") is None:
        return graph
    return import_module(f"levelhead_{graph.name}.prefix").reusing(graph)


def forget(graph: Any) -> None:
    """Let a reusing graph go of what it keeps; others keep nothing."""
    if hasattr(graph, "forget"):
        graph.forget()
