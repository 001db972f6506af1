"""Run a study: cut methods to sites, measure what is not yet on disk, and put the rows together."""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from levelhead.capture import Activations
from levelhead.errors import InputError, SiteError
from levelhead.graph import Graph, graph
from levelhead.harness.subject import fingerprint
from levelhead.methods.base import Method
from levelhead.metrics.measures.protocol import Measure
from levelhead.sites import Patterns, Site, resolve
from levelhead.steer import Steer, Strengths
from levelhead.study.inputs import digest, facts_of
from levelhead.study.measuring import Asking, Bench
from levelhead.study.result import Role, Row, Study
from levelhead.study.store import Cell, opened
from levelhead.study.workers import Done, Supplies, Task, in_processes, loaded


def study(
    model: Any,
    methods: Steer | Method | Mapping[str, Steer | Method],
    *,
    bias: Sequence[Measure],
    capability: Sequence[Measure] = (),
    sites: Patterns | None = None,
    strengths: Strengths = (0.25, 0.5, 0.75, 1.0),
    acts: Activations | None = None,
    labels: Collection[Any] | None = None,
    groups: Collection[Any] | None = None,
    out: str | os.PathLike[str] = "runs/study",
    workers: int = 1,
    load: Callable[[], Any] | None = None,
    draws: int = 1999,
    seed: int = 0,
    processor: Any = None,
    verbose: bool = True,
) -> Study:
    """Steer at one site after another and measure what that does: sites, strengths, methods and measures crossed.

    Every finished cell (a method at a site, one measure, all strengths in a batch) is committed to a store in `out`. A call
    that was broken off, by whatever, goes on from there when it is repeated, and loses no more than the cells that were
    running. More sites, methods and measures may be added later; anything else that the figures depend on must be as it was.

    Parameters
    ----------
    model : transformers model, TransformerBridge, nnsight model, or Graph
        None where `load` is given.
    methods : Steer, Method, or mapping of str to these
        A steer is cut to each of its sites; a method is fitted at each site of `acts`.
    bias : sequence of Measure
        Such as `levelhead.metrics.OccupationBias`; places are ranked by the first.
    capability : sequence of Measure
        Those without bounds, such as perplexity, stand beside.
    sites : patterns, optional
        All of a method's when left out.
    strengths : sequence of float
        Multiples of a steer's own; 0 is measured anyway, once.
    acts : Activations, optional
        What methods are fitted on: captured once for all sites.
    labels, groups : sequence, optional
        Handed to each method's ``fit``.
    out : path
        Folder of the store.
    workers : int
        Processes, each with the model and one thread. Figures do not depend on their number or order, but for what a
        processor rounds otherwise with several threads; 1 measures here.
    load : callable, optional
        Gives the model, or model and processor: what workers call instead of being sent the model. A function at the top
        level of a module.
    draws : int
        Bootstrap resamples.
    seed : int
        Of the bootstrap.
    processor : tokenizer or processor, optional
    verbose : bool
        Show a progress bar with the remaining time, if this is a terminal.

    Returns
    -------
    Study

    Raises
    ------
    InputError
        For unusable arguments, or something that cannot be sent to workers.
    SiteError, EditError
        If a steer does not fit the model, or no site is left.
    FileError
        For a store of other inputs, a damaged one, one that another process is using, or a full disk.
    LevelheadError
        If a worker died.
    """
    given = _measures(bias, capability)
    asked = _strengths(strengths)
    if workers < 1 or draws < 1:
        raise InputError(f"need workers >= 1 and draws >= 1; found {workers} and {draws}")
    if load is not None and model is None:
        model, processor = loaded(load, processor)
    wrapped = graph(model, processor)
    if getattr(wrapped.model, "training", False):
        raise InputError("the model is in training mode, where dropout is on; call model.eval() first")
    source = _Source(wrapped, _methods(methods), acts, labels, groups)
    placed = source.sites(sites)
    facts = facts_of(
        wrapped, source.digests(), given, {"strengths": list(asked), "draws": int(draws), "seed": int(seed)}
    )
    asking = Asking({name: measure for name, (_, measure) in given.items()}, asked, int(draws), int(seed))
    cells: list[Cell] = []
    for name in given:
        cells.append(Cell("none", "", name))
        cells += [Cell(method, str(site), name) for method in placed for site in placed[method]]
    with opened(Path(out)) as store:
        rows = store.cells()
        store.claim(facts)
        todo = [cell for cell in cells if cell not in rows]
        tasks: Iterator[Task] = ((cell, source.steer(cell)) for cell in todo)
        if workers > 1 and len(todo) > 1:
            supplies = Supplies.of(wrapped, load, facts["model weights_sha256"], asking)
            done = in_processes(supplies, tasks, min(workers, len(todo)))
        else:
            done = _here(Bench(wrapped, asking), tasks)
        from tqdm import tqdm

        hidden = None if verbose else True
        with tqdm(total=len(cells), initial=len(cells) - len(todo), disable=hidden, desc="study", unit="cell") as bar:
            for cell, found in done:
                store.add(cell, found)
                rows[cell] = found
                bar.update()
    return Study(tuple(Row.of(cell, given[cell.measure][0], told) for cell in cells for told in rows[cell]), facts)


