"""Rows that part late: a batch at many strengths shares all that comes before the first edit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from levelhead.steer import Steer
from levelhead_transformers.modules import ModuleMap, parameters_of


class Unsuited(Exception):
    """A model hands its blocks something that cannot be repeated row by row; the batch itself must be repeated."""


def tiled(batch: Mapping[str, Any], times: int) -> dict[str, Any]:
    """A batch, `times` times below itself; what is no tensor stays as it is."""
    return {name: repeated(value, times) if isinstance(value, Tensor) else value for name, value in batch.items()}


def repeated(tensor: Tensor, times: int) -> Tensor:
    """A tensor, `times` times below itself."""
    return tensor.repeat(times, *[1] * (tensor.dim() - 1))


@dataclass(frozen=True)
class Fan:
    """Repeats the rows of a forward pass from one block on.

    Attributes
    ----------
    blocks : list of nn.Module
        Of the language model.
    first : int
        The first block that sees the repeated rows; their number, where only the last norm does.
    times : int
    """

    blocks: list[nn.Module]
    first: int
    times: int

    @classmethod
    def of(cls, steer: Steer, modules: ModuleMap, times: int) -> Fan | None:
        """The latest fan that comes before every edit of a steer; None where a model has no room for one."""
        blocks = modules.blocks
        config: Any = getattr(modules.decoder, "config", None)
        # Pictures that are added between blocks, and keys that later blocks share, are tied to the first rows.
        if "deepstack_visual_embeds" in parameters_of(modules.decoder) or getattr(config, "num_kv_shared_layers", 0):
            return None
        sites = [*steer.sites, *(gate.site for gate in steer.gates)]
        firsts = [
            len(blocks) if site.layer is None else site.layer + (site.component == "resid_post") for site in sites
        ]
        first = min(firsts)
        if any(site.component == "resid_pre" and site.layer == 0 for site in sites):
            return None  # a bridge's hook point there comes before the block itself
        return cls(blocks, first, times)

    @contextmanager
    def spread(self) -> Iterator[None]:
        """Repeat rows for the length of a block; raises Unsuited inside where a model's blocks do not allow it."""
        handles: list[Any] = []
        rows: list[int] = []
        try:
            for block in self.blocks[max(self.first, 1) :]:
                handles.append(block.register_forward_pre_hook(self._widen(rows), with_kwargs=True, prepend=True))
            if self.first == 0:
                handles.append(
                    self.blocks[0].register_forward_pre_hook(self._start(rows), with_kwargs=True, prepend=True)
                )
            else:
                handles.append(self.blocks[self.first - 1].register_forward_hook(self._part(rows), prepend=True))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _start(self, rows: list[int]) -> Any:
        widen = self._widen(rows)

        def start(block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            hidden: Tensor = args[0] if args else kwargs["hidden_states"]
            rows.append(len(hidden))
            many = repeated(hidden, self.times)
            args, kwargs = widen(block, args, kwargs)
            return ((many, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": many})

        return start

    def _part(self, rows: list[int]) -> Any:
        def part(_: nn.Module, __: Any, output: Any) -> Any:
            hidden: Tensor = output[0] if isinstance(output, tuple) else output
            rows.append(len(hidden))
            many = repeated(hidden, self.times)
            return (many, *output[1:]) if isinstance(output, tuple) else many

        return part

    def _widen(self, rows: list[int]) -> Any:
        def widen(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            n = rows[-1]
            hidden = args[:1] if args else ()
            others = tuple(self._wide(value, n) for value in args[1:])
            named = {k: v if k == "hidden_states" else self._wide(v, n) for k, v in kwargs.items()}
            return (*hidden, *others), named

        return widen

    def _wide(self, value: Any, n: int) -> Any:
        """An argument of a block for all the rows; one row for all is left alone."""
        if isinstance(value, tuple):
            return tuple(self._wide(part, n) for part in value)
        if not isinstance(value, Tensor) or value.dim() < 2:
            return value
        # A mask [row, 1, query, key], angles [row, token, d], numbers [row, token]: anything else is not ours to guess.
        if value.dim() > 4 or (value.dim() == 4 and value.shape[1] != 1) or len(value) not in (1, n):
            raise Unsuited
        return repeated(value, self.times) if len(value) == n > 1 else value
