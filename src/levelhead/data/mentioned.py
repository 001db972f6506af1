"""Answers that a model gave, sorted by whether they mention an attribute, and what it held in mind while giving them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch

from levelhead.capture import Activations
from levelhead.data.mention_steps import MentionSteps, steps_of
from levelhead.data.optional import pandas
from levelhead.data.records import PromptRecord, open_picture
from levelhead.generation import Reply
from levelhead.graph import Graph, graph
from levelhead.metrics.decisions.asking import Wrap, wrapped
from levelhead.metrics.mentions import Lexicon
from levelhead.replay import replayed
from levelhead.sites import Patterns
from levelhead.steer import Steer

if TYPE_CHECKING:
    import pandas as pd

BIASED, NEUTRAL = "biased", "neutral"


@dataclass(frozen=True, eq=False, repr=False)
class MentionSplit:
    """Prompts, a model's answers to them, and which of the answers mention an attribute.

    The data-set-based vector of arXiv 2411.12590 contrasts inputs that elicit biased answers with others; its forerunner,
    2410.13976, used about 1000 biased outputs. That the two sets are answers of one model to the same prompts, sorted by
    a lexicon, is a reconstruction, and so is what is read of them (`capture`).

    Attributes
    ----------
    records : tuple of PromptRecord
        The prompt of each answer; a prompt that was answered several times stands here as often.
    replies : tuple of Reply
        What was answered, as text and as tokens.
    labels : tuple of {"biased", "neutral"}
        Whether an answer mentions one of the attributes.
    groups : tuple of str
        The set of each answer's prompt (``set_id``, or the prompt itself): for splits that keep sets whole.
    tokens : tuple of int
        The token, from 0, of each biased answer that begins its first mention; for each neutral answer a stand-in, see
        `capture`.
    terms : tuple of tuple of str
        The words of each answer that mention one of the attributes.
    attributes : tuple of str
        Of the lexicon.
    lexicon : str
        Version and hash.
    left_out : int
        Answers without a word, which are neither biased nor neutral.
    wrap : {"raw", "chat"} or callable
        How prompts became inputs.
    """

    records: tuple[PromptRecord, ...]
    replies: tuple[Reply, ...]
    labels: tuple[str, ...]
    groups: tuple[str, ...]
    tokens: tuple[int, ...]
    terms: tuple[tuple[str, ...], ...]
    attributes: tuple[str, ...]
    lexicon: str
    left_out: int = 0
    wrap: Wrap = field(default="raw")

    def __len__(self) -> int:
        return len(self.records)

    def __repr__(self) -> str:
        named = ", ".join(f"{n} {label}" for label, n in self.counts.items())
        return f"MentionSplit({len(self)} answers by {', '.join(self.attributes)}: {named}; {self.left_out} left out)"

    @property
    def answers(self) -> list[str]:
        """What was answered."""
        return [reply.text for reply in self.replies]

    @property
    def counts(self) -> dict[str, int]:
        """Answers of either label."""
        return {label: self.labels.count(label) for label in (BIASED, NEUTRAL)}

    def inputs(self, model: Any, processor: Any = None) -> list[Any]:
        """The prompts as a model takes them, one for each answer: with `labels`, a labelled data set.

        Parameters
        ----------
        model : transformers model, TransformerBridge, nnsight model or Graph
        processor : tokenizer or processor, optional
        """
        return inputs_of(self.records, self.wrap, graph(model, processor))

    def part(self, keep: Sequence[bool]) -> MentionSplit:
        """Some of the answers, such as those of some groups.

        Parameters
        ----------
        keep : sequence of bool
            One for each answer.
        """
        kept = [i for i, wanted in zip(range(len(self)), keep, strict=True) if wanted]
        names = ("records", "replies", "labels", "groups", "tokens", "terms")
        return replace(self, **{name: tuple(getattr(self, name)[i] for i in kept) for name in names})

    def frame(self) -> pd.DataFrame:
        """One row an answer: its prompt, group of people, set, text, label, words that mention, and token of the first."""
        rows = [
            {
                "id": record.id,
                "set": group,
                "group": record.group,
                "prompt": record.prompt,
                "answer": reply.text,
                "label": label,
                "terms": ", ".join(terms),
                "token": token,
            }
            for record, reply, label, group, token, terms in zip(
                self.records, self.replies, self.labels, self.groups, self.tokens, self.terms, strict=True
            )
        ]
        return pandas().DataFrame(rows)

    def capture(
        self,
        model: Any,
        sites: Patterns = "resid_post.*",
        at: str = "last",
        *,
        steer: Steer | None = None,
        batch_size: int = 32,
        dtype: torch.dtype | None = None,
        processor: Any = None,
        verbose: bool = True,
    ) -> Activations:
        """Capture activations over prompts and answers as they were generated (teacher forcing).

        Parameters
        ----------
        model : transformers model, TransformerBridge, nnsight model or Graph
            The one that answered.
        sites : patterns
        at : {"last", "answer", "image", "mention"}
            ``"last"``: the last token of the prompt, before anything has been said (two answers to one prompt are then
            alike). ``"answer"``: the mean over the answer's tokens. ``"image"``: the mean over the image tokens.
            ``"mention"``: the position whose output is the first word that mentions an attribute. A neutral answer has no
            such word; of it, the token of a biased answer drawn by seed is read, as far as the answer is that long. The
            mean over all its positions would differ from one position of a biased answer by its place in the sentence
            as well, and a direction between the two would partly be one between places. All four are reconstructions.
        steer : Steer, optional
            Read the activations of the steered model.
        batch_size : int
        dtype : torch.dtype, optional
            Of what is kept.
        processor : tokenizer or processor, optional
        verbose : bool
            Show a progress bar, if this is a terminal.

        Returns
        -------
        Activations
            A row an answer; fit a method on them with ``labels`` and, where it takes them, ``groups``.

        Raises
        ------
        InputError
            For an unknown place, or pictures that are not there.
        SiteError
            For sites that the model lacks.
        """
        on = graph(model, processor)
        return replayed(
            on,
            inputs_of(self.records, self.wrap, on),
            self.replies,
            sites,
            at,
            tokens=self.tokens,
            steer=steer,
            batch_size=batch_size,
            dtype=dtype,
            verbose=verbose,
        )

    def steps(
        self,
        model: Any,
        sites: Patterns = "resid_post.*",
        *,
        lexicon: Lexicon | None = None,
        batch_size: int = 32,
        processor: Any = None,
        verbose: bool = True,
    ) -> MentionSteps:
        """Capture every position whose output is a token of an answer, labelled by whether a mention begins there.

        A `levelhead.ProbeGate` that is fitted on them, with ``open_on="mention"`` and ``per="token"``, opens where the model is
        about to bring the attribute up.

        Parameters
        ----------
        model : transformers model, TransformerBridge, nnsight model or Graph
            The one that answered.
        sites : patterns
            Of the language model.
        lexicon : Lexicon, optional
            The one that the answers were sorted with, if it was not levelhead's own.
        batch_size : int
        processor : tokenizer or processor, optional
        verbose : bool
            Show a progress bar, if this is a terminal.

        Returns
        -------
        MentionSteps
            With ``acts``, ``labels`` ("mention" or "other") and ``groups``, a row a step.

        Raises
        ------
        InputError
            For another lexicon.
        """
        on = graph(model, processor)
        return steps_of(self, on, inputs_of(self.records, self.wrap, on), sites, lexicon, batch_size, verbose)


def inputs_of(records: Sequence[PromptRecord], wrap: Wrap, on: Graph, prefix: str = "") -> list[Any]:
    """Prompts as a graph takes them; each picture is decoded once.

    Parameters
    ----------
    records : sequence of PromptRecord
    wrap : {"raw", "chat"} or callable
    on : Graph
    prefix : str
        Said before every prompt.
    """
    opened: dict[int, Any] = {}
    for record in records:
        if record.image is not None and id(record.image) not in opened:
            opened[id(record.image)] = open_picture(record.image)
    return [wrapped(prefix + r.prompt, opened.get(id(r.image)), wrap, on) for r in records]
