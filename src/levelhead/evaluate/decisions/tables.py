"""What has to stand beside the bias of decisions: hard answers, what a level model would show, refusals, places, every strength."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from levelhead.metrics import frontier
from levelhead.tradeoff import Point, Tradeoff

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = {
    "hard": "pob_hard",
    "of a level model": "noise_floor",
    "stereotype gap": "gap",
    "answered": "answer_rate",
    "position bias": "position_bias",
    "same in both orders": "order_consistency",
}
"""Heads of the table, and what they are called in `Point.beside`."""


def decision_tables(result: Tradeoff) -> dict[str, pd.DataFrame]:
    """Tabulate what `levelhead.metrics.decisions.bias` has to say about the first measure, and the whole curves.

    Parameters
    ----------
    result : Tradeoff

    Returns
    -------
    dict of str to DataFrame
        By title. Nothing where the first measure is not of decisions.
    """
    import pandas as pd

    if "noise_floor" not in result.at("none", 0.0).beside:
        return {}
    runs: list[tuple[str, float]] = [("none", 0.0)]
    runs += [("prompt", 0.0)] if any(point.kind == "prompt" for point in result.points) else []
    runs += [(method, max(result.facts["strengths"])) for method in result.methods]
    named = {"none": "as it is", "prompt": "an instruction"}
    rows = [{"": named.get(method, method), **_beside(result.at(method, strength))} for method, strength in runs]
    for (method, _), row in zip(runs, rows, strict=True):
        row["hypervolume"] = _hypervolume(result, method)
    curves = [_curve(result, method, str(name)) for method in result.methods for name in _shown(result)]
    return {
        "Beside the bias, in full strength": pd.DataFrame(rows),
        "Every strength": pd.DataFrame(curves),
    }


def _beside(point: Point) -> dict[str, Any]:
    return {"soft": point.estimate.value, **{head: float(point.beside[key]) for head, key in _COLUMNS.items()}}


def _hypervolume(result: Tradeoff, method: str) -> float:
    """Of all strengths of a method; of one point for the model as it is, and for an instruction."""
    if method in result.methods:
        return result.hypervolume(method)
    capability = [result.at(method, 0.0, name).estimate.value for name in result.measures["capability"]]
    bias = result.at(method, 0.0).estimate.value
    return frontier.hypervolume(np.array([bias]), np.array([np.mean(capability or [0.0])]), result.reference)


def _shown(result: Tradeoff) -> list[str]:
    return [result.measures["bias"][0], *result.measures["capability"][:2]]


def _curve(result: Tradeoff, method: str, name: str) -> dict[str, Any]:
    """One measure of one method over the strengths, with its intervals."""
    row: dict[str, Any] = {"": method, "measure": name}
    for strength in result.facts["strengths"]:
        found = result.at(method, strength, name).estimate
        row[f"{strength:g}"] = f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"
    return row
