"""Labels of one attribute or several as contrasts of two sides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from levelhead.errors import InputError
from levelhead.probes.problem import plain

REST = "the rest"
_MOST = 20  # classes of one attribute


@dataclass(frozen=True)
class Contrast:
    """One class against another, or against the rest.

    Attributes
    ----------
    attribute, positive, negative : str
    sides : tuple of bool
        Whether each example is on the positive side.
    """

    attribute: str
    positive: str
    negative: str
    sides: tuple[bool, ...]


def attributes_of(labels: Any, n: int) -> dict[str, list[Any]]:
    """Labels by attribute, checked; ``label`` where a single sequence came.

    Raises
    ------
    InputError
        For lengths that differ, missing labels, or labels of one class or of very many.
    """
    if hasattr(labels, "columns") and hasattr(labels, "to_dict"):
        labels = labels.to_dict("list")
    given = labels if isinstance(labels, Mapping) else {"label": labels}
    if not given:
        raise InputError("labels of at least one attribute are needed, and the mapping is empty")
    found: dict[str, list[Any]] = {}
    for name, values in given.items():
        each = plain(values)
        if len(each) != n:
            raise InputError(f"labels '{name}': {n} inputs and {len(each)} labels were given; give one an input")
        missing = [i for i, value in enumerate(each) if value is None or value != value]
        if missing:
            raise InputError(f"labels '{name}': input {missing[0]} has none; leave such inputs out")
        classes = set(each)
        if len(classes) < 2:
            raise InputError(f"labels '{name}': two classes are needed, and all are {each[0]!r}")
        if len(classes) > _MOST:
            raise InputError(f"labels '{name}': {len(classes)} classes, and {_MOST} are the most; join them into bands")
        found[str(name)] = each
    return found


def contrasts_of(attributes: Mapping[str, list[Any]]) -> list[Contrast]:
    """Of two classes the second against the first, in sorted order; of more, each against the rest."""
    found: list[Contrast] = []
    for name, values in attributes.items():
        try:
            classes = sorted(set(values))
        except TypeError:
            kinds = sorted({type(value).__name__ for value in values})
            raise InputError(f"labels '{name}' must be of one kind, and these mix {', '.join(kinds)}") from None
        two = len(classes) == 2
        for one in classes[1:] if two else classes:
            sides = tuple(bool(value == one) for value in values)
            found.append(Contrast(name, str(one), str(classes[0]) if two else REST, sides))
    return found
