"""Counterfactual sets, checked: that every concept shows every group, and every set each of its cells once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import product

from levelhead.data.concepts import pictures_of
from levelhead.data.problems import Problems, Report
from levelhead.data.records import ImageRecord, Record
from levelhead.errors import InputError

NO_GROUP = "a concept lacks a group, so that its Skew has nothing to compare; add pictures, or leave the concept out"
NO_VALUE = "a picture has no value of an attribute; leave it out, or name attributes= that all have"
NO_CELL = "a counterfactual set lacks cells; compare whole sets only, or say that sets are incomplete"
TWICE = "a counterfactual set has a cell more than once"


def check_counterfactual_sets(records: Sequence[Record], attributes: Sequence[str] | None = None) -> Report:
    """Whether pictures can be compared over groups: within each concept, and within each counterfactual set.

    Parameters
    ----------
    records : sequence of ImageRecord
        A record without ``set_id`` belongs to no set; the same set may be asked about several concepts.
    attributes : sequence of str, optional
        Names of groups that every picture must have; all that any record has when left out, and then pictures may lack some
        (sets of SocialCounterfactuals vary two attributes of three).

    Returns
    -------
    Report
        Fatal: a concept without any picture of a group that others have, a picture without a value. A warning: a set that
        lacks a cell of the product of all values that its concept has, or has one twice. It never raises for what it finds.

    Raises
    ------
    InputError
        For no records, records of another kind, or an attribute that no record has.

    Examples
    --------
    >>> man = ImageRecord(id="1", image="1.png", concept="chef", groups={"perceived_gender": "man"})
    >>> woman = ImageRecord(id="2", image="2.png", concept="arts", groups={"perceived_gender": "woman"})
    >>> check_counterfactual_sets([man, woman]).ok
    False
    """
    pictures = pictures_of(records)
    there = list(dict.fromkeys(name for record in pictures for name in record.groups))
    names = there if attributes is None else list(attributes)
    unknown = [name for name in names if name not in there]
    if unknown or not names:
        raise InputError(f"no record has the group {unknown or names}; there are: {', '.join(there) or 'none'}")
    problems = Problems()
    values = {name: sorted({r.groups[name] for r in pictures if name in r.groups}) for name in names}
    concepts: dict[str | None, list[ImageRecord]] = {}
    for record in pictures:
        concepts.setdefault(record.concept, []).append(record)
        for name in names:
            if attributes is not None and name not in record.groups:
                problems.add(NO_VALUE, f"{record.id}: no {name}")
    for concept, members in concepts.items():
        for name in names:
            shown = {record.groups.get(name) for record in members}
            for value in values[name]:
                if value not in shown:
                    problems.add(NO_GROUP, f"{concept or 'without a concept'}: no {name} '{value}'")
        _check_cells(members, names, problems)
    return problems.report("counterfactual sets", len(pictures))


def _check_cells(members: Sequence[ImageRecord], names: Sequence[str], problems: Problems) -> None:
    """Note what the sets of one concept lack, and have twice.

    Sources may vary other attributes in other sets (SocialCounterfactuals), so a set answers for those that its members have.
    """
    sets: dict[str, list[ImageRecord]] = {}
    for record in members:
        if record.set_id is not None:
            sets.setdefault(record.set_id, []).append(record)
    values = {name: sorted({record.groups[name] for record in members if name in record.groups}) for name in names}
    for set_id, own in sets.items():
        varied = [name for name in names if any(name in record.groups for record in own)]
        cells = Counter(tuple(record.groups.get(name) for name in varied) for record in own)
        lacks = [cell for cell in product(*(values[name] for name in varied)) if cell not in cells]
        if lacks:
            shown = ", ".join(" ".join(cell) for cell in lacks[:3]) + (" ..." if len(lacks) > 3 else "")
            problems.add(NO_CELL, f"{set_id}: {len(lacks)} missing: {shown}", fatal=False)
        twice = [cell for cell, count in cells.items() if count > 1]
        if twice:
            problems.add(TWICE, f"{set_id}: {' '.join(str(value) for value in twice[0])}", fatal=False)
