"""What each part of a steer does: keep it alone, or leave it out, and measure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from levelhead.edits import Affine
from levelhead.errors import InputError
from levelhead.graph import graph
from levelhead.metrics.measures.protocol import Measure, Reading
from levelhead.metrics.statistics import Estimate, intervals
from levelhead.metrics.statistics.weighting import Weights
from levelhead.sites import Patterns
from levelhead.steer import Entry, Steer

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

By = Literal["layer", "component", "part", "site"]
Keep = Literal["only", "without"]
Kept = Literal["none", "all", "only", "without"]
PARTS = ("scale", "shift")


@dataclass(frozen=True)
class Restriction:
    """One measure of a steer, or of part of it.

    Attributes
    ----------
    by : str
        How the steer was taken apart; empty for the whole of it and for none.
    part : str
        Which part, such as ``"3"`` of the layers; empty likewise.
    keep : {"none", "all", "only", "without"}
        No steer, the whole, this part alone, all but this part.
    measure : str
    estimate : Estimate
        With its interval over the measure's clusters.
    change : Estimate
        Paired difference from the unsteered model.
    lack : Estimate
        Paired difference from the whole steer.
    items : int
    note : str
        Why there is no number, where something failed.
    """

    by: str
    part: str
    keep: Kept
    measure: str
    estimate: Estimate
    change: Estimate
    lack: Estimate
    items: int
    note: str = ""


@dataclass(frozen=True)
class Restrictions:
    """What `levelhead.restrict` found.

    Attributes
    ----------
    rows : tuple of Restriction
        By measure; the unsteered model and the whole steer come first.
    """

    rows: tuple[Restriction, ...]

    def frame(self) -> pd.DataFrame:
        """A row a restriction and measure.

        Returns
        -------
        DataFrame
            ``measure, by, part, keep``; ``value``, ``change`` (from the unsteered model) and ``lack`` (from the whole
            steer), each with ``_low`` and ``_high``; ``items, clusters, note``.
        """
        import pandas as pd

        found: list[dict[str, Any]] = []
        for row in self.rows:
            line: dict[str, Any] = {"measure": row.measure, "by": row.by, "part": row.part, "keep": row.keep}
            for name, each in (("value", row.estimate), ("change", row.change), ("lack", row.lack)):
                line |= {name: each.value, f"{name}_low": each.low, f"{name}_high": each.high}
            found.append({**line, "items": row.items, "clusters": row.estimate.n, "note": row.note})
        return pd.DataFrame(found)

    def plot(self, ax: Axes | None = None, *, measure: str | None = None, title: str = "") -> Axes:
        """Draw one measure for every restriction, the first when left out; see `levelhead.plots.restriction_chart`."""
        from levelhead.plots.restrictions import restriction_chart

        return restriction_chart(self, ax, measure=measure, title=title)


def restrict(
    model: Any,
    steer: Steer,
    measures: Measure | Sequence[Measure],
    by: By | Mapping[str, Patterns] | Sequence[By] = "layer",
    keep: Keep | Literal["both"] = "both",
    *,
    on_error: Literal["raise", "note"] = "raise",
    draws: int = 1999,
    seed: int = 0,
    processor: Any = None,
    verbose: bool = True,
) -> Restrictions:
    """Measure a steer kept at some of its sites alone, and with these left out.

    The question of the layer sweep, asked of a steer that writes everywhere. Each measure's records are encoded once for
    all restrictions.

    Parameters
    ----------
    model : transformers model, TransformerBridge, nnsight model, or Graph
    steer : Steer
    measures : Measure or sequence of Measure
        Such as `levelhead.metrics.OccupationBias`.
    by : {"layer", "component", "part", "site"}, a sequence of these, or mapping of str to patterns
        How to take the steer apart: by layer, by component (the kind of norm), into the scales and shifts of its `Affine`
        edits, by site; or into parts of your own, as in ``{"early": "ln1.0:4"}``.
    keep : {"only", "without", "both"}
        Each part alone, all but it, or both. What comes to the same, as of two parts, is measured once.
    on_error : {"raise", "note"}
        Whether a measure that fails ends the run, with what was found until then in the error's ``partial``, or
        leaves a row without a number and a note, and the run goes on.
    draws : int
        Bootstrap resamples.
    seed : int
        Of the bootstrap.
    processor : tokenizer or processor, optional
    verbose : bool
        Show a progress bar, if this is a terminal.

    Returns
    -------
    Restrictions

    Raises
    ------
    InputError
        For unknown parts, parts that a steer does not have, or two measures of one name.
    """
    asked: list[Measure] = [measures] if isinstance(measures, Measure) else list(measures)
    names = [measure.name for measure in asked]
    if not asked or len(set(names)) < len(names):
        raise InputError(f"a restriction needs measures, each with a name= of its own; found {names}")
    for name, set_to, known in (("keep", keep, ("only", "without", "both")), ("on_error", on_error, ("raise", "note"))):
        if set_to not in known:
            raise InputError(f"{name} is one of {', '.join(known)}; found {set_to!r}")
    if draws < 1:
        raise InputError(f"draws must be at least 1; found {draws}")
    wrapped = graph(model, processor)
    steer.check(wrapped)
    arms = [_Arm("", "", "none", None), _Arm("", "", "all", steer), *_arms(steer, by, keep)]
    from tqdm import tqdm

    rows: list[Restriction] = []
    with tqdm(total=len(arms) * len(asked), desc="restrict", disable=None if verbose else True, leave=False) as bar:
        for measure in asked:
            found: list[tuple[_Arm, Reading | str]] = []
            try:
                run = _noting(lambda: measure.on(wrapped), on_error)  # noqa: B023
                for arm in arms:
                    reading: Any = next((known for other, known in found if other.steer == arm.steer), None)
                    if reading is None:
                        reading = run if isinstance(run, str) else _noting(lambda: run(arm.steer)[0], on_error)  # noqa: B023
                    found.append((arm, reading))
                    bar.update(1)
                rows += _estimated(measure, found, draws, seed)
            except BaseException as error:
                with suppress(Exception):
                    rows += _estimated(measure, found, draws, seed)
                error.partial = Restrictions(tuple(rows))  # pyright: ignore[reportAttributeAccessIssue]
                raise
    return Restrictions(tuple(rows))


@dataclass(frozen=True)
class _Arm:
    """One restriction of a steer."""

    by: str
    part: str
    keep: Kept
    steer: Steer | None


def _noting(act: Callable[[], Any], on_error: str) -> Any:
    """What a call gives, or why it failed."""
    try:
        return act()
    except Exception as error:
        if on_error == "raise":
            raise
        return f"{type(error).__name__}: {error}"


def _arms(steer: Steer, by: Any, keep: str) -> list[_Arm]:
    ways: list[tuple[str, dict[str, list[Entry]]]] = []
    if isinstance(by, Mapping):
        named = cast("Mapping[str, Patterns]", by)
        ways.append(("own", {name: list(steer.only(patterns)) for name, patterns in named.items()}))
    else:
        for way in [by] if isinstance(by, str) else list(by):
            ways.append((way, _parts(steer, way)))
    found: list[_Arm] = []
    for way, parts in ways:
        for name, members in parts.items():
            if keep != "without":
                found.append(_Arm(way, name, "only", _of(steer, members)))
            if keep != "only":
                if way == "part":
                    rest = [entry for other, kept in parts.items() if other != name for entry in kept]
                else:
                    rest = [entry for entry in steer if not any(entry is member for member in members)]
                found.append(_Arm(way, name, "without", _of(steer, rest)))
    return found


def _parts(steer: Steer, way: str) -> dict[str, list[Entry]]:
    """The parts of a steer, each as the entries that it has."""
    if way not in ("layer", "component", "part", "site"):
        raise InputError(
            f"a steer is taken apart by 'layer', 'component', 'part', 'site', or a mapping of names to sites; found {way!r}"
        )
    found: dict[str, list[Entry]] = {}
    if way == "part":
        strange = sorted({entry.edit.kind for entry in steer if not isinstance(entry.edit, Affine)})
        if strange:
            raise InputError(
                f"only affine edits have scales and shifts to tell apart; this steer has {strange[0]} edits"
            )
        for name in PARTS:
            kept = [
                replace(entry, edit=Affine(**{n: v for n, v in entry.edit.params.items() if n in (name, "index")}))
                for entry in steer
                if name in entry.edit.params
            ]
            if kept:
                found[name] = kept
        return found
    for entry in sorted(steer, key=lambda entry: entry.site):
        site = entry.site
        key = str(site)
        if way == "component" or (way == "layer" and site.layer is None):
            key = str(site).partition(".")[0]
        elif way == "layer":
            key = str(site.layer) if site.tower == "language" else f"{site.tower}/{site.layer}"
        found.setdefault(key, []).append(entry)
    return found


def _of(steer: Steer, entries: list[Entry]) -> Steer | None:
    """The steer with some entries; nothing where none is left."""
    return Steer(entries, strength=steer.strength, card=dict(steer.card)) if entries else None


def _estimated(
    measure: Measure, found: Sequence[tuple[_Arm, Reading | str]], draws: int, seed: int
) -> list[Restriction]:
    """Intervals of all runs of a measure from the same resamples, with differences from the first two."""
    read = [(arm, reading) for arm, reading in found if isinstance(reading, Reading)]
    statistics = [reading.statistic for _, reading in read]
    base = {arm.keep: i for i, (arm, _) in enumerate(read) if arm.keep in ("none", "all")}
    bounds = measure.bounds
    span = None if bounds is None else (bounds[0] - bounds[1], bounds[1] - bounds[0])
    clusters = measure.clusters()

    def estimates(against: int | None) -> list[Estimate]:
        def values(weights: Weights) -> np.ndarray:
            each = np.stack([statistic(weights) for statistic in statistics], axis=1)
            return each if against is None else each - each[:, [against]]

        made = intervals(values, clusters, draws=draws, seed=seed, bounds=bounds if against is None else span)
        if against is not None:
            # What is compared with itself differs by nothing, of which Wilson's interval would make something.
            made[against] = Estimate(0.0, 0.0, 0.0, made[against].n)
        return made

    none = Estimate(float("nan"), float("nan"), float("nan"), 0)
    levels = estimates(None) if read else []
    changes, lacks = (estimates(base[name]) if name in base else [none] * len(read) for name in ("none", "all"))
    rows: list[Restriction] = []
    place = 0
    for arm, reading in found:
        what = (arm.by, arm.part, arm.keep, measure.name)
        if isinstance(reading, str):
            rows.append(Restriction(*what, none, none, none, 0, reading))
        else:
            rows.append(Restriction(*what, levels[place], changes[place], lacks[place], reading.items))
            place += 1
    return rows
