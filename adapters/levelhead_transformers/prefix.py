"""Prefix reuse: a steered pass begins from the unsteered residual stream of the first layer that is steered.

A sweep steers the same prompts at one layer after another, and what comes before the edit is the same every time. Here it
is computed once for each batch and kept; blocks before the edit then hand on what they are given.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from levelhead.steer import Steer
from levelhead_transformers.fan import Fan
from levelhead_transformers.hooks import HookGraph

ROOM = 2**31
"""Bytes of residual streams that are kept; batches for which there is no room run in full."""


class PrefixGraph(HookGraph):
    """A graph of a plain transformers model that keeps the residual streams of the batches it has seen.

    Logits are those of `HookGraph` to the bit. Only passes without gradients are shortened, and only those whose edits
    and gates are all in the language model. Weights must stay as they are for as long as the graph is used.

    Parameters
    ----------
    inner : HookGraph
        The graph of the model.
    room : int
        Bytes that may be kept.
    """

    def __init__(self, inner: HookGraph, room: int = ROOM) -> None:
        super().__init__(inner.model, inner._processor)
        self._room, self._bytes = room, 0
        self._kept: dict[str, list[Tensor] | None] = {}
        self._inside = False

    def forget(self) -> None:
        """Let go of what was kept."""
        self._kept.clear()
        self._bytes = 0

    def logits(
        self,
        batch: Mapping[str, Tensor],
        steer: Steer | None = None,
        prompt_length: int | None = None,
        last: int = 0,
    ) -> Tensor:
        with self._resumed(batch, steer):
            return super().logits(batch, steer, prompt_length, last)

    def logits_at(
        self,
        batch: Mapping[str, Tensor],
        steer: Steer,
        strengths: Tensor,
        prompt_length: int | None = None,
        last: int = 0,
    ) -> Tensor:
        with self._resumed(batch, steer):
            return super().logits_at(batch, steer, strengths, prompt_length, last)

    @contextmanager
    def _resumed(self, batch: Mapping[str, Tensor], steer: Steer | None) -> Iterator[None]:
        """Skip what comes before the edits of a steer for the length of a block, where that can be done."""
        first = 0
        if steer is not None and not self._inside and not torch.is_grad_enabled():
            first = self._first(steer)
        # The pass that fills the memory costs as much as it saves the first time.
        streams = self._streams(batch) if first else None
        if streams is None:
            yield
            return
        blocks: list[Any] = self.map.blocks[:first]
        before = [vars(block).get("forward") for block in blocks]
        self._inside = True
        try:
            for number, block in enumerate(blocks):
                block.forward = _stand_in(block.forward, streams[number], last=number == first - 1)
            yield
        finally:
            self._inside = False
            for block, own in zip(blocks, before, strict=True):
                del block.forward
                if own is not None:
                    block.forward = own

    def _first(self, steer: Steer) -> int:
        """The first block that has to run: the ones before see nothing of the steer. 0 where none can be left out."""
        if not self.one_pass(steer) or any(gate.site.tower != "language" for gate in steer.gates):
            return 0
        fan = Fan.of(steer, self.map, 1)
        return 0 if fan is None else fan.first

    def _streams(self, batch: Mapping[str, Tensor]) -> list[Tensor] | None:
        """What every block gives for a batch, unsteered; None where there is no room, or a block gives more than that."""
        key = _key(batch)
        if key not in self._kept:
            found: list[Tensor] = []
            fits = [True]

            def keep(_: nn.Module, __: Any, output: Any) -> None:
                # What a block gives beside the stream would have to be made up.
                fits[0] &= isinstance(output, Tensor) and self._bytes + output.nbytes <= self._room
                if fits[0]:
                    found.append(output)
                    self._bytes += output.nbytes

            handles = [block.register_forward_hook(keep) for block in self.map.blocks]
            try:
                self._forward(batch, 1)
            finally:
                for handle in handles:
                    handle.remove()
            if not fits[0] or len(found) != len(self.map.blocks):
                self._bytes -= sum(each.nbytes for each in found)
                found.clear()
            self._kept[key] = found or None
        return self._kept[key]


def reusing(graph: Any) -> Any:
    """The same graph with prefix reuse, where it is one of plain forward hooks; otherwise as it is."""
    return PrefixGraph(graph) if type(graph) is HookGraph else graph


def _stand_in(real: Any, stream: Tensor, *, last: bool) -> Any:
    """In place of a block: hand on what comes in, and at the last one what the block would have given."""

    def forward(*args: Any, **kwargs: Any) -> Any:
        hidden: Tensor = args[0] if args else kwargs["hidden_states"]
        # Another batch than the one that was asked for, such as its repetition where a model cannot part rows late.
        if hidden.shape != stream.shape:
            return real(*args, **kwargs)
        return stream if last else hidden

    return forward


def _key(batch: Mapping[str, Tensor]) -> str:
    """A digest of a batch, by which it is known when it comes again."""
    seen = hashlib.sha256()
    for name in sorted(batch):
        value = batch[name].detach().cpu().contiguous()
        seen.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        seen.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return seen.hexdigest()
