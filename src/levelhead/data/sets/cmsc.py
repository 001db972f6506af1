"""CMSC, and folders of one's own in its manner: pictures of social concepts, with all labels in the names of the files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import cast

from levelhead.data.concepts import CMSC_CONCEPTS, CMSC_FAMILIES, cmsc_concept
from levelhead.data.counterfactual import check_counterfactual_sets
from levelhead.data.entry import Entry, Findings, Licence, Row, Schema
from levelhead.data.records import ImageRecord, Record
from levelhead.data.sets.cells import maybe, place
from levelhead.errors import InputError

__all__ = ["CMSC_PATTERNS", "CONCEPT_FOLDER", "ENTRIES", "name_pattern"]

LOOKS = ("gender", "race", "skin", "age")
"""Labels of the person; in records they are called perceived."""
PREVIEWED = 1000
"""File names on which patterns are tried when none was given."""


def _spelled(*words: str) -> str:
    """Any of some names, the longest first, whatever stands between their words."""
    return "|".join(re.sub(r"[ -]", "[ _-]?", word) for word in sorted(words, key=len, reverse=True))


_CONCEPT = _spelled(*(one.name for one in CMSC_CONCEPTS))
_GENDER = "woman|man|female|male"
_RACE = _spelled(
    *"white,caucasian,black,african american,african,east asian,southeast asian,south asian,asian,indian".split(","),
    *"latino hispanic,latino,latina,hispanic,middle eastern,arab,native american,pacific islander".split(","),
)
_AGE = _spelled("young", "old", "elderly", "middle aged", "adult", "senior", "teenager", "child")
_LABELS = {
    "family": _spelled(*CMSC_FAMILIES),
    "concept": _CONCEPT,
    "gender": _GENDER,
    # A race of two words may have the separator in it.
    "race": r"[^\W\d_]+(?:[ _-][^\W\d_]+)?",
    "skin": r"[^\W\d_]+",
    "age": r"[^\W_]+(?:-[^\W_]+)?",
    "set": r"\d+",
    "any": r"[^/]*?",
}


def name_pattern(template: str) -> str:
    """A pattern for labels in file names, from how a name reads.

    Parameters
    ----------
    template : str
        Such as ``"concept/race_gender_age_set"``. The words ``family``, ``concept``, ``gender``, ``race``, ``skin``, ``age``
        and ``set`` stand for labels, ``any`` for anything within one part of the path; everything else stands for itself.
        Of the concepts CMSC's eighteen are known, and ``man``, ``woman``, ``male`` and ``female`` as genders.

    Returns
    -------
    str
        A regular expression with named groups, for ``load(..., pattern=)``; it ignores case and the ending of the file.

    Raises
    ------
    InputError
        For a template without ``concept``, or with a label twice.

    Examples
    --------
    >>> import re
    >>> found = re.search(name_pattern("concept_race_gender_age_set"), "good_student_middle_eastern_woman_old_07.png")
    >>> list(found.groupdict().values())
    ['good_student', 'middle_eastern', 'woman', 'old', '07']
    """
    parts = re.split(f"(?<![a-z])({'|'.join(_LABELS)})(?![a-z])", template)
    names = [name for name in parts[1::2] if name != "any"]
    if "concept" not in names or len(set(names)) < len(names):
        raise InputError(
            f"the template {template!r} needs the word 'concept', and each label once; known are {', '.join(_LABELS)}"
        )
    made = [
        (f"(?:{_LABELS[part]})" if part == "any" else f"(?P<{part}>{_LABELS[part]})") if odd % 2 else re.escape(part)
        for odd, part in enumerate(parts)
    ]
    return rf"(?i)(?:^|/){''.join(made)}(?:\.[a-z]+)?$"


def _anywhere(name: str, words: str) -> str:
    """A label wherever it stands in the path, as a whole word."""
    return rf"(?=.*?(?<![^\W_])(?P<{name}>{words})(?![^\W_]))"


CMSC_PATTERNS: Mapping[str, str] = {
    "words": "(?i)^"
    + "".join(
        _anywhere(*label) for label in (("concept", _CONCEPT), ("gender", _GENDER), ("race", _RACE), ("age", _AGE))
    ),
    **{
        template: name_pattern(template)
        for template in (
            "concept_gender_race_age_set",
            "concept_race_gender_age_set",
            "concept_age_race_gender_set",
            "concept_set_gender_race_age",
            "concept/gender_race_age_set",
            "concept/race_gender_age_set",
            "concept/set_gender_race_age",
        )
    },
    "testbed": r"(?P<concept>[a-z_]+)-(?P<set>\d+)__gender-(?P<gender>[a-z]+)__skin-(?P<skin>[a-z]+)__age-(?P<age>[a-z]+)",
}
"""Patterns for names as they may be, since CMSC's grammar is not published: try them with `levelhead.data.inspect`.

