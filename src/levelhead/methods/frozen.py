"""A model held still while gradients pass through it, and afterwards exactly as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from levelhead.errors import InputError

_CHECKPOINTING = (
    "gradient_checkpointing",
    "_gradient_checkpointing_func",
    "_require_grads_hooks",
    "_require_grads_hook",
)
"""Attributes through which transformers switches it on."""


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Put a model in evaluation mode and keep its parameters out of every gradient, for the length of a block."""
    training = [(module, module.training) for module in model.modules()]
    wanted = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        model.eval()
        for parameter in wanted:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in wanted:
            parameter.requires_grad_(True)
        for module, mode in training:
            module.training = mode


@contextmanager
def checkpointed(model: Any, wanted: bool = True) -> Iterator[None]:
    """Keep only what stands between a model's blocks, and compute their insides anew on the way back.

    Raises
    ------
    InputError
        If the model's class cannot do so.
    """
    if not wanted:
        yield
        return
    if not getattr(model, "supports_gradient_checkpointing", False):
        raise InputError(
            f"checkpoint=True was asked for, and {type(model).__name__} does not support gradient checkpointing; leave "
            "it out, and lower batch_size instead"
        )
    modules = list(model.modules())
    before = [
        (module, {name: vars(module)[name] for name in _CHECKPOINTING if name in vars(module)}) for module in modules
    ]
    training = [(module, module.training) for module in modules]
    hooks = list(getattr(model, "_require_grads_hooks", ()))
    # The older name warns where there is a newer one.
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    try:
        enable({"use_reentrant": False})
        for module in modules:
            # Blocks checkpoint in training mode alone; what is in them stays in evaluation mode, and drops nothing out.
            if getattr(module, "gradient_checkpointing", False):
                module.training = True
        if getattr(model, "_require_grads_hooks", hooks) == hooks:
            # Else what a block reads needs no gradient the first time and may need one the second.
            model.enable_input_require_grads()
        yield
    finally:
        for hook in getattr(model, "_require_grads_hooks", ()):
            if hook not in hooks:
                hook.remove()
        for module, mode in training:
            module.training = mode
        for module, attributes in before:
            for name in _CHECKPOINTING:
                vars(module).pop(name, None)
            vars(module).update(attributes)
