"""A model's own answers, sorted by whether they bring up an attribute that nobody asked about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from levelhead.data.mentioned import BIASED, NEUTRAL, MentionSplit, inputs_of
from levelhead.data.records import PromptRecord, Record, sets_of
from levelhead.errors import InputError
from levelhead.generation import Reply, replies, tokens_of
from levelhead.graph import Graph, graph
from levelhead.metrics.decisions.asking import Wrap
from levelhead.metrics.mentions import Lexicon, Mention, mentions
from levelhead.steer import Steer

__all__ = ["MentionSplit", "split_by_mention"]


def split_by_mention(
    model: Any,
    prompts: Sequence[Record],
    attributes: Sequence[str] = ("gender",),
    *,
    lexicon: Lexicon | None = None,
    samples: int = 1,
    seed: int | None = 0,
    temperature: float = 1.0,
    max_new_tokens: int = 60,
    wrap: Wrap = "raw",
    batch_size: int = 32,
    processor: Any = None,
    steer: Steer | None = None,
    verbose: bool = True,
) -> MentionSplit:
    """Let a model answer prompts freely, and sort the answers by whether they mention an attribute.

    Parameters
    ----------
    model : transformers model, TransformerBridge, nnsight model or Graph
    prompts : sequence of PromptRecord, or Dataset of them
        With or without pictures, as `open_prompts` and `person_prompts` make them.
    attributes : sequence of str
        Of the lexicon; an answer that mentions any of them is ``"biased"``.
    lexicon : Lexicon, optional
        levelhead's own when left out.
    samples : int
        Answers to each prompt.
    seed : int or None
        Answers are sampled with this seed; greedy ones, of which one a prompt is enough, when None.
    temperature : float
        Of sampling.
    max_new_tokens : int
    wrap : {"raw", "chat"} or callable
        As in `levelhead.metrics.decisions.Choices`.
    batch_size : int
    processor : tokenizer or processor, optional
    steer : Steer, optional
        Let the steered model answer.
    verbose : bool
        Show a progress bar, if this is a terminal.

    Returns
    -------
    MentionSplit

    Raises
    ------
    InputError
        If all answers are of one kind, or for prompts that are no records, an unknown attribute, or several greedy samples.
    """
    given = _checked(prompts, samples, seed)
    named = [attributes] if isinstance(attributes, str) else list(attributes)
    mentions([], lexicon).counts(*named)
    if not named:
        raise InputError("at least one attribute is needed to sort answers by; found none")
    on = graph(model, processor)
    index = [i for i in range(len(given)) for _ in range(samples)]
    asked = [given[i] for i in index]
    said = replies(
        on,
        inputs_of(asked, wrap, on),
        steer,
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
        seed=seed,
        temperature=temperature,
        verbose=verbose,
    )
    found = mentions([reply.text for reply in said], lexicon, [record.prompt for record in asked])
    wanted = [[each for each in mine if each.attribute in named] for mine in found.found]
    kept = [i for i, reply in enumerate(said) if reply.text]
    biased = [bool(wanted[i]) for i in kept]
    sets = sets_of(given)
    if len(set(biased)) < 2:
        raise InputError(_one_class(biased, len(said), named, "" if not kept else said[kept[0]].text))
    return MentionSplit(
        records=tuple(asked[i] for i in kept),
        replies=tuple(said[i] for i in kept),
        labels=tuple(BIASED if each else NEUTRAL for each in biased),
        groups=tuple(sets[index[i]] for i in kept),
        tokens=_tokens(on, [said[i] for i in kept], [wanted[i] for i in kept], seed or 0),
        terms=tuple(tuple(each.term for each in wanted[i]) for i in kept),
        attributes=tuple(named),
        lexicon=found.lexicon,
        left_out=len(said) - len(kept),
        wrap=wrap,
    )


def _checked(prompts: Sequence[Record], samples: int, seed: int | None) -> list[PromptRecord]:
    if isinstance(prompts, str) or not len(prompts):
        raise InputError(
            "prompts are needed, as a sequence of PromptRecord; make some with lh.data.open_prompts(pictures)"
        )
    found = [each for each in prompts if isinstance(each, PromptRecord)]
    if len(found) < len(prompts):
        strange = next(each for each in prompts if not isinstance(each, PromptRecord))
        raise InputError(
            f"prompts are PromptRecords, which know their set; found a {type(strange).__name__}: make them with "
            "lh.data.open_prompts(pictures), or as PromptRecord(id=..., prompt=...)"
        )
    if samples < 1 or (samples > 1 and seed is None):
        raise InputError(
            f"samples={samples} and seed={seed}: at least one answer a prompt is needed, and greedy answers "
            "(seed=None) to one prompt are all the same; give a seed"
        )
    return found


def _one_class(biased: Sequence[bool], asked: int, attributes: Sequence[str], first: str) -> str:
    names = " or ".join(attributes)
    empty = f", {asked - len(biased)} are without a word" if len(biased) < asked else ""
    head = f"of {asked} answers, {sum(biased)} mention {names} and {len(biased) - sum(biased)} do not{empty}"
    if not biased:
        return f"{head}; look at the prompts and at wrap=, which may not be the model's own"
    if biased[0]:
        advice = (
            "a direction needs both: give more prompts or samples, another attribute, or prompts that leave it open"
        )
    else:
        advice = (
            "a direction needs both: give more prompts or samples, another attribute, or a prompt that elicits mentions"
        )
    return f"{head}; {advice}. The first answer is {first!r}"


def _tokens(on: Graph, said: Sequence[Reply], wanted: Sequence[Sequence[Mention]], seed: int) -> tuple[int, ...]:
    """The token of each first mention; for answers without one, that of another answer, drawn by seed."""
    first = [
        tokens_of(on, reply, mine[0].start, mine[0].end).start if mine else None
        for reply, mine in zip(said, wanted, strict=True)
    ]
    pool = np.array([each for each in first if each is not None])
    rng = np.random.default_rng([seed, 11])
    found: list[int] = []
    for reply, own in zip(said, first, strict=True):
        if own is None:
            fitting = pool[pool < len(reply.tokens)]
            own = int(rng.choice(fitting)) if len(fitting) else len(reply.tokens) - 1
        found.append(own)
    return tuple(found)
