"""DSO on the testbed: the choices that it learns from, what is held as it is, and the settings."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from levelhead.evaluate.decisions.forms import FORMS, OCCUPATIONS, kept_as_is, planted_choices
from levelhead.graph import Graph
from levelhead.methods.dso import DSO
from levelhead.metrics.decisions import Choices
from levelhead.metrics.decisions.bias import per_target
from levelhead.testbed.records import wrap
from levelhead.testbed.world import CONCEPTS, SETTINGS, Theme

if TYPE_CHECKING:
    import pandas as pd

STEPS = 90
"""Updates, after which the drift and the bias on people of training no longer move."""
FEW_STEPS = 30
"""Updates of a quick look: most of the way."""

KL = 0.005
"""Nats of drift: ten times less than usual, since captions are long, and small changes of each word add up."""


def trained(
    graph: Graph,
    forms: Sequence[str] = OCCUPATIONS,
    *,
    seed: int = 0,
    scenes: int = 24,
    kept: int = 50,
    steps: int = STEPS,
    themes: Sequence[Theme] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    verbose: bool = True,
) -> DSO:
    """Train on people whom the testbed's own training may have shown.

    Parameters
    ----------
    graph : Graph
        Of the testbed.
    forms : sequence of str
        Forms of question to level, of `levelhead.evaluate.decisions.forms.FORMS`.
    seed : int
    scenes : int
        Of each setting and form; each is asked in two counterfactuals.
    kept : int
        Scenes of each kind of question whose answers are held.
    steps : int
    themes : sequence of Theme, optional
        Settings and concepts that choices are asked about, ambiguous or clear; pictures of the others occur among neutral
        questions and captions alone. All when left out.
    checkpoint : path, optional
        See `DSO.fit`.
    verbose : bool

    Returns
    -------
    DSO
        Fitted; the steer is its ``steer_``.
    """
    asked = [
        record for form in forms for record in planted_choices(form, scenes, [seed, 11], held_out=False, themes=themes)
    ]
    neutral = kept_as_is(kept, [seed, 14], themes=themes)
    # All occupations are trained on, and the last state is kept: held-out ones would be missing from what is to be level.
    # A batch holds every occupation in every form; a falling rate lets the shares settle, which one draw of each keeps moving.
    method = DSO(
        lr=0.02,
        half_life=40,
        kl=KL,
        l1=3e-4,
        steps=steps,
        batch=48,
        ema=0.8,
        neutral_batch=24,
        validation=0,
        wrap=wrap,
        random_state=seed,
    )
    method.fit(graph, asked, neutral, checkpoint=checkpoint, verbose=verbose)
    return method


def left_out(
    graph: Graph,
    forms: Sequence[str] = OCCUPATIONS,
    *,
    seed: int = 0,
    folds: int = 4,
    n: int = 8,
    verbose: bool = True,
    **settings: Any,
) -> pd.DataFrame:
    """Measure what training does for occupations that it never asked about: settings are left out, two by two.

    Parameters
    ----------
    graph : Graph
        Of the testbed.
    forms : sequence of str
    seed : int
    folds : int
        How many pairs of settings are left out, each by a training of its own; 4 leave out each setting once.
    n : int
        Scenes of each setting and form, of people whom the testbed's training never showed.
    verbose : bool
    **settings
        Of `trained`.

    Returns
    -------
    pandas.DataFrame
        A row for each form: per-occupation bias as it is and steered, of occupations trained on and never trained on.
    """
    import pandas as pd

    found: dict[str, list[Float[np.ndarray, "run target"]]] = {}
    order = np.random.default_rng([seed, 13]).permutation(len(SETTINGS))
    for fold in range(folds):
        never = [SETTINGS[i] for i in order[2 * fold : 2 * fold + 2]]
        rest = [theme for theme in SETTINGS if theme not in never]
        steer = trained(graph, forms, seed=seed, themes=[*rest, *CONCEPTS], verbose=verbose, **settings).steer_
        for form in forms:
            for kind, themes in (("trained on", rest), ("never trained on", never)):
                records = planted_choices(form, n, [seed, 12], held_out=True, themes=themes)
                decisions = Choices(graph, records, wrap=wrap)(steer, (0.0, 1.0), verbose=verbose)
                found.setdefault(f"{FORMS[form]}|{kind}", []).append(
                    np.stack([per_target(each.lean, each.targets)[0] for each in decisions])
                )
    rows: list[dict[str, Any]] = []
    for key, each in found.items():
        leans = np.abs(np.concatenate(each, axis=1))
        form, kind = key.split("|")
        before, after = leans.mean(axis=1)
        rows.append(
            {
                "question": form,
                "occupations": kind,
                "n": leans.shape[1],
                "as it is": float(before),
                "steered": float(after),
                "worst": float(leans[1].max()),
            }
        )
    return pd.DataFrame(rows)
