"""Select: of many steers, the one and the strength that do most on validation items within what it may cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from levelhead.errors import InputError
from levelhead.graph import graph
from levelhead.metrics.measures.protocol import Measure, Reading
from levelhead.metrics.statistics.clusters import Clusters
from levelhead.steer import Steer, Strengths

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Trial:
    """One candidate at one strength.

    Attributes
    ----------
    name : str
    strength : float
    bias : float
    judged : float
        What candidates are compared by: the bias, or its mean over resamples.
    costs : mapping of str to float
        For each measure of what must stay, how much worse it is than without a steer: in its own unit where it has
        bounds, relative to its unsteered value where it has none (and that is not 0). Empty where it was not looked at, since others do more
        and are allowed.
    allowed : bool or None
        Whether every cost is within its limit; None where it was not looked at.
    """

    name: str
    strength: float
    bias: float
    judged: float
    costs: Mapping[str, float]
    allowed: bool | None


@dataclass(frozen=True)
class Selection:
    """What was selected, and everything that was tried; made by `select`.

    Attributes
    ----------
    steer : Steer
        The selected candidate at the selected strength, so that strength 1 is that; a no-op where nothing was allowed.
    name : str
        The candidate's; ``"none"`` where nothing was allowed.
    strength : float
        The multiple of the candidate's own.
    unsteered : float
        Bias of the model as it is.
    trials : tuple of Trial
    resampled : bool
        Whether candidates were compared by means over resamples.
    """

    steer: Steer = field(repr=False)
    name: str
    strength: float
    unsteered: float
    trials: tuple[Trial, ...] = field(repr=False)
    resampled: bool = False

    def frame(self) -> pd.DataFrame:
        """Every trial, a row each; a column for each cost."""
        import pandas as pd

        rows: list[dict[str, Any]] = [
            {
                "candidate": t.name,
                "strength": t.strength,
                "bias": t.bias,
                **({"resampled": t.judged} if self.resampled else {}),
                **t.costs,
                "allowed": t.allowed,
            }
            for t in self.trials
        ]
        return pd.DataFrame(rows)


def select(
    model: Any,
    candidates: Mapping[str, Steer],
    bias: Measure,
    capability: Sequence[Measure] = (),
    *,
    strengths: Strengths = (0.25, 0.5, 0.75, 1.0),
    budget: float = 0.01,
    limits: Mapping[str, float] | None = None,
    tolerance: float = 0.0,
    resamples: int = 0,
    seed: int = 0,
    processor: Any = None,
    verbose: bool = True,
) -> Selection:
    """Choose layers, scopes, gates, edits and a strength by what they do, on items of their own.

    Report the selected steer on other items (`levelhead.tradeoff`): what was chosen on some looks better on them than
    it is.

    Parameters
    ----------
    model : transformers model, TransformerBridge, nnsight model, or Graph
    candidates : mapping of str to Steer
        Such as one for each layer.
    bias : a Measure
        Where less is better.
    capability : sequence of Measure
        What must stay as it is.
    strengths : sequence of float
        Multiples of the candidates' own.
    budget : float
        How much worse each measure of `capability` may get: 0.01 is one point of an accuracy, and one percent of a
        perplexity.
    limits : mapping of str to float, optional
        Other budgets, by the measure's name.
    tolerance : float
        How much less than the best may be done, in the unit of `bias`, where it costs less or takes less strength.
    resamples : int
        Compare by the mean bias over so many resamples of the items' clusters; 0 for the bias itself. The size of a gap
        may vanish on the items at hand where two errors happen to cancel; in the mean over resamples it does not.
    seed : int
        Of the resamples.
    processor : tokenizer or processor, optional
    verbose : bool
        Show a progress bar, if this is a terminal.

    Returns
    -------
    Selection
        Of candidates within the tolerance of the least bias, the one that costs least, then the weakest.

    Raises
    ------
    InputError
        For a bias of which more is better, no candidate, no strength above 0, two measures of one name, a limit for a measure that is not there,
        a negative number of resamples.
    """
    if not candidates or not strengths or not all(0 < s < float("inf") for s in strengths):
        raise InputError(
            f"select needs candidates, and strengths above 0; found {len(candidates)} candidates and {list(strengths)}"
        )
    if bias.better != "lower":
        raise InputError(
            f"select takes the steer with the least of '{bias.name}', of which more is better; give a bias"
        )
    if resamples < 0:
        raise InputError(f"resamples is a number from 0; found {resamples}")
    names = [measure.name for measure in capability]
    allowed = {**dict.fromkeys(names, budget), **(limits or {})}
    if len(set(names)) < len(names) or set(allowed) - set(names):
        raise InputError(f"limits are by name, each of one measure; found measures {names} and limits {limits}")
    wrapped = graph(model, processor)
    from tqdm import tqdm

    run = bias.on(wrapped)
    judge = _judge(bias, resamples, seed)
    start = run()[0]
    bar = tqdm(candidates.items(), desc="select", disable=None if verbose else True, leave=False)
    found = {name: [(reading.value, judge(reading)) for reading in run(steer, strengths)] for name, steer in bar}
    best = {name: min(judged for _, judged in each) for name, each in found.items()}
    runs = [measure.on(wrapped) for measure in capability]
    before = [run()[0].value for run in runs]
    trials: list[Trial] = []
    least = as_it_is = judge(start)
    # Best first: once one is allowed, those that do less need not be asked what they cost.
    for name in sorted(found, key=best.__getitem__):
        pairs = list(zip(map(float, strengths), found[name], strict=True))
        if best[name] > least + tolerance or best[name] >= as_it_is:
            trials += [Trial(name, strength, *each, {}, None) for strength, each in pairs]
            continue
        read = [[reading.value for reading in run(candidates[name], strengths)] for run in runs]
        for i, (strength, (value, judged)) in enumerate(pairs):
            costs = {
                measure.name: _cost(measure, values[i], was)
                for measure, values, was in zip(capability, read, before, strict=True)
            }
            fits = all(cost <= allowed[measure] + 1e-12 for measure, cost in costs.items())
            trials.append(Trial(name, strength, value, judged, costs, fits))
            if fits:
                least = min(least, judged)
    kept = [trial for trial in trials if trial.allowed and trial.judged < as_it_is]
    told = start.value, tuple(trials), resamples > 0
    if not kept:
        return Selection(next(iter(candidates.values())) * 0.0, "none", 0.0, *told)
    near = [trial for trial in kept if trial.judged <= least + tolerance + 1e-9]
    chosen = min(near, key=lambda t: (round(sum(max(0.0, cost) for cost in t.costs.values()), 6), t.strength, t.judged))
    facts = {"name": chosen.name, "strength": chosen.strength, "by": bias.name, "of": len(trials)}
    steer = candidates[chosen.name] * chosen.strength
    return Selection(steer.annotate(selected=facts), chosen.name, chosen.strength, *told)


def _judge(bias: Measure, resamples: int, seed: int) -> Callable[[Reading], float]:
    """The bias itself, or its mean over resamples, which are the same for every candidate."""
    if not resamples:
        return lambda reading: reading.value
    draws = Clusters.of(bias.clusters()).resamples(resamples, np.random.default_rng(seed))
    weights = np.concatenate(list(draws))
    return lambda reading: float(np.nanmean(reading.statistic(weights)))


def _cost(measure: Measure, after: float, before: float) -> float:
    worse = before - after if measure.better == "higher" else after - before
    return worse if measure.bounds is not None or before == 0 else worse / abs(before)
