"""SocialCounterfactuals: generated people at work, in sets that differ in perceived attributes alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import cast

from levelhead.data.entry import Entry, Findings, Licence, Row, Schema
from levelhead.data.records import ImageRecord, Record
from levelhead.data.sets.cells import maybe, place, text

__all__ = ["ENTRIES", "occupation_in_id", "occupation_of"]

SIZES = {("race", "gender"): 12, ("physical", "gender"): 10, ("physical", "race"): 30}
"""Pictures in a whole set, by the kinds of its two attributes."""
GLITCHES = frozenset({"optician custodian"})
"""Two occupations run together in the source; kept as they are, and noted."""
_SET = re.compile(r"(?:race_gender|physical_gender|physical_race)_(.+)_\d+_\d+$")
_LEAD = re.compile(r"^(?:an?\s+(?:photo|picture|image|portrait)\s+of\s+)?(?:an?\s+|the\s+)?", re.IGNORECASE)


def occupation_of(caption: str, attributes: Sequence[str] = ()) -> str | None:
    """The occupation in a caption of SocialCounterfactuals.

    Parameters
    ----------
    caption : str
        Such as ``"A photo of an old Black barber"``.
    attributes : sequence of str
        The two attribute values, as they stand in the caption.

    Returns
    -------
    str or None
        In lower case; None where the caption does not have the attributes, one after the other, before the occupation.
    """
    rest = _LEAD.sub("", caption.strip(), count=1)
    for value in attributes:
        if not rest.casefold().startswith(value.casefold() + " "):
            return None
        rest = rest[len(value) + 1 :].lstrip()
    return rest.rstrip(". ").casefold() or None


def occupation_in_id(counterfactual_set: str) -> str | None:
    """The occupation in the id of a set of SocialCounterfactuals.

    Parameters
    ----------
    counterfactual_set : str
        Such as ``a_photo_of_race_gender_civil_engineer_0_3761796350``.

    Returns
    -------
    str or None
        In lower case, with spaces.
    """
    found = _SET.search(counterfactual_set)
    return found[1].replace("_", " ").casefold() if found else None


def socialcounterfactuals(rows: Sequence[Row], findings: Findings) -> list[Record]:
    """SocialCounterfactuals, one record a picture, with sets that lack pictures noted."""
    records: list[Record] = []
    sets: dict[str, list[tuple[str, str]]] = {}
    for number, row in enumerate(rows):
        cells = [text(row, name, findings) for name in ("counterfactual_set", "a1", "a2", "a1_type", "a2_type")]
        caption = text(row, "caption", findings)
        image = row.get("image")
        if image is None:
            findings.add("the row has no picture", place(row))
        if caption is None or None in cells or image is None:
            continue
        set_id, first, second, first_kind, second_kind = cast("list[str]", cells)
        job = occupation_of(caption, (first, second)) or occupation_in_id(set_id)
        if job is None:
            findings.add("neither caption nor set tells the occupation; it is left open", place(row), fatal=False)
        elif job in GLITCHES:
            findings.add(f"the occupation '{job}' is two run together; kept as it is", place(row), fatal=False)
        kinds = (re.sub(r"\W+", "_", first_kind.casefold()), re.sub(r"\W+", "_", second_kind.casefold()))
        sets.setdefault(set_id, []).append(kinds)
        records.append(
            ImageRecord(
                id=f"{set_id}/{maybe(row, 'a1a2') or f'{first} {second}'}" if set_id else str(number),
                image=image,
                groups={f"perceived_{kinds[0]}": first, f"perceived_{kinds[1]}": second},
                concept=job,
                set_id=set_id,
                extra={"caption": caption, "config": "_".join(kinds)},
            )
        )
    for set_id, kinds_found in sets.items():
        first_kind, second_kind = kinds_found[0]
        size = SIZES.get((first_kind, second_kind)) or SIZES.get((second_kind, first_kind))
        if size is not None and len(kinds_found) != size:
            findings.add(
                f"a counterfactual set should have {size} pictures", f"{set_id} ({len(kinds_found)})", fatal=False
            )
    return records


_SC = {
    "image": "image",
    "caption": "text",
    "counterfactual_set": "text",
    "a1": "text",
    "a1_type": "text",
    "a2": "text",
    "a2_type": "text",
}

ENTRIES = (
    Entry(
        name="socialcounterfactuals",
        title="SocialCounterfactuals",
        kind="image",
        schemas=(Schema("hub", _SC, socialcounterfactuals, optional={"a1a2": "text"}),),
        licence=Licence("MIT"),
        source="Howard et al. 2024 (CVPR, arXiv 2312.00825); github.com/IntelLabs/multimodal_cognitive_ai",
        hub="Intel/SocialCounterfactuals",
        configs=("race_gender", "physical_gender", "physical_race"),
        splits=("train",),
        split="train",
        files={"train": ("**/*.parquet",)},
        group="",
        notes=(
            "Pictures by a generator, with its artefacts: check one real set too. 13,824 sets in three parts with 12, "
            "10 and 30 pictures; config='race_gender' takes one part. Occupations are 156 strings: some name a gender "
            "('policeman', 'handyman'), some repeat ('ceo', 'chief executive officer'), one is two ('optician "
            "custodian'). Only the metadata could be read here; the values of a1_type and a2_type are taken as they "
            "come (race, gender, physical)."
        ),
    ),
)
