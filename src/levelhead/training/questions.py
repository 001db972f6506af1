"""Questions about the concept of a picture, with the two answers between which a model is to decide."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from levelhead.data.records import ImageRecord, Picture, open_picture
from levelhead.errors import InputError
from levelhead.graph import Graph
from levelhead.likelihood import Continuations, tokenizer_of
from levelhead.metrics.decisions.asking import Wrap, wrapped

Ask: TypeAlias = str | Callable[[str], str]
"""A question with ``{concept}`` in it, and ``{other}`` for a choice; or a function of the concept that gives the question."""

_FIELD = re.compile(r"\{(concept|other)\}")


@dataclass(frozen=True)
class Question:
    """What is asked about one record.

    Attributes
    ----------
    prompt : str, (image, str) or chat
        As `Graph.encode` takes it.
    answers : tuple of two str
        That assign, and that do not; with the space that sets them off.
    text : str
        The question alone.
    """

    prompt: Any
    answers: tuple[str, str]
    text: str


def questions(
    graph: Graph,
    records: Sequence[ImageRecord],
    *,
    ask: Ask = "is the person {concept}?",
    answers: tuple[str, str] = ("yes", "no"),
    others: Mapping[str, str] | None = None,
    wrap: Wrap = "raw",
) -> list[Question]:
    """The questions about all records; with `others` two for each, side by side, since a choice is asked in both orders.

    Parameters
    ----------
    graph : Graph
    records : sequence of ImageRecord
        Each with a concept.
    ask, answers, others, wrap
        As in `levelhead.training.Assignments`.

    Returns
    -------
    list of Question

    Raises
    ------
    InputError
        For a record without a concept, a concept without another one, or a question that does not name what it asks.
    """
    found: list[Question] = []
    pictures: dict[int, Any] = {}
    for record in records:
        if record.concept is None:
            raise InputError(f"record '{record.id}' has no concept to ask about; leave it out, or give it one")
        picture = _picture(record.image, pictures)
        for named, pair in _named(record.concept, answers, others):
            text = worded(ask, named)
            after = "" if wrap == "chat" or text.endswith((" ", "\n")) else " "
            found.append(Question(wrapped(text, picture, wrap, graph), (after + pair[0], after + pair[1]), text))
    return found


def _named(
    concept: str, answers: tuple[str, str], others: Mapping[str, str] | None
) -> list[tuple[dict[str, str], tuple[str, str]]]:
    """What a question names, in each order, and its answers."""
    if others is None:
        return [({"concept": concept}, answers)]
    if concept not in others:
        raise InputError(f"others= has nothing beside '{concept}'; it has {', '.join(sorted(others)) or 'no concept'}")
    other = others[concept]
    orders = ({"concept": concept, "other": other}, {"concept": other, "other": concept})
    return [(names, (concept, other)) for names in orders]


def worded(ask: Ask, names: Mapping[str, str]) -> str:
    """The question about a concept, and about the other one of a choice.

    Parameters
    ----------
    ask : str or callable
    names : mapping of str to str
        ``concept``, and ``other`` for a choice.

    Returns
    -------
    str

    Raises
    ------
    InputError
        For a text that does not name what it asks, or a function for a choice.
    """
    if callable(ask):
        if "other" in names:
            raise InputError("with others=, ask is a text with {concept} and {other} in it; found a function")
        return ask(names["concept"])
    missing = [f"{{{name}}}" for name in names if f"{{{name}}}" not in ask]
    if missing:
        raise InputError(f"ask has no {' and no '.join(missing)} in it; found {ask!r}")
    # Not str.format: a concept, or the question itself, may have braces of its own.
    return _FIELD.sub(lambda field: names.get(field[1], field[0]), ask)


def _picture(image: Picture, opened: dict[int, Any]) -> Any:
    """A path as it is, to be read when it is encoded; anything else decoded, once."""
    if image is None or isinstance(image, str | Path):
        return image
    if id(image) not in opened:
        opened[id(image)] = image if getattr(image, "mode", None) == "RGB" else open_picture(image)
    return opened[id(image)]


def check_answers(asked: Continuations, asking: Sequence[Question]) -> None:
    """Refuse answers that the tokenizer cannot tell apart at once.

    Raises
    ------
    InputError
        For an answer with unknown tokens, and for two that are the same tokens or begin alike.
    """
    unknown = getattr(tokenizer_of(asked.graph), "unk_token_id", None)
    for question, (yes, no) in zip(asking, asked.tokens, strict=True):
        first, second = (repr(answer.strip()) for answer in question.answers)
        lacking = [name for name, ids in ((first, yes), (second, no)) if unknown in ids]
        if lacking:
            raise InputError(
                f"the tokenizer has no word for the answer {' and '.join(lacking)}: it became an unknown token; give answers= in "
                "words that the model knows"
            )
        if yes == no:
            raise InputError(f"the answers {first} and {second} are the same tokens {list(yes)}; give two that differ")
        if yes[0] == no[0]:
            raise InputError(
                f"the answers {first} and {second} begin with the same token {yes[0]}, so that what the model says first does "
                "not tell them apart; word them so that they begin differently, or let the question end with what they share"
            )
