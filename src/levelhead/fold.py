"""Folding: a steer at one strength, written into a copy of the model's own weights.

An affine map of a norm's output is the same norm with another weight and bias, so such a steer costs nothing once it is
folded. What a model calls its norms, and who reads them, is the adapter's business.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float64
from torch import Tensor

from levelhead.errors import AdapterError, EditError, FallbackWarning, InputError
from levelhead.graph import Graph, Location, graph
from levelhead.plan import Placed, plan

if TYPE_CHECKING:
    from levelhead.steer import Entry, Steer

WHAT_FOLDS = (
    "what folds is Affine and Add edits of whole norm outputs (ln1, ln2, ln1_post, ln2_post, ln_final), at scope 'all', "
    "without a gate, at one strength"
)


@dataclass(frozen=True)
class NormMap:
    """What a steer makes of one norm's output h: ``gain * h + shift``.

    Attributes
    ----------
    location : Location
        The norm.
    gain : Float64[Tensor, "d"]
        ``1 + strength * scale``; of several edits at one place, their product.
    shift : Float64[Tensor, "d"] or None
        In the units of the activations; None where nothing is added.
    """

    location: Location
    gain: Float64[Tensor, "d"]
    shift: Float64[Tensor, "d"] | None


@runtime_checkable
class Foldable(Graph, Protocol):
    """A graph that can write maps of norms into a copy of its model; levelhead's own three can."""

    def folded(self, maps: list[NormMap], record: dict[str, Any]) -> tuple[Any, list[str]]:
        """A copy of the model, and those of its parameters that its own configuration does not know of.

        The latter would be lost between ``save_pretrained`` and ``from_pretrained``; where there are any, the copy must
        refuse to be saved. `record` goes into the copy's configuration.
        """
        ...


def fold(steer: Steer, model: Any, strength: float | int = 1.0, saveable: bool = False) -> Any:
    """See `levelhead.Steer.fold`."""
    seam = graph(model)
    steer = steer * strength
    if isinstance(steer.strength, Tensor):
        raise InputError(
            "weights have one strength, and this steer has one for each row; fold steer * 0.6, or the like"
        )
    for entry in steer:
        _check(entry)
    if seam.basis != "hf":
        raise EditError(
            f"this model is in basis '{seam.basis}': TransformerLens has processed its weights, and the checkpoint's own are gone; "
            "fold into the transformers model, or into a bridge without compatibility mode"
        )
    if not isinstance(seam, Foldable):
        raise AdapterError(
            f"the adapter '{seam.name}' cannot fold a steer; load the model with transformers, and fold there"
        )
    maps = [_composed(placed) for placed in plan(steer, seam)]
    copy, lost = seam.folded(maps, _record(steer))
    if lost:
        shown = ", ".join(lost[:4]) + (f" and {len(lost) - 4} more" if len(lost) > 4 else "")
        text = (
            f"folding the shifts gave {type(copy).__name__} biases that its configuration cannot express, and that a saved "
            f"copy would lose ({shown})"
        )
        what = "leave out the shifts at these norms (Affine of the scale alone folds everywhere), or keep the steer and use steer.on"
        if saveable:
            raise InputError(f"{text}; {what}")
        warnings.warn(
            f"{text}; the folded copy works in memory, and refuses to be saved. To deploy from disk, {what}",
            FallbackWarning,
            stacklevel=3,
        )
    return copy


def _check(entry: Entry) -> None:
    if entry.edit.kind not in ("affine", "add"):
        why = f"it is of kind '{entry.edit.kind}'"
    elif entry.site.head is not None:
        why = "it is at one head"
    elif entry.gate is not None:
        why = "it stands behind a gate, and weights act on every token"
    elif entry.scope != "all" and entry.site.tower == "language":  # elsewhere, all that there is belongs to a picture
        why = f"its scope is '{entry.scope}', and weights act on every token"
    elif isinstance(entry.strength, Tensor):
        why = "it has one strength for each row"
    else:
        return
    raise EditError(f"the edit at '{entry.site}' cannot be folded: {why}; {WHAT_FOLDS}")


def _composed(placed: Placed) -> NormMap:
    """The edits of one place as one map, in the order in which they would run."""
    width = placed.location.width
    gain, shift = torch.ones(width, dtype=torch.float64), torch.zeros(width, dtype=torch.float64)
    for _, _, strength, _, _, given, _ in placed.steps:
        params = {name: value.detach().cpu() for name, value in given.items()}
        where = params.get("index", torch.arange(width))
        if "scale" in params:
            factor = 1 + strength * params["scale"].double()
            gain[where] *= factor
            shift[where] *= factor
        added = params.get("shift", params.get("vector"))
        if added is not None:
            shift[where] += strength * added.double()
    return NormMap(placed.location, gain, shift if bool((shift != 0).any()) else None)


def _record(steer: Steer) -> dict[str, Any]:
    method = steer.card.get("method", {})
    return {
        "method": method.get("name") if isinstance(method, dict) else None,
        "strength": float(steer.strength),
        "sites": [str(site) for site in steer.sites],
    }
