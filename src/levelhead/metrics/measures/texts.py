"""What an intervention costs in plain language modeling."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from levelhead.data.records import CapabilityRecord
from levelhead.graph import Graph
from levelhead.metrics.capability import Texts
from levelhead.metrics.measures.protocol import Asked, Better, Reading, Run
from levelhead.metrics.statistics import Statistic, ratio_of
from levelhead.steer import Steer, Strengths


@dataclass(frozen=True)
class _Read(Asked[CapabilityRecord]):
    """Texts that are read piece by piece."""

    window: int = 256
    pieces: int | None = None
    batch_size: int = 4
    better: Better = field(default="lower", init=False)
    bounds: tuple[float, float] | None = field(default=None, init=False)
    chance: float = field(default=float("inf"), init=False)

    def on(self, graph: Graph, prefix: str = "") -> Run:
        """Cut for a graph; a prefix plays no part, since it would be scored as text."""
        texts = Texts(graph, self.records, window=self.window, pieces=self.pieces, batch_size=self.batch_size)

        def run(
            steer: Steer | None = None, strengths: Strengths | None = None, *, verbose: bool = False
        ) -> list[Reading]:
            found = texts(steer, strengths, verbose=verbose)
            return [Reading(self._of(ratio_of(losses, texts.tokens)), len(losses)) for losses in found]

        return run

    @staticmethod
    def _of(nats: Statistic) -> Statistic:
        return nats


@dataclass(frozen=True)
class TextLoss(_Read):
    """Loss on texts under the model itself, steered or not, in nats a token.

    Parameters
    ----------
    records : sequence of CapabilityRecord
        Their prompts are the texts.
    window, pieces, batch_size
        As in `levelhead.metrics.capability.Texts`.
    name : str
    """

    name: str = "loss on texts"


@dataclass(frozen=True)
class TextPerplexity(_Read):
    """Perplexity of texts under the model itself, steered or not.

    Parameters
    ----------
    records : sequence of CapabilityRecord
        Their prompts are the texts.
    window, pieces, batch_size
        As in `levelhead.metrics.capability.Texts`.
    name : str
    """

    name: str = "perplexity"

    @staticmethod
    def _of(nats: Statistic) -> Statistic:
        return lambda weights: np.exp(nats(weights))
