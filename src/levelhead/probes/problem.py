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
    """A labeling of examples in groups.

    Attributes
    ----------
    classes : list
        The labels, sorted; of two, the second is the positive one.
    target : Int[ndarray, "example"]
        Each example's class, as its place in `classes`.
    groups : Int[ndarray, "example"]
        Group numbers from 0; a number of its own for each example where no groups were given.
    n_groups : int
    """

    classes: list[Any]
    target: Int[np.ndarray, " example"]
    groups: Int[np.ndarray, " example"]
    n_groups: int

    @property
    def positive(self) -> Bool[np.ndarray, " example"]:
        """Which examples are of the second of two classes."""
        return self.target == 1

    @property
    def labels(self) -> Bool[np.ndarray, " example"] | Int[np.ndarray, " example"]:
        """Two classes as truth values, more of them as numbers."""
        return self.positive if len(self.classes) == 2 else self.target


def check_problem(
    labels: Iterable[Any] | Tensor, groups: Iterable[Any] | Tensor | None, n: int, *, binary: bool = True
) -> Problem:
    """Check labels and groups against `n` rows of activations, and code them.

    Parameters
    ----------
    labels : sequence, "example"
    groups : sequence, "example", optional
    n : int
    binary : bool
        Refuse more than two classes.

    Raises
    ------
    InputError
        For lengths that differ, labels of one class, more classes than are taken, labels that cannot be sorted.
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
    if len(classes) < 2 or (binary and len(classes) > 2):
        raise InputError(_not_two(classes))
    if len(classes) > max(2, n // 2):
        raise InputError(
            f"the labels have {len(classes)} classes for {n} examples, too few of each to learn from; "
            "a probe tells classes apart, so bin a quantity first"
        )
    number = {label: i for i, label in enumerate(classes)}
    target = np.array([number[label] for label in given], dtype=np.int64)
    coded = np.arange(n) if groups is None else codes(groups, n, "groups")
    return Problem(classes, target, coded, int(coded.max()) + 1)


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
        f"two classes are needed here, and the labels have {len(classes)}: {shown}; give one against the rest, as "
        f"in [label == {classes[0]!r} for label in labels], or keep the rows of two classes with acts.rows(...)"
    )
