"""The Skew of a model: which groups it assigns to a concept too often and too rarely, asked as often as training needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float

from levelhead.data.records import ImageRecord, sets_of
from levelhead.errors import InputError
from levelhead.graph import Graph, graph
from levelhead.likelihood import Continuations
from levelhead.metrics.decisions.asking import Wrap
from levelhead.metrics.skew import Reference, Zero, skew_at_c
from levelhead.metrics.statistics.clusters import numbered
from levelhead.steer import Steer, Strengths
from levelhead.training.attributes import groups_of
from levelhead.training.model_skews import ModelSkews
from levelhead.training.questions import Ask, check_answers, questions


@dataclass(frozen=True)
class Answers:
    """What a model answered about every record.

    Attributes
    ----------
    yes : Float[ndarray, "*run record"]
        Share of yes: ``P(yes) / (P(yes) + P(no))``, or 0 and 1 for hard answers; averaged over the orders of a choice.
    mass : Float[ndarray, "*run record"]
        ``P(yes) + P(no)``: how likely the model answers at all.
    begun : Float[ndarray, "*run record"]
        1 where greedy decoding would begin with either answer; averaged over the orders of a choice.
    """

    yes: Float[np.ndarray, "*run record"]
    mass: Float[np.ndarray, "*run record"]
    begun: Float[np.ndarray, "*run record"]


class Assignments:
    """Whether a model assigns pictures to their concepts: prepared once, and asked as often as one likes.

    Every record is asked about its own concept; both answers are read from one pass. Encoded inputs are kept from one time to
    the next, as far as they fit into 2 GB, and nothing of the model is, so that asking again after a step of training gives the
    answers of that moment. While it is asked, the model is in evaluation mode.

    Parameters
    ----------
    model_or_graph : transformers model, TransformerBridge, nnsight model, Graph, or peft model
        Of a peft model its base is asked, in which the adapters act.
    records : sequence of ImageRecord
        Each with a concept. A picture that is asked about several concepts is a record for each.
    processor : tokenizer or processor, optional
        As in `levelhead.graph`.
    ask : str or callable
        As in ``"is the person {concept}?"``; see `Ask`. The source's wording is not known.
    answers : tuple of two str
        That assign, and that do not.
    others : mapping of str to str, optional
        For each concept the one beside which it is put to choice, as in ``ask="is the person {concept} or {other}?"``. It is
        asked in both orders, the concepts are the answers, and `answers` is not used.
    attributes : sequence of str, optional
        Keys of the records' groups. When left out, all that speak of gender, of race, ethnicity or skin, or of age, and that
        have more than one value.
    wrap : {"raw", "chat"} or callable
        As in `levelhead.metrics.decisions.Choices`; a function of (text, picture) gives what the model reads, and gets
        pictures that are files as their paths.
    hard : bool
        Count an answer that is likelier than the other as 1, not as its probability.
    reference : {"uniform", "data"} or mapping of group to share
        As in `levelhead.metrics.skew.skew_at_c`. Counterfactual sets are balanced, and then the first two agree.
    zero : {"half", "one_over_k", "drop", "epsilon"} or float
        For a group that is never assigned to a concept. ``"half"`` is as if half a picture had been, of one more than there
        are: finite always, and never above a group that was assigned. The others are those of `skew_at_c`; a Skew that is not
        finite with them is an error.
    batch_size : int
        Rows of a pass.

    Raises
    ------
    InputError
        For no records, one without a concept, attributes that are missing or have one value only, a concept that lacks a group,
        or answers that the tokenizer cannot tell apart.

    Notes
    -----
    The Skew is a reading of Cheng et al. (arXiv 2408.06569), whose own formula and question were not at hand.
    """

    def __init__(
        self,
        model_or_graph: Any,
        records: Sequence[ImageRecord],
        *,
        processor: Any = None,
        ask: Ask = "is the person {concept}?",
        answers: tuple[str, str] = ("yes", "no"),
        others: Mapping[str, str] | None = None,
        attributes: Sequence[str] | None = None,
        wrap: Wrap = "raw",
        hard: bool = False,
        reference: Reference = "uniform",
        zero: Zero | Literal["half"] = "half",
        batch_size: int = 32,
    ) -> None:
        if not records:
            raise InputError("no records to ask about: the list is empty")
        self.records = tuple(records)
        unnamed = [record.id for record in self.records if record.concept is None]
        if unnamed:
            raise InputError(
                f"{len(unnamed)} records have no concept to ask about, the first is '{unnamed[0]}'; leave them out"
            )
        self.concepts = tuple(str(record.concept) for record in self.records)
        self.sets = sets_of(self.records)
        self.groups: Mapping[str, tuple[str | None, ...]] = MappingProxyType(groups_of(self.records, attributes))
        self.hard, self._others = hard, others
        self.reference: Reference = reference
        self.zero: Zero | Literal["half"] = zero
        if hasattr(type(model_or_graph), "get_base_model"):  # a PeftModel is no transformers model, its base is
            model_or_graph = model_or_graph.get_base_model()
        self.graph: Graph = graph(model_or_graph, processor)
        self.batch_size = batch_size
        self._questions = questions(self.graph, self.records, ask=ask, answers=answers, others=others, wrap=wrap)
        self._asked, self._device = self._ready(), _device(self.graph)
        check_answers(self._asked, self._questions)

    def __len__(self) -> int:
        return len(self.records)

    @property
    def attributes(self) -> tuple[str, ...]:
        """Whose Skews are measured."""
        return tuple(self.groups)

    @property
    def questions(self) -> tuple[str, ...]:
        """What is asked about the records, in words; of a choice, in both orders."""
        return tuple(question.text for question in self._questions)

    def ask(self, steer: Steer | None = None, strengths: Strengths | None = None, *, verbose: bool = False) -> Answers:
        """Ask about every record.

        Parameters
        ----------
        steer : Steer, optional
            None for the model as it is.
        strengths : sequence of float, optional
            One run each, in one batch.
        verbose : bool
            Show a progress bar, if this is a terminal.

        Returns
        -------
        Answers
            With a first axis for the runs where strengths were given.

        Raises
        ------
        InputError
            If an answer has no finite probability, as after training has come apart.
        """
        if _device(self.graph) != self._device:
            # What was kept lies where the model was.
            self._asked, self._device = self._ready(), _device(self.graph)
        with _evaluating(self.graph.model):
            found = self._asked(steer, strengths, verbose=verbose)
        logprobs = found.logprobs.double().numpy()
        with np.errstate(invalid="ignore"):
            lead = logprobs[..., 0] - logprobs[..., 1]
        if np.isnan(lead).any():
            bad = self.records[int(np.argwhere(np.isnan(lead))[0, 1]) // (len(self._questions) // len(self))]
            raise InputError(
                f"the answers about record '{bad.id}' have no probability: are the model's weights finite?"
            )
        chances = np.exp(logprobs)
        yes = (lead > 0).astype(np.float64) if self.hard else np.exp(-np.logaddexp(0, -lead))
        begun = found.begun.any(dim=-1).double().numpy()
        by_record = [
            each.reshape(len(each), len(self), -1).mean(axis=-1) for each in (yes, chances.sum(axis=-1), begun)
        ]
        return Answers(*(each if strengths is not None else each[0] for each in by_record))

    def __call__(
        self, steer: Steer | None = None, strengths: Strengths | None = None, *, verbose: bool = False
    ) -> Float[np.ndarray, "*run record"]:
        """Ask about every record, for the shares of yes alone.

        Parameters
        ----------
        steer, strengths, verbose
            As in `ask`.

        Returns
        -------
        Float[ndarray, "*run record"]
            In [0, 1]; with a first axis for the runs where strengths were given.
        """
        return self.ask(steer, strengths, verbose=verbose).yes

    def _ready(self) -> Continuations:
        prompts, options = [one.prompt for one in self._questions], [one.answers for one in self._questions]
        return Continuations(self.graph, prompts, options, batch_size=self.batch_size)

    def skews(self, yes: Answers | np.ndarray | None = None) -> ModelSkews:
        """Skew of every group of every attribute in every concept.

        Parameters
        ----------
        yes : Answers or ndarray, "record", optional
            Of one run; the model is asked when left out.

        Returns
        -------
        ModelSkews

        Raises
        ------
        InputError
            For another number of answers, ones outside [0, 1], or a Skew that is not finite.
        """
        given = self.ask() if yes is None else yes
        values = np.asarray(given.yes if isinstance(given, Answers) else given, dtype=np.float64)
        if values.shape != (len(self),):
            raise InputError(
                f"the answers of one run are needed, one for each of {len(self)} records; found {values.shape}"
            )
        tables = {}
        for name, groups in self.groups.items():
            known = [i for i, group in enumerate(groups) if group is not None]
            concepts, members = [self.concepts[i] for i in known], [str(groups[i]) for i in known]
            shown = values[known]
            zero = self.zero
            if zero == "half":
                shown, zero = _half(shown, concepts, members), "one_over_k"
            tables[name] = skew_at_c(shown, concepts, members, reference=self.reference, zero=zero)
        mass = float(given.mass.mean()) if isinstance(given, Answers) else None
        return ModelSkews(tables, mass, float(values.mean()) if self._others is None else None)


def _half(
    yes: Float[np.ndarray, " record"], concepts: Sequence[str], groups: Sequence[str]
) -> Float[np.ndarray, " record"]:
    """The answers, with half a picture of n + 1 for a group that has none, and never more than a group that has some."""
    _, concept = numbered(concepts, "concepts")
    _, cell = np.unique(np.stack([concept, numbered(groups, "groups")[1]]), axis=1, return_inverse=True)
    cell = cell.reshape(-1)
    n = np.bincount(cell)
    rate = np.bincount(cell, weights=yes) / n
    of_concept = np.zeros(len(n), dtype=np.int64)
    of_concept[cell] = concept
    lowest = np.full(int(concept.max()) + 1, np.inf)
    np.minimum.at(lowest, of_concept[rate > 0], rate[rate > 0])
    filled = np.minimum(0.5 / (n + 1), lowest[of_concept])
    return np.where(rate[cell] > 0, yes, filled[cell])


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Evaluation mode, without dropout; each module gets its own mode back."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _device(on: Graph) -> torch.device:
    return next((parameter.device for parameter in on.model.parameters()), torch.device("cpu"))
