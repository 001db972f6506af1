"""The unsteered model's answers, found once and kept, and how far a steered one drifts from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from levelhead.methods.dso.batches import chunks
from levelhead.methods.dso.objective import drift
from levelhead.methods.dso.questions import Answers, Prompts, Questions
from levelhead.steer import Steer

_KEPT = 2**30
"""Bytes that are kept of each kind."""


class Reference:
    """Log-probabilities of the unsteered model: all kept if they fit, else each batch's found anew.

    Parameters
    ----------
    ask : callable
        Gives those of some prompts, by number: for each, a row for each position that is read.
    total : int
        How many prompts there are.
    """

    def __init__(self, ask: Callable[[Sequence[int]], list[Tensor]], total: int) -> None:
        self._ask, self._total = ask, total
        self._kept: list[Tensor] = []

    def keep(self, found: Sequence[Tensor]) -> bool:
        """Take the next prompts' rows; False if all of them together would not fit, and none is kept."""
        if sum(rows.nbytes for rows in found) / len(found) * self._total > _KEPT:
            self._kept = []
            return False
        self._kept += found
        return True

    def __call__(self, numbers: Sequence[int]) -> Float[Tensor, "read token"]:
        """Those of some prompts, without gradients."""
        if len(self._kept) == self._total:
            return torch.cat([self._kept[number] for number in numbers])
        with torch.no_grad():
            return torch.cat(self._ask(numbers))


class Unsteered:
    """The unsteered model: everything is put to it once.

    Parameters
    ----------
    questions : Questions
    neutral : Prompts
    counts : {"rest", "all"}
        See ``kl_counts`` of `levelhead.DSO`.

    Attributes
    ----------
    chances : Float[Tensor, "question option"]
        The options' probabilities.
    """

    chances: Float[Tensor, "question option"]

    def __init__(self, questions: Questions, neutral: Prompts, counts: str) -> None:
        self._questions, self._neutral, self._counts = questions, neutral, counts
        self._choices = Reference(lambda numbers: list(questions(numbers).whole.split(1)), len(questions))
        self._aside = Reference(neutral, len(neutral))
        with torch.no_grad():
            self.chances = self._ask()

    def _ask(self) -> Float[Tensor, "question option"]:
        chances: list[Tensor] = []
        for chunk in chunks(range(len(self._questions))):
            said = self._questions(chunk)
            self._choices.keep(said.whole.split(1))
            chances.append(said.options.exp().cpu())
        for chunk in chunks(range(len(self._neutral))):
            if not self._aside.keep(self._neutral(chunk)):
                break
        return torch.cat(chances)

    def drift(self, numbers: Sequence[int], answers: Answers) -> Float[Tensor, ""]:
        """Mean drift of the answers to some questions, in nats."""
        whole = answers.whole
        pooled = None
        if self._counts == "rest":
            pooled = self._questions.firsts(numbers, whole.shape[1]).to(whole.device)
        return drift(whole, self._choices(numbers), pooled).mean()

    def drift_aside(self, numbers: Sequence[int], steer: Steer) -> Float[Tensor, ""]:
        """Mean drift on some neutral prompts, over all places where they are read, in nats."""
        return drift(torch.cat(self._neutral(numbers, steer)), self._aside(numbers)).mean()
