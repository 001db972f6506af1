"""Inputs: what can be handed to a model, and how to tell one kind from another before anything is encoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from levelhead.errors import InputError

KINDS = (
    "strings, chats (lists of {'role', 'content'}), token ids (a tensor [row, token] or lists of ints), "
    "(image, text) pairs, or an encoded dictionary with 'input_ids'"
)
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif")


def kind_of(item: Any) -> str:
    """What one input is: ``text``, ``chat``, ``ids`` or ``pair``.

    Raises
    ------
    InputError
        For anything else.
    """
    if isinstance(item, str):
        return "text"
    if isinstance(item, Tensor) and not item.is_floating_point():
        return "ids"
    if isinstance(item, Mapping) and "text" in item and ("image" in item or "images" in item):
        return "pair"
    if _is_pair(item):
        return "pair"
    if isinstance(item, Sequence) and item and all(isinstance(part, Mapping) and "role" in part for part in item):
        return "chat"
    if isinstance(item, Sequence) and item and all(isinstance(part, int) for part in item):
        return "ids"
    raise InputError(f"cannot read an input of type {type(item).__name__}; give {KINDS}")


def items_of(inputs: Any) -> list[Any] | None:
    """Inputs as a list of single items, or None when they are encoded already.

    Raises
    ------
    InputError
        For nothing at all, a tensor that holds no token ids, or items of several kinds.
    """
    if isinstance(inputs, Mapping) and "input_ids" in inputs:
        return None
    if isinstance(inputs, Tensor):
        if inputs.is_floating_point() or inputs.dim() not in (1, 2):
            raise InputError(
                f"token ids must be integers [token] or [row, token]; found shape {tuple(inputs.shape)}, {inputs.dtype}"
            )
        return list(inputs if inputs.dim() == 2 else inputs[None])
    if isinstance(inputs, str | Mapping) or _is_pair(inputs):
        return [inputs]
    items: list[Any] = list(inputs)
    if not items:
        raise InputError(f"no inputs were given; give {KINDS}")
    if all(isinstance(part, Mapping) and "role" in part for part in items) or all(
        isinstance(part, int) for part in items
    ):
        return [items]
    check_alike(items)
    return items


def check_alike(items: Sequence[Any]) -> tuple[str, bool]:
    """The one kind that all items are of, and whether they hold pictures.

    Raises
    ------
    InputError
        When they are of several kinds, or some have pictures and some have none.
    """
    found = sorted({(kind_of(item), has_picture(item)) for item in items})
    if len(found) > 1:
        names = " and ".join(f"{kind} {'with' if sees else 'without'} pictures" for kind, sees in found)
        raise InputError(
            f"inputs of one kind are needed in a call, and these are of several: {names}; make a call for each"
        )
    return found[0]


def has_picture(item: Any) -> bool:
    """Whether one input brings a picture."""
    kind = kind_of(item)
    if kind != "chat":
        return kind == "pair"
    contents = [message.get("content") for message in item]
    return any(
        part.get("type") == "image" for content in contents if not isinstance(content, str) for part in content or ()
    )


def _is_pair(item: Any) -> bool:
    if not isinstance(item, tuple) or len(item) != 2:
        return False
    image, text = item
    return isinstance(text, str) and _may_be_picture(image)


def _may_be_picture(value: Any) -> bool:
    if isinstance(value, str):
        return value.lower().endswith(_PICTURES)
    return isinstance(value, Path | list) or hasattr(value, "size")
