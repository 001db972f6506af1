"""The two sides of a comparison: a model each, with a steer or without, and a peft model told from its base."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor

from levelhead.errors import InputError
from levelhead.graph import Graph, graph
from levelhead.sites import Patterns, Site, resolve
from levelhead.steer import Steer


@dataclass(frozen=True)
class Side:
    """A model as it is to be read.

    Attributes
    ----------
    on : Graph
    steer : Steer, optional
    peft : optional
        The peft model around it, if it came in one.
    adapted : bool
        Whether peft's adapter is to be on.
    """

    on: Graph
    steer: Steer | None = None
    peft: Any = None
    adapted: bool = True

    @contextmanager
    def ready(self) -> Iterator[None]:
        """In evaluation mode, since a model that was just trained drops out, and with the adapter on or off."""
        training = [module for module in self.on.model.modules() if module.training]
        off: AbstractContextManager[Any] = nullcontext() if self.adapted else self.peft.disable_adapter()
        for module in training:
            module.training = False
        try:
            with off:
                yield
        finally:
            for module in training:
                module.training = True

    def record(self) -> dict[str, Any]:
        """What it is, in plain values."""
        found: dict[str, Any] = {"model": self.on.identity()}
        if self.peft is not None:
            found["peft"] = "adapter on" if self.adapted else "adapter off"
        if self.steer is not None:
            found["steer"] = repr(self.steer)
        return found


def sides(before: Any, after: Any, inputs: Any, processor: Any = None) -> tuple[Side, Side]:
    """Both sides.

    Raises
    ------
    InputError
        For one model on both sides, architectures or bases that differ, a peft method that lives in no module.
    """
    (model, first_steer), (other, second_steer) = _parted(before), _parted(after)
    if model is None:
        raise InputError("before is a steer without a model; give (model, steer)")
    if isinstance(after, Steer):
        other = model
    (model, first_peft), (other, second_peft) = _unwrapped(model), _unwrapped(other)
    first = graph(model, processor)
    encoded = isinstance(inputs, Tensor) or (isinstance(inputs, Mapping) and "input_ids" in inputs)
    second = graph(other, processor if processor is not None or encoded else getattr(first, "processor", None))
    adapted = [True, True]
    if first.model is second.model and (first_peft is None) != (second_peft is None):
        # peft writes its adapter into the base model, so that the base itself must be read with the adapter off.
        adapted = [first_peft is not None, second_peft is not None]
        first_peft = second_peft = first_peft or second_peft
    elif first.model is second.model and first_steer is second_steer:
        raise InputError(
            "before and after are one and the same model; load the original again, or give (model, steer). A peft "
            "model can be given as after, with its base model as before"
        )
    found = Side(first, first_steer, first_peft, adapted[0]), Side(second, second_steer, second_peft, adapted[1])
    _check(*found)
    return found


def common_sites(first: Side, second: Side, patterns: Patterns) -> list[Site]:
    """The sites that patterns name on both, after a look at their widths.

    Raises
    ------
    SiteError
        For a site that is absent.
    InputError
        Where the two models have other sites, or other widths.
    """
    ours, theirs = (resolve(patterns, side.on.sites()) for side in (first, second))
    apart = sorted(set(ours) ^ set(theirs))
    if apart:
        raise InputError(
            f"before and after must be of one architecture: before has {len(ours)} of the sites asked for and after "
            f"{len(theirs)}; '{apart[0]}' is in {'before' if apart[0] in ours else 'after'} alone"
        )
    for site in ours:
        widths = [side.on.locate(site).width for side in (first, second)]
        if widths[0] != widths[1]:
            raise InputError(
                f"before and after must be of one architecture: '{site}' is {widths[0]} wide before and {widths[1]} after"
            )
    return ours


def _parted(given: Any) -> tuple[Any, Steer | None]:
    if isinstance(given, Steer):
        return None, given
    if isinstance(given, tuple):
        parts = cast("tuple[Any, ...]", given)
        if len(parts) != 2 or not isinstance(parts[1], Steer):
            raise InputError(f"a side is a model or (model, steer); found a tuple of {len(parts)}")
        return parts[0], parts[1]
    return given, None


def _unwrapped(model: Any) -> tuple[Any, Any]:
    """The transformers model inside of a peft model, and the peft model."""
    if not any(cls.__name__ == "PeftModel" and cls.__module__.startswith("peft.") for cls in type(model).__mro__):
        return model, None
    if model.active_peft_config.is_prompt_learning:
        raise InputError(
            f"{model.active_peft_config.peft_type} puts virtual tokens before the inputs and changes no module; compare "
            "models whose weights were trained, such as LoRA's"
        )
    return model.get_base_model(), model


def _check(first: Side, second: Side) -> None:
    kinds = [side.on.identity()["class"] for side in (first, second)]
    if kinds[0] != kinds[1]:
        raise InputError(f"before and after must be of one architecture; found {kinds[0]} and {kinds[1]}")
    if first.on.basis != second.on.basis:
        raise InputError(
            f"before is in basis '{first.on.basis}' and after in basis '{second.on.basis}', whose activations cannot be "
            "compared; give both as transformers models, or both as bridges made alike"
        )
