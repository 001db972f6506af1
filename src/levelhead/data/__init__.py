"""Data: sets by name or file, as records of five kinds, with one report on all that is wrong with them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from levelhead.data.dataset import Dataset
from levelhead.data.entry import Entry, Licence, Schema
from levelhead.data.loading import inspect, load
from levelhead.data.problems import Report
from levelhead.data.records import (
    CapabilityRecord,
    ChoiceRecord,
    ImageRecord,
    PairRecord,
    PromptRecord,
    open_picture,
)
from levelhead.data.registry import describe, names
from levelhead.data.validation import check_splits, validate

if TYPE_CHECKING:
    from levelhead.data.choice_pairs import make_choice_pairs as make_choice_pairs
    from levelhead.data.concepts import CMSC_CONCEPTS as CMSC_CONCEPTS
    from levelhead.data.concepts import CMSC_FAMILIES as CMSC_FAMILIES
    from levelhead.data.concepts import Wording as Wording
    from levelhead.data.concepts import asked_for as asked_for
    from levelhead.data.concepts import cmsc_concept as cmsc_concept
    from levelhead.data.counterfactual import check_counterfactual_sets as check_counterfactual_sets
    from levelhead.data.mention_split import split_by_mention as split_by_mention
    from levelhead.data.mention_steps import MentionSteps as MentionSteps
    from levelhead.data.mentioned import MentionSplit as MentionSplit
    from levelhead.data.open_prompts import OPEN_PROMPTS as OPEN_PROMPTS
    from levelhead.data.open_prompts import PERSON_PROMPTS as PERSON_PROMPTS
    from levelhead.data.open_prompts import open_prompts as open_prompts
    from levelhead.data.open_prompts import people_of as people_of
    from levelhead.data.open_prompts import person_prompts as person_prompts
    from levelhead.data.sets.cmsc import CMSC_PATTERNS as CMSC_PATTERNS
    from levelhead.data.sets.cmsc import CONCEPT_FOLDER as CONCEPT_FOLDER
    from levelhead.data.sets.cmsc import name_pattern as name_pattern

_HOMES = {
    "make_choice_pairs": "choice_pairs",
    "split_by_mention": "mention_split",
    "MentionSteps": "mention_steps",
    "MentionSplit": "mentioned",
    "OPEN_PROMPTS": "open_prompts",
    "PERSON_PROMPTS": "open_prompts",
    "open_prompts": "open_prompts",
    "people_of": "open_prompts",
    "person_prompts": "open_prompts",
    "CMSC_CONCEPTS": "concepts",
    "CMSC_FAMILIES": "concepts",
    "Wording": "concepts",
    "asked_for": "concepts",
    "cmsc_concept": "concepts",
    "check_counterfactual_sets": "counterfactual",
    "CMSC_PATTERNS": "sets.cmsc",
    "CONCEPT_FOLDER": "sets.cmsc",
    "name_pattern": "sets.cmsc",
}

__all__ = [
    "load",
    "inspect",
    "validate",
    "check_splits",
    "names",
    "describe",
    "make_choice_pairs",
    "open_picture",
    "open_prompts",
    "person_prompts",
    "people_of",
    "OPEN_PROMPTS",
    "PERSON_PROMPTS",
    "split_by_mention",
    "MentionSplit",
    "MentionSteps",
    "CMSC_CONCEPTS",
    "CMSC_FAMILIES",
    "CMSC_PATTERNS",
    "CONCEPT_FOLDER",
    "Wording",
    "asked_for",
    "cmsc_concept",
    "name_pattern",
    "check_counterfactual_sets",
    "Dataset",
    "Report",
    "Entry",
    "Schema",
    "Licence",
    "ImageRecord",
    "PairRecord",
    "ChoiceRecord",
    "PromptRecord",
    "CapabilityRecord",
]


def __getattr__(name: str) -> Any:
    # What asks a model something is loaded at its first use.
    if name in _HOMES:
        value = getattr(import_module(f"levelhead.data.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'levelhead.data' has no attribute '{name}'")
