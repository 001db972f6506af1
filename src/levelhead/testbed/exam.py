"""Questions about many pictures, encoded once and put to a model as often as one likes: as it is, or steered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from levelhead.errors import InputError
from levelhead.graph import Graph
from levelhead.steer import Steer
from levelhead.testbed.language import tokens
from levelhead.testbed.model import IDS, WORDS, prompt
from levelhead.testbed.planted import Planted
from levelhead.testbed.questions import KINDS, Question, questions
from levelhead.testbed.scene import Scene

if TYPE_CHECKING:
    import pandas as pd

Item = tuple[Scene, Question]


@dataclass(frozen=True)
class Exam:
    """Questions with their pictures, encoded once.

    Attributes
    ----------
    items : tuple of (Scene, Question)
    batches : list of dict of str to Tensor
    rows : list of Int[Tensor, "row"]
        Which items are in each batch: they are sorted by length, so that little is padding.
    """

    items: tuple[Item, ...]
    batches: list[dict[str, Tensor]]
    rows: list[Int[Tensor, " _"]]

    @classmethod
    def of(cls, graph: Graph, items: Iterable[Item], size: int = 128) -> Exam:
        """Encode questions with one graph, for all.

        Parameters
        ----------
        graph : Graph
            With the testbed's processor.
        items : iterable of (Scene, Question)
        size : int
            Questions a batch.

        Raises
        ------
        InputError
            If there are no questions.
        """
        items = tuple(items)
        if not items:
            raise InputError("an exam needs at least one question; found none")
        drawn = {id(scene): scene.image() for scene, _ in items}
        order = sorted(range(len(items)), key=lambda i: len(tokens(items[i][1].text)))
        rows = [torch.tensor(order[first : first + size]) for first in range(0, len(order), size)]
        batches = [
            dict(graph.encode([(drawn[id(scene)], prompt(question.text)) for scene, question in picked]))
            for picked in ([items[i] for i in row.tolist()] for row in rows)
        ]
        return cls(items, batches, rows)

    def logits(self, graph: Graph, steer: Steer | None = None) -> Float[Tensor, "question vocabulary"]:
        """Logits of the first word of every answer, in the order of the questions."""
        return last_logits(graph, self.batches, self.rows, steer)

    def __call__(self, graph: Graph, steer: Steer | None = None) -> Answers:
        """Put the questions to a graph that is steered or not."""
        return Answers(self.items, self.logits(graph, steer).softmax(-1))


@dataclass(frozen=True)
class Answers:
    """What a model answered.

    Attributes
    ----------
    items : tuple of (Scene, Question)
    chances : Float[Tensor, "question word"]
        Probability of every word as the first of the answer.
    """

    items: tuple[Item, ...]
    chances: Float[Tensor, "question word"]

    @cached_property
    def first(self) -> Float[Tensor, " question"]:
        """Probability of the first of each question's possible answers, as it is: not divided by that of the others."""
        ids = torch.tensor([_id(next(iter(question.answers))) for _, question in self.items])
        return self.chances.gather(1, ids[:, None])[:, 0]

    @cached_property
    def target(self) -> Float[Tensor, " question"]:
        """True probability of that answer."""
        return torch.tensor([next(iter(question.answers.values())) for _, question in self.items])

    @cached_property
    def mass(self) -> Float[Tensor, " question"]:
        """Probability that the answer is one of the possible ones at all."""
        return torch.stack(
            [self.chances[i, [_id(a) for a in question.answers]].sum() for i, (_, question) in enumerate(self.items)]
        )

    @cached_property
    def right(self) -> Float[Tensor, " question"]:
        """1 where the likeliest word begins the likeliest true answer, else 0."""
        wanted = torch.tensor([_id(max(q.answers, key=lambda a, q=q: q.answers[a])) for _, q in self.items])
        return (self.chances.argmax(-1) == wanted).float()

    def frame(self) -> pd.DataFrame:
        """One row a question: what was asked of whom, the true probability, the model's, and its likeliest word."""
        import pandas as pd

        best = self.chances.argmax(-1).tolist()
        rows: list[Mapping[str, object]] = []
        for number, (scene, question) in enumerate(self.items):
            person = scene.people[question.person or 0]
            rows.append(
                {
                    "kind": question.kind,
                    "group": question.group,
                    "name": question.name,
                    "question": question.text,
                    "person": question.person,
                    **vars(person),
                    "people": len(scene.people),
                    "seed": scene.seed,
                    "answer": next(iter(question.answers)),
                    "target": float(self.target[number]),
                    "found": float(self.first[number]),
                    "mass": float(self.mass[number]),
                    "said": WORDS[best[number]] if best[number] < len(WORDS) else "<unk>",
                    "right": bool(self.right[number]),
                }
            )
        return pd.DataFrame(rows)


def last_logits(
    graph: Graph, batches: Sequence[Mapping[str, Tensor]], rows: Sequence[Int[Tensor, " _"]], steer: Steer | None = None
) -> Float[Tensor, "item vocabulary"]:
    """Logits of the next word after every item of batches that were sorted by length; `rows` says which is which."""
    with torch.no_grad():
        found = torch.cat([graph.logits(batch, steer, last=True)[:, -1].float() for batch in batches])
    return found[torch.cat(list(rows)).argsort()]


def asked(scenes: Sequence[Scene], *kinds: str, planted: Planted | None = None, group: str | None = None) -> list[Item]:
    """Return every question of some kinds about scenes.

    Parameters
    ----------
    scenes : sequence of Scene
    *kinds : str
        Of `levelhead.testbed.questions.KINDS`; all when left out.
    planted : Planted, optional
        The true parameters.
    group : str, optional
        Of `levelhead.testbed.questions.Question`; all when left out.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise InputError(f"no kind of question '{kind}'; kinds are {', '.join(KINDS)}")
    return [
        (scene, question)
        for scene in scenes
        for question in questions(scene, planted or Planted())
        if (not kinds or question.kind in kinds) and group in (None, question.group)
    ]


def _id(answer: str) -> int:
    """Token that an answer begins with: no two answers to one question begin alike."""
    return IDS[tokens(answer)[0]]
