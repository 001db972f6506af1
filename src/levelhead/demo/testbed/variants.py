"""Where to steer: mean differences read at several places, and the choice among them on validation pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
    gap : float
        Mean size of a setting's gap, as a probability.
    right : dict of str to float
        Share of right answers in each part of `measure.SKILLS`.
    loss : float
        Largest loss in any part.
    """

    place: str
    layers: tuple[int, ...]
    gap: float
    right: dict[str, float]
    loss: float = 0.0


def fit(graph: Graph, contrasts: Sequence[Contrast], verbose: bool = True) -> Fitted:
    """Fit mean differences of the pictures of women and of men, all else pixel-identical, under the job question.

    Parameters
    ----------
    graph : Graph
    contrasts : sequence of Contrast
        Of the kind ``"job"``.
    verbose : bool
    """
    asked = [side[0] for each in contrasts for side in each.items]
    labels = [scene.person.gender for scene, _ in asked]
    names = [each.name for each in contrasts for _ in each.items]
    inputs = [(scene.image(), prompt(question.text)) for scene, question in asked]
    steers: dict[str, Steer] = {}
    acts: dict[str, Activations] = {}
    for place, at in (("end", "last"), ("picture", "image")):
        acts[place] = lh.capture(graph, inputs, "resid_post.*", at=at, batch_size=128, verbose=verbose)
        method = lh.MeanDifference("resid_post.*", edit="ablate", to="mean", positive="woman", scope=at)
        steers[place] = method.fit(acts[place], labels)
    several = "end, by setting"
    acts[several] = acts["end"]
    steers[several] = _span(acts["end"], labels, names).annotate(**_several(steers["end"]))
    return Fitted(steers, acts, len(contrasts))


def _span(acts: Activations, labels: Sequence[str], names: Sequence[str]) -> Steer:
    """Ablate the span of the settings' own mean differences: what "woman" moves depends on which job is asked for."""
    edits: dict[Site, lh.Ablate] = {}
    method = lh.MeanDifference(acts.sites, edit="ablate", positive="woman", scope="last")
    own: list[Steer] = []
    for name in dict.fromkeys(names):
        rows = [i for i, each in enumerate(names) if each == name]
        own.append(method.fit(acts.rows(rows), [labels[i] for i in rows]))
    for site in acts.sites:
        directions = torch.cat([steer.directions()[site] for steer in own])
        edits[site] = lh.Ablate(directions, acts[site].float().mean(dim=0))
    return Steer(edits, scope="last")


def _several(pooled: Steer) -> dict[str, object]:
    method = {"name": "MeanDifference", "params": {"edit": "ablate", "to": "mean", "span": "one direction a setting"}}
    return {**{k: pooled.card[k] for k in ("model", "basis", "data", "versions")}, "method": method}


def steer_of(trial: Trial, fitted: Fitted) -> Steer:
    """The steer of a trial."""
    return fitted.steers[trial.place].only([f"resid_post.{layer}" for layer in trial.layers])


def try_all(graph: Graph, fitted: Fitted, panel: Panel, skills: Skills, options: Options) -> list[Trial]:
    """Measure the model as it is, then every place at every layer, and from every layer on.

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
    base = Trial("", (), panel(graph).gap(), skills(graph).by_part())
    layers = sorted(site.layer for site in fitted.steers["end"].sites if site.layer is not None)
    spans = [(layer,) for layer in layers] + [tuple(layers[first:]) for first in range(len(layers) - 1)]
    plan = [(place, span) for place in PLACES for span in spans]
    found: list[Trial] = [base]
    for place, span in options.bar(plan, "edits"):
        steer = steer_of(Trial(place, span, 0.0, {}), fitted)
        right = skills(graph, steer).by_part()
        loss = max(base.right[part] - right[part] for part in SKILLS)
        found.append(Trial(place, span, panel(graph, steer).gap(), right, loss))
    return found


def choose(trials: Sequence[Trial], budget: float = BUDGET) -> Trial:
    """The smallest gap that is left among the edits within the budget; with none in it, among all."""
    edits = [trial for trial in trials if trial.place]
    affordable = [trial for trial in edits if trial.loss <= budget]
    return min(affordable or edits, key=lambda trial: trial.gap)
