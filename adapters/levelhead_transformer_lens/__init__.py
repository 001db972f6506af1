"""levelhead on TransformerLens 4: TransformerBridge hook points."""

from __future__ import annotations

from typing import Any


class TransformerLensAdapter:
    """Takes a ``TransformerBridge``."""

    name = "transformer_lens"

    def accepts(self, model: Any) -> bool:
        return any(
            cls.__name__ == "TransformerBridge" and cls.__module__.startswith("transformer_lens.")
            for cls in type(model).__mro__
        )

    def wrap(self, model: Any, processor: Any = None) -> Any:
        from levelhead_transformer_lens.bridge import BridgeGraph

        return BridgeGraph(model, processor)


adapter = TransformerLensAdapter()


def __getattr__(name: str) -> Any:
    if name == "boot":
        from levelhead_transformer_lens.booting import boot

        return boot
    raise AttributeError(f"module 'levelhead_transformer_lens' has no attribute '{name}'")
