"""The loop: rewards, gradients, multipliers, sparsity, early stopping; with a state that can be put down and taken up."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from levelhead.edits import Affine
from levelhead.errors import FileError, InputError
from levelhead.methods.dso import estimators
from levelhead.methods.dso.batches import Batches, chunks, rng_of
from levelhead.methods.dso.history import History
from levelhead.methods.dso.objective import rewards, shrink
from levelhead.methods.dso.questions import Answers, Prompts, Questions
from levelhead.methods.dso.reference import Unsteered
from levelhead.methods.dso.sides import Cells, unevenness
from levelhead.methods.dso.state import Settings, State
from levelhead.sites import Site
from levelhead.steer import Steer

WATCHED = 64
"""Neutral prompts of an evaluation."""
DIVERGED = 10
"""Steps in a row with a drift far beyond its target after which training is given up."""
_BETAS = (0.9, 0.99)
_FLOOR, _CEILING = 0.1, 1e4
"""Of multipliers; rewards are of order one, and what sinks lower takes long to come back."""


class Trainer:
    """Trains the scale and the shift of every neuron at some sites.

    Parameters
    ----------
    questions : Questions
        Of training and of validation.
    neutral : Prompts
    cells : Cells
        Of all records of the questions.
    train, validation : sequence of int
        Items.
    batches : Batches
    widths : dict of Site to int
    settings : Settings
    limit : float, optional
        Largest share of neurons that may be touched.
    """

    def __init__(
        self,
        questions: Questions,
        neutral: Prompts,
        cells: Cells,
        train: Sequence[int],
        validation: Sequence[int],
        batches: Batches,
        widths: dict[Site, int],
        settings: Settings,
        limit: float | int | None = None,
    ) -> None:
        self.questions, self.neutral, self.cells, self.batches = questions, neutral, cells, batches
        self.settings, self.widths = settings, widths
        self.items = torch.tensor(questions.item)
        self.train = [number for item in train for number in questions.numbers[item]]
        self.validation = [number for item in validation for number in questions.numbers[item]]
        self.trained = torch.zeros(len(cells.names), dtype=torch.bool)
        self.trained[cells.cell[list(train)]] = True
        spaced = max(1, len(neutral) // WATCHED)
        self.watched = list(range(0, len(neutral), spaced))[:WATCHED]
        n = sum(widths.values())
        zeros = torch.zeros(2, n)
        self.theta = torch.zeros(2, n, requires_grad=True)
        self.failed = False
        self.unsteered = Unsteered(questions, neutral, settings.kl_counts)
        shares, _ = cells.shares(self.unsteered.chances[self.train], self.items[self.train])
        self.state = State(zeros, torch.ones(n, dtype=torch.bool), shares, shares.clone(), zeros.clone())
        if settings.kl is None:
            self.state.weights = [0.0, 0.0]
        if limit is not None and limit < 1:
            self.state.mask = self._salient(limit)
        self.optimizer: Any = (
            torch.optim.Adam([self.theta], lr=settings.lr, betas=_BETAS)
            if settings.optimizer == "adam"
            else torch.optim.SGD([self.theta], lr=settings.lr)
        )

    # -- the steer -------------------------------------------------------------------------------------

    def steer(self, theta: Float[Tensor, "2 neuron"]) -> Steer:
        """The edits that a row of scales and a row of shifts make."""
        parts = theta.split(list(self.widths.values()), dim=1)
        edits = {site: Affine(part[0], part[1]) for site, part in zip(self.widths, parts, strict=True)}
        return Steer(edits, card={"basis": self.questions.graph.basis})

    def untouched(self, theta: Float[Tensor, "2 neuron"]) -> float:
        """Share of the neurons that are left exactly as they are."""
        return float((theta == 0).all(0).double().mean())

    # -- the loop --------------------------------------------------------------------------------------

    def run(self, steps: int, after: Callable[[int, bool], None], show: Callable[[dict[str, float]], None]) -> None:
        """Train until there were so many steps, or until validation says stop.

        Parameters
        ----------
        steps : int
        after : callable
            Called with the number of steps made, and whether they were the last, when all of a step is done.
        show : callable
            Called with each row of the history.

        Raises
        ------
        InputError
            When the loss or a gradient is not finite, or the drift stays far beyond its target.
        """
        self.failed = True
        state = self.state
        if not state.history:
            row = {"step": 0.0, "asked": 0.0, "seconds": 0.0, "untouched": 1.0}
            row["bias"] = float(unevenness(state.shares, self.cells.count)[self.trained].mean())
            state.history.append({**row, **self._judged()})
            after(0, False)
        while state.step < steps and not state.stopped:
            began = time.perf_counter()
            row = self._step()
            state.step += 1
            row |= {"step": float(state.step), "asked": float(state.asked), "untouched": self.untouched(self.theta)}
            if state.step % self.settings.evaluate_every == 0:
                row |= self._judged()
            state.seconds += time.perf_counter() - began
            state.history.append({**row, "seconds": state.seconds})
            self._check_drift(row)
            show(state.history[-1])
            after(state.step, state.step == steps or state.stopped)
        self.failed = False

    def _step(self) -> dict[str, float]:
        state, settings = self.state, self.settings
        numbers = self.batches(state.step)
        rng = rng_of(settings.random_state, 2, state.step)
        aside = rng.permutation(len(self.neutral))[: settings.neutral_batch].tolist()
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        row: dict[str, float] = {}
        goal: Callable[[Tensor], Tensor] | None = None
        for _ in range(settings.epochs if settings.estimator == "ppo" else 1):
            self.optimizer.zero_grad()
            steer = self.steer(self.theta)
            answers = self.questions(numbers, steer)
            options = answers.options
            self._check_finite(options.where(~options.isneginf(), 0.0), "loss")
            first = goal is None
            if goal is None:
                worth, goal = self._goal(options.detach(), self.items[numbers], generator)
                row["reward"] = float(estimators.expected(options.detach(), worth).mean())
                row["answered"] = float(options.detach().exp().sum(-1).mean())
            kls = self._ascend(goal(options), numbers, answers, aside, steer)
            if first:
                row |= dict(zip(("kl", "kl_neutral"), kls, strict=False))
                row |= dict(zip(("weight", "weight_neutral")[: len(kls)], state.weights, strict=False))
                self._remember(kls)
            self._check_finite(cast(Tensor, self.theta.grad), "gradient")
            self._move()
        self._weigh([row["kl"], *([row["kl_neutral"]] if aside else [])])
        row["bias"] = float(unevenness(state.shares, self.cells.count)[self.trained].mean())
        return row

    def _goal(
        self, options: Tensor, items: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """What each answer is worth, and what is to grow: a function of the options' log-probabilities."""
        settings = self.settings
        if settings.estimator == "exact":
            self._hear(options.exp().cpu(), items)
            worth = self._worth(items).to(options)
            return worth, lambda now: estimators.expected(now, worth).mean()
        # By the shares before this batch: a draw that moved its own reward would make for a biased gradient.
        worth = self._worth(items).to(options)
        drawn = estimators.draw(options, settings.samples, generator)
        self._hear(torch.nn.functional.one_hot(drawn, options.shape[1] + 1).sum(1)[:, :-1], items)
        drawn = drawn.to(options.device)
        gains = estimators.advantages(worth, drawn)
        if settings.estimator == "reinforce":
            return worth, lambda now: estimators.reinforce(now, drawn, gains)
        before = estimators.answer_logprobs(options).gather(1, drawn)
        return worth, lambda now: estimators.clipped(now, before, drawn, gains, settings.clip)

    def _worth(self, items: Tensor) -> Tensor:
        settings = self.settings
        return rewards(self.cells, items.tolist(), self.state.shares, invalid=settings.invalid, soften=settings.soften,
                       reward=settings.reward)  # fmt: skip

    def _ascend(
        self, gained: Tensor, numbers: Sequence[int], answers: Answers, aside: Sequence[int], steer: Steer
    ) -> list[float]:
        """Gradients of the gain less the weighed drifts; return the drifts."""
        bound = self.settings.kl is not None
        kl = self.unsteered.drift(numbers, answers)
        (self.state.weights[0] * kl - gained if bound else -gained).backward()
        self.state.asked += len(numbers)
        kls = [float(kl.detach())]
        if aside:
            with torch.set_grad_enabled(bound):
                kl = self.unsteered.drift_aside(aside, steer)
            if bound:
                (self.state.weights[1] * kl).backward()
                self.state.asked += len(aside)
            kls.append(float(kl.detach()))
        return kls

    def _hear(self, given: Tensor, items: Tensor) -> None:
        """Move the running estimates of the occupations that the batch asked about."""
        shares, heard = self.cells.shares(given, items)
        ema = self.settings.ema
        moved = ema * self.state.shares + (1 - ema) * shares
        self.state.shares = torch.where(heard[:, None], moved, self.state.shares)

    def _move(self) -> None:
        """One step of the optimizer, and one towards zero for the l1 penalty."""
        settings = self.settings
        lr = float(settings.lr)
        if settings.half_life is not None:
            lr *= 0.5 ** (self.state.step / settings.half_life)
        self.optimizer.param_groups[0]["lr"] = lr
        self.optimizer.step()
        by: Tensor | float = lr * settings.l1
        if settings.optimizer == "adam":
            # In Adam's own metric; else every number that ever had a gradient, however small, would stay.
            kept = self.optimizer.state[self.theta]
            size = (kept["exp_avg_sq"] / (1 - _BETAS[1] ** float(kept["step"]))).sqrt() + 1e-8
            by = by / size
        with torch.no_grad():
            self.theta.copy_(shrink(self.theta, by) * self.state.mask)
        self._check_finite(self.theta.detach(), "steer")

    def _weigh(self, found: list[float]) -> None:
        """Dual ascent: a multiplier grows while its drift is beyond the target, and shrinks while it is not."""
        if self.settings.kl is None:
            self.state.weights = [0.0, 0.0]
            return
        for i, (kl, target) in enumerate(zip(found, self._targets(), strict=False)):
            beyond = min(max(kl / target - 1, -1.0), 1.0)
            grown = self.state.weights[i] * float(torch.tensor(self.settings.dual_rate * beyond).exp())
            self.state.weights[i] = min(max(grown, _FLOOR), _CEILING)

    # -- judging ---------------------------------------------------------------------------------------

    def evaluate(self, theta: Float[Tensor, "2 neuron"]) -> dict[str, float]:
        """Measure a state on the held-out occupations: bias, probability of an answer, drifts."""
        steer = self.steer(theta.detach())
        with torch.no_grad():
            said = [self.questions(chunk, steer) for chunk in chunks(self.validation)]
            kls = [
                self.unsteered.drift(chunk, each) * len(chunk)
                for chunk, each in zip(chunks(self.validation), said, strict=True)
            ]
            chances = torch.cat([each.options for each in said]).exp().cpu()
            shares, heard = self.cells.shares(chances, self.items[self.validation])
            found = {
                "validation_bias": float(unevenness(shares, self.cells.count)[heard].mean()),
                "validation_answered": float(chances.sum(1).mean()),
                "validation_kl": float(torch.stack(kls).sum()) / len(self.validation),
            }
            if self.watched:
                found["validation_kl_neutral"] = float(self.unsteered.drift_aside(self.watched, steer))
        return found

    def _judged(self) -> dict[str, float]:
        """Evaluate, remember the state if it is the best so far, and stop when none was for a while."""
        state = self.state
        if not self.validation:
            return {}
        found = self.evaluate(self.theta)
        self._check_finite(torch.tensor(list(found.values())), "validation")
        score = self.score(found)
        if score < state.best_score - 1e-3:
            state.best_score, state.best_step, state.waited = score, state.step, 0
            state.best = self.theta.detach().clone()
        else:
            state.waited += 1
            state.stopped = state.waited >= self.settings.patience
        return found

    def score(self, found: dict[str, float]) -> float:
        """Bias, and by how much of the target a drift is beyond it."""
        if self.settings.kl is None:
            return found["validation_bias"]
        kls = (found["validation_kl"], found.get("validation_kl_neutral", 0.0))
        worst = max(kl / target for kl, target in zip(kls, self._targets(), strict=True))
        return found["validation_bias"] + max(0.0, worst - 1)

    def _targets(self) -> tuple[float, float]:
        """Largest drifts, on the choices and on neutral prompts."""
        kl, aside = self.settings.kl, self.settings.kl_neutral
        kl = math.inf if kl is None else float(kl)
        return kl, kl if aside is None else float(aside)

    def _remember(self, kls: Sequence[float]) -> None:
        """Where nothing is held out: the last state that was seen to work, for when a later one does not."""
        if not self.validation and all(map(math.isfinite, kls)) and max(kls) <= self._far():
            self.state.best, self.state.best_step = self.theta.detach().clone(), self.state.step

    def chosen(self) -> tuple[Float[Tensor, "2 neuron"], int]:
        """The best state by validation and the updates behind it; where nothing is held out the last that works."""
        if self.validation or self.failed:
            return self.state.best, self.state.best_step
        return self.theta.detach().clone(), self.state.step

    def _salient(self, limit: float | int) -> Bool[Tensor, " neuron"]:
        """The neurons along which the expected reward is steepest at the start, over all of training."""
        total = torch.zeros_like(self.theta)
        for chunk in chunks(self.train):
            options = self.questions(chunk, self.steer(self.theta)).options
            gained = estimators.expected(options, self._worth(self.items[chunk]).to(options)).sum()
            total += torch.autograd.grad(gained, self.theta)[0]
        kept = total.abs().sum(0).topk(max(1, int(limit * total.shape[1]))).indices
        mask = torch.zeros(total.shape[1], dtype=torch.bool)
        mask[kept] = True
        return mask

    # -- guarding --------------------------------------------------------------------------------------

    def _check_finite(self, values: Tensor, what: str) -> None:
        if not bool(torch.isfinite(values).all()):
            raise InputError(
                f"DSO: the {what} of step {self.state.step + 1} is NaN or infinite; load the model in float32 or bfloat16, or "
                f"lower lr={self.settings.lr}"
            )

    def _check_drift(self, row: dict[str, float]) -> None:
        if self.settings.kl is None:
            return
        worst = max(row["kl"], row.get("kl_neutral", 0.0))
        self.state.wild = self.state.wild + 1 if worst > self._far() else 0
        if self.state.wild >= DIVERGED:
            raise InputError(
                f"DSO: the drift from the unsteered model is {worst:.2f} nats at step {self.state.step}, and was beyond "
                f"{self._far():g} for {DIVERGED} steps (kl={self.settings.kl}): training diverges; lower lr={self.settings.lr}, "
                "or raise kl"
            )

    def _far(self) -> float:
        return math.inf if self.settings.kl is None else max(1.0, 20 * self.settings.kl)

    # -- on disk ---------------------------------------------------------------------------------------

    def saved(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The state as tensors and plain data."""
        state = self.state
        tensors = {"theta": self.theta.detach(), "mask": state.mask, "shares": state.shares,
                   "first": state.first, "best": state.best}  # fmt: skip
        for name, value in self.optimizer.state.get(self.theta, {}).items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{name}"] = value
        facts: dict[str, Any] = {name: getattr(state, name) for name in State.FACTS}
        facts["best_score"] = None if state.best_score == float("inf") else state.best_score
        return tensors, {**facts, "history": list(state.history)}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Take up a saved state.

        Raises
        ------
        FileError
            If it lacks something, or the unsteered model answers otherwise than it did then.
        """
        state = self.state
        missing = {*State.FACTS, "history"} - set(facts) | {"theta", "mask", "shares", "first", "best"} - set(tensors)
        if missing:
            raise FileError(f"the checkpoint lacks {', '.join(sorted(missing))}; remove it to start anew")
        if not torch.allclose(tensors["first"], state.first, atol=1e-3):
            raise FileError(
                "the checkpoint is of another run: the unsteered model's answers are not what they were then, so that its weights "
                "or the pictures are others; give another folder, or remove it"
            )
        for name in State.FACTS:
            setattr(state, name, facts[name])
        if facts["best_score"] is None:
            state.best_score = float("inf")
        state.history = History(facts["history"])
        state.mask, state.shares, state.best = tensors["mask"], tensors["shares"], tensors["best"]
        with torch.no_grad():
            self.theta.copy_(tensors["theta"])
        kept = {name.removeprefix("optimizer."): t for name, t in tensors.items() if name.startswith("optimizer.")}
        if kept:
            self.optimizer.state[self.theta] = kept
