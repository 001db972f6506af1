"""The graph of an nnsight model: traces to read, edited copies to write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from greenlet import getcurrent
from nnsight.intervention.interleaver import Mediator
from torch import Tensor

from levelhead.errors import AdapterError
from levelhead.graph import Location
from levelhead.plan import Placed, plan, report
from levelhead.sites import Site
from levelhead.steer import Steer
from levelhead.tokens import Reader
from levelhead_nnsight.inside import first_tensor, track, write, write_pictures
from levelhead_transformers.base import ModuleGraph, Objective, generation, take
from levelhead_transformers.modules import parameters_of

_SPAWNED = compile("function(*arguments)", "<levelhead: steer inside a trace>", "exec")


class TraceGraph(ModuleGraph):
    """Reads an nnsight model in a trace, one for all sites, and writes through an edited copy.

    nnsight wraps the user's transformers model without touching its modules, so sites are resolved on it as they
    are on the plain graph.
    """

    name = "nnsight"

    def __init__(self, envoy: Any, processor: Any = None) -> None:
        found = processor or getattr(envoy, "processor", None) or getattr(envoy, "tokenizer", None)
        super().__init__(envoy._module, found)
        self.target = envoy

    # -- the verbs -------------------------------------------------------------------------------------

    def capture(
        self,
        batch: Mapping[str, Tensor],
        sites: list[Site],
        at: Reader = "last",
        steer: Steer | None = None,
        prompt_length: int | None = None,
    ) -> dict[Site, Tensor]:
        picks = self.picks(batch, sites, at, prompt_length)
        found: dict[Site, Tensor] = {}
        call = self.arguments(batch, last=1)
        with self._steered(steer, prompt_length) as envoy, torch.no_grad():
            places = [
                (_envoy(envoy, location.path), location, mode, where, members)
                for location, mode, where, members in picks
            ]
            with envoy.trace(**call):
                for place, location, mode, where, members in places:
                    tensor = first_tensor(place, location.side)
                    taken = take(tensor, location.site.tower, mode, where)
                    found.update(self.split(taken, location, members))
        return found

    def gradients(
        self,
        batch: Mapping[str, Tensor],
        sites: list[Site],
        objective: Objective,
        at: Reader | Mapping[Site, Reader] = "last",
        steer: Steer | None = None,
        prompt_length: int | None = None,
        last: int = 0,
    ) -> tuple[dict[Site, Tensor], dict[Site, Tensor]]:
        picks = self.asked(batch, sites, at, prompt_length)
        found: dict[Site, Tensor] = {}
        passed: dict[Location, Tensor] = {}
        ends: list[Tensor] = []
        call = self.arguments(batch, last=last)
        with self._steered(steer, prompt_length) as envoy, torch.enable_grad():
            places = [
                (_envoy(envoy, location.path), location, mode, where, members)
                for location, mode, where, members in picks
            ]
            with envoy.trace(**call):
                for place, location, mode, where, members in places:
                    passed[location] = tensor = track(place, location.side)
                    taken = take(tensor, location.site.tower, mode, where)
                    found.update(self.split(taken, location, members))
                ends.append(envoy.output.logits)
            logits = ends[0][:, -int(last) :]
            return found, self.differentiated(batch, picks, passed, logits, objective)

    def logits(
        self,
        batch: Mapping[str, Tensor],
        steer: Steer | None = None,
        prompt_length: int | None = None,
        last: int = 0,
    ) -> Tensor:
        with self._steered(steer, prompt_length) as envoy:
            return envoy.trace(**self.arguments(batch, last=last), trace=False).logits[:, -int(last) :]

    def generate(self, batch: Mapping[str, Tensor], steer: Steer | None = None, **options: Any) -> Tensor:
        # A prompt may be read in chunks, of which the first does not tell its length.
        with self._steered(steer, batch["input_ids"].shape[1]) as envoy:
            return envoy.trace(**generation(batch, options, self.map.image_ids), fn="generate", trace=False)

    @contextmanager
    def on(self, steer: Steer, prompt_length: int | None = None) -> Iterator[Any]:
        placed = plan(steer, self)
        tally: dict[str, Any] = {}
        edited = self.target._shallow_copy()
        before = list(edited._edits)
        try:
            for function, arguments in self._work(edited, placed, prompt_length, tally):
                # One edit a worker: pictures are encoded before the first pass in a generation, and after it in a forward.
                with edited.edit(inplace=True):
                    function(*arguments)
            yield edited
        finally:
            edited._edits = before
        report(steer, tally)

    def inside(self, steer: Steer) -> None:
        """See `levelhead.Steer.__call__`: steer the run of the trace that is open around the call."""
        current = getattr(getcurrent(), "mediator", None)
        if current is None:
            raise AdapterError("steer(model) belongs inside an nnsight trace; outside of one, use steer.on(model)")
        interleaver = self.target.interleaver
        spawned = interleaver.__dict__.setdefault("_levelhead_spawned", [])
        spawned[:] = [mediator for mediator in spawned if mediator() in interleaver.mediators]
        if any(mediator().steer is steer for mediator in spawned):
            return
        import weakref

        tally: dict[str, Any] = {}
        for function, arguments in self._work(self.target, plan(steer, self), None, tally):
            worker = Mediator(_SPAWNED, {}, {"function": function, "arguments": arguments})
            worker.steer = steer  # pyright: ignore[reportAttributeAccessIssue]
            # Before the user's own block, so that what it reads after this line has been steered.
            interleaver.mediators.insert(interleaver.mediators.index(current()), worker)
            worker.start(interleaver)
            spawned.append(weakref.ref(worker))
        interleaver.reindex()

    def hooks(self, steer: Steer, batch: Mapping[str, Tensor] | None = None) -> Any:
        raise AdapterError(
            "steer.hooks() gives TransformerLens hooks, and needs a TransformerBridge; here, use steer.on(model)"
        )

    # -- how -------------------------------------------------------------------------------------------

    def _steered(self, steer: Steer | None, prompt_length: int | None) -> AbstractContextManager[Any]:
        return nullcontext(self.target) if steer is None else self.on(steer, prompt_length)

    def _work(
        self, envoy: Any, placed: list[Placed], prompt_length: int | None, tally: dict[str, Any]
    ) -> Iterator[tuple[Any, tuple[Any, ...]]]:
        places = [(_envoy(envoy, p.location.path), p.location.side, p.steps, p.location.site.tower) for p in placed]
        pictures = [place[:3] for place in places if place[3] != "language"]
        language = [place[:3] for place in places if place[3] == "language"]
        if pictures:
            yield write_pictures, (pictures, tally)
        if language:
            yield write, (envoy, parameters_of(self.model), language, self.map.image_ids, prompt_length, tally)


def _envoy(root: Any, path: str) -> Any:
    return root.get(path) if path else root
