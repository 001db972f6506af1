"""Share of free answers that pass a check of yours: grammatical, faithful to the picture, of the right length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from levelhead.data.records import PromptRecord
from levelhead.errors import InputError
from levelhead.metrics.measures.answered import AnsweredInWords
from levelhead.metrics.measures.protocol import Better, Reading
from levelhead.metrics.statistics import ratio_of


def _anything(text: str, _: PromptRecord) -> bool:
    return bool(text)


@dataclass(frozen=True)
class AnswerCheck(AnsweredInWords):
    """Share of free answers that pass a check, of those to which it applies, in [0, 1].

    Parameters
    ----------
    records : Answers, or sequence of PromptRecord
    check : callable of (str, PromptRecord) to bool or None
        Whether an answer to a record is as it should be; None where the question does not arise, as of an object that an
        answer does not name. By default, whether anything is said at all.
    name : str
    chance : float
        What answers that know nothing of their prompts would reach.

    Raises
    ------
    InputError
        When it is used, if the check gives anything but a truth value or None.
    """

    check: Callable[[str, PromptRecord], bool | None] = _anything
    name: str = "answers that pass"
    chance: float = 0.0
    better: Better = field(default="higher", init=False)
    bounds: tuple[float, float] | None = field(default=(0.0, 1.0), init=False)

    def read(self, texts: Sequence[str]) -> Reading:
        """Check one run's answers."""
        found: list[Any] = [self.check(text, record) for text, record in zip(texts, self.records, strict=True)]
        strange = next((each for each in found if each is not None and not isinstance(each, bool | np.bool_)), None)
        if strange is not None:
            raise InputError(f"a check of answers gives True, False or None; '{self.name}' gave {strange!r}")
        applies = np.array([each is not None for each in found])
        passes = np.array([bool(each) for each in found])
        cautions = () if applies.any() else ("the check applies to none of the answers",)
        return Reading(ratio_of(passes, applies), len(texts), {"applies": float(applies.mean())}, cautions)
