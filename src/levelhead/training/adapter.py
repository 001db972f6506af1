"""LoRA adapters for training, by peft."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from levelhead.errors import InputError
from levelhead.training.optional import needed


def with_adapter(model: Any, lora: Any, frozen: Collection[str]) -> Any:
    """Put an adapter on a model, by rank or by a configuration of peft's.

    Parameters
    ----------
    model : transformers model
        Gets the adapter's layers put in.
    lora : int or peft.LoraConfig
        Of a rank, adapters are on all linear layers but the output and the frozen ones, with ``lora_alpha`` twice the rank.
    frozen : collection of str
        Names of parameters whose layers get no adapter.

    Returns
    -------
    peft.PeftModel

    Raises
    ------
    InputError
        If peft is not installed, or the rank is not at least 1.
    """
    from torch import nn

    peft = needed("peft", "a LoRA adapter")
    if not isinstance(lora, int):
        with _as_they_are():
            return peft.get_peft_model(model, lora)
    if lora < 1:
        raise InputError(f"lora is a rank of at least 1, or a LoraConfig; found {lora}")
    output = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    targets = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module is not output and f"{name}.weight" not in frozen
    ]
    if not targets:
        raise InputError("no linear layer is left for an adapter; freeze less, or give a LoraConfig")
    with _as_they_are():
        return peft.get_peft_model(model, peft.LoraConfig(r=lora, lora_alpha=2 * lora, target_modules=targets))


def with_saved_adapter(model: Any, folder: Path) -> Any:
    """Put an adapter that was saved on a model, to be trained further or not."""
    with _as_they_are():
        return needed("peft", "a LoRA adapter").PeftModel.from_pretrained(model, folder, is_trainable=True)


@contextmanager
def _as_they_are() -> Iterator[None]:
    """Without transformers' notes on names that peft still uses, which the user can do nothing about."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def described(lora: Any) -> Any:
    """An adapter's settings as plain data."""
    if lora is None or isinstance(lora, int):
        return lora
    plain: dict[str, Any] = lora.to_dict()
    return {name: _plain(value) for name, value in plain.items() if value not in (None, {}, [])}


def _plain(value: Any) -> Any:
    if isinstance(value, set | frozenset | tuple | list):
        return sorted(map(str, value))
    if isinstance(value, str | int | float | bool):
        return value
    return str(value)
