"""What is asked: items, each in one wording or several, with the words for and against a stereotype."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from levelhead.data.records import ChoiceRecord, open_picture, sets_of
from levelhead.errors import InputError
from levelhead.graph import Graph
from levelhead.metrics.decisions.asking import LETTERS, Style, Wrap, orders_of, wording, wrapped

Words = tuple[str, str]


@dataclass(frozen=True)
class Items:
    """Items in all their wordings.

    Attributes
    ----------
    prompts : list
        A wording each, as `Graph.encode` takes it.
    words : list of (str, str)
        For each wording, the continuation that follows the stereotype and the one that breaks it.
    item : list of int
        Which item each wording is of.
    targets, clusters : list of str
        An item each.
    partners : list of list of int
        For each wording, the same wording of the counterfactuals of its item.
    """

    prompts: list[Any]
    words: list[Words]
    item: list[int]
    targets: list[str]
    clusters: list[str]
    partners: list[list[int]]

    def __len__(self) -> int:
        return len(self.targets)

    def part(self, keep: Bool[np.ndarray, " item"]) -> Items:
        """Some of the items; partners among them stay partners."""
        number = np.cumsum(keep) - 1
        kept = [i for i, item in enumerate(self.item) if keep[item]]
        place = {old: new for new, old in enumerate(kept)}
        return Items(
            [self.prompts[i] for i in kept],
            [self.words[i] for i in kept],
            [int(number[self.item[i]]) for i in kept],
            [one for one, wanted in zip(self.targets, keep, strict=True) if wanted],
            [one for one, wanted in zip(self.clusters, keep, strict=True) if wanted],
            [[place[j] for j in self.partners[i] if j in place] for i in kept],
        )

    def averaged(self, values: Float[np.ndarray, "... wording"]) -> Float[np.ndarray, "... item"]:
        """Means over the wordings of each item."""
        member = np.zeros((len(self.item), len(self)))
        member[np.arange(len(self.item)), self.item] = 1
        return (values @ member) / member.sum(0)


def of_records(graph: Graph, records: Sequence[ChoiceRecord], style: Style, wrap: Wrap) -> Items:
    """Choices in every order, as `levelhead.metrics.decisions.Choices` asks them."""
    prompts: list[Any] = []
    words: list[Words] = []
    item: list[int] = []
    places: dict[Hashable, list[int]] = {}
    keys: list[Hashable] = []
    pictures: dict[int, Any] = {}
    for number, record in enumerate(records):
        pro, anti = _sides(record)
        if record.image is not None and id(record.image) not in pictures:
            pictures[id(record.image)] = open_picture(record.image)
        picture = pictures.get(id(record.image))
        for turn, order in enumerate(orders_of(record)):
            text = wording(record, order, style)
            shown = {
                option: LETTERS[i] if style == "letters" else record.options[option] for i, option in enumerate(order)
            }
            gap = "" if wrap == "chat" or text.endswith((" ", "\n")) else " "
            key = (record.set_id, record.target, record.category, record.options, turn)
            places.setdefault(key, []).append(len(prompts))
            keys.append(key if record.set_id is not None else None)
            prompts.append(wrapped(text, picture, wrap, graph))
            words.append((gap + shown[pro], gap + shown[anti]))
            item.append(number)
    groups = [(record.group, record.groups) for record in records]
    partners = [
        [] if key is None else [j for j in places[key] if _differ(item[i], item[j], groups)]
        for i, key in enumerate(keys)
    ]
    # Without a target, an item is a target of its own: nothing says whose lean it would share.
    targets = [record.target or f"item {i}" for i, record in enumerate(records)]
    return Items(prompts, words, item, targets, sets_of(records), partners)


def of_prompts(prompts: Sequence[Any], words: Any, groups: Sequence[str] | None) -> Items:
    """Prompts with two words each, or the same two for all; every prompt is a target of its own."""
    pairs: list[Any] = [words] * len(prompts) if words and isinstance(words[0], str) else list(words)
    wrong = [pair for pair in pairs if len(pair) != 2 or not all(isinstance(word, str) for word in pair)]
    if wrong or len(pairs) != len(prompts):
        raise InputError(
            "words= is a pair (the stereotype's word, the other), or one pair for each prompt; found "
            + (f"{wrong[0]!r}" if wrong else f"{len(pairs)} pairs for {len(prompts)} prompts")
        )
    if groups is not None and len(groups) != len(prompts):
        raise InputError(f"groups= is one for each prompt; found {len(groups)} for {len(prompts)} prompts")
    own = [f"item {i}" for i in range(len(prompts))]
    return Items(
        list(prompts),
        [(pair[0], pair[1]) for pair in pairs],
        list(range(len(prompts))),
        own,
        own if groups is None else [str(group) for group in groups],
        [[] for _ in prompts],
    )


def _sides(record: ChoiceRecord) -> tuple[int, int]:
    """The option that follows the stereotype, and the one that breaks it."""
    others = [i for i in range(len(record.options)) if i not in (record.pro, record.unknown)]
    if record.pro is None or len(others) != 1:
        raise InputError(
            f"choice '{record.id}' needs one option that follows the stereotype (pro=) and one that breaks it; found "
            f"pro={record.pro} and {len(others)} others among {list(record.options)}"
        )
    return record.pro, others[0]


def _differ(one: int, other: int, groups: list[tuple[Any, Any]]) -> bool:
    told = any(groups[i][0] is not None or groups[i][1] for i in (one, other))
    return groups[one] != groups[other] if told else one != other
