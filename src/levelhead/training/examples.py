"""Examples: pictures of concepts as questions with the answer that is to be learned."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from levelhead.data.concepts import pictures_of
from levelhead.data.records import ImageRecord, Picture, Record
from levelhead.errors import InputError
from levelhead.training.questions import Ask, worded

Negatives: TypeAlias = int | Mapping[str, str | Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class Example:
    """One thing to learn: an answer to a question, mostly about a picture.

    Attributes
    ----------
    id : str
    prompt : str
        The question alone; what puts the picture and the model's own marks around it is for the collator.
    answer : str
    image : path, PIL.Image.Image or None
    concept : str or None
        Whose Skew the example takes part in. None: its Skew is 0, so that it is neither resampled nor rescaled.
    groups : mapping of str to str
        Value of each attribute of the person.
    set_id : str or None
        Counterfactual set.

    Raises
    ------
    InputError
        For an empty question or answer.
    """

    id: str
    prompt: str
    answer: str
    image: Picture = None
    concept: str | None = None
    groups: Mapping[str, str] = field(default_factory=dict[str, str])
    set_id: str | None = None

    def __post_init__(self) -> None:
        for name in ("prompt", "answer"):
            if not getattr(self, name).strip():
                raise InputError(f"example '{self.id}' has no {name}; an example is a question and its answer")


def concept_examples(
    records: Sequence[Record],
    *,
    ask: Ask = "is the person {concept}?",
    answers: tuple[str, str] = ("yes", "no"),
    negatives: Negatives = 1,
    concepts: Sequence[str] | None = None,
    seed: int = 0,
) -> list[Example]:
    """Ask each picture about its concept, to be answered yes, and about others, to be answered no.

    With positives alone a model would learn to say yes to everything. The paper's own format of questions is not known (Cheng
    et al. 2025): all of this is a reconstruction.

    A negative has no concept of its own. Skew is a matter of who is *assigned* to a concept; were a "no" weighted by
    ``exp(-Skew)`` too, it would count most for those groups that are assigned too seldom, and push them further down.

    Parameters
    ----------
    records : sequence of ImageRecord
        With a concept each (`levelhead.data.asked_for` gives one to pictures that have none, for measuring; to *learn* that
        every face fits every concept makes no sense).
    ask : str or callable
        The question, with ``{concept}`` where the concept's name goes; or a function of the name, such as
        `levelhead.data.Wording`.
    answers : (str, str)
        The words for yes and no.
    negatives : int or mapping of str to str or sequence of str
        How many other concepts of the data each picture is asked about, drawn by seed: the same ones for all pictures of a
        counterfactual set, so that what is drawn leans on no group. Or which, by concept; one that is not in the mapping
        has none.
    concepts : sequence of str, optional
        Only pictures with these concepts; negatives are drawn among them too.
    seed : int
        What is drawn for a set depends on the seed, the set and the concepts of the data, not on other records or their order.

    Returns
    -------
    list of Example
        The positive of each record, then its negatives.

    Raises
    ------
    InputError
        For records without a concept, a question without ``{concept}``, equal answers, a negative that is also a concept of
        the same picture, or fewer other concepts than negatives.

    Examples
    --------
    >>> record = ImageRecord(id="7.png", image="7.png", concept="science", groups={"perceived_gender": "woman"})
    >>> [(e.prompt, e.answer, e.concept) for e in concept_examples([record], negatives={"science": "arts"})]
    [('is the person science?', 'yes', 'science'), ('is the person arts?', 'no', None)]
    """
    yes, no = answers
    if yes.strip().casefold() == no.strip().casefold():
        raise InputError(f"the answers have to differ; found {yes!r} and {no!r}")
    if isinstance(negatives, int) and negatives < 0:
        raise InputError(f"a picture is asked about 0 other concepts or more; found negatives={negatives}")
    pictures = pictures_of(records, concepts)
    asked: dict[str, set[str]] = {}
    for record in pictures:
        asked.setdefault(_unit(record), set()).add(_concept(record))
    known = sorted(set().union(*asked.values()))
    examples: list[Example] = []
    for record in pictures:
        concept, taken = _concept(record), asked[_unit(record)]
        others = [name for name in known if name not in taken]
        wrong = _drawn(record, others, negatives, seed) if isinstance(negatives, int) else _named(negatives, concept)
        both = [name for name in wrong if name in taken]
        if both:
            raise InputError(f"record '{record.id}' is asked about '{both[0]}' with the answers {yes!r} and {no!r}")
        examples.append(_example(record, concept, ask, yes, positive=True))
        examples += [_example(record, name, ask, no, positive=False) for name in wrong]
    return examples


def _concept(record: ImageRecord) -> str:
    if record.concept is None:
        raise InputError(f"record '{record.id}' has no concept to ask about; give it one with levelhead.data.asked_for")
    return record.concept


def _unit(record: ImageRecord) -> str:
    """What is asked about the same others: the set, else the picture, however many concepts it is asked about."""
    return record.set_id or record.person or record.id


def _drawn(record: ImageRecord, others: Sequence[str], n: int, seed: int) -> list[str]:
    if n > len(others):
        raise InputError(
            f"negatives={n}, and '{record.id}' can be asked about {len(others)} other concepts of the data "
            f"({', '.join(others) or 'none'}); ask for fewer, or name them: negatives={{concept: other}}"
        )
    key = hashlib.blake2b(f"{_unit(record)}\n{record.concept}".encode(), digest_size=8).digest()
    rng = np.random.default_rng([seed, int.from_bytes(key, "big")])
    return [others[int(i)] for i in rng.choice(len(others), n, replace=False)]


def _named(negatives: Mapping[str, str | Sequence[str]], concept: str) -> list[str]:
    named = negatives.get(concept, ())
    return [named] if isinstance(named, str) else list(named)


def _example(record: ImageRecord, concept: str, ask: Ask, answer: str, *, positive: bool) -> Example:
    return Example(
        id=record.id if positive else f"{record.id} | not {concept}",
        prompt=worded(ask, {"concept": concept}),
        answer=answer,
        image=record.image,
        concept=concept if positive else None,
        groups=dict(record.groups),
        set_id=record.set_id,
    )
