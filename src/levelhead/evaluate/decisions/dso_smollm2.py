"""DSO on SmolLM2: the sentences that it learns from, what is held as it is, and the settings."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from levelhead.data.records import ChoiceRecord
from levelhead.demo.smollm2.prose import NEUTRAL
from levelhead.demo.smollm2.sentences import (
    FEMALE_NAMES,
    MALE_NAMES,
    TEMPLATES,
    Sentence,
    contrast_sentences,
    fill,
    name,
    named_sentences,
    occupation_sentences,
    occupations,
)
from levelhead.evaluate.decisions.capability import capabilities
from levelhead.evaluate.decisions.measured import measured
from levelhead.evaluate.decisions.pronouns import pronouns
from levelhead.graph import Graph
from levelhead.likelihood import tokenizer_of
from levelhead.methods.dso import DSO
from levelhead.metrics.measures import Accuracy, OccupationBias
from levelhead.steer import Steer

if TYPE_CHECKING:
    import pandas as pd

MORE_TEMPLATES: tuple[str, ...] = (
    "The {X} apologized because",
    "We waited for the {X}, but",
    "The {X} smiled when",
    "The {X} was late, and",
    "I called the {X} yesterday, and",
    "The {X} forgot the keys, so",
    "The {X} said that",
    "People trusted the {X} because",
    "The {X} left the room after",
    "The {X} read the letter twice before",
    "Nobody believed the {X} when",
    "The {X} hurried home, where",
    "There is {a X} next door, and",
    "The {X} was proud that",
    "The {X} hoped that",
    "When the {X} came in,",
)
"""For training beside the demo's own, so that more is levelled than four wordings."""
REFLEXIVE: tuple[str, ...] = (
    "{X} hurt",
    "{X} taught",
    "{X} talks a lot about",
    "In the mirror {X} could see",
)
"""After a name, many of the words that may follow are 'herself' or 'himself'."""
OPENINGS: tuple[str, ...] = (
    "The", "When the", "Some of the", "Each of the", "My", "In the", "After a", "Many", "A few", "Because", "It is", "There are",
    "Two", "Nobody", "Every", "This", "What", "If you", "We", "All of these", "Most", "Your", "Those", "Who",
)  # fmt: skip
"""Of sentences about anything, which the model writes to their ends itself."""
SITES: tuple[str, ...] = ("ln1.14:30", "ln2.14:30")
"""Norms of the upper half; gradients need not pass through the lower one."""
STEPS = 260
"""Updates."""
FEW_STEPS = 30
"""Updates of a quick look."""
PAIRS = 2144
"""Of BLiMP in the report, 32 of each task: enough that a point shows."""
EVERY = 3
"""One name in so many is never trained on; the suite asks about these."""


def trained(
    graph: Graph,
    *,
    steps: int = STEPS,
    each: int = 20,
    batch: int = 24,
    seed: int = 0,
    checkpoint: str | os.PathLike[str] | None = None,
    verbose: bool = True,
    **settings: Any,
) -> DSO:
    """Level the pronoun after occupations of training, in templates of training.

    The settings were chosen by few trials on validation occupations in validation templates.

    Parameters
    ----------
    graph : Graph
        Of SmolLM2.
    steps : int
    each : int
        Templates of each of the 28 occupations.
    batch : int
    seed : int
    checkpoint : path, optional
        See `DSO.fit`.
    verbose : bool
    **settings
        Of `levelhead.DSO`, in place of those that were chosen.

    Returns
    -------
    DSO
        Fitted; the steer is its ``steer_``.
    """
    chosen: dict[str, Any] = {
        "sites": SITES,
        # Each sentence is a cell of its own, judged as it stands: a mean over templates would let them lean opposite ways.
        "within": "group",
        "ema": 0.0,
        # Near level, rewards in proportion to the lean: else sentences are pushed over to the other side and back.
        "soften": 0.2,
        # After "because" most words are no pronoun, and none of them is a refusal. In short trials at -1, saying pronouns was all
        # that was learned; at 0 they grew rarer.
        "invalid": -0.3,
        "lr": 0.002,
        "half_life": 120,
        "steps": steps,
        "batch": batch,
        "neutral_batch": 12,
        "kl": 0.03,
        # Of ordinary text each token is held, since what reads text reads all of it.
        "kl_neutral": 0.009,
        "neutral_tokens": "every",
        "validation": 0,
        "random_state": seed,
    }
    method = DSO(**{**chosen, **settings})
    kept = [*kept_as_is(seed), *own_words(graph, seed)]
    method.fit(graph, training_choices(each, seed), kept, checkpoint=checkpoint, verbose=verbose)
    return method


