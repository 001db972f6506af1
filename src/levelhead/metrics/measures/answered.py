"""Free answers that several measures read: a model is asked once, whatever is then counted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast, overload
from weakref import WeakKeyDictionary

from torch import Tensor

from levelhead.data.mentioned import inputs_of
from levelhead.data.records import PromptRecord
from levelhead.errors import InputError
from levelhead.generation import Reply, replies
from levelhead.graph import Graph
from levelhead.metrics.decisions.asking import Wrap
from levelhead.metrics.measures.protocol import Asked, Reading, Run
from levelhead.steer import Steer, Strengths

OPTIONS: Mapping[str, Any] = {"max_new_tokens": 60, "seed": 0, "temperature": 1.0, "wrap": "raw", "batch_size": 32}
"""How prompts are answered, unless something else is said."""

_KEPT = 300_000
"""Answers that are kept for the next measure; the oldest runs go first."""

Own = TypeVar("Own", bound="Answered")
T = TypeVar("T")


class Answers(Sequence[PromptRecord]):
    """Prompts and how they are answered: give one of these to several measures, and each run is generated once.

    Answers are kept with this object and its parts, for as long as it and the graph live; of more than 300,000, the oldest
    are forgotten. A model whose weights are written, or on which hooks come and go, is asked anew, and so is a steer
    whose tensors are being trained, or which has a strength for each row.

    Parameters
    ----------
    records : sequence of PromptRecord
        With or without pictures.
    max_new_tokens : int
    seed : int or None
        Answers are sampled with this seed; greedy ones when None.
    temperature : float
    wrap : {"raw", "chat"} or callable
        As in `levelhead.metrics.decisions.Choices`.
    batch_size : int

    Raises
    ------
    InputError
        If there are no records.

    Examples
    --------
    >>> from levelhead.metrics import Fluency, MentionRate, SentimentGap
    >>> said = Answers([PromptRecord(id="0", prompt="Describe Maria."), PromptRecord(id="1", prompt="Describe James.")])
    >>> together = [MentionRate(said), MentionRate(said, ("age",), name="age"), Fluency(said)]
    >>> len(together[0].records), together[0].part([True, False]).records.index_of
    (2, (0,))
    """

    def __init__(
        self,
        records: Sequence[PromptRecord],
        *,
        max_new_tokens: int = 60,
        seed: int | None = 0,
        temperature: float = 1.0,
        wrap: Wrap = "raw",
        batch_size: int = 32,
    ) -> None:
        if not len(records):
            raise InputError("answers need prompts; the list of records is empty")
        self.records = tuple(records)
        self.max_new_tokens = max_new_tokens
        self.seed = seed
        self.temperature = temperature
        self.wrap: Wrap = wrap
        self.batch_size = batch_size
        self.index_of = tuple(range(len(self.records)))
        """Which of the first object's records these are."""
        self._memo = _Memo()

    def __len__(self) -> int:
        return len(self.records)

    @overload
    def __getitem__(self, index: int) -> PromptRecord: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[PromptRecord]: ...
    def __getitem__(self, index: int | slice) -> PromptRecord | Sequence[PromptRecord]:
        return self.records[index]

    def __repr__(self) -> str:
        return f"Answers({len(self)} prompts, {', '.join(f'{name}={getattr(self, name)!r}' for name in OPTIONS)})"

    def part(self, keep: Sequence[bool]) -> Answers:
        """Some of the prompts; two equal parts of one object share what was answered.

        Parameters
        ----------
        keep : sequence of bool
            One for each.
        """
        kept = [i for i, wanted in zip(range(len(self)), keep, strict=True) if wanted]
        found = Answers([self.records[i] for i in kept], **{name: getattr(self, name) for name in OPTIONS})
        found.index_of = tuple(self.index_of[i] for i in kept)
        found._memo = self._memo
        return found

    def on(self, graph: Graph, prefix: str = "") -> Answering:
        """Wrap for a graph.

        Parameters
        ----------
        graph : Graph
        prefix : str
            Said before every prompt.
        """
        return Answering(self, graph, prefix)

    def inputs(self, graph: Graph, prefix: str = "") -> list[Any]:
        """The prompts as a graph takes them."""
        return inputs_of(self.records, self.wrap, graph, prefix)

    def generated(self, graph: Graph, prefix: str, inputs: Sequence[Any], steer: Steer | None, verbose: bool) -> Said:
        """One answer a prompt, from the memory where the same was asked before."""

        def answer() -> Said:
            return tuple(
                replies(
                    graph,
                    inputs,
                    steer,
                    max_new_tokens=self.max_new_tokens,
                    batch_size=self.batch_size,
                    seed=self.seed,
                    temperature=self.temperature,
                    verbose=verbose,
                )
            )

        key = self._key(prefix, steer)
        return answer() if key is None else self.remembered(graph, key, answer)

    def remembered(self, graph: Graph, key: tuple[Any, ...], make: Callable[[], tuple[T, ...]]) -> tuple[T, ...]:
        """What was made for these prompts on this graph before, or is made now.

        Parameters
        ----------
        graph : Graph
        key : tuple
            What it depends on, beside the prompts and the state of the model.
        make : callable of nothing to tuple
            One thing for each prompt.

        Returns
        -------
        tuple
        """
        options = repr([getattr(self, name) for name in OPTIONS])
        return self._memo.get(graph, (self.index_of, options, _state(graph), *key), make)

    @staticmethod
    def _key(prefix: str, steer: Steer | None) -> tuple[Any, ...] | None:
        if steer is not None:
            numbers = [steer.strength, *(entry.strength for entry in steer.entries)]
            trained = any(value.requires_grad for entry in steer.entries for value in entry.edit.params.values())
            # One strength a row cannot be compared, and what is being trained changes under its own name.
            if trained or any(isinstance(number, Tensor) for number in numbers):
                return None
            if steer.strength == 0:
                steer = None
        return "answers", prefix, steer


