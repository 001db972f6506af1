"""Items as batches, and the difference between the two answers read from their logits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from levelhead.errors import InputError
from levelhead.graph import Graph
from levelhead.heads.items import Items
from levelhead.likelihood import Continuations, continued

_KEPT = 2**30
"""Bytes of encoded prompts that are kept for the next run."""


@dataclass(frozen=True)
class Batch:
    """Rows that go through the model together; a wording whose words begin apart has two.

    Attributes
    ----------
    wordings : list of int
        Of each row.
    weights : Float[Tensor, "row"]
        What each row counts in a mean over wordings.
    prompts, full : dict of str to Tensor
        Without and with the words' beginnings behind them.
    length : int
        P, the length of the prompts with their pads.
    reads : Int[Tensor, "read 3"]
        Row, place and token of each log-probability.
    signs : Float[Tensor, "read"]
        1 for the stereotype's words, -1 for the others.
    """

    wordings: list[int]
    weights: Float[Tensor, " row"]
    prompts: dict[str, Tensor]
    full: dict[str, Tensor]
    length: int
    reads: Int[Tensor, "read 3"]
    signs: Float[Tensor, " read"]

    @property
    def last(self) -> int:
        """Of how many last positions the logits are needed."""
        return self.full["input_ids"].shape[1] - self.length + 1

    def scores(self, logits: Float[Tensor, "*run row token vocab"]) -> Float[Tensor, "*run row"]:
        """Each row's share of its wording's difference, in nats."""
        logprobs = logits[..., -self.last :, :].float().log_softmax(-1)
        row, place, token = self.reads.to(logits.device).unbind(1)
        values = logprobs[..., row, place, token] * self.signs.to(logprobs)
        return logprobs.new_zeros(logprobs.shape[:-2]).index_add(-1, row, values)

    def objective(self, logits: Float[Tensor, "row token vocab"]) -> Float[Tensor, ""]:
        """The sum over rows, which do not touch one another."""
        return self.scores(logits).sum()


class Asking:
    """Items encoded once for a graph, and put to it as often as one likes.

    Parameters
    ----------
    graph : Graph
        With a tokenizer or processor.
    items : Items
    rows : int
        Prompts of a pass.
    times : int
        How often a pass may repeat them.
    """

    def __init__(self, graph: Graph, items: Items, rows: int, times: int) -> None:
        self.graph = graph
        self.times = times
        self.rows = rows
        self.items = items
        tokens: Any = Continuations(graph, items.prompts, items.words).tokens
        self.tokens: list[tuple[tuple[int, ...], tuple[int, ...]]] = [(pro, anti) for pro, anti in tokens]
        same = [i for i, (pro, anti) in enumerate(self.tokens) if pro == anti]
        if same:
            raise InputError(
                f"the two words {items.words[same[0]]!r} are spelled with the same tokens; nothing sets them apart"
            )
        found = [(i, *row) for i, pair in enumerate(self.tokens) for row in _rows(*pair)]
        # Prompts of like length together.
        found.sort(key=lambda row: (len(row[1]), len(str(items.prompts[row[0]]))))
        self._rows = [found[first : first + rows] for first in range(0, len(found), rows)]
        self._kept: dict[int, Batch] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Batch]:
        for number, rows in enumerate(self._rows):
            if number in self._kept:
                yield self._kept[number]
                continue
            batch = self._encoded(rows)
            size = sum(value.nbytes for value in batch.full.values())
            if self._bytes + size <= _KEPT:
                self._kept[number] = batch
                self._bytes += size
            yield batch

    def _encoded(self, rows: list[Any]) -> Batch:
        encoded = dict(self.graph.encode([self.items.prompts[i] for i, *_ in rows]))
        reads = [
            (number, place, token, sign)
            for number, (_, _, words) in enumerate(rows)
            for sign, word in words
            for place, token in enumerate(word)
        ]
        return Batch(
            [i for i, *_ in rows],
            torch.tensor([1 / len(_rows(*self.tokens[i])) for i, *_ in rows]),
            encoded,
            continued(self.graph, encoded, [begin for _, begin, _ in rows]),
            encoded["input_ids"].shape[1],
            torch.tensor([read[:3] for read in reads]),
            torch.tensor([float(read[3]) for read in reads]),
        )


def _rows(
    pro: tuple[int, ...], anti: tuple[int, ...]
) -> list[tuple[tuple[int, ...], list[tuple[int, tuple[int, ...]]]]]:
    """One row where one word's beginning can be read within the other's, else two."""
    long, short = (pro, anti) if len(pro) >= len(anti) else (anti, pro)
    if long[: len(short) - 1] == short[:-1]:
        return [(long[:-1], [(1, pro), (-1, anti)])]
    return [(pro[:-1], [(1, pro)]), (anti[:-1], [(-1, anti)])]
