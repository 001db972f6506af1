"""The seam: what an adapter does for one loaded model, and which adapter takes which model."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Literal, Protocol, runtime_checkable

from torch import Tensor

from levelhead.errors import AdapterError, FallbackWarning
from levelhead.sites import Site
from levelhead.steer import Steer
from levelhead.tokens import Layout, Reader

GROUP = "levelhead.adapters"
"""Entry-point group in which adapters are found; a third party can add one."""

_LANGUAGE_HOOKS = {
    "resid_pre": "hook_resid_pre",
    "ln1": "ln1.hook_out",
    "z": "attn.hook_z",
    "attn_out": "hook_attn_out",
    "ln1_post": "ln1_post.hook_out",
    "resid_mid": "hook_resid_mid",
    "ln2": "ln2.hook_out",
    "mlp_post": "mlp.hook_post",
    "mlp_out": "hook_mlp_out",
    "ln2_post": "ln2_post.hook_out",
    "resid_post": "hook_resid_post",
}


@dataclass(frozen=True)
class Location:
    """Where a site is in one model.

    Attributes
    ----------
    site : Site
    path : str
        Dotted path of the module in the user's model.
    side : {"input", "output"}
        Which of the module's tensors it is: the first argument, or the (first) result.
    width : int
        Size of the vectors at the site; of one head, where the site is a head.
    heads : int or None
        Number of heads side by side in that tensor, at ``z``.
    hook : str
        TransformerLens's name for the place.
    """

    site: Site
    path: str
    side: Literal["input", "output"]
    width: int
    heads: int | None
    hook: str

    @property
    def place(self) -> tuple[str, str]:
        """The tensor; two sites may share one."""
        return (self.path, self.side)

    def __str__(self) -> str:
        hook, module = self.hook, f"{self.path} {self.side}"
        if self.site.head is not None:
            first = self.site.head * self.width
            hook += f"[:, :, {self.site.head}]"
            module += f"[..., {first}:{first + self.width}]"
        return f"{self.site}: {hook} | {module}"


def hook_name(site: Site) -> str:
    """TransformerLens's usual name for a site; a bridge may differ in the vision tower."""
    if site.component == "projector":
        return "vision_projector.hook_out"
    vision = site.tower == "vision"
    if site.component == "ln_final":
        return "vision_encoder.ln_final.hook_out" if vision else "ln_final.hook_out"
    block = f"vision_encoder.encoder_layers.{site.layer}" if vision else f"blocks.{site.layer}"
    return f"{block}.{_LANGUAGE_HOOKS[site.component]}"


@runtime_checkable
class Graph(Protocol):
    """An adapter around one loaded model: five verbs over plain data, and a context manager.

    Batches are dictionaries of tensors as `encode` makes them; every graph gets them unchanged.
    """

    name: str
    """The adapter's name."""
    model: Any
    """The transformers model underneath."""
    target: Any
    """The object that the user works with: the model, the bridge, the nnsight model."""
    basis: str
    """``hf`` where activations are the checkpoint's own, ``tl-compat`` after TransformerLens's weight processing."""

    def sites(self) -> list[Site]:
        """Every site, heads included, in execution order."""
        ...

    def locate(self, site: Site | str) -> Location:
        """Where a site is; raises SiteError, saying what there is, when it is nowhere."""
        ...

    def identity(self) -> dict[str, Any]:
        """Model id, class, sha256 of its configuration, basis."""
        ...

    def encode(self, inputs: Any, padding_side: str = "left") -> dict[str, Tensor]:
        """Strings, chats, token ids or image+text pairs as a dictionary of tensors."""
        ...

    def layout(self, batch: Mapping[str, Tensor], prompt_length: int | None = None) -> Layout:
        """What each position of an encoded batch is: a pad, a picture's, the answer's."""
        ...

    def capture(
        self,
        batch: Mapping[str, Tensor],
        sites: list[Site],
        at: Reader = "last",
        steer: Steer | None = None,
        prompt_length: int | None = None,
    ) -> dict[Site, Tensor]:
        """Activations at the wanted tokens, from one forward pass."""
        ...

    def logits(
        self,
        batch: Mapping[str, Tensor],
        steer: Steer | None = None,
        prompt_length: int | None = None,
        last: int = 0,
    ) -> Tensor:
        """Logits [row, token, vocabulary]; differentiable in the edits' tensors and in ``pixel_values``.

        With `last`, those of so many last positions alone, [row, last, vocabulary], which is cheaper.
        """
        ...

    def logits_at(
        self,
        batch: Mapping[str, Tensor],
        steer: Steer,
        strengths: Tensor,
        prompt_length: int | None = None,
        last: int = 0,
    ) -> Tensor:
        """Logits [strength, row, token, vocabulary] of one steer at several strengths, which multiply its own.

        The same numbers as from a pass for each. What comes before the first edit is computed once for all where the
        model allows it.
        """
        ...

    def generate(self, batch: Mapping[str, Tensor], steer: Steer | None = None, **options: Any) -> Tensor:
        """Token ids [row, prompt + new], as transformers' ``generate`` returns them."""
        ...

    def on(self, steer: Steer, prompt_length: int | None = None) -> AbstractContextManager[Any]:
        """Steer for the length of a block, and leave no trace."""
        ...

    def hooks(self, steer: Steer, batch: Mapping[str, Tensor] | None = None) -> list[tuple[str, Any]]:
        """The steer as TransformerLens hooks; AdapterError on other graphs."""
        ...

    def inside(self, steer: Steer) -> None:
        """Steer the nnsight trace that is open around the call; AdapterError on other graphs."""
        ...


