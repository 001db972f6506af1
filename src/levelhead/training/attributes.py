"""Which attributes of people Skews are of, and whether the records have every group in every concept."""

from __future__ import annotations

from collections.abc import Sequence

from levelhead.data.records import ImageRecord
from levelhead.errors import InputError

_KINDS = ({"gender", "sex"}, {"race", "ethnicity", "skin"}, {"age"})
"""Words in the names of attributes that are looked at when none are named: the three of the paper."""


def groups_of(
    records: Sequence[ImageRecord], attributes: Sequence[str] | None = None
) -> dict[str, tuple[str | None, ...]]:
    """Group of every record, for each attribute; None where a record has none.

    Parameters
    ----------
    records : sequence of ImageRecord
        With concepts.
    attributes : sequence of str, optional
        Keys of their groups. When left out, all that speak of gender, of race, ethnicity or skin, or of age, and that have
        more than one value.

    Returns
    -------
    dict of str to tuple

    Raises
    ------
    InputError
        For no such attribute, one with a single value, or a concept without any record of a group.
    """
    values: dict[str, set[str]] = {}
    for record in records:
        for name, value in record.groups.items():
            values.setdefault(name, set()).add(value)
    there = ", ".join(f"{name} ({len(each)} values)" for name, each in sorted(values.items())) or "none"
    if attributes is None:
        ordered = [name for kind in _KINDS for name in sorted(values) if kind & set(name.lower().split("_"))]
        attributes = [name for name in ordered if len(values[name]) > 1]
    flat = [name for name in attributes if len(values.get(name, ())) < 2]
    if flat or not attributes:
        what = f"attribute '{flat[0]}' does not have" if flat else "no attribute for gender, race or age has"
        raise InputError(
            f"{what} two values, which a Skew compares; the records have: {there}. Name others with attributes="
        )
    found = {name: tuple(record.groups.get(name) for record in records) for name in attributes}
    for name, groups in found.items():
        _check(name, groups, [str(record.concept) for record in records])
    return found


def _check(name: str, groups: Sequence[str | None], concepts: Sequence[str]) -> None:
    every = sorted({group for group in groups if group is not None})
    for concept in sorted(set(concepts)):
        there = {group for group, own in zip(groups, concepts, strict=True) if own == concept}
        missing = [group for group in every if group not in there]
        if missing:
            raise InputError(
                f"concept '{concept}' has no record of {name} {', '.join(map(repr, missing))}; a Skew compares all groups: add "
                "such pictures, leave the concept or the group out, or name other attributes="
            )
