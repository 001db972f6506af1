"""What each of DSO's estimators costs until the testbed is level for people whom training never showed; one thread.

The question is "a doctor or a nurse?" in its eight settings. A run is done when, at two looks in a row, the bias on held-out people
is at most a tenth of the unsteered one and at least .99 of held-out questions that the picture decides are answered rightly;
without the second, a model that says one word to everybody would count as level. It is looked at after every second update;
drift is bounded on such questions as usual. Every estimator gets the learning rate, of two, with which it is done first on a
seed that is not used again; then all run on the same seeds in turn. Runs that are not done after the most updates are counted
with what they spent by then, and marked.

Two counts of passes (forward and backward, of one sequence), since samples can be had in two ways. *Read*, as
`lh.DSO` does: the options' probabilities come from one pass, and samples are drawn from them. *Said*, as the paper's notes have
it: every sample is generated, and the passes that give its gradient are its own. Updates needed are the same, since the answers
of the testbed are single tokens and are drawn from the same distribution; the seconds of an update whose answers are
said are measured here, by generating two tokens and scoring them.

Hoped for: exact needs at most a fifth of what reinforce needs. On the testbed that holds for the processor time against four generated
answers a question, which leave-one-out baselines need; not against one answer, and not against samples that are drawn from the same pass.
"""

from __future__ import annotations

import argparse
import os

os.environ["OMP_NUM_THREADS"] = "1"

import statistics
import time
from dataclasses import dataclass
from typing import Any

import torch

from levelhead import DSO, Affine, Steer
from levelhead.data.records import ChoiceRecord
from levelhead.likelihood import continued
from levelhead.methods.dso.batches import Batches
from levelhead.methods.dso.questions import Prompts, Questions
from levelhead.methods.dso.sides import cells_of
from levelhead.methods.dso.state import settings_of
from levelhead.methods.dso.trainer import Trainer
from levelhead.methods.frozen import frozen
from levelhead.metrics.decisions import Choices
from levelhead.sites import resolve
from levelhead.testbed import load, sample
from levelhead.testbed.records import choices, wrap
from levelhead.testbed.world import SETTINGS

LEVEL, RIGHT, MOST, EVERY, BATCH = 0.1, 0.99, 80, 2, 16
RATES = (0.02, 0.04)
SAID = {"exact": 0, "reinforce, 1 sample": 1, "reinforce, 4 samples": 4, "ppo, 4 samples": 4}
"""Sequences that an update generates and scores for each question, if its answers are said."""
VARIANTS: dict[str, dict[str, Any]] = {
    "exact": {},
    "reinforce, 1 sample": {"estimator": "reinforce", "samples": 1},
    "reinforce, 4 samples": {"estimator": "reinforce", "samples": 4},
    "ppo, 4 samples": {"estimator": "ppo", "samples": 4, "epochs": 4},
}


@dataclass(frozen=True)
class Cost:
    """What a run spent until it was level."""

    reached: bool
    updates: int
    passes: int
    seconds: float

    def key(self) -> tuple[bool, int]:
        return (not self.reached, self.passes)


def records(n: int, stream: int, *, held_out: bool) -> list[ChoiceRecord]:
    """People of every setting in which nothing shows what they do, each as a man and as a woman."""
    scenes = [
        scene.counterfactual(gender=gender)
        for number, theme in enumerate(SETTINGS)
        for scene in sample(n, [stream, number], roles=[theme.name], held_out=held_out)
        for gender in ("man", "woman")
    ]
    return choices(scenes, "job_choice")


def clear(n: int, stream: int, *, held_out: bool) -> list[ChoiceRecord]:
    """People whose picture shows what they do."""
    roles = [role for theme in SETTINGS for role in theme.answers]
    found = choices(sample(n, stream, roles=roles, held_out=held_out), "job_choice")
    return [record for record in found if record.condition == "unambiguous"]


