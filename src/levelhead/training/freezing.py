"""Parts of a model that training leaves as they are, by pattern."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

from levelhead.errors import InputError

TOWERS = {"vision/*": "the vision tower", "projector": "what stands between the two towers", "language/*": "the rest"}
"""Patterns that are no parameters' names: parts of a model, named as in sites."""
_PROJECTORS = ("multi_modal_projector", "connector", "mm_projector", "aligner", "merger")


def frozen_names(model: Any, patterns: Iterable[str]) -> set[str]:
    """Names of the parameters that patterns cover.

    Parameters
    ----------
    model : transformers model
    patterns : iterable of str
        ``"vision/*"``, ``"projector"`` and ``"language/*"`` name parts of any model; everything else is a pattern of
        parameters' names, as ``"model.language_model.layers.[01].*"``.

    Returns
    -------
    set of str

    Raises
    ------
    InputError
        If a pattern covers nothing, or all of them everything.
    """
    given = [patterns] if isinstance(patterns, str) else list(patterns)
    part = _parts(model)
    found: set[str] = set()
    for pattern in given:
        tower = pattern.removesuffix("/*") if pattern in TOWERS else None
        covered = {name for name in part if (part[name] == tower if tower else fnmatchcase(name, pattern))}
        if not covered:
            some = ", ".join(list(part)[:3])
            raise InputError(
                f"freeze='{pattern}' covers no parameter of {type(model).__name__}; patterns are {', '.join(TOWERS)}, or those "
                f"of names such as {some}"
            )
        found |= covered
    if part and found >= set(part):
        raise InputError(f"freeze={given} covers every parameter of {type(model).__name__}: nothing is left to train")
    return found


def _parts(model: Any) -> dict[str, str]:
    """The part of the model that each parameter belongs to."""
    seen = model.get_encoder(modality="image") if hasattr(model, "get_encoder") else None
    tower = set() if seen is None or seen is model else {id(p) for p in seen.parameters()}
    if hasattr(model, "get_decoder"):  # a model without a tower gives itself
        tower -= {id(p) for p in model.get_decoder().parameters()}
    found: dict[str, str] = {}
    for name, parameter in model.named_parameters():
        if any(word in _PROJECTORS for word in name.split(".")):
            found[name] = "projector"
        else:
            found[name] = "vision" if id(parameter) in tower else "language"
    return found