@runtime_checkable
class Differentiable(Graph, Protocol):
    """A graph with the optional sixth verb, which one-step methods need; levelhead's own three have it."""

    def gradients(
        self,
        batch: Mapping[str, Tensor],
        sites: list[Site],
        objective: Callable[[Tensor], Tensor],
        at: Reader | Mapping[Site, Reader] = "last",
        steer: Steer | None = None,
        prompt_length: int | None = None,
        last: int = 0,
    ) -> tuple[dict[Site, Tensor], dict[Site, Tensor]]:
        """Activations at the wanted tokens and the gradients there, from one forward and one backward pass.

        `objective` makes one number of the logits [row, token, vocabulary], of so many `last` tokens as in `logits`. `at`
        is one reader, or one for each site. With `prompt_length` P, readers see the first P positions alone: what
        stands behind them is given to be predicted. Leaves of the batch that require grad (``pixel_values``) get theirs in
        ``.grad``; parameters get none. Where nothing reaches the logits, the gradient is zero.
        """
        ...


@runtime_checkable
class Adapter(Protocol):
    """What an entry point in the group ``levelhead.adapters`` resolves to."""

    name: str

    def accepts(self, model: Any) -> bool:
        """Whether this adapter takes the model; must not import a heavy library to say so."""
        ...

    def wrap(self, model: Any, processor: Any = None) -> Graph:
        """The graph of a model that it accepts."""
        ...


@cache
def adapters() -> tuple[Adapter, ...]:
    """The installed adapters; one that cannot be loaded is left out with a warning, and the others work."""
    found: list[Adapter] = []
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        try:
            found.append(point.load())
        except Exception as error:
            warnings.warn(
                f"the adapter '{point.name}' ({point.value}) cannot be loaded and is left out: {error!r}",
                FallbackWarning,
                stacklevel=3,
            )
    return tuple(found)


def graph(model: Any, processor: Any = None, *, adapter: str | None = None) -> Graph:
    """The graph of a loaded model.

    Parameters
    ----------
    model : transformers model, TransformerBridge, nnsight model, or Graph
    processor : tokenizer or processor, optional
        Needed to encode strings, chats and pictures where the model does not bring its own (bridges and
        nnsight models do) and none lies beside its checkpoint.
    adapter : str, optional
        Insist on this adapter.

    Returns
    -------
    Graph

    Raises
    ------
    AdapterError
        When no installed adapter takes the model.
    """
    if getattr(type(model), "is_levelhead_graph", False):
        if adapter not in (None, model.name):
            raise AdapterError(f"adapter '{adapter}' was asked for, and this is a graph of adapter '{model.name}'")
        return model
    found = adapters()
    for candidate in found:
        if adapter in (None, candidate.name) and candidate.accepts(model):
            return candidate.wrap(model, processor)
    asked = f"adapter '{adapter}' does not take" if adapter else "no adapter takes"
    names = ", ".join(candidate.name for candidate in found) or "none"
    raise AdapterError(
        f"{asked} a {type(model).__module__}.{type(model).__qualname__}; installed adapters: {names}. Pass a transformers "
        "model, a TransformerBridge or an nnsight TransformersModel; if levelhead was not installed with pip, install it, "
        "since adapters are found through its entry points"
    )