def _here(bench: Bench, tasks: Iterator[Task]) -> Iterator[Done]:
    for cell, steer in tasks:
        yield cell, bench(cell, steer)


@dataclass
class _Source:
    """Where the steer of a cell comes from: cut out of one, or fitted at the site."""

    graph: Graph
    methods: Mapping[str, Steer | Method]
    acts: Activations | None
    labels: Collection[Any] | None
    groups: Collection[Any] | None
    _fitted: dict[tuple[str, str], Steer] = field(default_factory=dict[tuple[str, str], Steer], init=False)

    def __post_init__(self) -> None:
        for name, method in self.methods.items():
            if isinstance(method, Steer):
                strengths = [method.strength, *(entry.strength for entry in method.entries)]
                if any(isinstance(strength, Tensor) for strength in strengths):
                    raise InputError(f"'{name}' has one strength a row; a study scales a steer as a whole")
                method.check(self.graph)
            elif self.acts is None:
                raise InputError(f"'{name}' is a method to be fitted at each site: give acts= and labels=, or a Steer")
            elif "labels" not in inspect.signature(getattr(method, "fit")).parameters:  # noqa: B009
                raise InputError(
                    f"'{name}' ({type(method).__name__}) is not fitted on activations and labels; fit it first, and give "
                    "the Steer"
                )

    def sites(self, patterns: Patterns | None) -> dict[str, list[Site]]:
        """The sites of each method, in execution order."""
        wanted = None if patterns is None else set(resolve(patterns, self.graph.sites()))
        found: dict[str, list[Site]] = {}
        for name, method in self.methods.items():
            own = method.sites if isinstance(method, Steer) else sorted(self.acts or ())
            found[name] = [site for site in own if wanted is None or site in wanted]
            if not found[name]:
                raise SiteError(f"'{name}' has none of the sites {patterns!r}; it has {', '.join(map(str, own))}")
            for site in found[name]:
                self.graph.locate(site)
        return found

    def digests(self) -> dict[str, str]:
        """What each method comes of: a steer's tensors, or an estimator's settings and data."""
        data = None
        found: dict[str, str] = {}
        for name, method in self.methods.items():
            if isinstance(method, Steer):
                found[name] = fingerprint(method)
                continue
            if data is None:
                acts = {str(site): value for site, value in (self.acts or {}).items()}
                data = digest([acts, _listed(self.labels), _listed(self.groups)])
            found[name] = digest([type(method).__qualname__, method.get_params(), data])
        return found

    def steer(self, cell: Cell) -> Steer | None:
        """The steer of a cell; None for the model as it is."""
        if not cell.site:
            return None
        method, key = self.methods[cell.method], (cell.method, cell.site)
        if isinstance(method, Steer):
            return method.only(cell.site)
        if key not in self._fitted:
            if self.acts is None:
                raise InputError(f"'{cell.method}' needs acts= to be fitted on")
            fit: Any = getattr(method, "fit")  # noqa: B009
            groups = {} if self.groups is None else {"groups": self.groups}
            fitted = fit(self.acts.select(cell.site), self.labels, **groups)
            if not isinstance(fitted, Steer):
                raise InputError(f"'{cell.method}' gave a {type(fitted).__name__} at {cell.site}, and no Steer")
            self._fitted[key] = fitted
        return self._fitted[key]


def _listed(values: Collection[Any] | None) -> list[str] | None:
    return None if values is None else [str(value) for value in values]


def _methods(given: Steer | Method | Mapping[str, Steer | Method]) -> dict[str, Steer | Method]:
    if isinstance(given, Steer):
        found: dict[str, Steer | Method] = {"steer": given}
    elif isinstance(given, Method):
        found = {type(given).__name__: given}
    else:
        found = dict(given)
    if not found:
        raise InputError("a study needs at least one steer or method; found none")
    if "none" in found:
        raise InputError("'none' is the name of the model as it is; give the method another")
    checked: dict[str, Any] = {**found}
    for name, method in checked.items():
        if not isinstance(method, Steer | Method):
            raise InputError(
                f"'{name}' is a {type(method).__name__}; give a fitted Steer, or a Method such as MeanDifference()"
            )
    return found


def _measures(bias: Sequence[Measure], capability: Sequence[Measure]) -> dict[str, tuple[Role, Measure]]:
    if not bias:
        raise InputError("a study needs a measure of bias; found none")
    found: dict[str, tuple[Role, Measure]] = {}
    for measure in (*bias, *capability):
        if measure.name in found:
            raise InputError(f"two measures are named '{measure.name}'; give each a name= of its own")
        role: Role = "bias" if len(found) < len(bias) else "beside" if measure.bounds is None else "capability"
        found[measure.name] = role, measure
    return found


def _strengths(strengths: Strengths) -> tuple[float, ...]:
    found = tuple(sorted({float(strength) for strength in strengths} - {0.0}))
    if not found or not all(map(math.isfinite, found)):
        raise InputError(f"strengths are finite numbers, at least one of them not 0; found {list(strengths)}")
    return found
