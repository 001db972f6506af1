"""The direct path: what a component's output at the last token adds to the difference, past all later blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from levelhead.graph import Differentiable, Graph
from levelhead.heads.asking import Asking
from levelhead.sites import Site, by_whole

_CLOSE = 1e-2
"""Relative error up to which activations count as made up of the parts that the direct path assumes."""

Direct = tuple["Float[np.ndarray, 'site item'] | None", str]


def direct(asking: Asking, sites: list[Site]) -> Direct:
    """Contributions of sites through the last norm, held at the scale it has, and the unembedding; or why there are none.

    The unembedding's direction is the gradient of the difference behind the last norm, so that caps and scales of logits
    count. That blocks add up as assumed is checked on the activations themselves.
    """
    graph = asking.graph
    have = set(graph.sites())
    last = max(site for site in have if site.component == "resid_post" and site.tower == "language")
    norm = Site("ln_final")
    wholes = [whole for whole, _ in by_whole(sites)]
    layers = sorted({site.layer or 0 for site in sites})
    reason = _why_not(asking, have, layers)
    if reason:
        return None, reason
    assert isinstance(graph, Differentiable)
    found = np.zeros((len(sites), len(asking.items.prompts)))
    stream = [Site(name, layer) for layer in layers for name in ("resid_pre", "attn_out", "mlp_out", "resid_post")]
    read = sorted({*stream, *wholes, *(Site("z", layer) for layer in layers), last, norm})
    projections = {layer: _module(graph, Site("z", layer)) for layer in layers}
    final = _module(graph, norm)
    for number, batch in enumerate(asking):
        acts = {site: value.float() for site, value in graph.capture(batch.prompts, read, "last").items()}
        _, slopes = graph.gradients(
            batch.full, [norm], batch.objective, "last", prompt_length=batch.length, last=batch.last
        )
        slope = slopes[norm].float()
        with torch.no_grad():
            frozen = _Frozen(final, acts[last])
            if number == 0:
                wrong = _odd(acts, layers, projections, frozen, last)
                if wrong:
                    return None, wrong
            for whole, members in by_whole(sites):
                for site in members:
                    part = acts[whole]
                    if whole.component == "z":
                        part = _through(projections[whole.layer or 0], _alone(part, site, graph))
                    values = (frozen(part) * slope).sum(-1).double().cpu().numpy()
                    np.add.at(found[sites.index(site)], batch.wordings, values)
    return asking.items.averaged(found), ""


def _why_not(asking: Asking, have: set[Site], layers: list[int]) -> str:
    if not isinstance(asking.graph, Differentiable):
        return f"the adapter '{asking.graph.name}' has no gradients"
    needed = [
        Site("ln_final"),
        *(Site(n, layer) for layer in layers for n in ("z", "attn_out", "mlp_out", "resid_pre")),
    ]
    missing = [str(site) for site in needed if site not in have]
    if missing:
        return f"the model has no '{missing[0]}'"
    if any(Site("ln1_post", layer) in have for layer in layers):
        return "a norm stands between the heads' outputs and the residual stream ('ln1_post')"
    if any(pro[0] == anti[0] for pro, anti in asking.tokens):
        return "the two words begin with the same token, so that the prompt's last token does not set them apart"
    return ""


def _odd(
    acts: dict[Site, Tensor], layers: list[int], projections: dict[int, nn.Module], frozen: _Frozen, last: Site
) -> str:
    """Look whether the parts make up the whole."""
    for layer in layers:
        out = acts[Site("attn_out", layer)]
        if _far(projections[layer](acts[Site("z", layer)].to(_dtype(projections[layer]))).float(), out):
            return f"attn_out.{layer} is something else than the heads' outputs through the output projection"
        written = acts[Site("resid_post", layer)] - acts[Site("resid_pre", layer)]
        if _far(out + acts[Site("mlp_out", layer)], written):
            return f"block {layer} writes something else than attn_out + mlp_out to the residual stream"
    if _far(frozen(acts[last]) + frozen.shift, acts[Site("ln_final")]):
        return "the last norm is neither an RMSNorm nor a LayerNorm of the residual stream"
    return ""


def _far(found: Tensor, wanted: Tensor) -> bool:
    return float((found - wanted).norm()) > _CLOSE * float(wanted.norm())


class _Frozen:
    """The last norm as a linear map, at the scale that it has for some vectors."""

    def __init__(self, norm: nn.Module, stream: Float[Tensor, "row d"]) -> None:
        width, dtype = stream.shape[-1], _dtype(norm)
        signs = 1.0 - 2.0 * (torch.arange(width, device=stream.device) % 2)
        probe = torch.stack([torch.zeros_like(signs), signs, torch.ones_like(signs)]).to(dtype)
        zero, signed, level = norm(probe).float()
        self.shift = zero
        self.scale = (signed - zero) * signs
        # A LayerNorm makes nothing of a constant vector; an RMSNorm keeps it.
        self.centers = float((level - zero).norm()) < 0.5 * float(self.scale.norm())
        self.size = self._centered(stream).square().mean(-1, keepdim=True).sqrt()

    def _centered(self, part: Tensor) -> Tensor:
        return part - part.mean(-1, keepdim=True) if self.centers else part

    def __call__(self, part: Float[Tensor, "row d"]) -> Float[Tensor, "row d"]:
        return self._centered(part) / self.size * self.scale


def _alone(z: Float[Tensor, "row d"], site: Site, graph: Graph) -> Float[Tensor, "row d"]:
    if site.head is None:
        return z
    width = graph.locate(site).width
    kept = torch.zeros_like(z)
    here = slice(site.head * width, (site.head + 1) * width)
    kept[:, here] = z[:, here]
    return kept


def _through(module: nn.Module, z: Tensor) -> Tensor:
    """A linear module without its bias, whatever kind of module it is."""
    z = z.to(_dtype(module))
    return (module(z) - module(torch.zeros_like(z))).float()


def _dtype(module: nn.Module) -> torch.dtype:
    return next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)


def _module(graph: Graph, site: Site) -> nn.Module:
    """The module at a site, past the wrappers that TransformerLens puts around some."""
    path = graph.locate(site).path
    modules: Any = graph.model.named_modules()
    inner = [m for name, m in modules if ".".join(p for p in name.split(".") if p != "_original_component") == path]
    return inner[-1]
