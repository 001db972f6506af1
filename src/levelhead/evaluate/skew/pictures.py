"""The pictures: what is trained on, what settings are chosen on, and three sets to be judged by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float

from levelhead.data.records import CapabilityRecord, ImageRecord
from levelhead.graph import Graph
from levelhead.metrics.capability import Questions
from levelhead.steer import Steer
from levelhead.testbed.concept_records import ASK, COUNTERPARTS, concept_records
from levelhead.testbed.records import skills, wrap
from levelhead.testbed.scene import sample
from levelhead.training import Assignments

TRAINED = ("temper", "bag", "duty", "degree")
"""Themes of training: gender leans in two, skin tone in one, age in one."""
UNSEEN = ("subject", "grade")
"""Themes that nothing is trained on: gender leans in one, skin tone in the other."""
SAME, OTHERS, STYLE = "same concepts", "unseen concepts", "unseen style"
TESTS = (SAME, OTHERS, STYLE)


def training_records(sets: int, seed: int) -> list[ImageRecord]:
    """Counterfactual sets to train on, of looks that are not kept apart.

    Parameters
    ----------
    sets : int
        For each theme.
    seed : int
    """
    return concept_records(sets, 10 + seed, TRAINED, held_out=False)


@dataclass(frozen=True)
class Judged:
    """What one model, or one steer on it, answers.

    Attributes
    ----------
    yes : mapping of str to Float[ndarray, "record"]
        Share of yes, for each of the three sets.
    mass : float
        Mean probability of both answers together; the least of the three sets.
    skills : Bool[ndarray, "neutral"]
        Which neutral questions were answered right.
    clear : Bool[ndarray, "clear"]
        Which yes-or-no questions about a concept that the picture decides were answered right.
    """

    yes: Mapping[str, Float[np.ndarray, " record"]]
    mass: float
    skills: Bool[np.ndarray, " neutral"]
    clear: Bool[np.ndarray, " clear"]


class Exam:
    """Everything that is asked, the same of every model.

    Parameters
    ----------
    seed : int
    sets : int
        Counterfactual sets of each theme of training in each of the three sets; of the two other themes twice as many.
    rooms : int
        Pictures of which neutral questions are asked.
    """

    def __init__(self, seed: int, sets: int, rooms: int) -> None:
        self.records: Mapping[str, Sequence[ImageRecord]] = {
            SAME: concept_records(sets, 1000 + seed, TRAINED, held_out=True),
            OTHERS: concept_records(2 * sets, 2000 + seed, UNSEEN, held_out=True),
            STYLE: concept_records(sets, 3000 + seed, TRAINED, style="sketch", held_out=True),
        }
        self._rooms = sample(rooms, [seed, 71], held_out=True)
        shown = concept_records(max(2, sets // 4 * 2), 4000 + seed, (*TRAINED, *UNSEEN), clear=True, held_out=True)
        self._clear = [*shown, *(replace(record, concept=COUNTERPARTS[str(record.concept)]) for record in shown)]

    @cached_property
    def room_sets(self) -> tuple[str, ...]:
        """The picture of each neutral question."""
        return tuple(str(record.set_id) for record in self._neutral)

    @cached_property
    def clear_sets(self) -> tuple[str, ...]:
        """The counterfactual set of each question that a picture decides."""
        return tuple(str(record.set_id) for record in self._clear)

    @cached_property
    def _neutral(self) -> list[CapabilityRecord]:
        return skills(self._rooms)

    def __call__(self, graph: Graph, steer: Steer | None = None) -> Judged:
        """Ask a model, steered or not.

        Parameters
        ----------
        graph : Graph
        steer : Steer, optional

        Returns
        -------
        Judged
        """
        answers = {name: _asked(graph, records).ask(steer) for name, records in self.records.items()}
        right = np.arange(len(self._clear)) < len(self._clear) // 2
        clear = (_asked(graph, self._clear).ask(steer).yes > 0.5) == right
        found = Questions(graph, self._neutral, style="words", wrap=wrap)(steer)[0]
        mass = min(float(each.mass.mean()) for each in answers.values())
        return Judged({name: each.yes for name, each in answers.items()}, mass, np.asarray(found.right) > 0.5, clear)


def _asked(graph: Graph, records: Sequence[ImageRecord]) -> Assignments:
    return Assignments(graph, records, ask=ASK, wrap=wrap, batch_size=64)
