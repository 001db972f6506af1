"""Hyper-parameters of a sweep, checked before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from levelhead.errors import InputError
from levelhead.probes.solve import ESTIMATORS, PROBABILISTIC

CONTROLS = ("shuffle", "control_task", "input")
"""Controls that a sweep knows."""


def check_settings(sweep: Any) -> tuple[str, ...]:
    """Refuse hyper-parameters out of range, naming them; the controls, as a tuple.

    Parameters
    ----------
    sweep : ProbeSweep

    Raises
    ------
    InputError
    """
    controls = (sweep.controls,) if isinstance(sweep.controls, str) else tuple(sweep.controls)
    for name in controls:
        if name not in CONTROLS:
            raise InputError(f"unknown control '{name}'; there are {', '.join(CONTROLS)}")
    if sweep.estimator not in ESTIMATORS:
        raise InputError(f"unknown estimator '{sweep.estimator}'; there are {', '.join(ESTIMATORS)}")
    strengths = list(sweep.C) if isinstance(sweep.C, Sequence) else [sweep.C]
    for name, fine, wants in (
        ("cv", sweep.cv >= 2, "at least 2"),
        ("C", bool(strengths) and all(C > 0 for C in strengths), "above 0"),
        ("n_controls", sweep.n_controls >= 1, "at least 1"),
        ("confidence", 0 < sweep.confidence < 1, "between 0 and 1"),
    ):
        if not fine:
            raise InputError(f"{name} must be {wants}; found {getattr(sweep, name)}")
    if len(strengths) > 1 and sweep.cv < 3:
        raise InputError(
            f"several values of C are compared on the other folds, so cv must be at least 3; found {sweep.cv}"
        )
    if sweep.mdl and sweep.estimator not in PROBABILISTIC:
        raise InputError(
            f"mdl=True needs probabilities, and estimator='{sweep.estimator}' has none; take {' or '.join(PROBABILISTIC)}"
        )
    return controls
