"""Choices as batches that gradients can pass through: any items, each in any order of its options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from levelhead.data.records import CapabilityRecord, ChoiceRecord, PromptRecord, open_picture
from levelhead.errors import InputError
from levelhead.graph import Graph
from levelhead.likelihood import Continuations, continued
from levelhead.methods.dso.encoded import Encoded
from levelhead.metrics.decisions.asking import LETTERS, Style, Wrap, orders_of, wording, wrapped
from levelhead.steer import Steer

Ids = tuple[int, ...]
Read: TypeAlias = Literal["last", "every"]


@dataclass(frozen=True)
class Answers:
    """What a model says to a batch of choices, one row each.

    Attributes
    ----------
    options : Float[Tensor, "asked option"]
        Log-probabilities of whole options, by the record's own numbering; -inf where there is none.
    whole : Float[Tensor, "asked token"]
        Log-probabilities of every token of the vocabulary as the answer's first.
    """

    options: Float[Tensor, "asked option"]
    whole: Float[Tensor, "asked token"]


class Questions:
    """Choices in every order of their options, each order a question of its own.

    Parameters
    ----------
    graph : Graph
    records : sequence of ChoiceRecord
    style, wrap
        As in `levelhead.metrics.decisions.Choices`.

    Raises
    ------
    InputError
        If one option of a choice begins another, so that saying the one cannot be told from beginning the other.
    """

    def __init__(self, graph: Graph, records: Sequence[ChoiceRecord], style: Style, wrap: Wrap) -> None:
        self.graph = graph
        self.records = list(records)
        self.prompts: list[Any] = []
        self.item: list[int] = []
        self.numbers: list[list[int]] = []
        pictures: dict[int, Any] = {}
        shown: list[list[str]] = []
        for i, record in enumerate(records):
            picture = picture_of(record.image, pictures)
            orders = orders_of(record)
            self.numbers.append(list(range(len(self.prompts), len(self.prompts) + len(orders))))
            for order in orders:
                text = wording(record, order, style)
                # Letters stand in places, and the option that stands there is what its letter answers.
                spoken = [LETTERS[order.index(k)] if style == "letters" else o for k, o in enumerate(record.options)]
                bare = wrap == "chat" or text.endswith((" ", "\n"))
                shown.append([option if bare else " " + option for option in spoken])
                self.prompts.append(wrapped(text, picture, wrap, graph))
                self.item.append(i)
        self.tokens: list[list[Ids]] = Continuations(graph, self.prompts, shown).tokens
        for number, options in enumerate(self.tokens):
            _check_apart(options, self.records[self.item[number]])
        self._encoded = Encoded(graph, self.prompts)
        self._width = max(map(len, self.tokens))

    def __len__(self) -> int:
        return len(self.prompts)

    def __call__(self, numbers: Sequence[int], steer: Steer | None = None) -> Answers:
        """Put some questions to the model; differentiable in the steer's tensors.

        Parameters
        ----------
        numbers : sequence of int
            Of questions, each an item in one order.
        steer : Steer, optional

        Returns
        -------
        Answers
        """
        begins = [_beginnings(self.tokens[number]) for number in numbers]
        rows = [(number, begin) for number, each in zip(numbers, begins, strict=True) for begin in each]
        batch = self._encoded([number for number, _ in rows])
        length = batch["input_ids"].shape[1]
        batch = continued(self.graph, batch, [begin for _, begin in rows])
        extra = batch["input_ids"].shape[1] - length
        logits = self.graph.logits(batch, steer, prompt_length=length, last=extra + 1)
        scores = logits[:, -extra - 1 :].float().log_softmax(-1)
        longest = max(len(option) for number in numbers for option in self.tokens[number])
        where = torch.zeros(len(numbers), self._width, longest, 3, dtype=torch.int64)
        real = torch.zeros(len(numbers), self._width, longest, dtype=torch.bool)
        first: list[int] = []
        row = 0
        for i, (number, each) in enumerate(zip(numbers, begins, strict=True)):
            first.append(row)
            for k, option in enumerate(self.tokens[number]):
                mine = row + next(j for j, begin in enumerate(each) if begin[: len(option) - 1] == option[:-1])
                for place, token in enumerate(option):
                    where[i, k, place] = torch.tensor((mine, place, token))
                    real[i, k, place] = True
            row += len(each)
        where, real = where.to(scores.device), real.to(scores.device)
        steps = scores[where[..., 0], where[..., 1], where[..., 2]]
        options = torch.where(real, steps, 0.0).sum(-1)
        options = torch.where(real.any(-1), options, -torch.inf)
        return Answers(options, scores[first, 0])

    def firsts(self, numbers: Sequence[int], size: int) -> Bool[Tensor, "asked token"]:
        """Which tokens of a vocabulary of a size begin one of the options."""
        mask = torch.zeros(len(numbers), size, dtype=torch.bool)
        for i, number in enumerate(numbers):
            mask[i, [option[0] for option in self.tokens[number]]] = True
        return mask


class Prompts:
    """Prompts whose answers should stay as they are, and how likely each token is to come next.

    Parameters
    ----------
    graph : Graph
    given : sequence of str, PromptRecord, CapabilityRecord or ChoiceRecord
        Choices are asked in every order.
    style, wrap
        As in `Questions`; texts of other records are wrapped alike.
    tokens : {"last", "every"}
        Where the next token is read: after the whole prompt, or after each of its tokens (behind its last picture).
    """

    def __init__(
        self,
        graph: Graph,
        given: Sequence[str | PromptRecord | CapabilityRecord | ChoiceRecord],
        style: Style,
        wrap: Wrap,
        tokens: Read = "last",
    ) -> None:
        self.graph = graph
        self.tokens: Read = tokens
        self.prompts: list[Any] = []
        pictures: dict[int, Any] = {}
        for each in given:
            picture = None if isinstance(each, str) else picture_of(each.image, pictures)
            texts = [each if isinstance(each, str) else each.prompt]
            if isinstance(each, ChoiceRecord):
                texts = [wording(each, order, style) for order in orders_of(each)]
            self.prompts += [wrapped(text, picture, wrap, graph) for text in texts]
        self._encoded = Encoded(graph, self.prompts)

    def __len__(self) -> int:
        return len(self.prompts)

    def __call__(self, numbers: Sequence[int], steer: Steer | None = None) -> list[Tensor]:
        """Log-probabilities of the next token, for each prompt a row for each place; differentiable in the steer's tensors."""
        batch = self._encoded(numbers)
        length = batch["input_ids"].shape[1]
        read = self._read(batch)
        last = length - int(read.any(0).nonzero()[0])
        logits = self.graph.logits(batch, steer, prompt_length=length, last=last)
        logprobs = logits[:, -last:].float().log_softmax(-1)
        return [row[mine] for row, mine in zip(logprobs, read[:, -last:].to(logprobs.device), strict=True)]

    def _read(self, batch: Mapping[str, Tensor]) -> Bool[Tensor, "asked token"]:
        layout = self.graph.layout(batch)
        places = torch.arange(layout.real.shape[1], device=layout.real.device)
        if self.tokens == "last":
            return places == layout.last[:, None]
        pictured = torch.where(layout.image, places, -1).amax(1)
        return layout.real & (places > pictured[:, None])


def picture_of(image: Any, opened: dict[int, Any]) -> Any:
    """Each picture decoded once, however often it is asked about."""
    if image is None:
        return None
    if id(image) not in opened:
        opened[id(image)] = open_picture(image)
    return opened[id(image)]


def _beginnings(options: list[Ids]) -> list[Ids]:
    """All tokens but the last of each option, without those that another one continues."""
    unique = list(dict.fromkeys(option[:-1] for option in options))
    return [one for one in unique if not any(len(o) > len(one) and o[: len(one)] == one for o in unique)]


def _check_apart(options: list[Ids], record: ChoiceRecord) -> None:
    for j, one in enumerate(options):
        for k, other in enumerate(options):
            if j != k and other[: len(one)] == one:
                raise InputError(
                    f"choice '{record.id}': the tokens of option {record.options[j]!r} begin those of {record.options[k]!r}, "
                    "so that an answer cannot be told apart; word them otherwise, or ask with style='letters'"
                )
