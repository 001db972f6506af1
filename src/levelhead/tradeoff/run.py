"""Run a trade-off: choose strengths on one part of the data, and report them on the other."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from levelhead.capture import Activations
from levelhead.errors import InputError
from levelhead.graph import Graph, graph
from levelhead.metrics.measures.protocol import Measure, Reading, Run
from levelhead.metrics.statistics import Estimate, intervals
from levelhead.metrics.statistics.weighting import Weights
from levelhead.steer import Steer, Strengths
from levelhead.tradeoff.arms import FAIRNESS_PROMPT, Arm, arms
from levelhead.tradeoff.curves import Point, Role, Split, Tradeoff

SPLITS: tuple[Split, ...] = ("validation", "test")

Measured = tuple[Arm, float, Reading]
"""One run: what was measured, at which strength, and what it gave."""


def tradeoff(
    model: Any,
    steers: Steer | Mapping[str, Steer],
    *,
    bias: Sequence[Measure],
    capability: Sequence[Measure] = (),
    strengths: Strengths = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
    baselines: Collection[str] = ("prompt", "random"),
    random: int | Mapping[str, int] = 20,
    acts: Activations | None = None,
    prompt: str = FAIRNESS_PROMPT,
    validation: float = 0.4,
    chosen_on: Mapping[str, Measure] | None = None,
    by: Literal["set", "target"] = "set",
    budget: float = 0.01,
    draws: int = 1999,
    seed: int = 0,
    processor: Any = None,
    verbose: bool = True,
) -> Tradeoff:
    """Bias against capability over strengths, for methods and what they must be compared with.

    Every measure's items are cut in two by their sets. The strength of a method is chosen on the first part, the smallest
    bias within the budget; the second part is what is reported, with intervals over sets, and with the paired difference
    from the unsteered model on the same items. All strengths of a steer run in one batch.

    Parameters
    ----------
    model : transformers model, TransformerBridge, nnsight model, or Graph
    steers : Steer, or mapping of str to Steer
    bias : sequence of Measure
        Such as `levelhead.metrics.OccupationBias`; strengths are chosen by the first.
    capability : sequence of Measure
        Those with bounds (accuracies) are averaged, each counted once, and held to the budget; others, such as
        perplexity, stand beside.
    strengths : sequence of float
        Multiples of the steers' own; 0 is always measured.
    baselines : collection of {"prompt", "random"}
        An instruction before everything that is asked; random directions of the same sites, kind and norm.
    random : int, or mapping of str to int
        Random directions for each steer, or for some by name, at strength 1, on the reported part alone.
    acts : Activations, optional
        Where a steer ablates to a point; see `levelhead.RandomDirection`.
    prompt : str
        The instruction; by default the one of the sister study of arXiv 2411.12590.
    validation : float
        Share of the sets that strengths are chosen on.
    chosen_on : mapping of str to Measure, optional
        For measures that have validation items of their own, by name: the same measure on those. Strengths are chosen
        there, and all of the measure's items are reported.
    by : {"set", "target"}
        Whether whole sets or whole targets (occupations) are kept apart; the second asks how a choice carries over to
        occupations that played no part in it. Measures without targets are cut by sets either way.
    budget : float
        Loss of mean accuracy that a chosen strength may cost, as a share: 0.01 is one point.
    draws : int
        Bootstrap resamples.
    seed : int
        Of the cut, the random directions and the bootstrap.
    processor : tokenizer or processor, optional
    verbose : bool
        Show progress bars, if this is a terminal.

    Returns
    -------
    Tradeoff

    Raises
    ------
    InputError
        For unusable arguments, or too few sets to cut.
    """
    if not bias:
        raise InputError("a trade-off needs a measure of bias; found none")
    fewest = min(random.values(), default=0) if isinstance(random, Mapping) else random
    if not 0 < validation < 1 or budget < 0 or draws < 1 or fewest < 0:
        raise InputError(
            f"need 0 < validation < 1, budget >= 0, draws >= 1 and random >= 0; "
            f"found {validation}, {budget}, {draws} and {random}"
        )
    names = [measure.name for measure in (*bias, *capability)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"two measures are named '{twice[0]}'; give each a name= of its own")
    own = dict(chosen_on or {})
    if set(own) - set(names):
        raise InputError(f"chosen_on has validation items for {sorted(own)}; the measures are {names}")
    compared = arms(steers, strengths, baselines, random, acts, seed)
    wrapped = graph(model, processor)
    points: list[Point] = []
    given: list[tuple[Role, Measure]] = []
    given.extend(("bias", measure) for measure in bias)
    given.extend(("beside" if measure.bounds is None else "capability", measure) for measure in capability)
    for role, measure in given:
        if measure.name in own:
            items = own[measure.name], measure
        else:
            first = _cut(measure, validation, by, seed)
            items = measure.part(first), measure.part([not each for each in first])
        for split, asked in zip(SPLITS, items, strict=True):
            part = _Part(asked, role, split)
            chosen = [arm for arm in compared if split == "test" or arm.kind != "random"]
            points += part.points(part.measured(wrapped, chosen, prompt, verbose), draws, seed)
    facts = {
        "model": wrapped.identity(),
        "strengths": sorted({0.0, *(float(s) for s in strengths)}),
        "budget": budget,
        "validation": validation,
        "chosen_on": sorted(own),
        "by": by,
        "draws": draws,
        "seed": seed,
        "random": dict(random) if isinstance(random, Mapping) else random,
        "prompt": prompt if "prompt" in baselines else None,
        "chance": {measure.name: measure.chance for _, measure in given},
        "better": {measure.name: measure.better for _, measure in given},
    }
    return Tradeoff(tuple(points), facts)


@dataclass(frozen=True)
class _Part:
    """A measure on the validation or the test items."""

    measure: Measure
    role: Role
    split: Split

    def measured(self, wrapped: Graph, compared: Sequence[Arm], prompt: str, verbose: bool) -> list[Measured]:
        run: Run = self.measure.on(wrapped)
        found: list[Measured] = []
        from tqdm import tqdm

        named = f"{self.measure.name}, {self.split}"
        for arm in tqdm(compared, desc=named, disable=None if verbose else True, leave=False):
            asked = self.measure.on(wrapped, prompt) if arm.kind == "prompt" else run
            readings = asked() if arm.steer is None else asked(arm.steer, arm.strengths)
            found += [(arm, *each) for each in zip(arm.strengths, readings, strict=True)]
        return found

    def points(self, measured: Sequence[Measured], draws: int, seed: int) -> list[Point]:
        """Intervals of all runs from the same resamples, and of their differences from the first."""
        statistics = [reading.statistic for _, _, reading in measured]
        clusters, bounds = self.measure.clusters(), self.measure.bounds

        def values(weights: Weights) -> np.ndarray:
            return np.stack([statistic(weights) for statistic in statistics], axis=1)

        def changes(weights: Weights) -> np.ndarray:
            found = values(weights)
            return found - found[:, :1]

        levels = intervals(values, clusters, draws=draws, seed=seed, bounds=bounds)
        span = None if bounds is None else (bounds[0] - bounds[1], bounds[1] - bounds[0])
        moved = intervals(changes, clusters, draws=draws, seed=seed, bounds=span)
        # The unsteered model differs from itself by nothing, of which Wilson's interval would make something.
        moved[0] = Estimate(0.0, 0.0, 0.0, moved[0].n)
        return [self._point(run, level, change) for run, level, change in zip(measured, levels, moved, strict=True)]

    def _point(self, measured: Measured, level: Estimate, change: Estimate) -> Point:
        arm, strength, reading = measured
        return Point(
            arm.name,
            arm.kind,
            strength,
            arm.draw,
            self.measure.name,
            self.role,
            self.split,
            level,
            change,
            reading.items,
            dict(reading.beside),
            reading.cautions,
        )


def _cut(measure: Measure, share: float, by: str, seed: int) -> list[bool]:
    """Which items are for validation: a share of the sets within each target, or of the targets."""
    targets = [getattr(record, "target", "") or "" for record in measure.records]
    units = targets if by == "target" and len(set(targets)) > 1 else measure.clusters()
    strata = dict(zip(units, [""] * len(units) if units is targets else targets, strict=True))
    rng = np.random.default_rng([seed, 7])
    first: set[str] = set()
    # One order over all strata, cut in each: the parts keep the targets' shares, and small strata do not all round alike.
    left = 0.0
    for stratum in sorted(set(strata.values())):
        members = [unit for unit in strata if strata[unit] == stratum]
        wanted = share * len(members) + left
        count = round(wanted)
        left = wanted - count
        first.update(members[i] for i in rng.permutation(len(members))[:count])
    if not first or len(first) == len(strata):
        raise InputError(
            f"'{measure.name}' has {len(strata)} {'targets' if units is targets else 'sets'}, too few to cut into a "
            f"validation share of {share} and a test part; give more items, or another share"
        )
    return [unit in first for unit in units]