class Bench:
    """The testbed, its questions, and runs on them."""

    def __init__(self) -> None:
        self.graph = load().graph
        train, held = records(8, 0, held_out=False), records(2, 1, held_out=True)
        self.cells = cells_of([*train, *held], "stereotype", "target")
        self.questions = Questions(self.graph, self.cells.records, "words", wrap)
        self.neutral = Prompts(self.graph, clear(48, 2, held_out=False), "words", wrap)
        self.asked = Choices(self.graph, clear(32, 3, held_out=True), wrap=wrap)
        self.train = list(range(len(train)))
        self.held = list(range(len(train), len(train) + len(held)))
        number = self.cells.cell.tolist()
        self.groups = [[i for i in self.train if number[i] == k] for k in dict.fromkeys(number)]
        sites = resolve(("ln1.*", "ln2.*"), self.graph.sites())
        self.widths = {site: self.graph.locate(site).width for site in sites}

    def run(self, seed: int, lr: float, options: dict[str, Any], most: int = MOST) -> Cost:
        """Train until level, or for so many updates; what it took, without what looking for it took."""
        method = DSO(l1=0, lr=lr, neutral_batch=8, random_state=seed, evaluate_every=10**9, **options)
        batches = Batches(self.groups, self.questions.numbers, BATCH, seed)
        steps = most // (method.epochs if method.estimator == "ppo" else 1)
        with frozen(self.graph.model), torch.enable_grad():
            trainer = Trainer(
                self.questions, self.neutral, self.cells, self.train, self.held, batches,
                self.widths, settings_of(method),
            )  # fmt: skip
            goal = LEVEL * trainer.evaluate(trainer.theta)["validation_bias"]
            spent, since, level = 0.0, time.process_time(), 0  # in a row
            trainer.watched = []  # drift is no part of a look

            def after(step: int, last: bool) -> None:
                nonlocal spent, since, level
                spent += time.process_time() - since
                if step and (step % EVERY == 0 or method.estimator == "ppo"):
                    fine = trainer.evaluate(trainer.theta)["validation_bias"] <= goal and self.right(trainer) >= RIGHT
                    level = level + 1 if fine else 0
                    trainer.state.stopped = level == 2
                since = time.process_time()

            trainer.run(steps, after, lambda row: None)
        updates = trainer.state.step * (method.epochs if method.estimator == "ppo" else 1)
        return Cost(trainer.state.stopped, updates, trainer.state.asked, spent)

    def right(self, trainer: Trainer) -> float:
        """Share of held-out questions with a right answer that get it."""
        return float(self.asked(trainer.steer(trainer.theta.detach()))[0].right.mean())

    def said(self, samples: int, repeats: int = 5) -> tuple[float, float]:
        """Seconds of generating a batch's answers, and of scoring them with gradients; medians."""
        picked = [group[0] for group in self.groups] * 2
        prompts = [self.questions.prompts[self.questions.numbers[i][0]] for i in picked] * samples
        batch = self.graph.encode(prompts)
        zeros = {site: torch.zeros(width, requires_grad=True) for site, width in self.widths.items()}
        steer = Steer({site: Affine(value, torch.zeros_like(value)) for site, value in zeros.items()})
        generating: list[float] = []
        scoring: list[float] = []
        with frozen(self.graph.model):
            for _ in range(repeats):
                start = time.process_time()
                with torch.no_grad():
                    ids = self.graph.generate(batch, steer, max_new_tokens=2, do_sample=False)
                between = time.process_time()
                length = batch["input_ids"].shape[1]
                grown = continued(self.graph, batch, ids[:, length:].tolist())
                with torch.enable_grad():
                    logits = self.graph.logits(grown, steer, prompt_length=length, last=3)
                    logits.log_softmax(-1)[..., 0].mean().backward()
                generating.append(between - start)
                scoring.append(time.process_time() - between)
        return statistics.median(generating), statistics.median(scoring)


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):7.1f} ({min(values):.1f} to {max(values):.1f})"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    seeds = range(1, 1 + parser.parse_args().seeds)
    torch.set_num_threads(1)
    bench = Bench()
    rates: dict[str, float] = {}
    for name, options in VARIANTS.items():
        found: dict[float, Cost] = {}
        for lr in RATES:  # one that is not level by the time another was need not go on
            found[lr] = bench.run(0, lr, options, min((cost.updates for cost in found.values()), default=MOST))
        rates[name] = min(found, key=lambda lr: found[lr].key())
        told = ", ".join(f"{lr}: {cost.updates}{'' if cost.reached else '+'}" for lr, cost in found.items())
        print(f"{name:<22} updates until done by learning rate: {told}; taken {rates[name]}", flush=True)
    costs: dict[str, list[Cost]] = {name: [] for name in VARIANTS}
    for seed in seeds:
        for name, options in VARIANTS.items():
            costs[name].append(bench.run(seed, rates[name], options))
    said = {samples: bench.said(samples) for samples in sorted({*SAID.values()} - {0})}
    print(
        f"done: {LEVEL:.0%} of the unsteered bias, {RIGHT:.0%} right, on held-out people; batches of {BATCH}; median (range) of {len(seeds)} seeds"
    )
    print(f"{'':<22} {'updates':<24} {'passes, read':<26} {'CPU s, read':<24} {'passes, said':<26} {'CPU s, said':<22}")
    table: dict[str, list[list[float]]] = {}
    for name, runs in costs.items():
        samples = SAID[name]
        updates = [float(run.updates) for run in runs]
        read, seconds = [float(run.passes) for run in runs], [run.seconds for run in runs]
        spoken, slower = read, seconds
        if samples:
            epochs = VARIANTS[name].get("epochs", 1)
            generating, scoring = said[samples]
            more = scoring - said[1][1] + generating / epochs
            spoken = [passes + u * BATCH * (samples - 1) for passes, u in zip(read, updates, strict=True)]
            slower = [spent + u * more for spent, u in zip(seconds, updates, strict=True)]
        table[name] = [updates, read, seconds, spoken, slower]
        late = sum(not run.reached for run in runs)
        told = "  ".join(f"{spread(values):<24}" for values in table[name])
        print(f"{name:<22} {told}{f'  {late} not done after {MOST}' if late else ''}")
    for name, columns in table.items():
        if name != "exact":
            ratios = [
                statistics.median(a / b for a, b in zip(mine, his, strict=True))
                for mine, his in zip(table["exact"], columns, strict=True)
            ]
            print(
                f"exact / {name:<22} passes read {ratios[1]:.2f}, seconds read {ratios[2]:.2f}, "
                f"passes said {ratios[3]:.2f}, seconds said {ratios[4]:.2f}  (hoped for: 0.20)"
            )


if __name__ == "__main__":
    main()
