"""SmolLM2-135M-Instruct: pronouns after occupations, stereotypes in sentences, and what it costs to level them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

import levelhead as lh
from levelhead.data import load
from levelhead.data.records import CapabilityRecord, ChoiceRecord, PairRecord
from levelhead.demo.options import Options as DemoOptions
from levelhead.demo.smollm2 import model
from levelhead.demo.smollm2.prose import NEUTRAL
from levelhead.demo.smollm2.run import choose, fit, try_layers
from levelhead.demo.smollm2.sentences import Sentence, contrast_sentences, named_sentences, occupation_sentences
from levelhead.errors import FileError
from levelhead.evaluate.subject import Options, Size, Subject
from levelhead.metrics.measures import Accuracy, Measure, OccupationBias, StereotypePreference, TextPerplexity

SHE_HE = ("she", "he")


def subject(options: Options, size: Size) -> Subject:
    """Load SmolLM2, fit mean differences where the demo's search puts them, and gather what is asked.

    Parameters
    ----------
    options : Options
    size : Size

    Returns
    -------
    Subject

    Raises
    ------
    FileError
        If the model cannot be had.
    """
    net, tokenizer = model.load(model.prepare(options.cache, verbose=options.verbose))
    graph = lh.graph(net, tokenizer)
    demo = DemoOptions(verbose=options.verbose, seed=options.seed)
    fitted, neutral = fit(graph, demo)
    _, trials = try_layers(graph, tokenizer, fitted, demo)
    site = f"resid_post.{choose(trials).layer}"
    contrast = contrast_sentences()
    acts = lh.capture(graph, [s.text for s in contrast], sites=[site], verbose=options.verbose)
    labels = ["she" if s.female else "he" for s in contrast]
    steers = {
        "mean difference, added": lh.MeanDifference(site, edit="add", positive="she").fit(acts, labels),
        "mean difference, ablated": fitted.only(site),
    }
    jobs = [*occupation_sentences("validation"), *occupation_sentences("test")]
    people = named_sentences("test", every=3)[:: max(1, round(1 / size.share))]
    bias: list[Measure] = [OccupationBias(pronouns(jobs, "ambiguous"), name="pronoun of an occupation")]
    capability: list[Measure] = [Accuracy(pronouns(people, "unambiguous"), name="pronoun of a named person")]
    prose = [CapabilityRecord(id=str(i), task="prose", prompt=text) for i, text in enumerate(_prose())]
    beside: list[Measure] = [TextPerplexity(prose, name="perplexity of prose")]
    notes = [
        f"Steers act at {site}: the layer of the last third that the demo's search picks on validation occupations.",
        "The pronoun is taken from the model's next word after sentences such as 'I thanked the nurse because'.",
        "Adding one vector moves every sentence alike: it turns 'she' into 'he', and levels no pair of occupations.",
    ]
    missing = _from_data(size, options.seed, bias, capability)
    if missing:
        notes.append(f"Left out, since their data were not found: {', '.join(missing)}.")
    return Subject("SmolLM2-135M-Instruct", graph, steers, neutral, bias, [*capability, *beside], tuple(notes))


def pronouns(sentences: Sequence[Sentence], condition: str) -> list[ChoiceRecord]:
    """Sentences up to the place of a pronoun, as choices between 'she' and 'he'.

    Parameters
    ----------
    sentences : sequence of Sentence
    condition : {"ambiguous", "unambiguous"}
        Whether the sentence says the person's gender: then its pronoun is right, else it follows the stereotype.

    Returns
    -------
    list of ChoiceRecord
        One for each sentence, asked in one order since no options are read out; ``set_id`` is the occupation or name.
    """
    found: list[ChoiceRecord] = []
    for i, sentence in enumerate(sentences):
        fitting = SHE_HE.index("she" if sentence.female else "he")
        clear = condition == "unambiguous"
        found.append(
            ChoiceRecord(
                id=f"{i}",
                prompt=sentence.text,
                options=SHE_HE,
                condition="unambiguous" if clear else "ambiguous",
                label=fitting if clear else None,
                pro=None if clear else fitting,
                group="women" if sentence.female else "men",
                target=sentence.unit,
                set_id=sentence.unit,
                orders="given",
            )
        )
    return found


def _prose() -> list[str]:
    return [*NEUTRAL["validation"], *NEUTRAL["test"]]


def _from_data(size: Size, seed: int, bias: list[Measure], capability: list[Measure]) -> list[str]:
    """Add what needs data sets; name those that were not found."""
    missing: list[str] = []
    for name, n in (("winobias_pairs", 120), ("blimp", 134), ("arc", 30)):
        try:
            records = load(name, limit=None if name == "blimp" else size.items(n), seed=seed)
        except FileError:
            missing.append(name)
            continue
        if name == "winobias_pairs":
            bias.append(StereotypePreference(cast("list[PairRecord]", list(records)), name="WinoBias pronouns"))
        elif name == "blimp":
            pairs = spread(cast("list[CapabilityRecord]", list(records)), size.items(n), seed)
            capability.append(Accuracy(pairs, name="BLiMP"))
        else:
            capability.append(Accuracy(cast("list[CapabilityRecord]", list(records)), name="ARC"))
    return missing


def spread(records: Sequence[CapabilityRecord], n: int, seed: int) -> list[CapabilityRecord]:
    """Draw as many of each task, by seed.

    Parameters
    ----------
    records : sequence of CapabilityRecord
    n : int
        In all, about.
    seed : int

    Returns
    -------
    list of CapabilityRecord
    """
    by_task: dict[str, list[CapabilityRecord]] = {}
    for record in records:
        by_task.setdefault(record.task, []).append(record)
    each, rng = max(1, round(n / len(by_task))), np.random.default_rng(seed)
    return [members[i] for members in by_task.values() for i in sorted(rng.permutation(len(members))[:each])]
