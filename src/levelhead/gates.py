"""Gates: a linear probe inside the model that decides where a steer writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from levelhead.errors import EditError, InputError
from levelhead.sites import Site

PER = ("token", "sequence")


@dataclass(frozen=True, eq=False, init=False)
class Gate:
    """A probe that opens where ``weight . h + bias > 0``; edits behind it write there alone.

    The idea is FairSteer's (arXiv 2504.14492): an edit that acts only where a probe finds what it is meant for. Per
    sequence, a row whose gate is shut is as it was to the bit; per token, so is all that comes before the first token
    that is written, while later ones attend to it.

    Parameters
    ----------
    site : Site or str
        Where the probe reads: a site of the language model, not later than the edits behind it.
    weight : Float[Tensor, "d"]
        The probe's direction, in the units of the activations.
    bias : float
        So that the score is 0 at the threshold.
    per : {"sequence", "token"}
        Whether the prompt's last token decides for the whole sequence, prompt and answer, or each token for itself.
    soft : bool
        Multiply the strength by the sigmoid of the score, instead of writing or not.
    basis : {"hf", "tl-compat"}
        Coordinate system of the weight, which must be that of the edits behind the gate.

    Raises
    ------
    EditError
        For a weight that is no vector, or numbers that are not finite.
    InputError
        For a site outside of the language model.

    Examples
    --------
    >>> gate = Gate("resid_post.2", torch.tensor([1.0, 0.0]), bias=-0.5)
    >>> gate(torch.tensor([[2.0, 0.0], [0.0, 2.0]])).tolist()
    [1.0, 0.0]
    """

    site: Site
    weight: Float[Tensor, " d"]
    bias: float
    per: Literal["token", "sequence"]
    soft: bool
    basis: str

    def __init__(
        self,
        site: Site | str,
        weight: Tensor,
        bias: float | int = 0.0,
        per: Literal["token", "sequence"] = "sequence",
        soft: bool = False,
        basis: str = "hf",
    ) -> None:
        site = Site.parse(site)
        if site.tower != "language":
            raise InputError(f"a gate reads tokens of the language model; '{site}' has picture patches")
        if per not in PER:
            raise InputError(f"a gate decides per 'token' or per 'sequence'; found {per!r}")
        if weight.dim() != 1 or not len(weight) or not weight.is_floating_point():
            raise EditError(f"a gate's weight is a vector [d] of floating point numbers; found {tuple(weight.shape)}")
        bias = float(bias)
        if not bool(torch.isfinite(weight).all()) or bias != bias or abs(bias) == float("inf"):
            raise EditError("a gate's weight and bias must be finite; look at the probe that they come from")
        facts: dict[str, Any] = {
            "site": site,
            "weight": weight.detach().clone(),
            "bias": bias,
            "per": per,
            "soft": soft,
            "basis": basis,
        }
        for name, value in facts.items():
            object.__setattr__(self, name, value)

    def __call__(self, h: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
        """How far the gate opens for activations: 0 or 1, or between if it is soft."""
        score = h.float() @ self.weight.to(h.device).float() + self.bias
        return torch.sigmoid(score) if self.soft else (score > 0).float()

    def __invert__(self) -> Gate:
        """The gate that opens where this one is closed; at a score of exactly 0 both are."""
        return Gate(self.site, -self.weight, -self.bias, self.per, self.soft, self.basis)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Gate):
            return False
        names = ("site", "bias", "per", "soft", "basis")
        return all(getattr(self, name) == getattr(other, name) for name in names) and torch.equal(
            self.weight, other.weight
        )

    def __hash__(self) -> int:
        return hash((self.site, self.bias, self.per, self.soft, self.weight.shape))

    def __repr__(self) -> str:
        return f"Gate({self.site}, per {self.per}{', soft' if self.soft else ''})"
