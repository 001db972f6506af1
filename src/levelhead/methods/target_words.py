"""Target words: how a tokenizer spells them behind a prompt, and how near a model is to saying them."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from levelhead.errors import InputError
from levelhead.graph import Graph
from levelhead.likelihood import Continuations, continued, tokenizer_of

Loss: TypeAlias = Literal["sum_prob", "max_logit", "cross_entropy"]
LOSSES: tuple[Loss, ...] = ("sum_prob", "max_logit", "cross_entropy")

_OPENING = "([{“‘«¿¡"
_SPACELESS = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")


@dataclass(frozen=True)
class Spelling:
    """Words as token ids behind one prompt.

    Attributes
    ----------
    beginning : tuple of int
        The answer's beginning, which is given to the model.
    words, against : tuple of tuple of int
        The words that may come next.
    """

    beginning: tuple[int, ...]
    words: tuple[tuple[int, ...], ...]
    against: tuple[tuple[int, ...], ...] = ()

    @property
    def slots(self) -> list[tuple[int, ...]]:
        """What of the words has to be given so that the rest can be predicted; a row each, words of one token share one."""
        begins = list(dict.fromkeys(word[:-1] for word in (*self.words, *self.against)))
        return [one for one in begins if not any(len(o) > len(one) and o[: len(one)] == one for o in begins)]


def spell(
    graph: Graph, prompt: Any, words: Sequence[str], against: Sequence[str] = (), beginning: str = ""
) -> Spelling:
    """Spell words as they would come behind a prompt, in front of which a space stands where one belongs.

    Parameters
    ----------
    graph : Graph
        With a tokenizer or processor.
    prompt : str, (image, str) or chat
    words, against : sequence of str
        One that starts with a space is taken as it is.
    beginning : str
        Of the answer.

    Returns
    -------
    Spelling

    Raises
    ------
    InputError
        For no words, words on both sides, and those that the tokenizer cannot spell.
    """
    pairs: list[tuple[str, Any]] = [("words", words), ("against", against)]
    for name, given in pairs:
        if isinstance(given, str) or not all(isinstance(word, str) and word.strip() for word in given):
            raise InputError(f"{name} is a list of words, none of them empty; found {given!r}")
    if not words:
        raise InputError("no words were given; name those that the model should be led to and away from")
    both = sorted({word.strip() for word in words} & {word.strip() for word in against})
    if both:
        raise InputError(f"{', '.join(both)}: a word cannot be among the words and those against them")
    tokenizer = tokenizer_of(graph)
    gap = _gap(graph, prompt)
    context = prompt if isinstance(prompt, str) else "x" if gap else "x\n"
    lead = "" if not beginning.strip() else _spaced(beginning.strip(), gap)
    if lead:
        gap = "" if lead[-1] in _OPENING else " "
    texts = [lead + _spaced(word, gap) for word in (*words, *against)]
    options = [*texts, *([lead] if lead else [])]
    ids = Continuations(graph, [context], [options]).tokens[0]
    start = ids[-1] if lead else ()
    found: list[tuple[int, ...]] = []
    for word, whole in zip((*words, *against), ids, strict=False):
        own = whole[len(start) :]
        if whole[: len(start)] != start or not own:
            raise InputError(f"the tokenizer joins {beginning!r} and the word {word!r} into one; change the beginning")
        _check(tokenizer, word, own)
        found.append(own)
    aside = [word for word in found[len(words) :] if word in found[: len(words)]]
    if aside:
        raise InputError(f"the tokenizer spells {tokenizer.decode(list(aside[0]))!r} the same on both sides")
    unique = [tuple(dict.fromkeys(part)) for part in (found[: len(words)], found[len(words) :])]
    return Spelling(start, *unique)


def _spaced(word: str, gap: str) -> str:
    if word[0].isspace():
        return word.rstrip()
    spaceless = unicodedata.name(word.strip()[0], "").startswith(_SPACELESS)
    return ("" if spaceless else gap) + word.strip()


def _gap(graph: Graph, prompt: Any) -> str:
    """The space that a word needs behind a prompt: none after another one, a bracket, or a token that opens a turn."""
    if isinstance(prompt, str):
        return "" if not prompt or prompt[-1].isspace() or prompt[-1] in _OPENING else " "
    tokenizer = tokenizer_of(graph)
    # What a chat template puts at the end can only be seen in the encoded prompt.
    last = int(graph.encode([prompt])["input_ids"][0, -1])
    if last in tokenizer.all_special_ids:
        return ""
    end = tokenizer.decode([last])
    return "" if not end or end[-1].isspace() or end[-1] in _OPENING else " "


def _check(tokenizer: Any, word: str, ids: tuple[int, ...]) -> None:
    unknown = getattr(tokenizer, "unk_token_id", None)
    again = tokenizer.decode(list(ids))
    if (unknown is not None and unknown in ids) or "".join(again.split()) != "".join(word.split()):
        raise InputError(
            f"the tokenizer cannot spell {word!r}: it reads back {again.strip()!r}; use a word out of its vocabulary, in a case "
            "and script that it knows"
        )


@dataclass(frozen=True)
class Target:
    """An encoded batch of prompts with the words behind them, and the loss of saying them.

    Attributes
    ----------
    prompts : dict of str to Tensor
        The batch with the answer's beginning behind each row; P positions.
    batch : dict of str to Tensor
        Its rows once for each slot of the spelling, with the slot's tokens behind them.
    spelling : Spelling
    loss : str
    """

    prompts: Mapping[str, Tensor]
    batch: dict[str, Tensor]
    spelling: Spelling
    loss: Loss

    @classmethod
    def of(cls, graph: Graph, encoded: Mapping[str, Tensor], spelling: Spelling, loss: Loss) -> Target:
        """Put the words behind an encoded batch."""
        rows = len(encoded["input_ids"])
        prompts = continued(graph, encoded, [spelling.beginning] * rows)
        slots = spelling.slots
        times = len(slots)
        copies = {name: value.repeat(times, *[1] * (value.dim() - 1)) for name, value in prompts.items()}
        return cls(prompts, continued(graph, copies, [slot for slot in slots for _ in range(rows)]), spelling, loss)

    @property
    def length(self) -> int:
        """P: where the words begin."""
        return self.prompts["input_ids"].shape[1]

    @property
    def last(self) -> int:
        """Of how many last positions the logits are needed."""
        return self.batch["input_ids"].shape[1] - self.length + 1

    @property
    def copies(self) -> int:
        """How often each row is in the batch."""
        return len(self.spelling.slots)

    def __call__(self, logits: Float[Tensor, "row token vocab"]) -> Float[Tensor, ""]:
        """The loss, summed over prompts."""
        score = _TOTALS[self.loss]
        near = score(self._scores(logits, self.spelling.words))
        if self.spelling.against:
            near = near - score(self._scores(logits, self.spelling.against))
        return -near.sum()

    def _scores(
        self, logits: Float[Tensor, "row token vocab"], words: tuple[tuple[int, ...], ...]
    ) -> Float[Tensor, "prompt word"]:
        """Log-probability of each word; with ``max_logit``, what it would be had the first token's not been normalized."""
        raw = logits[:, -self.last :].unflatten(0, (self.copies, -1))
        raw = raw.float() if raw.dtype in (torch.float16, torch.bfloat16) else raw
        slots = self.spelling.slots
        found: list[Tensor] = []
        for word in words:
            row = next(j for j, slot in enumerate(slots) if slot[: len(word) - 1] == word[:-1])
            steps = raw[row, :, : len(word)]
            ids = torch.tensor(word, device=raw.device)
            own = steps.gather(2, ids[None, :, None].expand(len(steps), -1, 1))[..., 0]
            whole = steps.logsumexp(-1)
            if self.loss == "max_logit":
                whole = torch.cat([torch.zeros_like(whole[:, :1]), whole[:, 1:]], dim=1)
            found.append((own - whole).sum(1))
        return torch.stack(found, 1)


_TOTALS: dict[str, Callable[[Tensor], Tensor]] = {
    "sum_prob": lambda scores: scores.logsumexp(1),
    "max_logit": lambda scores: scores.amax(1),
    "cross_entropy": lambda scores: scores.mean(1),
}
"""From the scores of words to how near a prompt is to them."""
