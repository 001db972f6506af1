"""What a steer does to the wording of answers: how unlikely the model as it was finds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from levelhead.generation import Reply, tokens_of
from levelhead.graph import Graph
from levelhead.metrics.measures.answered import Answered
from levelhead.metrics.measures.mentioning import check_attributes
from levelhead.metrics.measures.protocol import Better, Reading, Run
from levelhead.metrics.mentions import Lexicon
from levelhead.metrics.quality import Perplexity, degenerate
from levelhead.replay import forced
from levelhead.steer import Steer, Strengths


@dataclass(frozen=True)
class Fluency(Answered):
    """Perplexity of free answers under the model as it is, which sees prompt and picture as the answering one did.

    The fluency of arXiv 2411.12590 in its likeliest reading; the paper's formula is not known. A steered model never judges
    its own answers. A steer that takes attributes away makes answers that the model as it was finds unlikely at just
    those words: measure once with their tokens and once without (`mask_attributes`).

    Parameters
    ----------
    records : Answers, or sequence of PromptRecord
    mask_attributes : tuple of str
        Tokens of words that mention one of these attributes are read and not scored.
    lexicon : Lexicon, optional
        levelhead's own when left out.
    name : str, optional
        ``"perplexity of answers"``, with what is masked.

    Raises
    ------
    InputError
        If the lexicon lacks an attribute.
    """

    mask_attributes: tuple[str, ...] = ()
    lexicon: Lexicon | None = None
    name: str = ""
    better: Better = field(default="lower", init=False)
    bounds: tuple[float, float] | None = field(default=None, init=False)
    chance: float = field(default=float("inf"), init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_attributes(self.mask_attributes, self.lexicon)
        if not self.name:
            masked = f" without words for {', '.join(self.mask_attributes)}" if self.mask_attributes else ""
            object.__setattr__(self, "name", f"perplexity of answers{masked}")

    def on(self, graph: Graph, prefix: str = "") -> Run:
        """Wrap for a graph; an instruction is said before answering, and not before the answers are judged."""
        say = self.answers.on(graph, prefix)
        plain = self.answers.inputs(graph) if prefix else say.inputs

        def run(
            steer: Steer | None = None, strengths: Strengths | None = None, *, verbose: bool = False
        ) -> list[Reading]:
            return [self._judged(graph, plain, said) for said in say(steer, strengths, verbose=verbose)]

        return run

    def _judged(self, graph: Graph, plain: Sequence[Any], said: Sequence[Reply]) -> Reading:
        answers = self.answers

        def judge() -> tuple[np.ndarray, ...]:
            return tuple(losses(graph, plain, said, batch_size=answers.batch_size))

        # The same answers, with and without some of their words, are judged once.
        lost = answers.remembered(graph, ("losses", tuple(said)), judge)
        kept = [self._scored(graph, reply, record.prompt) for reply, record in zip(said, self.records, strict=True)]
        nll = np.array([float(each[mask].sum()) for each, mask in zip(lost, kept, strict=True)])
        found = Perplexity(nll, np.array([int(mask.sum()) for mask in kept], dtype=np.int64))
        total = sum(len(reply.tokens) for reply in said)
        beside = {
            "median": found.quantile(0.5) if found.tokens.any() else float("nan"),
            "95th percentile": found.quantile(0.95) if found.tokens.any() else float("nan"),
            "tokens": total / len(said),
            "masked": 1 - float(found.tokens.sum()) / total if total else float("nan"),
            "without a token": float(found.unscored),
            "degenerate": float(degenerate([reply.text for reply in said]).mean()),
        }
        return Reading(found.statistic, len(said), beside)

    def _scored(self, graph: Graph, reply: Reply, prompt: str) -> np.ndarray:
        """Which tokens of an answer count."""
        keep = np.ones(len(reply.tokens), dtype=bool)
        if self.mask_attributes:
            for mention in (self.lexicon or Lexicon.load()).find(reply.text, prompt):
                if mention.attribute in self.mask_attributes:
                    keep[list(tokens_of(graph, reply, mention.start, mention.end))] = False
        return keep


def losses(
    graph: Graph, inputs: Sequence[Any], said: Sequence[Reply], *, batch_size: int = 32
) -> list[Float[np.ndarray, " _"]]:
    """Negative log-likelihood of every token of every answer, in nats, under the model as it is.

    Parameters
    ----------
    graph : Graph
    inputs : sequence of str, (image, str) or chat
    said : sequence of Reply
        One for each input.
    batch_size : int

    Returns
    -------
    list of Float[ndarray, "token"]
    """
    found: list[np.ndarray] = [np.zeros(0)] * len(said)
    for picked, batch, length in forced(graph, inputs, said, batch_size=batch_size):
        extra = batch["input_ids"].shape[1] - length
        if not extra:
            continue
        with torch.no_grad():
            logits: Tensor = graph.logits(batch, prompt_length=length, last=extra + 1)[:, -extra - 1 : -1]
        wanted = batch["input_ids"][:, length:, None].to(logits.device)
        scores = -logits.float().log_softmax(-1).gather(2, wanted)[..., 0].double().cpu().numpy()
        for i, row in zip(picked, scores, strict=True):
            found[i] = row[: len(said[i].tokens)]
    return found
