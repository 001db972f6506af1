"""The attention's query, key and value projections of a model, head by head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from levelhead.errors import InputError
from levelhead.graph import Graph, Location
from levelhead.sites import Site

KINDS = ("q", "k", "v")
_APART = (("q_proj", "k_proj", "v_proj"), ("query", "key", "value"))
_BLOCKS = ("c_attn", "qkv_proj", "qkv", "Wqkv")
_BY_GROUP = ("query_key_value",)


@dataclass(frozen=True)
class Projections:
    """What the attention of one layer reads from the norm before it.

    Attributes
    ----------
    weights : dict of str to Float[Tensor, "head d_head d_model"]
        By ``"q"``, ``"k"`` and ``"v"``, without biases, in float32 on the CPU. With grouped queries, keys and values have
        fewer heads than queries.
    norm_scale, norm_shift : Float[Tensor, "d_model"]
        The norm gives ``norm_scale * x + norm_shift`` of a vector x of mean 0 (where it centers) and mean square 1; Gemma's
        1 + weight is counted in.
    """

    weights: dict[str, Float[Tensor, "head d_head d_model"]]
    norm_scale: Float[Tensor, " d_model"]
    norm_shift: Float[Tensor, " d_model"]


def projections(graph: Graph, norm: Site) -> Projections:
    """Find the projections that read a norm's output.

    All but plain linear modules are called on unit vectors instead of being looked into, so that quantized layers, and
    layers with adapters, count as they act.

    Parameters
    ----------
    graph : Graph
    norm : Site
        An ``ln1``.

    Returns
    -------
    Projections

    Raises
    ------
    InputError
        If they cannot be told apart, have no values (meta device), or were rewritten by TransformerLens.
    SiteError
        If the model has no such site.
    """
    if graph.basis != "hf":
        raise InputError(
            f"the weights of this model are in basis '{graph.basis}', rewritten by TransformerLens; give the transformers model, "
            "or a bridge without compatibility mode"
        )
    here, out = graph.locate(norm), graph.locate(Site("z", norm.layer, tower=norm.tower))
    attention = _module(graph.model, out.path.rpartition(".")[0])
    width, d_head = here.width, out.width // (out.heads or 1)
    with torch.no_grad():
        found = _found(attention, out, width, d_head, norm)
        scale, shift = _norm(_module(graph.model, here.path), width)
    return Projections(found, scale, shift)


def _found(attention: nn.Module, out: Location, width: int, d_head: int, norm: Site) -> dict[str, Tensor]:
    heads = out.heads or 1
    for names in _APART:
        parts = [_child(attention, name) for name in names]
        if all(part is not None for part in parts):
            rows = [_matrix(part, width, norm) for part in parts]
            if all(len(each) % d_head == 0 for each in rows):
                return {kind: each.unflatten(0, (-1, d_head)) for kind, each in zip(KINDS, rows, strict=True)}
    for name in (*_BLOCKS, *_BY_GROUP):
        fused = _child(attention, name)
        if fused is None:
            continue
        rows = _matrix(fused, width, norm)
        groups, odd = divmod(len(rows) - heads * d_head, 2 * d_head)
        if odd or groups < 1 or heads % groups:
            continue
        if name in _BLOCKS:
            parts = rows.unflatten(0, (-1, d_head)).split([heads, groups, groups])
            return dict(zip(KINDS, parts, strict=True))
        each = rows.unflatten(0, (groups, heads // groups + 2, d_head))
        return {"q": each[:, :-2].flatten(0, 1), "k": each[:, -2], "v": each[:, -1]}
    there = ", ".join(name for name, _ in attention.named_children())
    raise InputError(
        f"the query, key and value projections behind '{norm}' cannot be told apart: {type(attention).__name__} has {there}; "
        f"known are {', '.join(_APART[0])}, and {', '.join((*_BLOCKS, *_BY_GROUP))}. Leave the model out to see the masses alone"
    )


def _matrix(module: Any, width: int, norm: Site) -> Float[Tensor, "out d_model"]:
    like = _like(module, norm)
    if type(module) is nn.Linear:
        return module.weight.detach().float().cpu()
    unit = torch.eye(width, dtype=like.dtype, device=like.device)
    at_zero: Tensor = module(torch.zeros_like(unit[:1]))
    return (module(unit).float() - at_zero.float()).T.contiguous().cpu()


def _norm(module: Any, width: int) -> tuple[Tensor, Tensor]:
    like = next(module.parameters())
    # Of mean 0 and mean square 1, as the norm itself makes them, so that it changes nothing but what we look for.
    signs = 1.0 - 2.0 * (torch.arange(width, device=like.device) % 2)
    shift = module(torch.zeros(1, width, dtype=like.dtype, device=like.device))[0].float()
    scale = (module(signs[None].to(like.dtype))[0].float() - shift) * signs
    return scale.cpu(), shift.cpu()


def _like(module: nn.Module, norm: Site) -> Tensor:
    parameters = list(module.parameters())
    if any(parameter.is_meta for parameter in parameters):
        raise InputError(f"the weights behind '{norm}' have no values (meta device); load the model first")
    floats = [parameter for parameter in parameters if parameter.is_floating_point()]
    return floats[0] if floats else torch.zeros((), device=parameters[0].device if parameters else None)


def _module(root: nn.Module, path: str) -> nn.Module:
    """Walk to a module, past the wrappers that TransformerLens puts around some."""
    module = _bare(root)
    for name in filter(None, path.split(".")):
        child = dict(module.named_children()).get(name)
        if child is None:
            raise InputError(f"'{path}' was not found in {type(root).__name__}; its weights cannot be reached")
        module = _bare(child)
    return module


def _child(module: nn.Module, name: str) -> nn.Module | None:
    child = dict(module.named_children()).get(name)
    return None if child is None else _bare(child)


def _bare(module: nn.Module) -> nn.Module:
    while (inner := dict(module.named_children()).get("_original_component")) is not None:
        module = inner
    return module
