"""Tokens: which are read by a capture, and which are written by a steer.

Both are defined on absolute positions of the encoded prompt, after pictures have been expanded into
image tokens, and neither ever touches a pad. Reading is described here; `levelhead.operators.mask_of` holds
the arithmetic of scopes, since that runs inside the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from levelhead.errors import InputError
from levelhead.sites import Site

SCOPES: dict[str, str] = {
    "all": "every token but pads",
    "prompt": "positions 0 to P-1 of a prompt of P tokens",
    "generated": "position P-1 and on: every position whose output is a new token",
    "continuation": "position P and on: the new tokens themselves",
    "image": "the prompt's image tokens",
    "text": "every token but image tokens and pads",
    "last": "the prompt's last token, P-1",
}
"""Scopes of writing. The last prompt token belongs to ``prompt`` and to ``generated``."""

PICTURE_SCOPES = ("all", "prompt", "image")
"""Scopes that reach the vision tower and the projector."""

MASKS = ("image", "text", "answer")
Reader: TypeAlias = "str | int | Callable[[Layout], Tensor]"
Mode: TypeAlias = Literal["pick", "mean", "each"]


@dataclass(frozen=True)
class Layout:
    """What each position of an encoded batch is.

    Attributes
    ----------
    real : Bool[Tensor, "row token"]
        False at pads.
    image : Bool[Tensor, "row token"]
        True at image tokens.
    answer : Bool[Tensor, "row token"] or None
        True at the tokens of the assistant's answer, where the inputs had one.
    """

    real: Bool[Tensor, "row token"]
    image: Bool[Tensor, "row token"]
    answer: Bool[Tensor, "row token"] | None = None

    @classmethod
    def of(
        cls, batch: Mapping[str, Tensor], image_ids: tuple[int, ...] = (), prompt_length: int | None = None
    ) -> Layout:
        """Read the layout off an encoded batch; with `prompt_length` P, positions from P on are the answer."""
        ids = batch["input_ids"]
        mask = batch.get("attention_mask")
        real = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask.bool()
        image = torch.isin(ids, torch.tensor(image_ids, device=ids.device, dtype=ids.dtype)) & real
        answer = None
        if prompt_length is not None:
            answer = real & (torch.arange(ids.shape[1], device=ids.device) >= prompt_length)
        return cls(real, image, answer)

    @property
    def last(self) -> Int[Tensor, " row"]:
        """Position of each row's last real token."""
        places = torch.arange(self.real.shape[1], device=self.real.device)
        return torch.where(self.real, places, -1).amax(dim=1)


def check_scope(scope: str, site: Site | None = None) -> str:
    """Return the scope, or say what is wrong with it (at `site`, if given)."""
    if scope not in SCOPES:
        raise InputError(f"unknown scope '{scope}'; scopes are {', '.join(SCOPES)}")
    if site is not None and site.tower != "language" and scope not in PICTURE_SCOPES:
        raise InputError(
            f"scope '{scope}' holds no picture, so it cannot act at '{site}'; there, use one of {', '.join(PICTURE_SCOPES)}"
        )
    return scope


def check_reader(at: Reader) -> Reader:
    """Return the reader, or say what is wrong with it."""
    names = ("last", "mean", "all", *MASKS, *(f"all:{m}" for m in MASKS))
    if not (callable(at) or isinstance(at, int) or at in names):
        raise InputError(f"unknown reader at={at!r}; read {', '.join(names)}, a position, or a callable")
    return at


def choose(at: Reader, layout: Layout) -> tuple[Mode, Tensor]:
    """Which language tokens a reader keeps of a batch.

    Parameters
    ----------
    at : str, int or callable
        ``last``, ``mean`` (over all real tokens), ``image``, ``text``, ``answer`` (means over those tokens) give
        one vector a row. ``all``, ``all:image``, ``all:text``, ``all:answer`` give one a token. An index counts
        real tokens, from the start, or from the end if negative. A callable takes the `Layout` and returns an
        integer position for each row or a mask [row, token].
    layout : Layout

    Returns
    -------
    mode, where
        For `levelhead.operators.take`.

    Raises
    ------
    InputError
        When a row has no such token.
    """
    if callable(at):
        return _called(at(layout), layout)
    if isinstance(at, int):
        return "pick", _position(at, layout)
    check_reader(at)
    if at == "last":
        return "pick", layout.last
    each = at == "all" or at.startswith("all:")
    name = at.removeprefix("all:")
    mask = layout.real if name in ("mean", "all") else _mask(name, layout)
    empty = ~mask.any(dim=1)
    if bool(empty.any()):
        raise InputError(
            f"at='{at}' was asked for, and row {int(empty.nonzero()[0, 0])} of the batch has no such token"
        )
    return ("each" if each else "mean"), mask


def _mask(name: str, layout: Layout) -> Bool[Tensor, "row token"]:
    if name == "image":
        return layout.image
    if name == "text":
        return layout.real & ~layout.image
    if layout.answer is None:
        raise InputError(
            "at='answer' was asked for, and these inputs have no answer: end each chat with an assistant message, "
            "or pass prompt_length="
        )
    return layout.answer


def _position(at: int, layout: Layout) -> Int[Tensor, " row"]:
    lengths = layout.real.sum(dim=1)
    if bool((lengths < (at + 1 if at >= 0 else -at)).any()):
        raise InputError(f"at={at} was asked for, and the shortest row has {int(lengths.min())} tokens")
    order = layout.real.long().cumsum(dim=1)
    rank = torch.full_like(lengths, at + 1) if at >= 0 else lengths + at + 1
    return ((order == rank[:, None]) & layout.real).long().argmax(dim=1)


def _called(found: Tensor, layout: Layout) -> tuple[Mode, Tensor]:
    found = torch.as_tensor(found)
    if found.dtype == torch.bool and found.shape == layout.real.shape:
        return "each", found & layout.real
    if not found.is_floating_point() and found.dtype != torch.bool and found.shape == layout.real.shape[:1]:
        _check_positions(found, layout)
        return "pick", found
    raise InputError(
        f"a callable reader must return one position a row [{len(layout.real)}] or a mask {tuple(layout.real.shape)}; "
        f"found shape {tuple(found.shape)}, dtype {found.dtype}"
    )


def _check_positions(found: Tensor, layout: Layout) -> None:
    columns = layout.real.shape[1]
    for row, place in enumerate(found.tolist()):
        if not 0 <= place < columns:
            raise InputError(
                f"a callable reader gave position {place} in row {row}, and the batch has {columns} tokens"
            )
        if not bool(layout.real[row, place]):
            raise InputError(f"a callable reader gave position {place} in row {row}, which is a pad")


def choose_patches(at: Reader, layout: Layout, site: Site) -> tuple[str, list[int]]:
    """The same for the vision tower and the projector, whose rows are picture patches.

    ``mean`` and ``image`` average the patches of each example; ``all`` and ``all:image`` keep each; an index
    picks one. The other readers name text tokens and are refused.
    """
    counts = [int(n) for n in layout.image.sum(dim=1)]
    if 0 in counts:
        raise InputError(f"'{site}' was asked for, and row {counts.index(0)} of the batch has no picture")
    if at in ("mean", "image"):
        return "mean", counts
    if at in ("all", "all:image"):
        return "each", counts
    if isinstance(at, int):
        return str(at), counts
    raise InputError(
        f"'{site}' has picture patches and no text tokens, so at={at!r} reads nothing there; use 'mean', 'all' or an index, "
        "and capture it apart from language sites"
    )
