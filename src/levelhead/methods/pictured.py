"""Pictures with prompts, as a one-step method takes them: nothing about a picture is mended in silence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from levelhead.errors import InputError
from levelhead.inputs import items_of, kind_of


def examples(image: Any, images: Sequence[Any] | None, prompt: Any) -> list[Any]:
    """Single inputs, out of pictures and prompts.

    Parameters
    ----------
    image, images, prompt
        As in `levelhead.GradientStep.fit`.

    Returns
    -------
    list of str, of chats, or of (image, str)

    Raises
    ------
    InputError
        For both or none where one is wanted, numbers that differ, and pictures that `check_picture` refuses.
    """
    if image is not None and images is not None:
        raise InputError("image and images were both given; give one picture, or a list of them")
    given = items_of(prompt)
    if given is None or not all(kind_of(item) in ("text", "chat") for item in given):
        raise InputError("a prompt is a string or a chat, or a list of these; pictures go into image= or images=")
    pictures = [image] if image is not None else images
    if pictures is None:
        for chat in given:
            for number, part in enumerate(_parts(chat)):
                check_picture(part.get("image", part.get("path")), number)
        return given
    if not len(pictures):
        raise InputError("images is empty; give at least one picture, or leave it out")
    if not all(isinstance(item, str) for item in given):
        raise InputError("with image= or images=, a prompt is plain text; a chat brings its pictures itself")
    if len(given) not in (1, len(pictures)):
        raise InputError(
            f"{len(pictures)} pictures and {len(given)} prompts were given; give one prompt, or one for each"
        )
    given = given * len(pictures) if len(given) == 1 else given
    return [
        (check_picture(each, number), text) for number, (each, text) in enumerate(zip(pictures, given, strict=True))
    ]


def _parts(chat: Any) -> list[Any]:
    """The pictures of a chat."""
    contents = [] if isinstance(chat, str) else [message.get("content") for message in chat]
    every = [part for content in contents if not isinstance(content, str) for part in content or []]
    return [part for part in every if part.get("type") == "image"]


def check_picture(picture: Any, number: int = 0) -> Any:
    """Decode a picture entirely, and refuse what a conversion to RGB would silently change.

    Parameters
    ----------
    picture : path, PIL.Image.Image, or array [height, width, 3] of uint8
    number : int
        Which it is of several, for the message.

    Raises
    ------
    InputError
        For a grey, transparent, truncated or missing picture.
    """
    from PIL import Image

    name = f"'{picture}'" if isinstance(picture, str | Path) else f"picture {number}"
    shape = getattr(picture, "shape", None)
    if shape is not None:
        dtype = str(getattr(picture, "dtype", "")).removeprefix("torch.")
        if len(shape) != 3 or shape[2] != 3 or dtype != "uint8":
            raise InputError(
                f"{name} is an array of shape {tuple(shape)}, {dtype}; [height, width, 3] of uint8 is needed, since a "
                "processor would scale other numbers once more"
            )
        return picture
    try:
        if isinstance(picture, str | Path):
            with Image.open(picture) as file:
                file.load()
                opened: Any = file
        elif hasattr(picture, "load"):
            picture.load()
            opened = picture
        elif hasattr(picture, "convert"):
            opened = picture.convert("RGB")
        else:
            raise InputError(f"{name} is of type {type(picture).__name__}; give a path or a PIL picture")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{name} cannot be read to its end ({error}); get the file again") from error
    if opened.mode != "RGB":
        what = {"L": " (grey)", "RGBA": " (with transparency)", "LA": " (grey, with transparency)", "P": " (a palette)"}
        raise InputError(
            f"{name} has mode '{opened.mode}'{what.get(opened.mode, '')}, and three color channels are needed: pass "
            "image.convert('RGB'), and look at it first if it was transparent"
        )
    return opened
