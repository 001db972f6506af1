"""Who stands against whom: the sides of every option, and the occupations within which they are counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from levelhead.data.records import ChoiceRecord
from levelhead.errors import InputError

Sides = Literal["stereotype", "groups"]
Within = Literal["target", "group"]

STEREOTYPE = ("pro", "anti")


@dataclass(frozen=True)
class Cells:
    """Choices sorted into cells, as occupations are, and their options into sides.

    Attributes
    ----------
    records : tuple of ChoiceRecord
    names : tuple of str
        Of the cells.
    cell : Int[Tensor, "item"]
    side : Int[Tensor, "item option"]
        The side of each option among those of its cell; -1 for one that takes none, and where there is no option.
    sides : tuple of tuple of str
        Names of the sides of each cell.
    """

    records: tuple[ChoiceRecord, ...]
    names: tuple[str, ...]
    cell: Int[Tensor, " item"]
    side: Int[Tensor, "item option"]
    sides: tuple[tuple[str, ...], ...]

    @property
    def count(self) -> Int[Tensor, " cell"]:
        """How many sides each cell has."""
        return torch.tensor([len(sides) for sides in self.sides])

    def shares(self, chances: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Each cell's shares of its sides among the answers that take one.

        Parameters
        ----------
        chances : Float[Tensor, "asked option"]
            Probabilities of the options, or how often they were given; they need not sum to one.
        items : Int[Tensor, "asked"]
            Which record each row asks.

        Returns
        -------
        Float[Tensor, "cell side"]
            Each side's share in the rows that offer it, as a multiple of its share there if all sides were level; over the
            cell they sum to one. Where every row offers every side, that is the plain mean of the rows' shares. 0 for cells
            that nothing was said about.
        Bool[Tensor, "cell"]
            Which cells something was said about.
        """
        n, most = len(self.names), int(self.count.max())
        side = self.side[items]
        member = torch.nn.functional.one_hot(side.clamp_min(0), most) * (side >= 0)[..., None]
        said = (chances.double()[..., None] * member).sum(1)
        total = said.sum(1, keepdim=True)
        tiny = torch.finfo(torch.float64).tiny
        # A side that is offered in more rows than others, as one group in pairs of people may be, is not said more often.
        offered = (member.amax(1) > 0).double() * (total > 0)
        rows = torch.where(total > 0, said / total.clamp_min(tiny), 0.0) * offered.sum(1, keepdim=True)
        cell = self.cell[items]
        summed, times = (torch.zeros(n, most, dtype=torch.float64).index_add_(0, cell, x) for x in (rows, offered))
        found = summed / times.clamp_min(1)
        return found / found.sum(1, keepdim=True).clamp_min(tiny), times.sum(1) > 0


def unevenness(shares: Float[Tensor, "cell side"], count: Int[Tensor, " cell"]) -> Float[Tensor, " cell"]:
    """How far the largest side of each cell stands out: 0 for level shares, 1 where it takes all.

    With two sides of shares p and 1 - p it is ``|2 p - 1|``, the per-occupation bias of DSO (arXiv 2512.15926);
    the form for more of them, ``(K max p - 1) / (K - 1)``, is ours.

    Parameters
    ----------
    shares : Float[Tensor, "cell side"]
    count : Int[Tensor, "cell"]
        How many sides each has.
    """
    return (count * shares.amax(1) - 1) / (count - 1)


def cells_of(records: Sequence[ChoiceRecord], sides: Sides, within: Within) -> Cells:
    """Sort choices into cells and options into sides.

    Parameters
    ----------
    records : sequence of ChoiceRecord
    sides : {"stereotype", "groups"}
        Pro against anti, or the groups that the options stand for, of which there may be many.
    within : {"target", "group"}
        A cell is a target, or a target together with the group of the person who is asked about.

    Raises
    ------
    InputError
        If a record does not say what its sides are, or all its options are on one, or something in it decides, or a target
        was asked about people of one group alone.
    """
    records = tuple(records)
    if not records:
        raise InputError("DSO learns from choices, and none were given")
    _check_undecided(records)
    if sides == "stereotype" and within == "target":
        _check_both(records)
    labels = [_labels(record, sides) for record in records]
    keys = [f"{r.target} ({r.group})" if within == "group" else r.target for r in records]
    names = tuple(dict.fromkeys(keys))
    found: dict[str, list[str]] = {name: [] for name in names}
    for key, each in zip(keys, labels, strict=True):
        found[key] += [label for label in each if label is not None]
    known = {
        name: STEREOTYPE if sides == "stereotype" else tuple(sorted(dict.fromkeys(each)))
        for name, each in found.items()
    }
    side = torch.full((len(records), max(map(len, labels))), -1)
    for i, (key, each) in enumerate(zip(keys, labels, strict=True)):
        side[i, : len(each)] = torch.tensor([-1 if label is None else known[key].index(label) for label in each])
    number = {name: i for i, name in enumerate(names)}
    cell = torch.tensor([number[key] for key in keys])
    return Cells(records, names, cell, side, tuple(known[name] for name in names))


def _labels(record: ChoiceRecord, sides: Sides) -> list[str | None]:
    options = range(len(record.options))
    if sides == "groups":
        if not record.groups:
            raise InputError(
                f"choice '{record.id}' does not say which groups its options stand for (groups=()); give them, or use "
                "sides='stereotype' with choices that name their pro option"
            )
        labels = [None if k == record.unknown else record.groups[k] for k in options]
    else:
        if record.pro is None:
            raise InputError(
                f"choice '{record.id}' does not say which option follows the stereotype (pro=None); leave it out, or use "
                "sides='groups' with choices that name the groups of their options"
            )
        labels = [None if k == record.unknown else STEREOTYPE[int(k != record.pro)] for k in options]
    if len({label for label in labels if label is not None}) < 2:
        raise InputError(
            f"choice '{record.id}' is one-sided: its options {list(record.options)} stand for {labels}, and a reward needs at "
            "least two sides to weigh; leave it out"
        )
    return labels


def _check_undecided(records: tuple[ChoiceRecord, ...]) -> None:
    decided = [record.id for record in records if record.condition == "unambiguous"]
    if decided:
        raise InputError(
            f"{len(decided)} of {len(records)} choices are unambiguous, such as '{decided[0]}', and levelling them would teach wrong "
            "answers; give them as neutral=, whose answers stay as they are"
        )


def _check_both(records: tuple[ChoiceRecord, ...]) -> None:
    """Where options are no people, pro is one answer for men and another for women, so a target needs both."""
    asked: dict[str, set[str | None]] = {}
    for record in records:
        if not any(record.groups):
            asked.setdefault(record.target, set()).add(record.group)
    for target, groups in asked.items():
        known = groups - {None}
        if len(known) == 1:
            raise InputError(
                f"'{target}' is asked about people of one group alone ('{known.pop()}'), so that a model could level it by "
                "changing its answer for everybody; add people of other groups, or use within='group' to make each group's "
                "answers level"
            )
