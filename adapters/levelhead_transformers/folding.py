"""Writing affine maps of norms' outputs into a copy of a model."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import partial
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from levelhead.errors import EditError, FileError, InputError
from levelhead.fold import WHAT_FOLDS, NormMap
from levelhead_transformers.copies import plain_copy, skeleton
from levelhead_transformers.modules import ModuleMap
from levelhead_transformers.readers import Reading, readers

FLAGS = ("attention_bias", "qkv_bias", "mlp_bias", "use_bias")
"""Entries of transformers' configurations that give linear layers a bias, where a family has them."""

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def folded(model: nn.Module, maps: list[NormMap], record: dict[str, Any]) -> tuple[Any, list[str]]:
    """See `levelhead.fold.Foldable`: the norms of a copy at another scale and bias.

    A norm without a bias hands its shift b on to the linear layers that read it, as W b.
    """
    tree = plain_copy(model)
    places = ModuleMap(tree)
    norms: dict[str, Any] = {each.location.path: places.find(each.location.site).module for each in maps}
    strange = [str(each.location.site) for each in maps if not _is_norm(norms[each.location.path], each.location.side)]
    if strange:
        raise EditError(
            f"{', '.join(strange)}: not the output of a norm with a weight, so it cannot be folded; {WHAT_FOLDS}"
        )
    offsets = {path: _offset(norm, path) for path, norm in norms.items()}
    handed = {e.location.path: e.shift for e in maps if e.shift is not None and not _has_bias(norms[e.location.path])}
    reading = _readings(tree, {path: norms[path] for path in handed}, places.image_ids)
    _check_readers(maps, reading)
    with torch.no_grad():
        for each in maps:
            path = each.location.path
            _rewrite(norms[path], each, offsets[path])
        created = {name for path, shift in handed.items() for name in _hand_on(shift, reading[path])}
    lost = _expressed(tree, places, created)
    if maps:
        tree.config.levelhead_folded = [*getattr(tree.config, "levelhead_folded", []), record]
    if lost:
        tree.save_pretrained = partial(_refuse, lost[0], len(lost))
    return tree, lost


def _rewrite(norm: Any, to: NormMap, offset: float) -> None:
    """``w' = w g`` and ``c' = c g + b``, where the norm multiplies by its weight plus the offset."""
    weight, path = norm.weight, to.location.path
    gain = _wide(to.gain, weight)
    if _has_bias(norm):
        moved = _wide(norm.bias, weight) * gain
        _set(norm, "bias", path, moved if to.shift is None else moved + _wide(to.shift, weight))
    _set(norm, "weight", path, (_wide(weight, weight) + offset) * gain - offset)


def _hand_on(shift: Tensor, reading: Reading) -> Iterator[str]:
    """Add W b to the bias of each reader; the names of the biases that were not there before."""
    for name, linear in reading.linears.items():
        added = _wide(linear.weight, linear.weight) @ _wide(shift, linear.weight)
        before = getattr(linear, "bias", None)
        _set(linear, "bias", name, added if before is None else _wide(before, linear.weight) + added)
        if before is None:
            yield f"{name}.bias"


def _is_norm(module: Any, side: str) -> bool:
    names = {name for name, _ in module.named_parameters()}
    return side == "output" and names in ({"weight"}, {"weight", "bias"}) and module.weight.dim() == 1


def _has_bias(norm: Any) -> bool:
    return getattr(norm, "bias", None) is not None


def _offset(norm: Any, path: str) -> float:
    """What the norm adds to its weight before multiplying by it: 0, or 1 in Gemma's convention. Seen in what it does."""
    _check_weight(norm.weight, path)
    probe: Any = copy.deepcopy(norm).float()
    x = torch.randn(1, 3, len(probe.weight), generator=torch.Generator().manual_seed(0)).to(probe.weight.device)

    def at(weight: float, bias: float) -> Tensor:
        probe.weight.fill_(weight)
        if _has_bias(probe):
            probe.bias.fill_(bias)
        return probe(x) - (bias if _has_bias(probe) else 0.0)

    with torch.no_grad():
        low, one, two = at(0.0, 0.0), at(1.0, 0.0), at(2.0, 3.0)
    unit = one - low
    for offset in (0.0, 1.0):
        if torch.allclose(low, offset * unit, atol=1e-4) and torch.allclose(two, (offset + 2) * unit, atol=1e-4):
            return offset
    raise EditError(
        f"'{path}' ({type(norm).__name__}) does not multiply by its weight, so nothing can be folded into it"
    )


