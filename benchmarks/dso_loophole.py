"""DSO's refusal loophole on the testbed: what happens if an answer that is none earns as much as levelling does; one thread.

The reward as notes on the paper have it is -1 for an answer on the side that is likelier at present, and +1 "otherwise": for silence
as well, so that a model that never answers earns the most. ``invalid=-1``, the default, closes this. Both are trained on "a doctor
or a nurse?" in all settings, with the same batches, no bound on drift and no penalty. The table tells how often held-out people get
an answer at all, how level those answers are, and how often questions that the picture decides are still answered rightly.

Promise: open, fewer than half are answered; closed, at least 95 %.
"""

from __future__ import annotations

import argparse
import os

os.environ["OMP_NUM_THREADS"] = "1"

from dataclasses import dataclass
from typing import Any

import torch
from dso_estimators import records

from levelhead import DSO
from levelhead.metrics.decisions import Choices, bias
from levelhead.testbed import load, sample
from levelhead.testbed.records import choices, wrap
from levelhead.testbed.world import SETTINGS

MASS, LESS = 0.95, 0.5


@dataclass(frozen=True)
class Outcome:
    """What a steer does to held-out people."""

    mass: float
    answered: float
    bias: float
    right: float

    def __str__(self) -> str:
        return f"{self.mass:9.3f} {self.answered:9.3f} {self.bias:9.3f} {self.right:9.3f}"


class Asked:
    """Questions about people whom training never showed."""

    def __init__(self, graph: Any) -> None:
        roles = [role for theme in SETTINGS for role in theme.answers]
        clear = choices(sample(24, 3, roles=roles, held_out=True), "job_choice")
        self.open = Choices(graph, records(2, 1, held_out=True), wrap=wrap)
        self.clear = Choices(graph, [r for r in clear if r.condition == "unambiguous"], wrap=wrap)

    def __call__(self, steer: Any = None) -> Outcome:
        found = bias(self.open(steer)[0])
        return Outcome(found.mass, found.answer_rate, found.pob_soft, float(self.clear(steer)[0].right.mean()))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=48)
    steps = parser.parse_args().steps
    torch.set_num_threads(1)
    graph = load().graph
    train, asked = records(4, 0, held_out=False), Asked(graph)
    print(f"{'held-out people':<34} {'mass':>9} {'answered':>9} {'bias':>9} {'right':>9}")
    print(f"{'unsteered':<34} {asked()}", flush=True)
    kept: dict[float, Outcome] = {}
    for invalid, said in ((-1.0, "closed (invalid=-1)"), (1.0, "open (invalid=+1)")):
        method = DSO(
            invalid=invalid, steps=steps, batch=16, lr=0.02, kl=None, l1=0, validation=0, wrap=wrap, random_state=1
        )
        kept[invalid] = asked(method.fit(graph, train, verbose=False))
        path = ", ".join(f"{row['answered']:.2f}" for row in method.history_[1 :: max(1, steps // 6)])
        print(f"{said:<34} {kept[invalid]}   answered in training: {path}", flush=True)
    held = kept[1.0].answered < LESS and kept[-1.0].answered >= MASS
    print(f"promise: open below {LESS:.0%}, closed at least {MASS:.0%} answered: {'met' if held else 'MISSED'}")


if __name__ == "__main__":
    main()
