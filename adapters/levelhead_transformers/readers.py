"""Who reads the output of a norm: found by watching one forward pass, and not guessed from names.

Fused projections, parallel blocks that share a norm, routers and experts differ by architecture; what a pass does with a
tensor says it for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

_SAME = frozenset(
    "view reshape contiguous to float half bfloat16 type_as flatten unsqueeze squeeze detach clone dropout __getitem__".split()
)
"""Functions that hand the same vectors on, where the size of a vector stays as it is."""


@dataclass
class Reading:
    """What becomes of one norm's output.

    Attributes
    ----------
    linears : dict of str to nn.Linear
        Plain linear layers that it is multiplied by, by name.
    others : dict of str to None
        Whatever else computes with it, in words; ordered.
    """

    linears: dict[str, nn.Linear] = field(default_factory=dict)
    others: dict[str, None] = field(default_factory=dict)


def readers(model: Any, norms: dict[str, nn.Module], image_ids: tuple[int, ...]) -> dict[str, Reading]:
    """The readers of some norms' outputs, by the norms' names; from a pass of a few tokens of text through the model."""
    watch = _Watch(model, norms)
    ids = [number for number in range(len(image_ids) + 5) if number not in image_ids][:5]
    training = {module: module.training for module in model.modules()}
    device = model.get_input_embeddings().weight.device
    try:
        model.eval()
        with torch.no_grad(), watch.hooked(), watch:
            model(input_ids=torch.tensor([ids], device=device), use_cache=False)
    finally:
        for module, before in training.items():
            module.training = before
    return watch.found()


class _Watch(TorchFunctionMode):
    def __init__(self, model: nn.Module, norms: dict[str, nn.Module]) -> None:
        super().__init__()
        self._names = {module: name for name, module in model.named_modules()}
        self._norms = norms
        self._readings = {name: Reading() for name in norms}
        # By id, each with the tensor itself, so that no id is given twice.
        self._known: dict[int, tuple[str, Tensor]] = {}
        self._linear_inputs: dict[nn.Linear, set[str | None]] = {}
        self._inside: list[nn.Module] = []

    def found(self) -> dict[str, Reading]:
        for linear, sources in self._linear_inputs.items():
            for source in sources - {None}:
                reading, name = self._readings[str(source)], self._names[linear]
                if len(sources) > 1:
                    reading.others[f"'{name}', which reads elsewhere, too"] = None
                else:
                    reading.linears[name] = linear
        return self._readings

    @contextmanager
    def hooked(self) -> Iterator[None]:
        handles: list[Any] = []
        try:
            for module in self._names:
                handles.append(module.register_forward_pre_hook(self._enter, with_kwargs=True))
                handles.append(module.register_forward_hook(self._leave))
            for name, norm in self._norms.items():
                handles.append(norm.register_forward_hook(self._marker(name)))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._inside.append(module)
        if isinstance(module, nn.Linear) and plain_linear(module):
            source = self._source(args[0] if args else kwargs["input"])
            self._linear_inputs.setdefault(module, set()).add(source)

    def _leave(self, *_: Any) -> None:
        self._inside.pop()

    def _marker(self, name: str) -> Any:
        def mark(_: nn.Module, __: Any, output: Tensor) -> None:
            self._known[id(output)] = (name, output)

        return mark

    def _source(self, value: Any) -> str | None:
        known = self._known.get(id(value))
        return None if known is None else known[0]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if self._inside and plain_linear(self._inside[-1]):
            return result
        for value in tree_leaves((args, kwargs or {})):
            source = self._source(value)
            if source is None or not any(isinstance(made, Tensor) for made in tree_leaves(result)):
                continue  # a shape, a dtype, a device: nothing of the numbers
            name = getattr(func, "__name__", str(func))
            if isinstance(result, Tensor) and _handed_on(name, value, result, args):
                self._known[id(result)] = (source, result)
            else:
                where = self._names.get(self._inside[-1], "") if self._inside else ""
                kind = type(self._inside[-1]).__name__ if self._inside else "the model"
                self._readings[source].others[f"'{name}' in '{where}' ({kind})"] = None
        return result


def plain_linear(module: nn.Module) -> bool:
    """Whether a module computes ``W h + c`` from a weight as it stands: no quantised or adapted layer does."""
    return isinstance(module, nn.Linear) and type(module).forward is nn.Linear.forward


def _handed_on(name: str, before: Tensor, after: Tensor, args: tuple[Any, ...]) -> bool:
    if name not in _SAME or after.dim() == 0 or after.shape[-1] != before.shape[-1]:
        return False
    # Rows that are picked by their numbers go different ways, as to experts; one pass does not show all of these.
    return name != "__getitem__" or not any(isinstance(part, Tensor) for part in tree_leaves(args[1]))
