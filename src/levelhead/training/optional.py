"""The packages of the extra ``training``: transformers' Trainer needs accelerate, adapters need peft."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from levelhead.errors import InputError

_MODULES = ("transformers", "accelerate", "peft")


def needed(module: str, purpose: str) -> Any:
    """Import a module of the extra.

    Raises
    ------
    InputError
        Where it is not installed.
    """
    package = module.partition(".")[0]
    if find_spec(package) is None:
        raise InputError(f"{purpose} needs the package {package}; run: pip install 'levelhead[training]'")
    return import_module(module)


def base_class(name: str) -> Any:
    """A class of transformers to inherit from, or a stand-in that says at its first use what is missing."""
    if find_spec("transformers") is not None:
        return getattr(import_module("transformers"), name)

    class Missing:
        def __init__(self, *_: Any, **__: Any) -> None:
            needed("transformers", "training")

    return Missing
