"""levelhead on plain transformers models: forward hooks, the reference that the other graphs are held to."""

from __future__ import annotations

from typing import Any


class TransformersAdapter:
    """Takes any transformers ``PreTrainedModel``."""

    name = "transformers"

    def accepts(self, model: Any) -> bool:
        return any(
            cls.__name__ == "PreTrainedModel" and cls.__module__.startswith("transformers.")
            for cls in type(model).__mro__
        )

    def wrap(self, model: Any, processor: Any = None) -> Any:
        from levelhead_transformers.hooks import HookGraph

        return HookGraph(model, processor)


adapter = TransformersAdapter()
