"""Sentences up to the place of a pronoun, as choices."""

from __future__ import annotations

from collections.abc import Sequence

from levelhead.data.records import ChoiceRecord
from levelhead.demo.smollm2.sentences import Sentence

SHE_HE = ("she", "he")


def pronouns(sentences: Sequence[Sentence], condition: str) -> list[ChoiceRecord]:
    """Sentences up to the place of a pronoun, as choices between 'she' and 'he'.

    Parameters
    ----------
    sentences : sequence of Sentence
    condition : {"ambiguous", "unambiguous"}
        Whether the sentence says the person's gender: then its pronoun is right, else it follows the stereotype.

    Returns
    -------
    list of ChoiceRecord
        One for each sentence, asked in one order since no options are read out; ``set_id`` is the occupation or name.
    """
    found: list[ChoiceRecord] = []
    for i, sentence in enumerate(sentences):
        fitting = SHE_HE.index("she" if sentence.female else "he")
        clear = condition == "unambiguous"
        found.append(
            ChoiceRecord(
                id=f"{i}",
                prompt=sentence.text,
                options=SHE_HE,
                condition="unambiguous" if clear else "ambiguous",
                label=fitting if clear else None,
                pro=None if clear else fitting,
                group="women" if sentence.female else "men",
                target=sentence.unit,
                set_id=sentence.unit,
                orders="given",
            )
        )
    return found
