"""Prompts with pictures, each prepared for the model once, however many steps ask it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from levelhead.graph import Graph
from levelhead.inputs import has_picture
from levelhead.likelihood import tokenizer_of

_KEPT = 2**30
"""Bytes of prepared prompts that are kept; the others are prepared whenever they are asked."""
_BY_TOKEN = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")
_BY_PICTURE = ("pixel_values", "pixel_attention_mask", "image_grid_thw")


class Encoded:
    """Prompts as batches in any mixture: what `Graph.encode` gives, without reading the pictures again.

    Rows that were encoded alone are padded on the left and put one below the other. The first batch is also encoded as a whole,
    and where the two differ in anything, as with inputs that are unknown here, all others are encoded as a whole as well.

    Parameters
    ----------
    graph : Graph
    prompts : sequence of str, (image, str) or chat
    """

    def __init__(self, graph: Graph, prompts: Sequence[Any]) -> None:
        self._graph, self._prompts = graph, prompts
        self._rows: dict[int, dict[str, Tensor]] = {}
        self._bytes = 0
        self._checked = False
        self._joins = any(has_picture(prompt) for prompt in prompts)

    def __call__(self, numbers: Sequence[int]) -> dict[str, Tensor]:
        """Encode some prompts, by number; one may come several times."""
        joined = self._joined(numbers) if self._joins else None
        if joined is not None and self._checked:
            return joined
        whole = dict(self._graph.encode([self._prompts[number] for number in numbers]))
        if self._joins and not self._checked:
            self._joins = self._checked = joined is not None and _same(joined, whole)
            if not self._joins:
                self._rows.clear()
        return whole

    def _joined(self, numbers: Sequence[int]) -> dict[str, Tensor] | None:
        rows = [self._row(number) for number in numbers]
        names = list(rows[0])
        if not {*names} <= {*_BY_TOKEN, *_BY_PICTURE} or any([*row] != names for row in rows):
            return None
        if any(row[name].shape[1:] != rows[0][name].shape[1:] for row in rows for name in names if name in _BY_PICTURE):
            return None
        longest = max(row["input_ids"].shape[1] for row in rows)
        device = next(self._graph.model.parameters()).device
        return {name: torch.cat([self._padded(name, row[name], longest) for row in rows]).to(device) for name in names}

    def _padded(self, name: str, row: Tensor, longest: int) -> Tensor:
        if name not in _BY_TOKEN:
            return row
        tokenizer = tokenizer_of(self._graph)
        pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        return torch.nn.functional.pad(row, (longest - row.shape[1], 0), value=pad if name == "input_ids" else 0)

    def _row(self, number: int) -> dict[str, Tensor]:
        if number in self._rows:
            return self._rows[number]
        row = {name: value.cpu() for name, value in self._graph.encode([self._prompts[number]]).items()}
        size = sum(value.nbytes for value in row.values())
        if self._bytes + size <= _KEPT:
            self._rows[number] = row
            self._bytes += size
        return row


def _same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        value.shape == other[name].shape and torch.equal(value, other[name]) for name, value in one.items()
    )