Said = tuple[Reply, ...]
"""One answer for each prompt."""


class Answering:
    """Prompts that are bound to a graph.

    Parameters
    ----------
    answers : Answers
    graph : Graph
    prefix : str
    """

    def __init__(self, answers: Answers, graph: Graph, prefix: str) -> None:
        self._answers, self._graph, self._prefix = answers, graph, prefix
        self.inputs = answers.inputs(graph, prefix)

    def __call__(
        self, steer: Steer | None = None, strengths: Strengths | None = None, *, verbose: bool = False
    ) -> list[Said]:
        """Answer all prompts, or remember how they were answered.

        Parameters
        ----------
        steer : Steer, optional
        strengths : sequence of float, optional
            One run each, multiplying the steer's own.
        verbose : bool
            Show a progress bar, if this is a terminal.

        Returns
        -------
        list of tuple of Reply
            One a run.
        """
        steers = [steer] if steer is None or strengths is None else [steer * s for s in strengths]
        return [self._answers.generated(self._graph, self._prefix, self.inputs, each, verbose) for each in steers]


class _Memo:
    """What was made, by graph and by what it depends on; the oldest goes first."""

    def __init__(self) -> None:
        self._runs: WeakKeyDictionary[Graph, dict[tuple[Any, ...], tuple[Any, ...]]] = WeakKeyDictionary()

    def get(self, graph: Graph, key: tuple[Any, ...], make: Callable[[], tuple[Any, ...]]) -> tuple[Any, ...]:
        runs = self._runs.setdefault(graph, {})
        if key not in runs:
            runs[key] = make()
            while len(runs) > 1 and sum(map(len, runs.values())) > _KEPT:
                del runs[next(iter(runs))]
        return runs[key]


def _state(graph: Graph) -> tuple[Any, ...]:
    """What tells whether a model is still the one that was asked: its weights, its hooks, how it generates.

    Weights are told apart by torch's count of writes and by a sample of their numbers, since writes through ``.data`` are
    not counted.
    """
    modules = list(graph.model.modules())
    hooks = tuple(key for module in modules for key in (*module._forward_hooks, *module._forward_pre_hooks))
    weights = tuple(
        (id(weight), 0 if weight.is_inference() else weight._version, _sampled(weight))
        for weight in graph.model.parameters()
        if weight.device.type != "meta"
    )
    generation = repr(getattr(graph.model, "generation_config", None))
    return weights, hooks, generation, len(getattr(graph.target, "_edits", None) or ())


def _sampled(weight: Tensor) -> float:
    flat = weight.detach().reshape(-1)
    return float(flat[:: max(1, len(flat) // 64)].double().sum())


@dataclass(frozen=True)
class Answered(Asked[PromptRecord]):
    """What the measures of free answers share.

    Parameters
    ----------
    records : Answers, or sequence of PromptRecord
        Records alone are answered as `Answers` does when nothing else is said.
    """

    def __post_init__(self) -> None:
        given = self.records
        super().__post_init__()
        object.__setattr__(self, "records", given if isinstance(given, Answers) else Answers(self.records))

    @property
    def answers(self) -> Answers:
        """The prompts, and how they are answered."""
        return cast("Answers", self.records)

    def part(self: Own, keep: Sequence[bool]) -> Own:
        """The same on some of the prompts; parts of measures that share `Answers` share them too."""
        return replace(self, records=self.answers.part(keep))


@dataclass(frozen=True)
class AnsweredInWords(Answered, ABC):
    """What the measures share that look at the text of answers alone.

    Parameters
    ----------
    records : Answers, or sequence of PromptRecord
        As in `Answered`.
    """

    def on(self, graph: Graph, prefix: str = "") -> Run:
        """Wrap for a graph; generation encodes each run anew."""
        say = self.answers.on(graph, prefix)

        def run(
            steer: Steer | None = None, strengths: Strengths | None = None, *, verbose: bool = False
        ) -> list[Reading]:
            return [self.read([reply.text for reply in said]) for said in say(steer, strengths, verbose=verbose)]

        return run

    @abstractmethod
    def read(self, texts: Sequence[str]) -> Reading:
        """Read one run's answers.

        Parameters
        ----------
        texts : sequence of str
            One for each prompt, in order.
        """
