"""The graph of a plain transformers model: forward hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from levelhead import operators
from levelhead.errors import AdapterError
from levelhead.graph import Location
from levelhead.plan import Placed, plan, report
from levelhead.sites import Site
from levelhead.steer import Steer
from levelhead.tokens import Reader
from levelhead_transformers.base import ModuleGraph, Objective, generation, take, tracked
from levelhead_transformers.fan import Fan, Unsuited
from levelhead_transformers.passes import Passes

Touch = Callable[[Tensor], "Tensor | None"]
"""Reads the tensor at a place, and returns another to take its stead, or None."""


class HookGraph(ModuleGraph):
    """Reads and writes a transformers model through torch's forward hooks; nothing is wrapped or copied."""

    name = "transformers"

    # -- the verbs -------------------------------------------------------------------------------------

    def capture(
        self,
        batch: Mapping[str, Tensor],
        sites: list[Site],
        at: Reader = "last",
        steer: Steer | None = None,
        prompt_length: int | None = None,
    ) -> dict[Site, Tensor]:
        picks = self.picks(batch, sites, at, prompt_length)
        found: dict[Site, Tensor] = {}

        def reader(location: Location, mode: str, where: Any, members: list[Site]) -> Touch:
            def read(tensor: Tensor) -> None:
                taken = take(tensor, location.site.tower, mode, where)
                found.update(self.split(taken, location, members))

            return read

        touches = [(location, reader(location, mode, where, members)) for location, mode, where, members in picks]
        with self._steered(steer, prompt_length), self.touched(touches), torch.no_grad():
            self.model(**self.arguments(batch, last=1))
        return found

    def gradients(
        self,
        batch: Mapping[str, Tensor],
        sites: list[Site],
        objective: Objective,
        at: Reader | Mapping[Site, Reader] = "last",
        steer: Steer | None = None,
        prompt_length: int | None = None,
        last: int = 0,
    ) -> tuple[dict[Site, Tensor], dict[Site, Tensor]]:
        picks = self.asked(batch, sites, at, prompt_length)
        found: dict[Site, Tensor] = {}
        passed: dict[Location, Tensor] = {}

        def reader(location: Location, mode: str, where: Any, members: list[Site]) -> Touch:
            def read(tensor: Tensor) -> Tensor:
                passed[location] = tensor = tracked(tensor)
                found.update(self.split(take(tensor, location.site.tower, mode, where), location, members))
                return tensor

            return read

        touches = [(location, reader(location, mode, where, members)) for location, mode, where, members in picks]
        with self._steered(steer, prompt_length), torch.enable_grad():
            with self.touched(touches):
                logits = self._forward(batch, last)
            return found, self.differentiated(batch, picks, passed, logits, objective)

    def logits(
        self,
        batch: Mapping[str, Tensor],
        steer: Steer | None = None,
        prompt_length: int | None = None,
        last: int = 0,
    ) -> Tensor:
        with self._steered(steer, prompt_length):
            return self._forward(batch, last)

    def logits_at(
        self,
        batch: Mapping[str, Tensor],
        steer: Steer,
        strengths: Tensor,
        prompt_length: int | None = None,
        last: int = 0,
    ) -> Tensor:
        rows, times = len(batch["input_ids"]), len(strengths)
        fan = Fan.of(steer, self.map, times) if self.one_pass(steer) else None
        if fan is not None:
            try:
                with self._on(steer * strengths.repeat_interleave(rows), prompt_length, fan):
                    return self._forward(batch, last).unflatten(0, (times, rows))
            except Unsuited:
                pass
        return super().logits_at(batch, steer, strengths, prompt_length, last)

    def _forward(self, batch: Mapping[str, Tensor], last: int) -> Tensor:
        return self.model(**self.arguments(batch, last=last)).logits[:, -int(last) :]

    def generate(self, batch: Mapping[str, Tensor], steer: Steer | None = None, **options: Any) -> Tensor:
        with self._steered(steer, None):
            return self.model.generate(**generation(batch, options, self.map.image_ids))

    def on(self, steer: Steer, prompt_length: int | None = None) -> AbstractContextManager[Any]:
        return self._on(steer, prompt_length)

    @contextmanager
    def _on(self, steer: Steer, prompt_length: int | None, fan: Fan | None = None) -> Iterator[Any]:
        placed = plan(steer, self)
        tally: dict[str, Any] = {}
        if placed:
            times = 1 if fan is None else fan.times
            passes = Passes(self.model, self.map.decoder, self.map.image_ids, prompt_length, times)
            touches = [(place.location, _writer(place, passes, tally)) for place in placed]
            spread = nullcontext() if fan is None else fan.spread()
            watched = passes.watched(*dict.fromkeys((self.model, self.target)))
            # The fan's hooks go in last, and so before the writers'.
            with watched, self.touched(touches), spread:
                yield self.target
        else:
            yield self.target
        report(steer, tally)

    def _steered(self, steer: Steer | None, prompt_length: int | None) -> AbstractContextManager[Any]:
        return nullcontext() if steer is None else self.on(steer, prompt_length)

    def hooks(self, steer: Steer, batch: Mapping[str, Tensor] | None = None) -> Any:
        raise AdapterError(
            "steer.hooks() gives TransformerLens hooks, and needs a TransformerBridge; here, use steer.on(model)"
        )

    def inside(self, steer: Steer) -> None:
        raise AdapterError(
            "steer(model) works inside an nnsight trace, and needs an nnsight model; here, use steer.on(model)"
        )

    # -- hooks -----------------------------------------------------------------------------------------

    @contextmanager
    def touched(self, touches: list[tuple[Location, Touch]]) -> Iterator[None]:
        """Install functions at places for the length of a block, in the given order."""
        handles: list[Any] = []
        try:
            for location, touch in touches:
                handles.append(attach(self.map.find(location.site).module, location.side, touch))
            yield
        finally:
            for handle in handles:
                handle.remove()


def _writer(place: Placed, passes: Passes, tally: dict[str, Any]) -> Touch:
    language = place.location.site.tower == "language"

    def write(tensor: Tensor) -> Tensor | None:
        now = passes.now
        if language and now is None:
            return None
        return operators.apply(tensor, place.steps, now if language else None, tally)

    return write


def attach(module: nn.Module, side: str, touch: Touch) -> Any:
    """Register a forward hook on the first tensor of a module's input or output.

    Ours run in the order in which they came and before any other hook: transformers collects hidden states
    through forward hooks of its own, and LLaVA's image features are such a hidden state.
    """
    if side == "output":

        def after(_: nn.Module, __: Any, output: Any) -> Any:
            first = output[0] if isinstance(output, tuple) else output
            new = touch(first)
            if new is None or new is first:
                return None
            return (new, *output[1:]) if isinstance(output, tuple) else new

        handle = module.register_forward_hook(after)
        _to_front(module._forward_hooks)
        return handle

    def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            new = touch(args[0])
            return None if new is None or new is args[0] else ((new, *args[1:]), kwargs)
        name = next(name for name, value in kwargs.items() if isinstance(value, Tensor))
        new = touch(kwargs[name])
        return None if new is None or new is kwargs[name] else (args, {**kwargs, name: new})

    handle = module.register_forward_pre_hook(before, with_kwargs=True)
    _to_front(module._forward_pre_hooks)
    return handle


def _to_front(hooks: Any) -> None:
    ours = [key for key, hook in hooks.items() if getattr(hook, "__module__", "") == __name__]
    for key in reversed(ours):
        hooks.move_to_end(key, last=False)
