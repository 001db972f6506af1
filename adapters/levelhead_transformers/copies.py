"""Copies of a loaded model: plain transformers models of their own, whoever has wrapped the one that they come from."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from levelhead.errors import InputError
from levelhead_transformers.modules import bare


def plain_copy(model: nn.Module) -> Any:
    """A copy that shares nothing with `model`, without what TransformerLens and nnsight have put on its modules."""
    hooks = (hook for m in model.modules() for hook in (*m._forward_hooks.values(), *m._forward_pre_hooks.values()))
    if any(getattr(hook, "__module__", "").startswith("levelhead_transformers.") for hook in hooks):
        raise InputError(
            "a steer is on, and its hooks would stay on the copy for good; fold outside of the 'with' block"
        )
    away = [name for name, parameter in model.named_parameters() if parameter.is_meta]
    if away:
        raise InputError(
            f"{len(away)} parameters are on the meta device ('{away[0]}', ...), so there are no weights to fold into; load the "
            "model in full, without offloading to disk"
        )
    # TransformerLens keeps what a module gave last, which cannot be copied while a gradient can still flow through it.
    kept = [value for module in model.modules() for value in vars(module).values() if isinstance(value, torch.Tensor)]
    tree = copy.deepcopy(model, {id(value): value.detach() for value in kept if not value.is_leaf})
    wrapped = False
    for module in list(tree.modules()):
        for name, child in module._modules.items():
            if child is not None and name != "_original_component" and bare(child) is not child:
                module._modules[name] = bare(child)
                wrapped = True
    drop_nnsight_forwards(tree)
    if wrapped:
        _without_empty_biases(tree)
    return tree


def drop_nnsight_forwards(tree: nn.Module) -> None:
    """Take from a copy the forwards that nnsight leaves on each module it has wrapped: they serve the original."""
    for module in tree.modules():
        for name, value in list(vars(module).items()):
            if type(value).__module__.startswith("nnsight."):
                del vars(module)[name]


def skeleton(model: Any, config: Any) -> dict[str, torch.Size]:
    """Names and shapes of the parameters that ``from_pretrained`` would make for this class and configuration."""
    with torch.device("meta"):
        made = type(model)(copy.deepcopy(config))
    return {name: value.shape for name, value in made.state_dict().items()}


def _without_empty_biases(tree: Any) -> None:
    """Take away the biases of zero that a bridge has put where the architecture has none."""
    known = skeleton(tree, tree.config)
    for name in set(tree.state_dict()) - set(known):
        owner, _, what = name.rpartition(".")
        module: Any = tree.get_submodule(owner)
        if what == "bias" and not bool(module.bias.any()):
            module._buffers.pop("bias", None)
            module.register_parameter("bias", None)