def _readings(tree: Any, norms: dict[str, nn.Module], image_ids: tuple[int, ...]) -> dict[str, Reading]:
    if not norms:
        return {}
    try:
        return readers(tree, norms, image_ids)
    except Exception as error:
        raise EditError(
            f"{type(tree).__name__}: its norms have no bias, and who reads them is seen in a pass over five tokens, which failed "
            f"({error!r}); fold the scales alone"
        ) from error


def _check_readers(maps: list[NormMap], reading: dict[str, Reading]) -> None:
    bad: dict[str, str] = {}
    for each in maps:
        found = reading.get(each.location.path)
        if found is not None and (found.others or not found.linears):
            others = ", ".join(found.others) or "nothing in a pass over text"
            bad[str(each.location.site)] = others
    if bad:
        first, why = next(iter(bad.items()))
        raise EditError(
            f"the shifts at {', '.join(bad)} cannot be folded: these norms have no bias, and linear layers alone must read them to "
            f"take it in their stead ('{first}' is read by {why}); leave the shifts out there (an Affine of its scale alone folds), "
            "or use steer.on"
        )
    for each in maps:
        found = reading.get(each.location.path)
        for name, linear in ({} if found is None else found.linears).items():
            _check_weight(linear.weight, name)


def _check_weight(weight: Tensor, name: str) -> None:
    if type(weight) is not nn.Parameter or weight.dtype not in _FLOATS:
        raise InputError(
            f"the weight of '{name}' is a {type(weight).__name__} of {str(weight.dtype).removeprefix('torch.')}, and quantised weights "
            "cannot be folded into; load the model in float32, bfloat16 or float16, fold, and quantise the result"
        )


def _wide(value: Tensor, like: Tensor) -> Tensor:
    # One kind of device has no double precision.
    return value.detach().to(like.device, torch.float32 if like.device.type == "mps" else torch.float64)


def _set(module: Any, what: str, path: str, value: Tensor) -> None:
    """A new parameter and not a write into the old one, which another module may share."""
    like: Tensor = module.weight
    new = value.to(like.dtype)
    if not bool(torch.isfinite(new).all()):
        raise EditError(
            f"the {what} of '{path}' would have entries beyond {str(like.dtype).removeprefix('torch.')}; lower the strength, or load the "
            "model in float32"
        )
    setattr(module, what, nn.Parameter(new, requires_grad=like.requires_grad))


def _expressed(tree: Any, places: ModuleMap, created: set[str]) -> list[str]:
    """Let the configuration say which linear layers have a bias; what it cannot say is returned, by name.

    Flags give a bias to layers that need none, as to the attention's output: theirs are zero.
    """
    if not created and "save_pretrained" not in vars(tree):
        return []
    have = set(tree.state_dict())
    try:
        known = set(skeleton(tree, tree.config))
        for flag in FLAGS:
            if not have - known:
                break
            config = copy.deepcopy(tree.config)
            text = config.get_text_config(decoder=True)
            if getattr(text, flag, None) is not False:
                continue
            setattr(text, flag, True)
            with_flag = set(skeleton(tree, config))
            new = with_flag - known
            if known <= with_flag and new & have and all(name in have or _lacks_bias(tree, name) for name in new):
                known = with_flag
                for owner in (tree.config.get_text_config(decoder=True), places.decoder.config):
                    setattr(owner, flag, True)
                for name in new - have:
                    linear = tree.get_submodule(name.rpartition(".")[0])
                    _set(linear, "bias", name, torch.zeros(len(linear.weight), device=linear.weight.device))
    except (TypeError, ValueError, RuntimeError, NotImplementedError, AttributeError):
        # A class that cannot be made from its configuration alone: nothing says that new biases would come back.
        known = have - created
    return sorted(have - known)


def _lacks_bias(tree: nn.Module, name: str) -> bool:
    owner, _, what = name.rpartition(".")
    module: Any = tree.get_submodule(owner)
    return what == "bias" and isinstance(module, nn.Linear) and module.bias is None


def _refuse(first: str, number: int, *_: Any, **__: Any) -> NoReturn:
    raise FileError(
        f"this model holds a folded steer in {number} biases that its configuration cannot express ('{first}', ...): what is saved "
        "would come back without them. Save a fold of the scales alone, or save the steer itself"
    )