``"words"`` finds the labels anywhere in the path, in any order, by lists of words that are ours; ``"testbed"`` reads what
`levelhead.testbed.pictures.write_set` writes; the others are templates of `name_pattern`.
"""


def concept_pictures(rows: Sequence[Row], findings: Findings) -> list[Record]:
    """Pictures of concepts: labels from columns, or from file names by the user's pattern."""
    hint = _hint(rows)
    records: list[ImageRecord] = []
    told: list[str | None] = []
    for row in rows:
        names = row.get("_names")
        found = cast("Mapping[str, str | None]", names) if isinstance(names, Mapping) else {}
        labels = {name: maybe(row, f"perceived_{name}") or maybe(row, name) or found.get(name) for name in LOOKS}
        values = {name: value for name, value in labels.items() if value}
        concept = maybe(row, "concept") or found.get("concept")
        if not values or concept is None:
            problem = "the pattern does not fit the name" if "_names" in row and not found else "no labels"
            findings.add(f"{problem}: {hint}", place(row))
            continue
        file = maybe(row, "file_name") or str(row.get("_file") or place(row))
        known = cmsc_concept(concept)
        family = (maybe(row, "family") or found.get("family") or (known.family if known else "")).casefold()
        if known is None:
            findings.add("the concept is none of CMSC's; it is kept as it stands", f"{file}: {concept}", fatal=False)
        elif family != known.family:
            findings.add("the concept is of another family in CMSC", f"{file}: {known.name}, {family}", fatal=False)
        told.append(maybe(row, "set") or found.get("set"))
        records.append(
            ImageRecord(
                id=file,
                image=row["image"],
                groups={f"perceived_{name}": value.replace("_", " ") for name, value in values.items()},
                concept=known.name if known else concept.replace("_", " "),
                set_id=_without(file, list(values.values())),
                extra={"family": family or None},
            )
        )
    if not records:
        return []
    for problem in check_counterfactual_sets(records).fatal:
        for where in problem.places:
            findings.add(problem.text, where, fatal=False)
    return list(_in_sets(records, told, findings))


def _hint(rows: Sequence[Row]) -> str:
    """What to do where labels are missing, and which of our patterns would fit most names."""
    names = [str(row.get("_file") or "") for row in rows[:PREVIEWED]]
    fits = {key: sum(re.search(pattern, name) is not None for name in names) for key, pattern in CMSC_PATTERNS.items()}
    best = max(fits, key=lambda key: fits[key])
    some = f"the first {len(names):,}" if len(rows) > len(names) else f"{len(names):,}"
    known = f"'{best}' fits {fits[best]:,} of {some} names" if fits[best] else "none fits any name"
    return (
        "give pattern= with groups named concept, gender, race, age (and set), or a metadata.csv with file_name, concept, "
        f"perceived_gender, perceived_race, perceived_age; of levelhead.data.CMSC_PATTERNS, {known}"
    )


def _without(file: str, values: Sequence[str]) -> str | None:
    """The file's name without the labels of the person: what all pictures of a set share. None where one is not in it."""
    for value in values:
        file, found = re.subn(rf"(?i)(?<![^\W_]){re.escape(value)}(?![^\W_])", "*", file, count=1)
        if not found:
            return None
    return file


def _in_sets(records: Sequence[ImageRecord], told: Sequence[str | None], findings: Findings) -> Iterator[ImageRecord]:
    """The records with their sets: those that the labels name, else pictures whose names differ in the person's labels alone."""
    if any(told):
        about = {(name, record.concept) for name, record in zip(told, records, strict=True)}
        # Numbers that begin anew for each concept are no sets of their own.
        again = {name for name, count in Counter(name for name, _ in about).items() if count > 1}
        for name, record in zip(told, records, strict=True):
            yield replace(record, set_id=f"{record.concept} {name}" if name and name in again else name)
        return
    cells = Counter((record.set_id, tuple(record.groups.items())) for record in records)
    sizes = Counter(record.set_id for record in records)
    doubled = {name for (name, _), count in cells.items() if count > 1}
    sets = {name for name, size in sizes.items() if name is not None and size > 1 and name not in doubled}
    findings.add(
        "no set is labeled: pictures whose names differ in the person's labels alone are taken for one; a group named set "
        "in pattern= would tell",
        f"{len(sets):,} sets",
        fatal=False,
    )
    for record in records:
        yield record if record.set_id in sets else replace(record, set_id=None)


_COLUMNS = {
    "concept": "text",
    "perceived_gender": "text",
    "perceived_race": "text",
    "perceived_age": "text",
    "set": "text",
}

CONCEPT_FOLDER = Entry(
    name="concept_folder",
    title="Pictures of social concepts in a folder",
    kind="image",
    schemas=(Schema("pictures", {"image": "image"}, concept_pictures, optional=_COLUMNS),),
    licence=Licence("none"),
    source="the user's own",
    group="perceived_gender",
    notes="What their license allows is for you to know.",
)
"""Pictures of one's own, read as CMSC is: ``load(CONCEPT_FOLDER, folder, pattern=...)``, or with a ``metadata.csv``."""

ENTRIES = (
    Entry(
        name="cmsc",
        title="CMSC: counterfactual multi-social-concept images",
        kind="image",
        schemas=CONCEPT_FOLDER.schemas,
        licence=Licence(
            "CC-BY-NC-ND-4.0", commercial=False, derivatives=False, note="pictures on request or by download"
        ),
        source="Cheng et al. 2025 (ICCV, arXiv 2408.06569); github.com/xaCheng1996/Social_Debiasing_For_Fair_MLLMs",
        group="perceived_gender",
        notes=(
            "The labels are in the file names, whose grammar is not published: pass pattern=, one of "
            "levelhead.data.CMSC_PATTERNS or what levelhead.data.name_pattern makes. Names of "
            "concepts such as 'weapon' or 'bad student' are names of that data set only."
        ),
    ),
)
