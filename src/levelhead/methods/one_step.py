"""One gradient step on a batch: the backward pass that finds it, and the forward pass that shows what it moved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from levelhead.edits import Edit
from levelhead.errors import InputError
from levelhead.graph import Differentiable
from levelhead.methods.pixel_step import fast_gradient_sign
from levelhead.methods.target_words import Target
from levelhead.sites import Site
from levelhead.steer import Steer
from levelhead.tokens import Reader

EMBEDDED = Site("resid_pre", 0)
"""Where the projected picture enters the language model."""


@dataclass(frozen=True)
class Moved:
    """What one batch of inputs gave, with one beginning of the answer.

    Attributes
    ----------
    clean, towards : dict of Site to Float[Tensor, "row d"]
        Activations before the step, and the direction of the step or of its effect.
    loss : float
        Before the step, summed over rows.
    """

    clean: dict[Site, Tensor]
    towards: dict[Site, Tensor]
    loss: float


@dataclass(frozen=True)
class _Pass:
    """A backward pass; `slope` and `there` are the gradient and the values where the step is to be taken."""

    acts: dict[Site, Tensor]
    gradients: dict[Site, Tensor]
    slope: Tensor
    there: Tensor
    loss: float


@dataclass(frozen=True)
class OneStep:
    """How a step is taken; see `levelhead.GradientStep` for the parameters.

    Attributes
    ----------
    graph : Differentiable
    sites : list of Site
    at : reader
    on : {"image", "embeddings", "residual"}
    difference : bool
        Read what the step moved; else the gradient itself.
    eps : float
        Negative for a step away from the words; what it moved is then turned round.
    along : {"sign", "unit"}
    """

    graph: Differentiable
    sites: list[Site]
    at: Reader
    on: str
    difference: bool
    eps: float
    along: str

    def __call__(self, encoded: Mapping[str, Tensor], targets: Sequence[Target]) -> Iterator[Moved]:
        """Go through a batch once for each beginning of the answer; the step is one for all of them."""
        seen = [self._backward(target) for target in targets]
        if not self.difference:
            for found in seen:
                yield Moved(found.acts, {site: -slope for site, slope in found.gradients.items()}, found.loss)
            return
        slope = torch.stack([found.slope for found in seen]).sum(0)
        _check_slope(slope, "the picture" if self.on == "image" else f"'{EMBEDDED}'")
        for target, found in zip(targets, seen, strict=True):
            # Other shapes round otherwise, so both sides of a difference come from passes of one shape.
            clean = found.acts if target.last == 1 else self.graph.capture(target.prompts, self.sites, self.at)
            moved = self._forward(target, encoded, slope, seen[0].there)
            turn = 1.0 if self.eps > 0 else -1.0
            towards = {site: turn * (moved[site].double() - clean[site].double()) for site in self.sites}
            yield Moved(clean, towards, found.loss)

    def _backward(self, target: Target) -> _Pass:
        readers: dict[Site, Reader] = dict.fromkeys(self.sites, self.at)
        batch = dict(target.batch)
        if self.difference and self.on == "image":
            batch["pixel_values"] = batch["pixel_values"].detach().clone().requires_grad_()
        elif self.difference:
            readers[EMBEDDED] = "all:image"
        losses: list[float] = []

        def objective(logits: Tensor) -> Tensor:
            loss = target(logits)
            losses.append(float(loss.detach()))
            return loss

        acts, gradients = self.graph.gradients(
            batch, list(readers), objective, readers, prompt_length=target.length, last=target.last
        )
        for site in self.sites:
            if len(acts[site]) != len(batch["input_ids"]):
                raise InputError(
                    f"at={self.at!r} reads several vectors a row at '{site}'; one is needed, as 'last' or 'mean' give"
                )
        copies = target.copies
        acts = {site: value.unflatten(0, (copies, -1))[0] for site, value in acts.items()}
        # The copies of a row share what stands before the words, so what reaches it through each of them adds up.
        gradients = {site: value.unflatten(0, (copies, -1)).double().sum(0) for site, value in gradients.items()}
        slope = there = torch.zeros(())
        if self.difference and self.on == "image":
            slope = cast(Tensor, batch["pixel_values"].grad).unflatten(0, (copies, -1)).float().sum(0)
        elif self.difference:
            slope, there = gradients.pop(EMBEDDED).float(), acts.pop(EMBEDDED).float()
        return _Pass(acts, gradients, slope, there, losses[0])

    def _forward(
        self, target: Target, encoded: Mapping[str, Tensor], slope: Tensor, there: Tensor
    ) -> dict[Site, Tensor]:
        """Activations after the step."""
        if self.on == "image":
            processor = getattr(self.graph, "processor", None)
            pixels = fast_gradient_sign(encoded["pixel_values"], slope, self.eps, processor)
            return self.graph.capture({**target.prompts, "pixel_values": pixels}, self.sites, self.at)
        image = self.graph.layout(target.prompts).image
        shift = _Shift(embedding_step(slope, there, image, self.eps, self.along))
        return self.graph.capture(
            target.prompts, self.sites, self.at, Steer({EMBEDDED: shift}, card={"basis": self.graph.basis})
        )


@dataclass
class Sums:
    """Sums over inputs and beginnings of the answer, float64."""

    towards: dict[Site, Tensor] = field(default_factory=dict[Site, Tensor])
    clean: dict[Site, Tensor] = field(default_factory=dict[Site, Tensor])
    norms: dict[Site, float] = field(default_factory=dict[Site, float])
    loss: float = 0.0
    count: int = 0

    def add(self, moved: Moved) -> None:
        """Add what a batch gave."""
        for site, rows in moved.clean.items():
            wide = rows.double().cpu()
            towards, clean = moved.towards[site].double().cpu().sum(0), wide.sum(0)
            self.towards[site] = self.towards[site] + towards if site in self.towards else towards
            self.clean[site] = self.clean[site] + clean if site in self.clean else clean
            self.norms[site] = self.norms.get(site, 0.0) + float(wide.norm(dim=1).sum())
        self.loss += moved.loss
        self.count += len(next(iter(moved.clean.values())))


def check_vectors(vectors: Mapping[Site, Tensor]) -> None:
    """Refuse vectors that are zero or not finite, and name their sites."""
    wild = [str(site) for site, vector in vectors.items() if not bool(torch.isfinite(vector).all())]
    if wild:
        raise InputError(
            f"the gradient step is NaN or infinite at {len(wild)} of {len(vectors)} sites ({_some(wild)}); load the model in "
            "float32 or bfloat16"
        )
    still = [str(site) for site, vector in vectors.items() if not bool(vector.any())]
    if still:
        raise InputError(
            f"the gradient step is zero at {len(still)} of {len(vectors)} sites ({_some(still)}): nothing that passes there, at "
            "the tokens read, depends on the step or reaches the words; or the words' probability is exactly 0 or 1; or half "
            "precision rounded it away. Leave these sites out, read other tokens, or load the model in float32"
        )


def _some(names: list[str]) -> str:
    return ", ".join(names if len(names) < 6 else [*names[:5], "..."])


class _Shift(Edit):
    """``h + strength * vector`` with a vector for each token, [row, token, d]."""

    kind = "add"

    def __init__(self, vector: Float[Tensor, "row token d"]) -> None:
        self._freeze({"vector": vector}, vector.shape[-1])


def embedding_step(
    slope: Float[Tensor, "patch d"],
    there: Float[Tensor, "patch d"],
    image: Bool[Tensor, "row token"],
    eps: float,
    along: str,
) -> Float[Tensor, "row token d"]:
    """A step down the gradient at the image tokens, whose root mean square is `eps` times each picture's own.

    Parameters
    ----------
    slope, there : Float[Tensor, "patch d"]
        Gradient and values at all rows' image tokens, in order.
    image : Bool[Tensor, "row token"]
        Where they stand.
    eps : float
    along : {"sign", "unit"}
    """
    row = image.nonzero()[:, 0]

    def rms(values: Tensor) -> Tensor:
        squares = torch.zeros(len(image), device=values.device).index_add_(0, row, values.square().mean(1))
        return (squares / image.sum(1)).sqrt()[row, None]

    ahead = slope.sign() if along == "sign" else slope / rms(slope).clamp_min(torch.finfo(slope.dtype).tiny)
    shift = slope.new_zeros(*image.shape, slope.shape[1])
    shift[image] = -eps * rms(there) * ahead
    return shift


def _check_slope(slope: Tensor, where: str) -> None:
    if not bool(torch.isfinite(slope).all()):
        raise InputError(f"the gradient at {where} is NaN or infinite; load the model in float32 or bfloat16")
    if not bool(slope.any()):
        raise InputError(
            f"the gradient at {where} is zero everywhere: the words' probability does not depend on it, is exactly 0 or 1, or, in "
            "half precision, was rounded away; look at prompt and words, or load the model in float32"
        )
