"""What the three graphs share: the transformers model underneath, its sites, its encoding, its identity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from levelhead import operators
from levelhead.errors import InputError
from levelhead.fold import NormMap
from levelhead.graph import Location
from levelhead.sites import Site, by_whole
from levelhead.steer import Steer
from levelhead.tokens import Layout, Reader, choose, choose_patches
from levelhead_transformers.encode import Batch, encode
from levelhead_transformers.fan import tiled
from levelhead_transformers.modules import ModuleMap, parameters_of

Objective = Callable[[Tensor], Tensor]
"""What is differentiated: logits [row, token, vocabulary] to one number."""

Picks = list[tuple[Location, str, Any, list[Site]]]
"""For each tensor to read: where it is, how and which tokens are taken, and the sites that it holds."""

_VOLATILE = ("_name_or_path", "transformers_version", "dtype", "torch_dtype", "_attn_implementation", "use_cache")


class ModuleGraph:
    """A transformers model with sites. Subclasses say how its tensors are read and written."""

    is_levelhead_graph = True
    name = ""
    basis = "hf"
    logits: Any

    def __init__(self, model: nn.Module, processor: Any = None) -> None:
        self.model: Any = model
        self.target: Any = model
        self._processor = processor
        self.map = ModuleMap(model)

    @property
    def processor(self) -> Any:
        """The tokenizer or processor; looked for beside the checkpoint when none was given."""
        if self._processor is None:
            self._processor = _beside_checkpoint(self.model, self.map.vision is not None)
        return self._processor

    def sites(self) -> list[Site]:
        return self.map.sites()

    def locate(self, site: Site | str) -> Location:
        return self.map.locate(Site.parse(site))

    def identity(self) -> dict[str, Any]:
        config = self.model.config
        kept = _steady(config.to_dict())
        return {
            "id": _public_name(getattr(config, "_name_or_path", "")),
            "class": type(self.model).__name__,
            "config_sha256": hashlib.sha256(json.dumps(kept, sort_keys=True, default=str).encode()).hexdigest(),
            "basis": self.basis,
        }

    def encode(self, inputs: Any, padding_side: str = "left") -> Batch:
        ready = isinstance(inputs, Mapping) and "input_ids" in inputs
        ids = isinstance(inputs, Tensor)
        processor = self._processor if ready or ids else self.processor
        return encode(self.model, processor, inputs, padding_side, self.map.vision is not None)

    def layout(self, batch: Mapping[str, Tensor], prompt_length: int | None = None) -> Layout:
        """What each position of a batch is."""
        layout = Layout.of(batch, self.map.image_ids, prompt_length)
        answer = getattr(batch, "answer", None)
        return layout if answer is None else Layout(layout.real, layout.image, answer.to(layout.real.device))

    def picks(self, batch: Mapping[str, Tensor], sites: list[Site], at: Reader, prompt_length: int | None) -> Picks:
        """Resolve a reader on a batch, for each tensor that holds a wanted site; in execution order."""
        return self._picked(self.layout(batch, prompt_length), sites, at)

    def _picked(self, layout: Layout, sites: list[Site], at: Reader | Mapping[Site, Reader]) -> Picks:
        language: dict[int, Any] = {}
        found: Picks = []
        for whole, members in by_whole(sites):
            reader = at[members[0]] if isinstance(at, Mapping) else at
            if whole.tower == "language":
                if id(reader) not in language:
                    language[id(reader)] = choose(reader, layout)
                mode, where = language[id(reader)]
            else:
                mode, where = choose_patches(reader, layout, whole)
            found.append((self.locate(whole), mode, where, members))
            for member in members:
                self.locate(member)
        return found

    def asked(self, batch: Mapping[str, Tensor], sites: list[Site], at: Any, prompt_length: int | None) -> Picks:
        """The same for gradients: readers see the prompt alone, and each site may have its own."""
        layout = self.layout(batch)
        if prompt_length is not None:
            before = torch.arange(layout.real.shape[1], device=layout.real.device) < prompt_length
            layout = Layout(layout.real & before, layout.image & before)
        return self._picked(layout, sites, at)

    def differentiated(
        self,
        batch: Mapping[str, Tensor],
        picks: Picks,
        passed: Mapping[Location, Tensor],
        logits: Tensor,
        objective: Objective,
    ) -> dict[Site, Tensor]:
        """Gradients of an objective at the tensors that a pass went through, taken as the picks say.

        Leaves of the batch that require grad get theirs in ``.grad``, as from ``backward``; parameters get none.
        """
        loss = objective(logits)
        if loss.numel() != 1 or (logits.requires_grad and not loss.requires_grad):
            raise InputError(
                f"an objective makes one number out of the logits, and one that can be differentiated; found shape "
                f"{tuple(loss.shape)}, requires_grad={loss.requires_grad}"
            )
        leaves = [value for value in batch.values() if value.requires_grad and value.is_leaf]
        tensors = [passed[location] for location, *_ in picks]
        wanted = [*tensors, *leaves]
        # What does not reach the logits has no gradient, and its effect on them is zero.
        found = (
            torch.autograd.grad(loss.sum(), wanted, allow_unused=True, materialize_grads=True)
            if loss.requires_grad
            else [torch.zeros_like(tensor) for tensor in wanted]
        )
        for leaf, gradient in zip(leaves, found[len(tensors) :], strict=True):
            leaf.grad = gradient if leaf.grad is None else leaf.grad + gradient
        gradients: dict[Site, Tensor] = {}
        for (location, mode, where, members), gradient in zip(picks, found, strict=False):
            gradients.update(self.split(take(gradient, location.site.tower, mode, where), location, members))
        return gradients

    def folded(self, maps: list[NormMap], record: dict[str, Any]) -> tuple[Any, list[str]]:
        """A copy of the model with maps of norms written into its weights; see `levelhead.fold.Foldable`."""
        from levelhead_transformers.folding import folded

        return folded(self.model, maps, record)

    @staticmethod
    def one_pass(steer: Steer) -> bool:
        """Whether each row may have its own strength; picture patches are no rows."""
        return all(site.tower == "language" for site in steer.sites)

    def logits_at(
        self,
        batch: Mapping[str, Tensor],
        steer: Steer,
        strengths: Tensor,
        prompt_length: int | None = None,
        last: int = 0,
    ) -> Tensor:
        """Logits at several strengths, from one pass over the batch repeated; see `levelhead.graph.Graph.logits_at`."""
        if not self.one_pass(steer):
            return torch.stack([self.logits(batch, steer * float(s), prompt_length, last) for s in strengths])
        rows, times = len(batch["input_ids"]), len(strengths)
        many = steer * strengths.repeat_interleave(rows)
        return self.logits(tiled(batch, times), many, prompt_length, last).unflatten(0, (times, rows))

    def arguments(self, batch: Mapping[str, Tensor], *, last: int = 0) -> dict[str, Any]:
        """The batch as keyword arguments of ``forward``; `last` asks for the logits of so many last tokens."""
        unknown = sorted(name for name, value in batch.items() if not isinstance(value, Tensor))
        if unknown or "input_ids" not in batch:
            raise InputError(f"an encoded batch is a dictionary of tensors with 'input_ids'; found {sorted(batch)}")
        call: dict[str, Any] = {**batch, "use_cache": False}
        if last and "logits_to_keep" in parameters_of(self.model):
            call["logits_to_keep"] = int(last)
        return call

    def split(self, taken: Tensor, location: Location, members: list[Site]) -> dict[Site, Tensor]:
        """The sites that one captured tensor holds: the whole, or its heads."""
        width = location.width // (location.heads or 1)
        # A few heads are copied out, so that they do not keep the others alive.
        copied = location.site not in members and len(members) < (location.heads or 1)
        parts: dict[Site, Tensor] = {}
        for site in members:
            part = taken if site.head is None else taken[..., site.head * width : (site.head + 1) * width]
            parts[site] = part.clone() if copied else part
        return parts


def take(tensor: Tensor, tower: str, mode: str, where: Any) -> Tensor:
    """Keep the wanted tokens of one tensor."""
    if tower == "language":
        return operators.take(tensor, mode, where)
    return operators.take_rows(tensor, mode, where)


def tracked(tensor: Tensor) -> Tensor:
    """A tensor that a gradient can be asked for: itself, or where none has come by yet, a leaf in its stead."""
    return tensor if tensor.requires_grad else tensor.detach().requires_grad_()


def generation(batch: Mapping[str, Tensor], options: dict[str, Any], image_ids: tuple[int, ...]) -> dict[str, Any]:
    """Arguments of ``generate``, which numbers positions itself.

    Rows padded on the right are moved to the left. Image tokens are never sampled: a text with one more of them than
    it has pictures cannot be scored afterwards.
    """
    call: dict[str, Any] = {name: value for name, value in batch.items() if name != "position_ids"}
    mask = batch.get("attention_mask")
    if mask is not None and bool((mask[:, -1] == 0).any()):
        gaps = (mask.flip(1).cumsum(1) == 0).sum(1)
        for name, value in call.items():
            if isinstance(value, Tensor) and value.shape == mask.shape:
                call[name] = torch.stack([row.roll(int(gap)) for row, gap in zip(value, gaps, strict=True)])
    if image_ids:
        options = {**options, "suppress_tokens": [*(options.get("suppress_tokens") or ()), *image_ids]}
    return {**call, **options}


def _public_name(name: str) -> str | None:
    """The name of a checkpoint; of one on disk, its folder's, since cards are shared and paths are private."""
    return (Path(name).name if Path(name).exists() else name) or None


def _steady(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _steady(v) for k, v in value.items() if k not in _VOLATILE}
    if isinstance(value, list | tuple):
        return [_steady(v) for v in value]
    return str(value) if isinstance(value, torch.dtype) else value


def _beside_checkpoint(model: Any, sees: bool) -> Any:
    where = getattr(model.config, "_name_or_path", "")
    if not where:
        return None
    from transformers import AutoProcessor, AutoTokenizer

    try:
        return (AutoProcessor if sees else AutoTokenizer).from_pretrained(where)
    except (OSError, ValueError, ImportError, KeyError, AttributeError, TypeError):
        return None
