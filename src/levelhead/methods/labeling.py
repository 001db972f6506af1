"""Labels and groups of the rows of activations, checked and coded; given for each row, or for each example."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from levelhead.capture import Activations, Moments
from levelhead.errors import InputError
from levelhead.sites import Site


@dataclass(frozen=True, eq=False)
class Labeling:
    """What each row is.

    Attributes
    ----------
    classes : list
        The labels, sorted; two or more.
    codes : Int[Tensor, "row"]
        Each row's class, by number.
    """

    classes: list[Any]
    codes: Int[Tensor, " row"]

    @property
    def counts(self) -> Int[Tensor, " class"]:
        """Rows of each class."""
        return torch.bincount(self.codes, minlength=len(self.classes))


def labeling(acts: Activations | Moments, labels: Collection[Any] | None) -> Labeling:
    """Code labels as numbers, one a row.

    Parameters
    ----------
    acts : Activations
    labels : sequence
        One for each row; where the rows are tokens (``at="all:image"``), one for each example will do as well.

    Returns
    -------
    Labeling

    Raises
    ------
    InputError
        For class-wise moments in place of activations, labels that are missing, too few or too many, NaN, of several
        kinds, or of one class.
    """
    if isinstance(acts, Moments):
        raise InputError(
            "activations of single examples are needed, and moments hold their sums; capture without reduce"
        )
    if labels is None:
        raise InputError(f"labels are needed, one for each of the {acts.n} rows")
    given = _for_rows(acts, plain(labels), "label")
    for row, value in enumerate(given):
        if value is None or value != value:
            raise InputError(f"the label of row {row} is {value}; leave such rows out with acts.rows(...)")
    try:
        classes = sorted(set(given))
    except TypeError:
        kinds = sorted({type(value).__name__ for value in given})
        raise InputError(f"labels must be of one kind, and these mix {', '.join(kinds)}") from None
    check_several(classes)
    number = {value: code for code, value in enumerate(classes)}
    return Labeling(classes, torch.tensor([number[value] for value in given]))


def group_codes(acts: Activations, groups: Collection[Any] | None) -> Int[np.ndarray, " row"]:
    """Number what must not be divided between fitting and scoring, from 0.

    Parameters
    ----------
    acts : Activations
    groups : sequence, optional
        One for each row, or for each example. Left out, each example is a group of its own.

    Returns
    -------
    Int[ndarray, "row"]

    Raises
    ------
    InputError
        For too few or too many.
    """
    if groups is None:
        given = list(range(acts.n)) if acts.example is None else plain(acts.example)
    else:
        given = _for_rows(acts, plain(groups), "group")
    numbers: dict[Any, int] = {}
    return np.array([numbers.setdefault(value, len(numbers)) for value in given], dtype=np.int64)


def values(acts: Activations, site: Site, n: int) -> Float[Tensor, "row d"]:
    """One site's activations in float64 on the CPU, checked.

    Parameters
    ----------
    acts : Activations
    site : Site
    n : int
        How many rows there are labels for.

    Raises
    ------
    InputError
        For another number of rows, NaN or infinite entries.
    """
    found = acts[site].detach().double().cpu()
    if len(found) != n:
        raise InputError(
            f"activations at '{site}' have {len(found)} rows, and there are labels for {n}; fit sites of pictures and of "
            "language apart, with acts.select(...)"
        )
    finite = torch.isfinite(found).all(dim=1)
    if not bool(finite.all()):
        row = int((~finite).nonzero()[0, 0])
        raise InputError(
            f"activations at '{site}' have NaN or infinite entries, first in row {row}; look at that input"
        )
    return found


def check_two(classes: Collection[Any], who: str) -> None:
    """Refuse more than two classes, in the name of what needs two."""
    if len(classes) != 2:
        raise InputError(
            f"{who} needs two classes; found {len(classes)}: {list(classes)}; label one against the rest, or keep the "
            "rows of two with acts.rows(...)"
        )


def check_several(classes: Collection[Any]) -> None:
    """Refuse less than two classes."""
    if len(classes) < 2:
        found = f"all labels are {next(iter(classes))!r}" if classes else "there are none"
        raise InputError(f"labels of at least two classes are needed, and {found}")


def plain(given: Collection[Any]) -> list[Any]:
    """A list of Python values from a tensor, an array, a pandas column or a sequence."""
    return [value.item() if hasattr(value, "item") else value for value in given]


def _for_rows(acts: Activations, given: list[Any], what: str) -> list[Any]:
    if len(given) == acts.n:
        return given
    message = f"{acts.n} rows of activations and {len(given)} {what}s were given; one {what} a row is needed"
    if acts.example is None:
        raise InputError(message)
    example = acts.example.tolist()
    # Rows that are examples need a label each: only where some example has several rows are labels spread over them.
    if len(set(example)) == len(example) or len(given) != max(example) + 1:
        several = len(set(example)) < len(example)
        raise InputError(message + (f", or one for each of the {max(example) + 1} examples" if several else ""))
    return [given[i] for i in example]
