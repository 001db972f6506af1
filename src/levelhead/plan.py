"""From a steer and a model to a plan: for each place in the model, the steps that run there."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from levelhead import operators
from levelhead.errors import EditError, InputError, UntouchedSteerWarning
from levelhead.gates import Gate
from levelhead.graph import Graph, Location
from levelhead.steer import Entry, Steer

Step = tuple[str, str, float | Tensor, str, tuple[int, int] | None, dict[str, Tensor], str | None]


@dataclass(frozen=True)
class Placed:
    """The steps of one place; plain data, as `levelhead.operators.apply` takes them."""

    location: Location
    steps: list[Step]


def plan(steer: Steer, graph: Graph) -> list[Placed]:
    """Resolve a steer on a graph, in execution order; edits of strength 0 are left out.

    Raises
    ------
    SiteError, EditError, InputError
        For a site that the model lacks, a width or a basis that differs, one strength a row in the vision tower.
    """
    if steer.basis != graph.basis:
        raise EditError(
            f"this steer was fitted in basis '{steer.basis}', and the model is in basis '{graph.basis}': TransformerLens's "
            "weight processing changes the norms and the values; use a bridge without compatibility mode (or with "
            "no_processing=True), or fit on this one"
        )
    places: dict[tuple[str, str], Placed] = {}
    gates: dict[Gate, str] = {}
    for number, entry in enumerate(steer.entries):
        location = _fit(entry, graph)
        strength = steer.strength * entry.strength
        if isinstance(strength, Tensor):
            if entry.site.tower != "language":
                raise InputError(
                    f"one strength a row was given, and '{entry.site}' has picture patches instead of rows"
                )
        elif strength == 0:
            continue
        if entry.gate is not None and entry.gate not in gates:
            gates[entry.gate] = f"gate {len(gates)}"
            where, step = _gate(entry.gate, gates[entry.gate], graph)
            places.setdefault(where.place, Placed(where, [])).steps.append(step)
        gate = None if entry.gate is None else gates[entry.gate]
        step = (str(number), entry.edit.kind, strength, entry.scope, _head(location), entry.edit.params, gate)
        places.setdefault(location.place, Placed(location, [])).steps.append(step)
    return sorted(places.values(), key=lambda placed: placed.location.site.whole)


def _head(location: Location) -> tuple[int, int] | None:
    return None if location.site.head is None else (location.site.head, location.heads or 1)


def _gate(gate: Gate, key: str, graph: Graph) -> tuple[Location, Step]:
    location = graph.locate(gate.site)
    if len(gate.weight) != location.width:
        raise EditError(
            f"the gate at '{gate.site}' has width {len(gate.weight)}, and the model has {location.width} there ({location})"
        )
    params = {"weight": gate.weight, "bias": torch.tensor(gate.bias)}
    return location, (key, "soft gate" if gate.soft else "gate", 1.0, gate.per, _head(location), params, None)


def _fit(entry: Entry, graph: Graph) -> Location:
    location = graph.locate(entry.site)
    width = entry.edit.width
    if width is not None and width != location.width:
        raise EditError(
            f"the edit at '{entry.site}' has width {width}, and the model has {location.width} there ({location})"
        )
    if entry.edit.min_width > location.width:
        raise EditError(
            f"the edit at '{entry.site}' writes coordinate {entry.edit.min_width - 1}, and the model has {location.width} there"
        )
    return location


def check(steer: Steer, graph: Graph) -> dict[str, str]:
    """See `levelhead.steer.Steer.check`."""
    places = [place for place in plan(steer, graph) if any(step[1] not in operators.GATES for step in place.steps)]
    here = graph.identity()
    there: dict[str, Any] = dict(steer.card.get("model", {}))
    if not there:
        model = "the card does not say on which model this steer was fitted"
    elif there.get("config_sha256") == here["config_sha256"]:
        model = f"fitted on a model of this configuration ({there.get('id') or there.get('class')})"
    else:
        model = f"fitted on another configuration: {there.get('id') or there.get('class')}; here: {here.get('id') or here['class']}"
    return {
        "sites": f"{len(steer.sites)} sites, all present; {len(places)} places written",
        "widths": "all equal to the model's",
        "basis": f"'{steer.basis}', as the model's",
        "model": model,
        "graph": graph.name,
    }


def report(steer: Steer, tally: dict[str, Any]) -> None:
    """Warn of the sites that a steer was meant to write and no forward pass wrote."""
    if not isinstance(steer.strength, Tensor) and steer.strength == 0:
        return
    silent = {str(entry.site) for entry in steer.entries if isinstance(entry.strength, Tensor) or entry.strength != 0}
    # A gate that stayed closed did its work: its edits are on the tally with nothing written.
    silent -= {str(entry.site) for number, entry in enumerate(steer.entries) if str(number) in tally}
    if silent:
        names = ", ".join(sorted(silent)[:6]) + (", ..." if len(silent) > 6 else "")
        warnings.warn(
            f"the steer was on, and nothing was written at {len(silent)} of {len(steer.sites)} sites ({names}): no forward "
            "pass reached them, or their scope held no token",
            UntouchedSteerWarning,
            stacklevel=4,
        )
