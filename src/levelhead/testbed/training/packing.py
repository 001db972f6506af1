"""Many questions behind one picture: each sees the picture and itself, and only answers count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from levelhead.testbed.captions import PROMPT, caption
from levelhead.testbed.language import Answer, tokens
from levelhead.testbed.model import IDS, IMAGE_TOKENS, WORDS
from levelhead.testbed.questions import KINDS, Question, questions
from levelhead.testbed.scene import Scene
from levelhead.testbed.training.recipe import Recipe
from levelhead.testbed.training.scenes import Random

PREFIX = 1 + IMAGE_TOKENS
"""Tokens before the question: the beginning, and the picture."""

CAPTION = "caption"
TOPICS: tuple[str, ...] = (
    CAPTION,
    *(
        f"{'planted' if group == 'planted' else 'clear'} {kind}"
        for kind, each in KINDS.items()
        for group in each.groups
    ),
)
"""What the progress of training is counted by."""
_TOPIC = {topic: number for number, topic in enumerate(TOPICS)}


def topic(question: Question) -> int:
    """Number of a question's topic."""
    return _TOPIC[f"{'planted' if question.group == 'planted' else 'clear'} {question.kind}"]


@dataclass(frozen=True)
class Packed:
    """A batch of pictures, each with its questions in one row.

    Attributes
    ----------
    pictures : Int[Tensor, "picture"]
        Their numbers among the scenes that were packed.
    input_ids, positions : Int[Tensor, "picture token"]
        Positions begin anew behind the picture for every question.
    mask : Bool[Tensor, "picture 1 token token"]
        Which token sees which.
    rows, columns : Int[Tensor, "target"]
        Where a word is predicted.
    chances : Float[Tensor, "target word"]
        The true distribution of that word.
    weights : Float[Tensor, "target"]
    topics : Int[Tensor, "target"]
        Numbers of `TOPICS`; -1 for the end of an answer.
    """

    pictures: Int[Tensor, " picture"]
    input_ids: Int[Tensor, "picture token"]
    positions: Int[Tensor, "picture token"]
    mask: Bool[Tensor, "picture 1 token token"]
    rows: Int[Tensor, " target"]
    columns: Int[Tensor, " target"]
    chances: Float[Tensor, "target word"]
    weights: Float[Tensor, " target"]
    topics: Int[Tensor, " target"]


@dataclass
class _Row:
    ids: list[int]
    blocks: list[int]
    places: list[int]
    targets: list[tuple[int, Mapping[str, float], float, int]]


def pack(
    scenes: Sequence[Scene],
    rngs: Sequence[Random],
    recipe: Recipe,
    urgency: Mapping[int, float],
    size: int = 8,
) -> list[Packed]:
    """Ask questions of scenes, and pack them; rows of about one length together, so that little is padding.

    Parameters
    ----------
    scenes : sequence of Scene
    rngs : sequence of numpy.random.Generator
        One a scene.
    recipe : Recipe
    urgency : mapping of int to float
        How often each topic is asked, relative to the others.
    size : int
        Pictures in each batch that is returned.
    """
    rows = [_row(scene, rng, recipe, urgency) for scene, rng in zip(scenes, rngs, strict=True)]
    order = sorted(range(len(rows)), key=lambda number: len(rows[number].ids))
    parts = [order[first : first + size] for first in range(0, len(order), size)]
    return [_collate([rows[number] for number in part], part) for part in parts]


def _collate(rows: Sequence[_Row], pictures: Sequence[int]) -> Packed:
    width = max(len(row.ids) for row in rows)
    ids = np.full((len(rows), width), IDS["<pad>"])
    blocks = np.full((len(rows), width), -1)
    places = np.zeros((len(rows), width), dtype=np.int64)
    for number, row in enumerate(rows):
        ids[number, : len(row.ids)] = row.ids
        blocks[number, : len(row.ids)] = row.blocks
        places[number, : len(row.ids)] = row.places
    sees = (blocks[:, :, None] == blocks[:, None, :]) | (blocks[:, None, :] == 0)
    sees &= np.tri(width, dtype=bool)
    flat = [(number, *target) for number, row in enumerate(rows) for target in row.targets]
    chances = np.zeros((len(flat), len(WORDS)), dtype=np.float32)
    for number, (_, _, words, _, _) in enumerate(flat):
        for word, chance in words.items():
            chances[number, IDS[word]] = chance
    return Packed(
        torch.tensor(pictures),
        torch.from_numpy(ids),
        torch.from_numpy(places),
        torch.from_numpy(sees)[:, None],
        torch.tensor([row for row, *_ in flat]),
        torch.tensor([column for _, column, *_ in flat]),
        torch.from_numpy(chances),
        torch.tensor([weight for _, _, _, weight, _ in flat]),
        torch.tensor([number for *_, number in flat]),
    )


def _row(scene: Scene, rng: Random, recipe: Recipe, urgency: Mapping[int, float]) -> _Row:
    row = _Row([IDS["<s>"]] + [IDS["<image>"]] * IMAGE_TOKENS, [0] * PREFIX, list(range(PREFIX)), [])
    pool = questions(scene, recipe.planted)
    # The largest keys of exponential clocks: a draw without replacement, with chances in proportion to urgency.
    keys = rng.exponential(size=len(pool)) / np.array([urgency[topic(question)] for question in pool])
    for number in np.argsort(keys)[: recipe.questions]:
        question = pool[number]
        weight = recipe.answer_weight if question.group == "planted" else 1.0
        _append(row, question.text, question.answer(rng), topic(question), weight, weight, recipe.end_weight)
    if rng.random() < recipe.captions:
        said = caption(scene, rng, recipe.planted)
        _append(row, PROMPT, said, _TOPIC[CAPTION], recipe.caption_weight, 1.0, recipe.end_weight)
    return row


def _append(row: _Row, text: str, answer: Answer, number: int, sure: float, branching: float, end: float) -> None:
    asked = [IDS[word] for word in tokens(text)]
    said = [IDS[word] for word in answer.tokens]
    start = len(row.ids)
    block = row.blocks[-1] + 1
    row.ids += asked + said
    row.blocks += [block] * (len(asked) + len(said))
    row.places += range(PREFIX, PREFIX + len(asked) + len(said))
    first = start + len(asked) - 1
    for offset, chances in enumerate(answer.chances):
        row.targets.append((first + offset, chances, branching if max(chances.values()) < 1 else sure, number))
    row.targets.append((first + len(said), {"</s>": 1.0}, end, -1))