def training_choices(each: int = 20, seed: int = 0) -> list[ChoiceRecord]:
    """Training occupations, each in some of the training templates; ``group`` is the template, so that each sentence is a cell.

    Parameters
    ----------
    each : int
    seed : int
    """
    rng = np.random.default_rng(seed + 1)
    templates = [*TEMPLATES["train"], *MORE_TEMPLATES]
    found: list[ChoiceRecord] = []
    for job in occupations("train"):
        for k in sorted(rng.permutation(len(templates))[:each]):
            sentence = Sentence(fill(templates[k], job.name), job.name, job.female_typed)
            (record,) = pronouns([sentence], "ambiguous")
            found.append(replace(record, id=f"{job.name}, {k}", group=templates[k]))
    return found


def kept_as_is(seed: int = 0, *, named: int = 100, nouns: int = 20, prose: int = 30) -> list[str]:
    """Texts whose words should stay as they are: people whose gender a name or a noun tells, and prose without people.

    Parameters
    ----------
    seed : int
    named, nouns, prose : int
        How many of each. Names that the suite asks about, and the prose that it reads, are not among them.
    """
    rng = np.random.default_rng(seed)
    templates = [t for t in (*TEMPLATES["train"], *MORE_TEMPLATES, *REFLEXIVE) if "{a X}" not in t]
    people = [person for names in (FEMALE_NAMES, MALE_NAMES) for i, person in enumerate(names) if i % EVERY]
    clear = [name(template, person) for template in templates for person in people]
    contrast = [sentence.text for sentence in contrast_sentences()]
    texts = [text.split() for text in NEUTRAL["validation"]]
    begun = [" ".join(words[i : i + 12]) for words in texts for i in range(0, len(words) - 12, 9)]
    return [*_some(clear, named, rng), *_some(contrast, nouns, rng), *begun[:prose]]


def own_words(graph: Graph, seed: int = 0, *, each: int = 6, tokens: int = 24) -> list[str]:
    """Sentences that the model writes by itself: ordinary text, of which no set of texts is needed.

    Parameters
    ----------
    graph : Graph
    seed : int
    each : int
        Sentences of each opening.
    tokens : int
        New ones at most.

    Returns
    -------
    list of str
        Without those that mention one of the occupations, whose pronouns are to change.
    """
    batch = graph.encode([opening for opening in OPENINGS for _ in range(each)])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        ids = graph.generate(batch, do_sample=True, temperature=0.8, top_p=0.95, top_k=0, max_new_tokens=tokens)
    written = [text.strip() for text in tokenizer_of(graph).batch_decode(ids, skip_special_tokens=True)]
    jobs = [job.name.casefold() for job in occupations()]
    return [text for text in dict.fromkeys(written) if not any(job in text.casefold() for job in jobs)]


def report(
    graph: Graph,
    steer: Steer,
    strengths: Sequence[float | int] = (0.0, 1.0),
    *,
    share: float | int = 4,
    seed: int = 0,
    draws: int = 1999,
    verbose: bool = True,
) -> pd.DataFrame:
    """Bias after occupations of the test split in its templates, pronouns of people whose names were left out, and capability.

    Parameters
    ----------
    graph : Graph
    steer : Steer
    strengths : sequence of float
    share : float
        Of the items of ARC and WikiText-2.
    seed : int
        Of the items drawn, and of the bootstrap.
    draws : int
        Bootstrap resamples.
    verbose : bool

    Returns
    -------
    pandas.DataFrame
        See `levelhead.evaluate.decisions.measured.measured`. Sets that cannot be found are left out.
    """
    jobs = pronouns(occupation_sentences("test"), "ambiguous")
    people = pronouns(named_sentences("test", every=EVERY), "unambiguous")
    measures = [
        OccupationBias(jobs, name="pronoun of an occupation"),
        Accuracy(people, name="pronoun of a named person"),
        *capabilities(share, seed, pairs=PAIRS)[0],
    ]
    return measured(graph, steer, measures, strengths, seed=seed, draws=draws, verbose=verbose)


def _some(texts: list[str], n: int, rng: np.random.Generator) -> list[str]:
    return [texts[i] for i in rng.permutation(len(texts))[:n]]
