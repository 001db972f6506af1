"""Answers read again, token by token as they were generated: what a model held in mind while it said them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from levelhead.capture import Activations
from levelhead.errors import InputError
from levelhead.generation import Reply, batches_of
from levelhead.graph import Graph
from levelhead.likelihood import continued
from levelhead.sites import Patterns, Site, resolve
from levelhead.steer import Steer
from levelhead.tokens import Layout, Reader

PLACES: dict[str, str] = {
    "last": "the last token of the prompt, before anything has been said",
    "answer": "the mean over the answer's tokens",
    "image": "the mean over the image tokens",
    "mention": "the position whose output is a given token of the answer",
}
"""What can be read of a prompt with its answer."""


class Forced(NamedTuple):
    """Some prompts with their answers behind them, as one batch.

    Attributes
    ----------
    picked : list of int
        Which of the prompts.
    batch : dict of str to Tensor
        Prompts are padded on the left, answers on the right.
    prompt_length : int
        Where the answers begin, in every row.
    """

    picked: list[int]
    batch: dict[str, Tensor]
    prompt_length: int


def forced(graph: Graph, inputs: Sequence[Any], said: Sequence[Reply], *, batch_size: int = 32) -> Iterator[Forced]:
    """Put answers behind their prompts, token by token as they were generated (teacher forcing).

    Parameters
    ----------
    graph : Graph
    inputs : sequence of str, (image, str) or chat
        What was answered.
    said : sequence of Reply
        One for each.
    batch_size : int

    Yields
    ------
    Forced
        Every input in one of them.
    """
    # A token is about four letters.
    lengths = [len(str(item)) + 4 * len(reply.tokens) for item, reply in zip(inputs, said, strict=True)]
    for picked in batches_of(inputs, lengths, batch_size):
        batch = graph.encode([inputs[i] for i in picked])
        length = batch["input_ids"].shape[1]
        yield Forced(picked, continued(graph, batch, [said[i].tokens for i in picked]), length)


def replayed(
    graph: Graph,
    inputs: Sequence[Any],
    said: Sequence[Reply],
    sites: Patterns = "resid_post.*",
    at: str = "last",
    *,
    tokens: Sequence[int] | None = None,
    steer: Steer | None = None,
    batch_size: int = 32,
    dtype: torch.dtype | None = None,
    verbose: bool = False,
) -> Activations:
    """Capture activations over prompts and answers as they were generated.

    Parameters
    ----------
    graph : Graph
    inputs : sequence of str, (image, str) or chat
    said : sequence of Reply
        One for each input.
    sites : patterns
        Sites of the vision tower and the projector can be read at ``"image"`` alone.
    at : {"last", "answer", "image", "mention"}
        See `PLACES`.
    tokens : sequence of int, optional
        For ``"mention"``: the token of each answer, from 0, whose prediction is read.
    steer : Steer, optional
        Read the activations of the steered model; scopes are those of generation.
    batch_size : int
    dtype : torch.dtype, optional
        Of what is kept, on the CPU; the model's when left out.
    verbose : bool
        Show a progress bar, if this is a terminal.

    Returns
    -------
    Activations
        A row an input, in their order.

    Raises
    ------
    InputError
        For an unknown place, a token that an answer does not have, or an empty answer that is to be read.
    SiteError
        For sites that the model lacks.
    """
    if at not in PLACES:
        raise InputError(f"unknown place at={at!r}; of a prompt with its answer, read {', '.join(PLACES)}")
    if not inputs or len(inputs) != len(said):
        raise InputError(f"every prompt needs its answer; found {len(inputs)} prompts and {len(said)} answers")
    if at == "mention" and (tokens is None or len(tokens) != len(said)):
        raise InputError("at='mention' needs the number of a token for each answer; give tokens=")
    if at in ("answer", "mention"):
        for i, reply in enumerate(said):
            if not reply.tokens or (at == "mention" and tokens and not 0 <= tokens[i] < len(reply.tokens)):
                raise InputError(
                    f"at='{at}' was asked for, and answer {i} has {len(reply.tokens)} tokens; leave out such answers"
                )
    wanted = resolve(sites, graph.sites())
    if steer is not None:
        steer.check(graph)
    from tqdm import tqdm

    rows: dict[Site, dict[int, Tensor]] = {site: {} for site in wanted}
    with tqdm(total=len(said), disable=None if verbose else True, leave=False, desc="reading answers") as bar:
        for picked, batch, length in forced(graph, inputs, said, batch_size=batch_size):
            place = _reader(at, length, None if tokens is None else [tokens[i] for i in picked])
            found = graph.capture(batch, wanted, place, steer, length)
            for site, value in found.items():
                rows[site].update(zip(picked, value.cpu().to(dtype or value.dtype), strict=True))
            bar.update(len(picked))
    values = {site: torch.stack([each[i] for i in range(len(said))]) for site, each in rows.items()}
    return Activations(values, at, source={"model": graph.identity(), "basis": graph.basis, "at": at})


def _reader(at: str, length: int, tokens: Sequence[int] | None) -> Reader:
    if at in ("answer", "image"):
        return at
    # Prompts are padded on the left, so that they end in one column; an answer's token n is predicted n columns on.
    after = [0] if at == "last" or tokens is None else list(tokens)

    def read(layout: Layout) -> Tensor:
        device = layout.real.device
        return (torch.tensor(after, device=device) + length - 1).expand(len(layout.real)).clone()

    return read
