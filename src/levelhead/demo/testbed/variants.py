"""Where to steer: mean differences read at several places, and the choice among them on validation pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch

import levelhead as lh
from levelhead.capture import Activations
from levelhead.demo.options import Options
from levelhead.demo.testbed.contrasts import Contrast
from levelhead.demo.testbed.measure import SKILLS, Panel, Skills
from levelhead.graph import Graph
from levelhead.sites import Site
from levelhead.steer import Steer
from levelhead.testbed.model import prompt
from levelhead.testbed.world import PERSON

PLACES = {
    "end": "one direction, at the end of the question",
    "end, by setting": "a direction for each setting, at the end of the question",
    "picture": "one direction, at the picture's tokens",
}
"""Which directions are tried: where they are read, and written."""

BUDGET = 0.02
"""Largest loss of right answers that an edit may cost on validation pictures, in any part of `measure.SKILLS`."""


@dataclass(frozen=True)
class Fitted:
    """Ablations to the mean, at every layer of the language model.

    Attributes
    ----------
    steers : dict of str to Steer
        For each of `PLACES`.
    acts : dict of str to Activations
        What each was fitted on; controls ablate to the mean of the same.
    n : int
        Contrasts that were fitted on.
    """

    steers: dict[str, Steer]
    acts: dict[str, Activations]
    n: int


@dataclass(frozen=True)
class Trial:
    """One edit on the validation pictures.

    Attributes
    ----------
    place : str
        Of `PLACES`; empty for the model as it is.
    layers : tuple of int
    lean : float
        How far answers about the job lie from level, `measure.Moves.lean`.
    gap : float
        Mean size of a setting's gap.
    right : dict of str to float
        Share of right answers in each part of `measure.SKILLS`; empty where it was not asked.
    loss : float or None
        Largest loss of right answers in any part; None where it was not asked.
    """

    place: str
    layers: tuple[int, ...]
    lean: float
    gap: float = 0.0
    right: dict[str, float] = field(default_factory=dict[str, float])
    loss: float | None = None


def fit(graph: Graph, contrasts: Sequence[Contrast], verbose: bool = True) -> Fitted:
    """Fit mean differences between the two sides of contrasts, all else pixel-identical, under the job question.

    Parameters
    ----------
    graph : Graph
    contrasts : sequence of Contrast
        Of the kind ``"job"``, all in one attribute.
    verbose : bool
    """
    asked = [side[0] for each in contrasts for side in each.items]
    (attribute,) = {each.attribute for each in contrasts}
    labels = [getattr(scene.person, attribute) for scene, _ in asked]
    positive = PERSON[attribute][-1]
    names = [each.name for each in contrasts for _ in each.items]
    inputs = [(scene.image(), prompt(question.text)) for scene, question in asked]
    steers: dict[str, Steer] = {}
    acts: dict[str, Activations] = {}
    for place, at in (("end", "last"), ("picture", "image")):
        acts[place] = lh.capture(graph, inputs, "resid_post.*", at=at, batch_size=128, verbose=verbose)
        method = lh.MeanDifference("resid_post.*", edit="ablate", to="mean", positive=positive, scope=at)
        steers[place] = method.fit(acts[place], labels)
    several = "end, by setting"
    acts[several] = acts["end"]
    steers[several] = _span(acts["end"], labels, names, positive).annotate(**_several(steers["end"]))
    return Fitted(steers, acts, len(contrasts))


def _span(acts: Activations, labels: Sequence[str], names: Sequence[str], positive: str) -> Steer:
    """Ablate the span of the settings' own mean differences: what "woman" moves depends on which job is asked for.

    Of each, only the part is taken that tells no setting from another: ablating to one mean would otherwise make the
    answer in every setting what it is in the average one.
    """
    settings = list(dict.fromkeys(names))
    code = torch.tensor([settings.index(name) for name in names])
    woman = torch.tensor([label == positive for label in labels])
    edits: dict[Site, lh.Ablate] = {}
    for site in acts.sites:
        x = acts[site].double()
        own = [(x[(code == i) & woman], x[(code == i) & ~woman]) for i in range(len(settings))]
        differences = torch.stack([one.mean(dim=0) - other.mean(dim=0) for one, other in own])
        means = torch.stack([torch.cat(pair).mean(dim=0) for pair in own])
        _, sizes, axes = torch.linalg.svd(means - means.mean(dim=0), full_matrices=False)
        between = axes[sizes > 1e-6 * sizes[0]]
        directions = differences - differences @ between.T @ between
        edits[site] = lh.Ablate(directions.float(), x.mean(dim=0).float())
    return Steer(edits, scope="last")


def _several(pooled: Steer) -> dict[str, object]:
    span = "one direction for each setting, orthogonal to the differences of the settings' means"
    method = {"name": "MeanDifference", "params": {"edit": "ablate", "to": "mean", "span": span}}
    return {**{k: pooled.card[k] for k in ("model", "basis", "data", "versions")}, "method": method}


def steer_of(trial: Trial, fitted: Fitted) -> Steer:
    """The steer of a trial."""
    return fitted.steers[trial.place].only([f"resid_post.{layer}" for layer in trial.layers])


def try_all(graph: Graph, fitted: Fitted, panel: Panel, skills: Skills, options: Options) -> list[Trial]:
    """Measure the model as it is, then every place at every layer, and from every layer on.

    What the model still knows is asked only where an edit takes away half of the lean.

    Parameters
    ----------
    graph : Graph
    fitted : Fitted
    panel, skills
        Of the validation split.
    options : Options

    Returns
    -------
    list of Trial
        The first is the model as it is.
    """
    level = panel(graph)
    base = Trial("", (), level.lean(level), level.gap(), skills(graph).by_part(), 0.0)
    layers = sorted(site.layer for site in fitted.steers["end"].sites if site.layer is not None)
    spans = [(layer,) for layer in layers] + [tuple(layers[first:]) for first in range(len(layers) - 1)]
    found: list[Trial] = [base]
    for place, span in options.bar([(place, span) for place in PLACES for span in spans], "edits"):
        trial = Trial(place, span, 0.0)
        steer = steer_of(trial, fitted)
        moves = panel(graph, steer)
        trial = replace(trial, lean=moves.lean(level), gap=moves.gap())
        if trial.lean <= base.lean / 2:
            right = skills(graph, steer).by_part()
            trial = replace(trial, right=right, loss=max(base.right[part] - right[part] for part in SKILLS))
        found.append(trial)
    return found


def choose(trials: Sequence[Trial], budget: float = BUDGET) -> Trial:
    """The smallest lean that is left among the edits within the budget; with none in it, among all."""
    edits = [trial for trial in trials if trial.place]
    affordable = [trial for trial in edits if trial.loss is not None and trial.loss <= budget]
    return min(affordable or edits, key=lambda trial: trial.lean)
