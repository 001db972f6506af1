"""levelhead on nnsight 0.8: traces, and edited copies."""

from __future__ import annotations

from typing import Any


class NNsightAdapter:
    """Takes an nnsight model, or any nnsight ``Envoy`` around a transformers model."""

    name = "nnsight"

    def accepts(self, model: Any) -> bool:
        return any(cls.__name__ == "Envoy" and cls.__module__.startswith("nnsight.") for cls in type(model).__mro__)

    def wrap(self, model: Any, processor: Any = None) -> Any:
        from levelhead_nnsight.traces import TraceGraph

        return TraceGraph(model, processor)


adapter = NNsightAdapter()
