"""What becomes of the difference when a site is ablated: by doing so, and by the gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from levelhead.graph import Differentiable
from levelhead.heads.asking import Asking, Batch
from levelhead.heads.stand_ins import READERS, StandIns, rows_of
from levelhead.sites import Site, by_whole

Tick = Callable[[], Any]


def plain(asking: Asking) -> Float[np.ndarray, " item"]:
    """Differences of the model as it is, in nats, by item."""
    found = np.zeros(len(asking.items.prompts))
    for batch in asking:
        with torch.no_grad():
            logits = asking.graph.logits(batch.full, prompt_length=batch.length, last=batch.last)
        _gather(found, batch, batch.scores(logits))
    return asking.items.averaged(found)


def ablated(
    asking: Asking,
    stand: StandIns,
    widths: dict[Site, int],
    variants: Sequence[Sequence[Site]],
    tick: Tick = lambda: None,
) -> Float[np.ndarray, "variant item"]:
    """Differences when the sites of each variant are ablated together.

    Variants whose first sites are in one layer share a pass, and where the graph allows it all that comes before.
    """
    graph = asking.graph
    found = np.zeros((len(variants), len(asking.items.prompts)))
    layers: dict[int, list[int]] = {}
    for number, variant in enumerate(variants):
        layers.setdefault(min((site.layer or 0 for site in variant), default=0), []).append(number)
    step = asking.times
    chunks = [each[i : i + step] for each in layers.values() for i in range(0, len(each), step)]
    for batch in asking:
        for numbers in chunks:
            chosen = [variants[number] for number in numbers]
            steer = stand.variants(widths, batch, chosen, graph.basis)
            with torch.no_grad():
                logits = graph.logits_at(batch.full, steer, torch.ones(len(chosen)), batch.length, batch.last)
            _gather(found, batch, batch.scores(logits), numbers)
        tick()
    return asking.items.averaged(found)


def attributed(
    asking: Asking,
    stand: StandIns,
    widths: dict[Site, int],
    sites: list[Site],
    steps: int,
    tick: Tick = lambda: None,
) -> Float[np.ndarray, "site item"]:
    """The same change to first order, (stand-in - activation) . gradient, of all sites from one backward pass.

    With several steps, each site goes alone from its activation to its stand-in, and gradients are averaged along the way;
    with many, that is the ablation's effect itself.
    """
    graph = asking.graph
    assert isinstance(graph, Differentiable)
    found = np.zeros((len(sites), len(asking.items.prompts)))
    groups = list(by_whole(sites))
    wholes = [whole for whole, _ in groups]
    at = READERS[stand.scope]
    for batch in asking:
        length = batch.length if stand.scope == "last" else None
        asked: Any = {"at": at, "last": batch.last}
        acts, slopes = graph.gradients(batch.full, wholes, batch.objective, prompt_length=length, **asked)
        rows = rows_of(asking, batch, batch.full, stand.scope)
        alone = _on_the_way(asking, stand, widths, sites, batch, steps) if steps > 1 else {}
        for whole, members in groups:
            here = acts[whole].detach().float().cpu()
            way = stand.of_rows(whole, batch)[rows] - here
            for site in members:
                slope = alone.get(site, slopes[whole]).detach().float().cpu()
                width = widths[site]
                part = slice(None) if site.head is None else slice(site.head * width, (site.head + 1) * width)
                own = way[:, part] * slope[:, part]
                change = torch.zeros(len(batch.wordings)).index_add(0, rows, own.sum(-1))
                _gather(found, batch, change[None], [sites.index(site)])
        tick()
    return asking.items.averaged(found)


def _on_the_way(
    asking: Asking, stand: StandIns, widths: dict[Site, int], sites: list[Site], batch: Batch, steps: int
) -> dict[Site, Float[Tensor, "token d"]]:
    """Mean gradient at the tensor of each site, while that site alone is on its way; the sites of a layer share passes."""
    graph = asking.graph
    assert isinstance(graph, Differentiable)
    length = batch.length if stand.scope == "last" else None
    layers: dict[int | None, list[Site]] = {}
    for site in sites:
        layers.setdefault(site.layer, []).append(site)
    found: dict[Site, Tensor] = {}
    chunks = [each[i : i + asking.times] for each in layers.values() for i in range(0, len(each), asking.times)]
    for members in chunks:
        times = len(members)
        many = {name: value.repeat(times, *[1] * (value.dim() - 1)) for name, value in batch.full.items()}
        steer = stand.variants(widths, batch, [[site] for site in members], graph.basis)

        def objective(logits: Tensor, times: int = times) -> Tensor:
            return batch.scores(logits.unflatten(0, (times, -1))).sum()

        for step in range(steps):
            _, slopes = graph.gradients(
                many,
                sorted({site.whole for site in members}),
                objective,
                READERS[stand.scope],
                steer * ((step + 0.5) / steps),
                length,
                batch.last,
            )
            for number, site in enumerate(members):
                slope = slopes[site.whole].unflatten(0, (times, -1))[number] / steps
                found[site] = found[site] + slope if site in found else slope
    return found


def _gather(found: np.ndarray, batch: Batch, scores: Tensor, numbers: list[int] | None = None) -> None:
    """Add rows' shares to their wordings."""
    values = scores.detach().double().cpu().numpy()
    if numbers is None:
        np.add.at(found, batch.wordings, values)
        return
    for number, row in zip(numbers, values, strict=True):
        np.add.at(found[number], batch.wordings, row)
