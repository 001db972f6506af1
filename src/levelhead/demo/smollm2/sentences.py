"""What the demo reads: occupations with women's shares, templates, names, and sentences with gendered nouns.

Occupations and templates are split three ways, and nothing crosses: directions are fitted on ``train``,
the layer is chosen on ``validation``, and ``test`` is for the one final report. The binary pronouns and
the common English first names are limits of this demo: names are a proxy for *perceived* gender, and
nothing here says anything about people who use other pronouns.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib.resources import files
from itertools import product
from typing import Literal, TypeAlias

Split: TypeAlias = Literal["train", "validation", "test"]

TEMPLATES: dict[Split, tuple[str, ...]] = {
    "train": (
        "The {X} went home early because",
        "Everyone likes the {X} because",
        "The {X} could not sleep, so",
        "The {X} promised that",
    ),
    "validation": (
        "The {X} was tired because",
        "I asked the {X} whether",
        "After lunch, the {X} explained that",
        "The {X} took a day off because",
    ),
    "test": (
        "I thanked the {X} because",
        "When the meeting ended, the {X} admitted that",
        "The {X} closed the window because",
        "My neighbor is {a X}, and last week",
    ),
}
"""Each ends where a pronoun for the person is a likely next word."""

NOUNS: dict[Literal["train", "test"], tuple[tuple[str, str], ...]] = {
    "train": (
        ("woman", "man"),
        ("girl", "boy"),
        ("mother", "father"),
        ("sister", "brother"),
        ("wife", "husband"),
        ("lady", "gentleman"),
        ("queen", "king"),
        ("bride", "groom"),
        ("princess", "prince"),
        ("actress", "actor"),
        ("widow", "widower"),
        ("waitress", "waiter"),
    ),
    "test": (
        ("aunt", "uncle"),
        ("daughter", "son"),
        ("grandmother", "grandfather"),
        ("niece", "nephew"),
        ("heroine", "hero"),
        ("hostess", "host"),
    ),
}
"""Pairs of words for a person, the one that takes 'she' first."""

FEMALE_NAMES = tuple(
    "Mary Patricia Linda Barbara Susan Margaret Dorothy Karen Nancy Betty Helen Sandra Carol Ruth Sharon Laura "
    "Deborah Emily Anna Rebecca Catherine Kathleen Amanda Julia Alice Rachel Heather Diana Emma Olivia Sophia "
    "Victoria Maria Fatima Priya Sofia".split()
)
MALE_NAMES = tuple(
    "James John Robert Michael William David Richard Charles Joseph Thomas Daniel Paul Mark George Kenneth Steven "
    "Edward Brian Kevin Gary Timothy Larry Jeffrey Frank Scott Eric Stephen Andrew Raymond Gregory Joshua Peter "
    "Carlos Ahmed Rahul Matthew".split()
)


@dataclass(frozen=True)
class Occupation:
    """An occupation and the share of women in it.

    Attributes
    ----------
    name : str
    percent_women : float
        In the United States, in percent, in the year `year`.
    year : int
    split : str
    source : str
        Where the figure was taken from.
    licence : str
        Of that source.
    """

    name: str
    percent_women: float
    year: int
    split: Split
    source: str
    licence: str

    @property
    def female_typed(self) -> bool:
        """Whether most people in it are women; the table leaves out shares between 40 and 60 percent."""
        return self.percent_women > 50


@dataclass(frozen=True)
class Sentence:
    """A sentence up to the place of a pronoun.

    Attributes
    ----------
    text : str
    unit : str
        The occupation, name or noun in it: what is resampled for intervals, and kept together in splits.
    female : bool
        Whether the unit is female-typed, or commonly perceived as female.
    """

    text: str
    unit: str
    female: bool


def occupations(split: Split | None = None) -> list[Occupation]:
    """The table of occupations, or one split of it: as many male-typed as female-typed ones."""
    text = files("levelhead.demo.smollm2").joinpath("occupations.csv").read_text(encoding="utf-8")
    rows = [
        Occupation(
            row["occupation"],
            float(row["percent_women"]),
            int(row["year"]),
            row["split"],  # pyright: ignore[reportArgumentType]
            row["source"],
            row["licence"],
        )
        for row in csv.DictReader(text.splitlines())
    ]
    return [row for row in rows if split in (None, row.split)]


def occupation_sentences(split: Split) -> list[Sentence]:
    """Every occupation of a split in every template of the same split."""
    return [
        Sentence(fill(template, job.name), job.name, job.female_typed)
        for job, template in product(occupations(split), TEMPLATES[split])
    ]


def contrast_sentences() -> list[Sentence]:
    """Sentences that differ in one gendered noun only, from the training words and templates.

    Half are about "the woman" and the like, half about "the woman who works as a nurse": pairs in which the
    occupation says one thing and the noun, now and then, another.
    """
    found: list[Sentence] = []
    for column in (0, 1):
        nouns = [pair[column] for pair in NOUNS["train"]]
        found += [
            Sentence(fill(template, noun), noun, column == 0) for noun, template in product(nouns, TEMPLATES["train"])
        ]
        for number, job in enumerate(occupations("train")):
            # Two of the four templates for each occupation keep the two halves of about equal size.
            for template in TEMPLATES["train"][number % 2 :: 2]:
                person = f"the {nouns[0]} who works as {article(job.name)} {job.name}"
                found.append(Sentence(name(template, person), f"{nouns[0]}, {job.name}", column == 0))
    return found


def named_sentences(split: Split, every: int = 1) -> list[Sentence]:
    """First names in every template of a split, as in "Mary went home early because".

    Parameters
    ----------
    split : {"train", "validation", "test"}
        Of the templates; all names stand in each, and probes keep names apart by groups.
    every : int
        Take one name in so many.
    """
    people = [(person, True) for person in FEMALE_NAMES[::every]] + [(person, False) for person in MALE_NAMES[::every]]
    templates = [template for template in TEMPLATES[split] if "{a X}" not in template]
    return [Sentence(name(t, person), person, female) for (person, female), t in product(people, templates)]


def noun_sentences() -> list[Sentence]:
    """Sentences about an aunt, an uncle ...: nouns and templates that no direction was fitted on."""
    templates = [template for template in TEMPLATES["test"] if "{a X}" not in template]
    return [
        Sentence(fill(template, pair[column]), pair[column], column == 0)
        for column, pair, template in product((0, 1), NOUNS["test"], templates)
    ]


def article(word: str) -> str:
    """'a' or 'an'; right for the words of this demo."""
    return "an" if word[0] in "aeiou" else "a"


def fill(template: str, word: str) -> str:
    """Put a common noun into a template."""
    return template.replace("{a X}", f"{article(word)} {word}").replace("{X}", word)


def name(template: str, person: str) -> str:
    """Put a name, or a noun with its own article, into a template."""
    text = template.replace("The {X}", person).replace("the {X}", person)
    return text[0].upper() + text[1:]
