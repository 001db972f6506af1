"""The positions of a model's answers, each by whether a mention comes next: what a gate is fitted on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from levelhead.capture import Activations
from levelhead.errors import InputError
from levelhead.generation import tokens_of
from levelhead.graph import Graph
from levelhead.metrics.mentions import Lexicon, mentions
from levelhead.replay import forced
from levelhead.sites import Patterns, Site, resolve
from levelhead.tokens import Layout

if TYPE_CHECKING:
    from levelhead.data.mentioned import MentionSplit

MENTION, OTHER = "mention", "other"


@dataclass(frozen=True, eq=False)
class MentionSteps:
    """Every step of some answers.

    Attributes
    ----------
    acts : Activations
        A row a step: the position whose output is a token of the answer.
    labels : tuple of {"mention", "other"}
        Whether that token begins a word that mentions one of the attributes.
    groups : tuple of str
        The set of each answer's prompt.
    answer : tuple of int
        The number of each row's answer.
    """

    acts: Activations
    labels: tuple[str, ...]
    groups: tuple[str, ...]
    answer: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.labels)


def steps_of(
    split: MentionSplit,
    graph: Graph,
    inputs: list[Any],
    sites: Patterns,
    lexicon: Lexicon | None,
    batch_size: int,
    verbose: bool,
) -> MentionSteps:
    """Replay answers and keep every step; see `MentionSplit.steps`."""
    from tqdm import tqdm

    found = mentions(split.answers, lexicon, [record.prompt for record in split.records])
    if found.lexicon != split.lexicon:
        raise InputError(
            f"these answers were sorted with lexicon {split.lexicon}, and {found.lexicon} was given; give the same"
        )
    begins = [
        {tokens_of(graph, reply, each.start, each.end).start for each in mine if each.attribute in split.attributes}
        for reply, mine in zip(split.replies, found.found, strict=True)
    ]
    wanted = resolve(sites, graph.sites())
    rows: list[tuple[int, int]] = []
    values: dict[Site, list[Tensor]] = {site: [] for site in wanted}
    with tqdm(total=len(split), disable=None if verbose else True, leave=False, desc="reading answers") as bar:
        for picked, batch, length in forced(graph, inputs, split.replies, batch_size=batch_size):
            sizes = [len(split.replies[i].tokens) for i in picked]
            captured = graph.capture(batch, wanted, _steps(length, sizes), None, length)
            for site, value in captured.items():
                values[site].append(value.cpu())
            rows += [(i, step) for i, size in zip(picked, sizes, strict=True) for step in range(size)]
            bar.update(len(picked))
    return MentionSteps(
        Activations(
            {site: torch.cat(each) for site, each in values.items()},
            "answer's steps",
            torch.tensor([i for i, _ in rows]),
            {"model": graph.identity(), "basis": graph.basis, "at": "answer's steps"},
        ),
        tuple(MENTION if step in begins[i] else OTHER for i, step in rows),
        tuple(split.groups[i] for i, _ in rows),
        tuple(i for i, _ in rows),
    )


def _steps(length: int, sizes: list[int]) -> Any:
    """The positions whose outputs are the answers' tokens: from the prompt's last on."""

    def read(layout: Layout) -> Tensor:
        device = layout.real.device
        places = torch.arange(layout.real.shape[1], device=device) - (length - 1)
        return (places >= 0) & (places < torch.tensor(sizes, device=device)[:, None])

    return read
