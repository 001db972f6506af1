"""The smallest set of heads without which most of a bias is gone: chosen on one half of the sets, judged on the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float
from tqdm import tqdm

from levelhead.errors import InputError
from levelhead.heads.asking import Asking
from levelhead.heads.effects import ablated
from levelhead.heads.stand_ins import StandIns
from levelhead.metrics.decisions.bias import pob
from levelhead.metrics.measures.protocol import Measure
from levelhead.metrics.statistics import Estimate, interval
from levelhead.sites import Site
from levelhead.steer import Steer

if TYPE_CHECKING:
    import pandas as pd

    from levelhead.heads.localization import Localization

_RANDOM = 20


@dataclass(frozen=True, eq=False)
class HeadSet:
    """Heads whose ablation removes most of a bias; made by `Localization.minimal`.

    Attributes
    ----------
    sites : tuple of Site
        In execution order.
    steer : Steer
        Ablates them.
    steps : tuple of dict
        How the set came about: the head taken in or left out, the bias on the choosing half, the capability.
    before, after : Estimate
        Bias on the half that chose nothing, in nats.
    removed : Estimate
        1 - after / before, there.
    random : tuple of float
        The share that sets of as many heads, drawn at random, remove there.
    capability : tuple of (float, float) or None
        Before and after, on all of the measure's items, which had a say in the choice.
    reached : bool
        Whether the wanted share was reached on the choosing half.
    """

    sites: tuple[Site, ...]
    steer: Steer
    steps: tuple[dict[str, Any], ...]
    before: Estimate
    after: Estimate
    removed: Estimate
    random: tuple[float, ...]
    capability: tuple[float, float] | None
    reached: bool

    def frame(self) -> pd.DataFrame:
        """A row a step of the choice."""
        import pandas as pd

        return pd.DataFrame(list(self.steps))

    def __str__(self) -> str:
        lines = [
            f"{len(self.sites)} heads: {', '.join(map(str, self.sites))}",
            f"bias on the other half of the sets: {self.before.value:.3f} -> {self.after.value:.3f} nats; "
            f"share removed {self.removed}; as many random heads remove {np.mean(self.random):+.2f} on average",
        ]
        if self.capability is not None:
            lines.append(f"capability {self.capability[0]:.3f} -> {self.capability[1]:.3f}")
        if not self.reached:
            lines.append("! the share asked for was not reached on the half that chose")
        return "\n".join(lines)


def minimal(
    found: Localization,
    share: float = 0.8,
    capability: Measure | None = None,
    *,
    tolerance: float = 0.01,
    most: int = 16,
    width: int = 8,
    seed: int = 0,
    verbose: bool = True,
) -> HeadSet:
    """Take in heads one by one until a share of the bias is gone, then leave out those that are not needed for it.

    Of the `width` heads that alone remove most, the one joins that removes most bias for the capability it costs,
    ``gain / (loss + tolerance)``. A greedy choice, ours; no smallest set is promised.

    Parameters
    ----------
    found : Localization
    share : float
        Of the bias, in (0, 1].
    capability : Measure, optional
        As a trade-off takes them; bias alone decides when left out.
    tolerance : float
        A loss of capability that counts as nothing yet; in the measure's unit.
    most : int
        Heads at the most.
    width : int
        Heads tried in each step.
    seed : int
        Of the halves, and of the random sets that the chosen one is held against.
    verbose : bool

    Returns
    -------
    HeadSet

    Raises
    ------
    InputError
        For fewer than four sets, no heads, or settings out of range.
    """
    heads = [site for site in found.sites if site.head is not None]
    if not 0 < share <= 1 or tolerance <= 0 or most < 1 or width < 1 or not heads:
        raise InputError(
            "minimal needs heads, 0 < share <= 1, tolerance > 0, most and width of 1 at least; found "
            f"{len(heads)} heads, {share}, {tolerance}, {most} and {width}"
        )
    rng = np.random.default_rng(seed)
    keep = _half(found.asking.items.clusters, rng)
    near, far = _Half.of(found, keep), _Half.of(found, ~keep)
    costs = _Costs(found, capability)
    alone = {site: near.alone[found.sites.index(site)] for site in heads}
    ranked = sorted((site for site in heads if alone[site] < near.bias), key=lambda site: alone[site])
    goal = (1 - share) * near.bias
    chosen: list[Site] = []
    now, able = near.bias, costs.before
    steps: list[dict[str, Any]] = []
    with tqdm(total=most, disable=None if verbose else True, leave=False, desc="heads") as bar:
        while now > goal and len(chosen) < most:
            tried = [site for site in ranked if site not in chosen][:width]
            sets = [[*chosen, site] for site in tried]
            biases, abilities = near.biases(sets), costs(sets)
            gains = now - biases
            if not len(gains) or gains.max() <= 0:
                break
            worth = gains if capability is None else gains / (np.maximum(able - abilities, 0) + tolerance)
            best = int(np.where(gains > 0, worth, -np.inf).argmax())
            chosen.append(tried[best])
            now, able = float(biases[best]), float(abilities[best])
            steps.append(_step("in", tried[best], now, costs, able))
            bar.update(1)
    while now <= goal and len(chosen) > 1:
        sets = [[site for site in chosen if site != left] for left in chosen]
        biases = near.biases(sets)
        if biases.min() > goal:
            break
        out = int(biases.argmin())
        left = chosen.pop(out)
        now, able = float(biases[out]), float(costs([chosen])[0])
        steps.append(_step("out", left, now, costs, able))
    if not chosen:
        raise InputError(
            "no head's ablation removes any bias on the half of the sets that chooses; there is nothing to ablate"
        )
    sites = sorted(chosen)
    draws = [[heads[i] for i in rng.choice(len(heads), len(sites), replace=False)] for _ in range(_RANDOM)]
    after, *others = far.differences([sites, *draws])
    settings = {name: found.settings[name] for name in ("draws", "confidence", "seed")}
    targets, clusters = far.asking.items.targets, far.asking.items.clusters

    def bias(values: Float[np.ndarray, " item"], weights: Float[np.ndarray, "draw item"]) -> Float[np.ndarray, " draw"]:
        return pob(values, targets, weights)

    return HeadSet(
        tuple(sites),
        found.steer(sites).annotate(chosen={"share": share, "bias": near.bias, "left": now, "seed": seed}),
        tuple(steps),
        interval(lambda w: bias(far.base, w), clusters, **settings),
        interval(lambda w: bias(after, w), clusters, **settings),
        interval(lambda w: 1 - bias(after, w) / bias(far.base, w), clusters, **settings),
        tuple(1 - float(pob(each, targets)[0]) / far.bias for each in others),
        None if capability is None else (costs.shown(costs.before), costs.shown(able)),
        now <= goal,
    )


def _half(clusters: Sequence[str], rng: np.random.Generator) -> Bool[np.ndarray, " item"]:
    names = sorted(set(clusters))
    if len(names) < 4:
        raise InputError(
            f"heads are chosen on one half of the sets and judged on the other; {len(names)} sets were found, and four are "
            "the least (set_id= of records, groups= of prompts)"
        )
    first = set(rng.permutation(names)[: len(names) // 2].tolist())
    return np.array([cluster in first for cluster in clusters])


def _step(turn: str, site: Site, bias: float, costs: _Costs, able: float) -> dict[str, Any]:
    return {"turn": turn, "site": str(site), "bias": bias, "capability": costs.shown(able)}


@dataclass(frozen=True)
class _Half:
    """Half of the items, asked apart; what stands in is the same for both, since no bias was looked at for it."""

    asking: Asking
    stand: StandIns
    widths: dict[Site, int]
    base: Float[np.ndarray, " item"]
    alone: Float[np.ndarray, " site"]

    @classmethod
    def of(cls, found: Localization, keep: Bool[np.ndarray, " item"]) -> _Half:
        whole = found.asking
        asking = Asking(whole.graph, whole.items.part(keep), whole.rows, whole.times)
        stand = StandIns(found.stand.means, {}, found.stand.scope)
        alone = np.array([float(pob(row[keep], asking.items.targets)[0]) for row in found.ablated])
        return cls(asking, stand, found.widths, found.base[keep], alone)

    @property
    def bias(self) -> float:
        return float(pob(self.base, self.asking.items.targets)[0])

    def differences(self, sets: Sequence[Sequence[Site]]) -> Float[np.ndarray, "set item"]:
        return ablated(self.asking, self.stand, self.widths, sets)

    def biases(self, sets: Sequence[Sequence[Site]]) -> Float[np.ndarray, " set"]:
        if not sets:
            return np.zeros(0)
        return np.array([float(pob(row, self.asking.items.targets)[0]) for row in self.differences(sets)])


class _Costs:
    """A capability under ablations, turned so that more is better."""

    def __init__(self, found: Localization, measure: Measure | None) -> None:
        self._found = found
        self._sign = -1.0 if measure is not None and measure.better == "lower" else 1.0
        self._run = None if measure is None else measure.on(found.asking.graph)
        self.before = np.nan if self._run is None else self._sign * self._run()[0].value

    def __call__(self, sets: Sequence[Sequence[Site]]) -> Float[np.ndarray, " set"]:
        if self._run is None:
            return np.full(len(sets), np.nan)
        return np.array([self._sign * self._run(self._found.steer(sites))[0].value for sites in sets])

    def shown(self, value: float) -> float:
        """In the measure's own direction."""
        return self._sign * value
