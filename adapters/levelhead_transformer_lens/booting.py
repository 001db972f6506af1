"""A bridge around a model that is already in memory, without a hub, without touching the model."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from transformer_lens.factories.architecture_adapter_factory import ArchitectureAdapterFactory
from transformer_lens.model_bridge.sources import build_bridge_from_module

from levelhead.errors import AdapterError
from levelhead_transformers.copies import drop_nnsight_forwards


def boot(model: nn.Module, processor: Any = None) -> Any:
    """Wrap a loaded transformers model in a TransformerBridge.

    TransformerLens replaces the modules of the model that it is given, and switches it to eager attention.
    Here it gets a second tree of modules over the same weights, so that the user's model stays as it was. No hub
    is asked, and nothing is installed.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    processor : tokenizer or processor, optional
        Set on the bridge as ``processor`` (and ``tokenizer``).

    Returns
    -------
    TransformerBridge

    Raises
    ------
    AdapterError
        When TransformerLens has no architecture adapter for the model.
    """
    name = type(model).__name__
    ArchitectureAdapterFactory.discover_entry_points()
    known: dict[str, Any] = ArchitectureAdapterFactory._adapters
    if name not in known:
        raise AdapterError(
            f"TransformerLens has no architecture adapter for {name}; register one under the entry-point group "
            "'transformer_lens.architectures', or use the transformers or nnsight graph"
        )
    shared: dict[int, Any] = {id(tensor): tensor for tensor in [*model.parameters(), *model.buffers()]}
    tree: Any = copy.deepcopy(model, shared)
    tree.config._attn_implementation = "eager"
    drop_nnsight_forwards(tree)
    tokenizer = getattr(processor, "tokenizer", processor)
    # Some adapters insist on torchvision, for processors that levelhead does not use; the models need none.
    needs = known[name].__dict__.get("required_libraries")
    try:
        if needs:
            known[name].required_libraries = [library for library in needs if library != "torchvision"]
        with torch.no_grad():
            bridge = build_bridge_from_module(tree, name, hf_config=tree.config, tokenizer=None)
    finally:
        if needs:
            known[name].required_libraries = needs
    if tokenizer is not None:
        bridge.tokenizer = tokenizer
    if processor is not None:
        bridge.processor = processor
    return bridge
