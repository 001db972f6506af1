"""Whether an attribute can still be read from a steered model: *not mentioned* is not *not encoded*."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from levelhead.data.records import sets_of
from levelhead.data.values import check_name, value_of
from levelhead.errors import InputError
from levelhead.generation import Reply
from levelhead.graph import Graph
from levelhead.metrics.measures.answered import Answered
from levelhead.metrics.measures.protocol import Better, Reading, Run
from levelhead.metrics.statistics import ratio_of, roc_auc
from levelhead.metrics.statistics.weighting import Weights
from levelhead.probes.crossfit import cross_fit
from levelhead.probes.folds import stratified_folds, usable
from levelhead.replay import PLACES, replayed
from levelhead.steer import Steer, Strengths


@dataclass(frozen=True)
class ProbeAfter(Answered):
    """How well a linear probe that is fitted anew on steered activations reads an attribute, as balanced accuracy.

    Balanced means that every class weighs the same (mean of the classes' shares of right items), so that guessing gives
    1 / classes whatever their sizes; with classes of equal size it is the accuracy. Probes are L2 logistic
    regressions, one class against the rest, cross-validated so that every item is judged by a probe that saw nobody of its
    set. A measure of ours: the papers around arXiv 2411.12590 count what is said, and a model that says nothing of an
    attribute may encode it all the same.

    Parameters
    ----------
    records : Answers, or sequence of PromptRecord
    label : str
        Field or further column of the records that is to be read, such as ``"group"``.
    site : str
        As in ``"resid_post.4"``: behind the edits, or else there is nothing to see of them.
    at : {"last", "image", "answer"}
        Last token of the prompt, mean over the image tokens, or mean over the steered model's own answer, which is then
        generated; empty ones are left out, and counted.
    cv : int
        Folds. No ``set_id`` is in two of them.
    C : float
        Inverse strength of the penalty, as in scikit-learn.
    random_state : int
        Of the folds.
    name : str, optional
        ``"probe for {label}"`` when left out.

    Raises
    ------
    InputError
        If a record has no label, all have the same, there are too few sets to fold, or for an unknown place.
    """

    label: str = "group"
    site: str = "resid_post.0"
    at: str = "last"
    cv: int = 5
    C: float = 1.0
    random_state: int = 0
    name: str = ""
    better: Better = field(default="lower", init=False)
    bounds: tuple[float, float] | None = field(default=(0.0, 1.0), init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.at not in PLACES or self.at == "mention":
            raise InputError(f"a probe reads at 'last', 'image' or 'answer'; found at={self.at!r}")
        if not self.name:
            object.__setattr__(self, "name", f"probe for {self.label}")
        classes = self._labels()[0]
        if len(classes) < 2:
            raise InputError(f"a probe separates at least two classes, and every '{self.label}' is {classes[0]!r}")

    @property
    def chance(self) -> float:
        """What guessing gives: 1 / classes."""
        return 1 / len(self._labels()[0])

    def on(self, graph: Graph, prefix: str = "") -> Run:
        """Wrap for a graph, and deal the folds."""
        classes, index = self._labels()
        folds = self._folds(index)
        say = self.answers.on(graph, prefix)

        def run(
            steer: Steer | None = None, strengths: Strengths | None = None, *, verbose: bool = False
        ) -> list[Reading]:
            steers = [steer] if steer is None or strengths is None else [steer * s for s in strengths]
            found: list[Reading] = []
            for each in steers:
                said = say(each, verbose=verbose)[0] if self.at == "answer" else None
                x, kept = self._activations(graph, say.inputs, said, each, verbose)
                found.append(self._judged(x, kept, classes, index, folds))
            return found

        return run

    def _labels(self) -> tuple[list[str], Int[np.ndarray, " item"]]:
        check_name(self.records, self.label)
        values = [value_of(record, self.label) for record in self.records]
        missing = [record.id for record, value in zip(self.records, values, strict=True) if value in (None, "")]
        if missing:
            raise InputError(
                f"{len(missing)} of {len(values)} records have no '{self.label}', the first is '{missing[0]}'; leave "
                "out people whom no class fits"
            )
        classes, index = np.unique([str(value) for value in values], return_inverse=True)
        return [str(name) for name in classes], index.astype(np.int64)

    def _folds(self, index: Int[np.ndarray, " item"]) -> Int[np.ndarray, " item"]:
        """Folds that keep sets whole, and leave every class to learn from."""
        _, sets = np.unique(sets_of(self.records), return_inverse=True)
        rarest = int(np.bincount(index).argmin())
        rng = np.random.default_rng(self.random_state)
        folds = stratified_folds(index == rarest, sets.astype(np.int64), self.cv, rng)
        for one, name in enumerate(self._labels()[0]):
            if not usable(index == one, folds, self.cv):
                raise InputError(
                    f"'{name}' is in too few sets for {self.cv} folds of whole sets; give more prompts, or fewer folds"
                )
        return folds

    def _activations(
        self, graph: Graph, inputs: Sequence[Any], said: Sequence[Reply] | None, steer: Steer | None, verbose: bool
    ) -> tuple[Float[Tensor, "kept d"], Int[np.ndarray, " kept"]]:
        kept = np.arange(len(inputs)) if said is None else np.flatnonzero([bool(reply.tokens) for reply in said])
        if not len(kept):
            return torch.zeros(0, 1), kept
        replies = [Reply("", ())] * len(inputs) if said is None else said
        acts = replayed(
            graph,
            [inputs[i] for i in kept.tolist()],
            [replies[i] for i in kept.tolist()],
            [self.site],
            self.at,
            steer=steer,
            batch_size=self.answers.batch_size,
            verbose=verbose,
        )
        return acts[self.site].float(), kept

    def _judged(
        self,
        x: Float[Tensor, "kept d"],
        kept: Int[np.ndarray, " kept"],
        classes: list[str],
        index: Int[np.ndarray, " item"],
        folds: Int[np.ndarray, " item"],
    ) -> Reading:
        right, read = np.zeros(len(index), dtype=bool), np.zeros(len(index), dtype=bool)
        beside = {"unreadable": float(len(index) - len(kept))}
        learned = (
            [c for c in range(len(classes)) if usable(index[kept] == c, folds[kept], self.cv)] if len(kept) else []
        )
        cautions = () if len(learned) == len(classes) else ("too few answers are left to fit a probe on",)
        if not cautions:
            ones = learned[1:] if len(classes) == 2 else learned
            labels: Bool[np.ndarray, "draw kept"] = np.stack([index[kept] == c for c in ones])
            scores = cross_fit(x[None], labels, np.tile(folds[kept], (len(ones), 1)), self.cv, C=self.C).scores[0]
            if len(classes) == 2:
                said = (scores[0] > 0).long().numpy()
                held = torch.from_numpy(folds[kept])
                beside["auc"] = float(roc_auc(scores[0], torch.from_numpy(labels[0]), strata=held))
            else:
                said = scores.argmax(dim=0).numpy()
            right[kept], read[kept] = said == index[kept], True
        parts = [ratio_of(right & (index == c), read & (index == c)) for c in range(len(classes))]
        everybody = np.ones((1, len(index)))
        beside |= {f"right, {name}": float(part(everybody)[0]) for name, part in zip(classes, parts, strict=True)}

        def balanced(weights: Weights) -> Float[np.ndarray, " draw"]:
            return np.mean([part(weights) for part in parts], axis=0)

        return Reading(balanced, len(index), beside, cautions)
