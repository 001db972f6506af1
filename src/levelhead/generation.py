"""Answers in words, generated in batches of like length, steered or not."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch

from levelhead.errors import InputError
from levelhead.graph import Graph
from levelhead.inputs import has_picture
from levelhead.likelihood import tokenizer_of
from levelhead.steer import Steer


@dataclass(frozen=True)
class Reply:
    """One answer.

    Attributes
    ----------
    text : str
        Without special tokens, and without spaces around it.
    tokens : tuple of int
        As they were generated, without the one that ends an answer.
    """

    text: str
    tokens: tuple[int, ...]


def answers(
    graph: Graph,
    inputs: Sequence[Any],
    steer: Steer | None = None,
    *,
    max_new_tokens: int = 60,
    batch_size: int = 16,
    seed: int | None = None,
    temperature: float = 1.0,
    verbose: bool = False,
) -> list[str]:
    """Let a model answer in words.

    Parameters
    ----------
    graph : Graph
        With a tokenizer or processor.
    inputs : sequence of str, (image, str) or chat
        As `Graph.encode` takes them.
    steer : Steer, optional
    max_new_tokens : int
    batch_size : int
    seed : int, optional
        Sample with this seed; greedy decoding when left out. The global generator is left as it was.
    temperature : float
        Of sampling.
    verbose : bool
        Show a progress bar, if this is a terminal.

    Returns
    -------
    list of str
        New text only, in the order of the inputs.

    Raises
    ------
    InputError
        If there is nothing to answer.
    """
    found = replies(
        graph,
        inputs,
        steer,
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
        seed=seed,
        temperature=temperature,
        verbose=verbose,
    )
    return [reply.text for reply in found]


def replies(
    graph: Graph,
    inputs: Sequence[Any],
    steer: Steer | None = None,
    *,
    max_new_tokens: int = 60,
    batch_size: int = 16,
    seed: int | None = None,
    temperature: float = 1.0,
    verbose: bool = False,
) -> list[Reply]:
    """Let a model answer, and keep the very tokens.

    Parameters
    ----------
    graph, inputs, steer, max_new_tokens, batch_size, seed, temperature, verbose
        As in `answers`; inputs with pictures and without may stand side by side.

    Returns
    -------
    list of Reply
        In the order of the inputs.

    Raises
    ------
    InputError
        If there is nothing to answer.
    """
    from tqdm import tqdm

    if not inputs:
        raise InputError("nothing to answer: the list of inputs is empty")
    if max_new_tokens < 1 or batch_size < 1 or temperature <= 0:
        raise InputError(
            "answers need at least one new token, one row a batch, and a temperature above 0; found "
            f"max_new_tokens={max_new_tokens}, batch_size={batch_size}, temperature={temperature}"
        )
    tokenizer = tokenizer_of(graph)
    options: dict[str, Any] = {"max_new_tokens": max_new_tokens, "do_sample": seed is not None}
    if seed is not None:
        options |= {"temperature": temperature, "top_k": 0, "top_p": 1.0}
    pad = getattr(tokenizer, "pad_token_id", None)
    options["pad_token_id"] = tokenizer.eos_token_id if pad is None else pad
    ends = _ends(graph)
    found = [Reply("", ())] * len(inputs)
    device = next(graph.model.parameters()).device
    batches = batches_of(inputs, [len(str(item)) for item in inputs], batch_size)
    with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.no_grad():
        if seed is not None:
            torch.manual_seed(seed)
        for picked in tqdm(batches, disable=None if verbose else True, leave=False, desc="answering"):
            batch = graph.encode([inputs[i] for i in picked])
            rows = graph.generate(batch, steer, **options)[:, batch["input_ids"].shape[1] :].tolist()
            kept = [tuple(row[: next((k for k, token in enumerate(row) if token in ends), None)]) for row in rows]
            texts = tokenizer.batch_decode([list(row) for row in kept], skip_special_tokens=True)
            for i, text, tokens in zip(picked, texts, kept, strict=True):
                found[i] = Reply(text.strip(), tokens)
    return found


def tokens_of(graph: Graph, reply: Reply, start: int, end: int) -> range:
    """Which tokens of an answer spell a part of its text.

    Parameters
    ----------
    graph : Graph
    reply : Reply
    start, end : int
        The part: ``reply.text[start:end]``.

    Returns
    -------
    range
        Numbers of tokens, from 0. A token that spells a letter of the part, and perhaps the space before, is among them.
    """
    tokenizer = tokenizer_of(graph)

    def spelled(count: int) -> str:
        return tokenizer.decode(list(reply.tokens[:count]), skip_special_tokens=True)

    whole = spelled(len(reply.tokens))
    before = len(whole) - len(whole.lstrip())
    counts = range(1, len(reply.tokens) + 1)
    # The text grows with every token, so the first count that reaches a letter is found by halving.
    first = bisect_right(counts, before + start, key=lambda count: len(spelled(count)))
    last = bisect_right(counts, before + max(start, end - 1), key=lambda count: len(spelled(count)))
    return range(first, min(last + 1, len(reply.tokens)))


def batches_of(inputs: Sequence[Any], lengths: Sequence[int], size: int) -> list[list[int]]:
    """Which inputs go through a model together: those of like length, with pictures apart from without.

    Parameters
    ----------
    inputs : sequence of str, (image, str) or chat
    lengths : sequence of int
        In any unit.
    size : int
        Inputs a batch, at most.

    Returns
    -------
    list of list of int
        Numbers of inputs.
    """
    sees = [has_picture(item) for item in inputs]
    order = sorted(range(len(inputs)), key=lambda i: (sees[i], lengths[i]))
    found: list[list[int]] = []
    for _, some in groupby(order, key=lambda i: sees[i]):
        alike = list(some)
        found += [alike[first : first + size] for first in range(0, len(alike), size)]
    return found


def _ends(graph: Graph) -> set[int]:
    """Tokens at which generation stops; a tokenizer's own end may be another, and does not stop it."""
    ids = getattr(getattr(graph.model, "generation_config", None), "eos_token_id", None)
    return set() if ids is None else {ids} if isinstance(ids, int) else set(ids)
