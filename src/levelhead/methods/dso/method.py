"""DSO: direct steering optimization, as an estimator."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from levelhead.data.records import CapabilityRecord, ChoiceRecord, PromptRecord
from levelhead.errors import FallbackWarning, FileError
from levelhead.graph import graph
from levelhead.methods.base import Method, check_choice, check_range
from levelhead.methods.dso import checkpoint as disk
from levelhead.methods.dso.batches import Batches, split
from levelhead.methods.dso.history import History
from levelhead.methods.dso.objective import Reward
from levelhead.methods.dso.questions import Prompts, Questions, Read
from levelhead.methods.dso.sides import Sides, Within, cells_of
from levelhead.methods.dso.state import settings_of
from levelhead.methods.dso.trainer import Trainer
from levelhead.methods.frozen import frozen
from levelhead.metrics.decisions.asking import Style, Wrap
from levelhead.sites import Patterns, resolve
from levelhead.steer import Steer

_RESUMABLE = ("steps", "checkpoint_every")
"""Hyper-parameters that a resumed run may have otherwise."""


class DSO(Method):
    """Direct steering optimization (arXiv 2512.15926): ``h + strength * (a * h + b)`` at every norm, found by reward.

    From notes on the paper, not from its text: the map and where it acts, training at strength 1, the reward (-1 for an
    answer on the side that its occupation leans to at present, +1 for another), the l1 penalty, and that KL(steered ||
    unsteered) is bounded. Reconstructed, since nothing is known of it: everything else, such as the tokens over which that
    is estimated, and which way round. Sampled answers weighed against their mean (``"reinforce"``) are nearest to the notes;
    ``"exact"`` differentiates the same expectation without sampling. What is no option earns `invalid` here, where the
    published reward gives it +1; the drift is held to its target by multipliers that grow while it is beyond; shares of
    sides are running means for each occupation.

    Parameters
    ----------
    sites : patterns
        Where to steer: the outputs of the norms, as published, or any others (``"ln1_post.*"`` where there are such).
    estimator : {"exact", "reinforce", "ppo"}
        Of the gradient: of the expected reward itself, of sampled answers, of sampled answers used several times.
    kl : float, optional
        Largest drift from the unsteered model at the answer, in nats, on the choices and on neutral prompts each; None
        for no bound.
    kl_counts : {"rest", "all"}
        What of the drift counts on the choices: all but what moves between a choice's own options, or all, as published.
        A bound on all of it bounds the levelling itself (0.34 nats from .85 to level).
    kl_neutral : float, optional
        Largest drift on neutral prompts, where it should be another than `kl`.
    neutral_tokens : {"last", "every"}
        Where drift is measured on neutral prompts: at their answer, or after each of their tokens (behind the last picture),
        in the mean. Every token of ordinary text says more of what a steer would cost than its last one.
    l1 : float
        Weight of the l1 penalty, against rewards, by proximal steps; numbers whose gradient is smaller stay 0.
    steps : int
        Updates at most.
    batch : int
        Choices of an update, each in one order by chance.
    lr : float
    half_life : float, optional
        Updates in which `lr` halves; constant when left out. Near level, a smaller one chatters less.
    optimizer : {"adam", "sgd"}
    reward : callable, optional
        ``reward(record, option, shares)`` gives what an answer is worth, in place of the published one; `option` is None for
        an answer that is none, `shares` holds the current shares of the sides by name.
    invalid : float
        Worth of an answer that is no option.
    soften : float
        Unevenness of an occupation below which the rewards of its sides shrink in proportion; 0 as published.
    sides : {"stereotype", "groups"}
        Pro against anti, or the groups that the options stand for; of more than two, the largest is rewarded with -1.
    within : {"target", "group"}
        Where sides are counted: in each target, or for each group of people who are asked about in each target.
    stratify : bool
        Equal numbers of every occupation in each batch, as theorem 1 wants.
    ema : float
        How much of the running shares is kept at each step, in [0, 1). Shares that lag behind push an occupation past level
        and back; near 1, the bias swings instead of settling. More is for batches with few questions of each occupation.
    samples : int
        Answers drawn of each question, when they are.
    clip : float
        Of PPO.
    epochs : int
        Updates of PPO on one batch.
    limit : float, optional
        Largest share of neurons that may be touched: those along which the reward is steepest at the start.
    neutral_batch : int
        Neutral prompts of an update.
    dual_rate : float
        How fast multipliers grow, at most, per update: by ``exp(dual_rate)``.
    validation : float
        Share of the occupations that are held out to choose the state and to stop; 0 for none.
    evaluate_every : int
        Updates from one evaluation to the next.
    patience : int
        Evaluations without a better state after which training ends.
    checkpoint_every : int
        Updates from one checkpoint to the next.
    style, wrap
        How choices are put, as in `levelhead.metrics.decisions.Choices`.
    random_state : int

    Attributes
    ----------
    steer_ : Steer
        Also after an error in training: the best state until then.
    history_ : History
        A list of dictionaries, one a step; ``history_.frame()``.
    untouched_ : float
        Share of the neurons that the steer leaves exactly as they are.
    best_step_ : int
        Updates behind the steer.
    validation_ : list of str
        The occupations that were held out.
    """

    steer_: Steer
    history_: History
    untouched_: float
    best_step_: int
    validation_: list[str]

    def __init__(
        self,
        sites: Patterns = ("ln1.*", "ln2.*"),
        estimator: Literal["exact", "reinforce", "ppo"] = "exact",
        kl: float | int | None = 0.05,
        kl_counts: Literal["rest", "all"] = "rest",
        kl_neutral: float | int | None = None,
        neutral_tokens: Read = "last",
        l1: float | int = 1e-4,
        steps: int = 200,
        batch: int = 32,
        lr: float | int = 0.02,
        half_life: float | int | None = None,
        optimizer: Literal["adam", "sgd"] = "adam",
        reward: Reward | None = None,
        invalid: float | int = -1.0,
        soften: float | int = 0.02,
        sides: Sides = "stereotype",
        within: Within = "target",
        stratify: bool = True,
        ema: float | int = 0.3,
        samples: int = 4,
        clip: float | int = 0.2,
        epochs: int = 4,
        limit: float | int | None = None,
        neutral_batch: int = 16,
        dual_rate: float | int = 0.1,
        validation: float | int = 0.25,
        evaluate_every: int = 10,
        patience: int = 5,
        checkpoint_every: int = 10,
        style: Style = "words",
        wrap: Wrap = "raw",
        random_state: int = 0,
    ) -> None:
        self.sites = sites
        self.estimator = estimator
        self.kl = kl
        self.kl_counts = kl_counts
        self.kl_neutral = kl_neutral
        self.neutral_tokens: Read = neutral_tokens
        self.l1 = l1
        self.steps = steps
        self.batch = batch
        self.lr = lr
        self.half_life = half_life
        self.optimizer = optimizer
        self.reward = reward
        self.invalid = invalid
        self.soften = soften
        self.sides: Sides = sides
        self.within: Within = within
        self.stratify = stratify
        self.ema = ema
        self.samples = samples
        self.clip = clip
        self.epochs = epochs
        self.limit = limit
        self.neutral_batch = neutral_batch
        self.dual_rate = dual_rate
        self.validation = validation
        self.evaluate_every = evaluate_every
        self.patience = patience
        self.checkpoint_every = checkpoint_every
        self.style: Style = style
        self.wrap: Wrap = wrap
        self.random_state = random_state

    def fit(
        self,
        model: Any,
        choices: Sequence[ChoiceRecord],
        neutral: Sequence[str | PromptRecord | CapabilityRecord | ChoiceRecord] = (),
        processor: Any = None,
        *,
        checkpoint: str | os.PathLike[str] | None = None,
        verbose: bool = True,
    ) -> Steer:
        """Train on choices that nothing but a stereotype decides. The model's weights stay as they are.

        Parameters
        ----------
        model : transformers model, TransformerBridge, nnsight model or Graph
        choices : sequence of ChoiceRecord
            Ambiguous ones, with ``target``, and ``pro`` or the groups of their options; those of `levelhead.data.make_choice_pairs`
            go in as they are, where a stereotype is known, and with ``sides="groups"`` all of them.
        neutral : sequence of str, PromptRecord, CapabilityRecord or ChoiceRecord
            What should be answered as before: general questions, and choices that something in them decides.
        processor : tokenizer or processor, optional
        checkpoint : path, optional
            A folder. Training goes on from what is there, to the same numbers as if it had never stopped.
        verbose : bool
            Show a progress bar, if this is a terminal.

        Returns
        -------
        Steer
            At strength 1 as trained; slide it between 0 and 1.

        Raises
        ------
        InputError
            For hyper-parameters out of range, choices that do not name their sides, show one side alone or are unambiguous,
            options that cannot be told apart, a loss that is not finite, a drift that diverges. In the last two cases the best
            state until then (where nothing is held out, the last that worked) is in ``steer_``, and the last checkpoint, where
            one was asked for, stays on disk.
        FileError
            For a checkpoint that is damaged, or that belongs to another run: other hyper-parameters, words, pictures, weights.
        SiteError
            For sites that the model lacks.

        Warns
        -----
        FallbackWarning
            When no state was better than the model as it is, so that the steer does nothing.
        """
        self._check()
        seam = graph(model, processor)
        cells = cells_of(choices, self.sides, self.within)
        train, held = split(cells.records, self.validation, self.random_state)
        self.validation_ = list(dict.fromkeys(cells.records[i].target for i in held))
        widths = {site: seam.locate(site).width for site in resolve(self.sites, seam.sites())}
        run = self._fingerprint(seam.identity(), [str(site) for site in widths], cells.records, neutral)
        before = None if checkpoint is None else _resumed(checkpoint, run)
        questions = Questions(seam, cells.records, self.style, self.wrap)
        groups = [train]
        if self.stratify:
            number = cells.cell.tolist()
            groups = [[i for i in train if number[i] == k] for k in dict.fromkeys(number[i] for i in train)]
        with frozen(seam.model), torch.enable_grad():
            trainer = Trainer(
                questions,
                Prompts(seam, neutral, self.style, self.wrap, self.neutral_tokens),
                cells,
                train,
                held,
                Batches(groups, questions.numbers, self.batch, self.random_state),
                widths,
                settings_of(self),
                self.limit,
            )
            if before is not None:
                trainer.restore(*before)
            try:
                self._run(trainer, checkpoint, run, verbose)
            finally:
                source = {"model": seam.identity(), "basis": seam.basis}
                self._keep(trainer, source, len(train), run)
        if self.untouched_ == 1:
            warnings.warn(
                f"DSO: no state of {trainer.state.step} steps was better on the held-out occupations than the model as it is, and the "
                "steer does nothing; look at history_, and lower lr or l1, or give more steps or a larger kl",
                FallbackWarning,
                stacklevel=2,
            )
        return self.steer_

    def _run(self, trainer: Trainer, checkpoint: str | os.PathLike[str] | None, run: str, verbose: bool) -> None:
        from tqdm import tqdm

        def after(step: int, last: bool) -> None:
            if checkpoint is not None and (last or step % self.checkpoint_every == 0):
                tensors, facts = trainer.saved()
                disk.write(checkpoint, tensors, {**facts, "run": run})

        first = trainer.state.step
        with tqdm(total=self.steps, initial=first, disable=None if verbose else True, leave=False, desc="DSO") as bar:

            def show(row: dict[str, float]) -> None:
                bar.set_postfix(bias=f"{row['bias']:.3f}", kl=f"{row['kl']:.4f}", refresh=False)
                bar.update(1)

            trainer.run(self.steps, after, show)

    def _keep(self, trainer: Trainer, source: dict[str, Any], items: int, run: str) -> None:
        chosen, self.best_step_ = trainer.chosen()
        self.history_ = trainer.state.history
        self.untouched_ = trainer.untouched(chosen)
        card = self.card(source, items=items, held_out=self.validation_, sha256=run)
        card["method"]["params"] = self._plain()
        judged = [row for row in self.history_ if "validation_bias" in row]
        at_best = [row for row in judged if row["step"] == self.best_step_]
        card["training"] = {
            "steps": trainer.state.step,
            "best_step": self.best_step_,
            "untouched": self.untouched_,
            "before": judged[0] if judged else None,
            "after": at_best[0] if at_best else None,
        }
        self.steer_ = Steer({entry.site: entry.edit for entry in trainer.steer(chosen)}, scope="all", card=card)

    def _plain(self) -> dict[str, Any]:
        """Hyper-parameters for a card: functions by name."""
        found: dict[str, Any] = {}
        for name, value in self.get_params().items():
            if callable(value):
                value = getattr(value, "__qualname__", type(value).__qualname__)
            elif name == "sites":
                value = str(value) if not isinstance(value, list | tuple) else [str(site) for site in value]
            found[name] = value
        return found

    def _fingerprint(
        self, model: dict[str, Any], sites: list[str], records: tuple[ChoiceRecord, ...], neutral: Sequence[Any]
    ) -> str:
        """Tells runs apart: what was set, the model's configuration, the words of the data."""
        params = {name: str(value) for name, value in self._plain().items() if name not in _RESUMABLE}
        said = [
            (r.id, r.prompt, r.options, r.shown, r.pro, r.unknown, r.groups, r.group, r.target, r.orders)
            for r in records
        ]
        aside = [each if isinstance(each, str) else (each.id, each.prompt) for each in neutral]
        text = json.dumps([params, model.get("config_sha256"), sites, said, aside])
        return hashlib.sha256(text.encode()).hexdigest()

    def _check(self) -> None:
        who = "DSO"
        check_choice(who, "estimator", self.estimator, ("exact", "reinforce", "ppo"))
        check_choice(who, "optimizer", self.optimizer, ("adam", "sgd"))
        check_choice(who, "kl_counts", self.kl_counts, ("rest", "all"))
        check_choice(who, "neutral_tokens", self.neutral_tokens, ("last", "every"))
        check_choice(who, "sides", self.sides, ("stereotype", "groups"))
        check_choice(who, "within", self.within, ("target", "group"))
        whole = (
            "steps",
            "batch",
            "samples",
            "epochs",
            "evaluate_every",
            "patience",
            "checkpoint_every",
            "neutral_batch",
        )
        for name in whole:
            check_range(who, name, getattr(self, name), getattr(self, name) >= 1, "at least 1")
        for name in ("lr", "clip", "dual_rate"):
            check_range(who, name, getattr(self, name), getattr(self, name) > 0, "above 0")
        for name in ("l1", "soften", "random_state"):
            check_range(who, name, getattr(self, name), getattr(self, name) >= 0, "0 or more")
        for name in ("ema", "validation"):
            check_range(who, name, getattr(self, name), 0 <= getattr(self, name) < 1, "in [0, 1)")
        check_range(who, "half_life", self.half_life, self.half_life is None or self.half_life > 0, "above 0, or None")
        for name in ("kl", "kl_neutral"):
            value = getattr(self, name)
            check_range(who, name, value, value is None or value > 0, "above 0, or None")
        check_range(who, "limit", self.limit, self.limit is None or 0 < self.limit <= 1, "in (0, 1], or None")


def _resumed(folder: str | os.PathLike[str], run: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    found = disk.read(folder)
    if found is not None and found[1].get("run") != run:
        raise FileError(
            f"the checkpoint in '{folder}' is of a run with other hyper-parameters, another model or other data; give another "
            "folder, or remove it"
        )
    return found
