"""What a probe is given: labels and groups, checked and coded as numbers, and activations, checked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from levelhead.errors import InputError
from levelhead.sites import Site


@dataclass(frozen=True, eq=False)
class Problem:
    """A binary labeling of examples in groups.

    Attributes
    ----------
    classes : list
        The two labels, sorted; the second is the positive one.
    positive : Bool[ndarray, "example"]
    groups : Int[ndarray, "example"]
        Group numbers from 0; a number of its own for each example where no groups were given.
    n_groups : int
    """

    classes: list[Any]
    positive: Bool[np.ndarray, " example"]
    groups: Int[np.ndarray, " example"]
    n_groups: int


def check_problem(labels: Iterable[Any] | Tensor, groups: Iterable[Any] | Tensor | None, n: int) -> Problem:
    """Check labels and groups against `n` rows of activations, and code them.

    Raises
    ------
    InputError
        For lengths that differ, labels of one class or of more than two, labels that cannot be sorted.
    """
    given = plain(labels)
    if len(given) != n:
        raise InputError(
            f"{n} rows of activations and {len(given)} labels were given; one label for each row is needed"
        )
    try:
        classes = sorted(set(given))
    except TypeError:
        kinds = sorted({type(label).__name__ for label in given})
        raise InputError(f"labels must be of one kind, and these mix {', '.join(kinds)}") from None
    if len(classes) != 2:
        raise InputError(_not_two(classes))
    positive = np.array([label == classes[1] for label in given])
    coded = np.arange(n) if groups is None else codes(groups, n, "groups")
    return Problem(classes, positive, coded, int(coded.max()) + 1)


def codes(values: Iterable[Any] | Tensor, n: int, name: str) -> Int[np.ndarray, " example"]:
    """Number the distinct values from 0, in order of appearance.

    Raises
    ------
    InputError
        When there are not `n` values.
    """
    given = plain(values)
    if len(given) != n:
        raise InputError(f"{n} rows of activations and {len(given)} {name} were given; one for each row is needed")
    numbers: dict[Any, int] = {}
    return np.array([numbers.setdefault(value, len(numbers)) for value in given], dtype=np.int64)


def check_finite(value: Tensor, site: Site, n: int) -> None:
    """Refuse rows that are too few or too many, and entries that are NaN or infinite, naming the site."""
    if len(value) != n:
        raise InputError(
            f"activations at '{site}' have {len(value)} rows where other sites have {n}; sweep them apart with "
            "acts.select(...)"
        )
    finite = torch.isfinite(value).all(dim=1)
    if not bool(finite.all()):
        row = int((~finite).nonzero()[0, 0])
        raise InputError(
            f"activations at '{site}' have NaN or infinite entries, first in row {row}; look at that input"
        )


def plain(values: Iterable[Any] | Tensor) -> list[Any]:
    """A list of Python values from a tensor, an array, a pandas column or a sequence."""
    return [value.item() if hasattr(value, "item") else value for value in values]


def _not_two(classes: list[Any]) -> str:
    if not classes:
        return "labels of two classes are needed, and there are none"
    if len(classes) == 1:
        return f"labels of two classes are needed, and all are {classes[0]!r}"
    shown = ", ".join(repr(label) for label in classes[:8]) + (", ..." if len(classes) > 8 else "")
    return (
        f"a probe separates two classes, and the labels have {len(classes)}: {shown}; give one against the rest, as "
        f"in [label == {classes[0]!r} for label in labels], or keep the rows of two classes with acts.rows(...)"
    )
