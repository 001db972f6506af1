"""The graph of a TransformerBridge: its hook points, around the transformers model that it wraps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from torch import Tensor

from levelhead import operators
from levelhead.errors import AdapterError
from levelhead.graph import Location, hook_name
from levelhead.plan import plan
from levelhead.sites import Site
from levelhead.steer import Steer
from levelhead_transformers.hooks import HookGraph, Touch, attach
from levelhead_transformers.modules import bare


class BridgeGraph(HookGraph):
    """Reads and writes a TransformerBridge at its hook points.

    Forward passes and generation run the underlying transformers model inside ``bridge.hooks(...)``, since
    ``bridge.generate`` drops a picture after the first token. A place that the bridge has no hook point for, and
    the vision tower's ``resid_post`` (which transformers collects inside the block), are served by a forward hook
    on the wrapped module itself.
    """

    name = "transformer_lens"

    def __init__(self, bridge: Any, processor: Any = None) -> None:
        found = processor or getattr(bridge, "processor", None) or getattr(bridge, "tokenizer", None)
        super().__init__(bridge.original_model, found)
        self.target = bridge
        if getattr(bridge, "_weights_processed", False):
            self.basis = "tl-compat"
        self._wrappers: dict[int, Any] = {}
        for module in bridge.original_model.modules():
            if "_original_component" in module._modules and hasattr(module, "hook_out"):
                self._wrappers.setdefault(id(bare(module)), module)
        self._names: dict[int, list[str]] = {}
        for name, point in bridge.hook_dict.items():
            self._names.setdefault(id(point), []).append(name)

    def point(self, site: Site) -> Any:
        """The hook point of a site's tensor, or None where the bridge has none."""
        if site.tower == "vision" and site.component == "resid_post":
            return None
        found = self.map.find(site)
        wrapper = self._wrappers.get(id(found.module))
        point = None if wrapper is None else (wrapper.hook_in if found.side == "input" else wrapper.hook_out)
        return point if id(point) in self._names else None

    def locate(self, site: Site | str) -> Location:
        location = super().locate(site)
        point = self.point(location.site)
        if point is None:
            return replace(location, hook="(forward hook on the module)")
        names = self._names[id(point)]
        usual = hook_name(location.site)
        return replace(location, hook=usual if usual in names else names[0])

    @contextmanager
    def touched(self, touches: list[tuple[Location, Touch]]) -> Iterator[None]:
        with ExitStack() as stack:
            for location, touch in touches:
                if self.point(location.site) is None:
                    handle = attach(self.map.find(location.site).module, location.side, touch)
                    stack.callback(handle.remove)
            points = [(loc.hook, flattened(touch)) for loc, touch in touches if self.point(loc.site) is not None]
            stack.enter_context(self.target.hooks(fwd_hooks=points))
            yield

    def hooks(self, steer: Steer, batch: Mapping[str, Tensor] | None = None) -> list[tuple[str, Callable[..., Any]]]:
        """See `levelhead.Steer.hooks`."""
        if steer.gates and batch is None:
            raise AdapterError(
                "a gated steer needs the encoded inputs: steer.hooks(bridge, batch); without them, one hook "
                "cannot tell another what the gate decided"
            )
        tally: dict[str, Any] = {}
        run = operators.new_run(self.map.image_ids)
        opened = None if batch is None else operators.open_pass({**batch}, run)
        pairs: list[tuple[str, Callable[..., Any]]] = []
        for place in plan(steer, self):
            if self.point(place.location.site) is None:
                raise AdapterError(
                    f"the bridge has no hook point for '{place.location.site}'; use steer.on(bridge), which can write there"
                )
            language = place.location.site.tower == "language"

            def write(tensor: Tensor, steps: Any = place.steps, language: bool = language) -> Tensor:
                now = opened
                if language and now is None:
                    ids = {"inputs_embeds": tensor}
                    now = operators.open_pass(ids, operators.new_run(self.map.image_ids))
                return operators.apply(tensor, steps, now if language else None, tally)

            pairs.append((place.location.hook, flattened(write)))
        return pairs


def flattened(touch: Touch) -> Callable[..., Any]:
    """A TransformerLens hook: heads come as [row, token, head, d_head], and levelhead keeps them side by side."""

    def hook(tensor: Tensor, hook: Any = None) -> Tensor | None:
        if tensor.dim() < 4:
            return touch(tensor)
        new = touch(tensor.flatten(-2))
        return None if new is None else new.view(tensor.shape)

    return hook
