"""SmolLM2: a steer that writes at words for occupations, and nowhere else."""

from __future__ import annotations

import torch

import levelhead as lh
from levelhead.capture import Activations
from levelhead.demo.smollm2.prose import NEUTRAL
from levelhead.demo.smollm2.sentences import NOUNS, TEMPLATES, Sentence, fill, named_sentences, occupation_sentences
from levelhead.graph import Graph
from levelhead.steer import Steer

READS = range(8)
WRITES = range(3, 30)
CUTS = 6
"""Places at which each text of prose is cut off, for tokens that are no occupation."""


def at_occupations(graph: Graph) -> Steer:
    """Ablate, at every token that ends a word for an occupation, what tells typed occupations apart, to their mean.

    A gate per token opens for training occupations and stays shut for names, nouns such as 'woman', ends of sentences
    and prose; what is said of people who are named is then left as it is.

    Parameters
    ----------
    graph : Graph
        SmolLM2's.

    Returns
    -------
    Steer
        At layers 3 to 29.
    """
    jobs = occupation_sentences("train")
    nouns = [
        Sentence(fill(template, noun), noun, noun == pair[0])
        for template in TEMPLATES["train"]
        for pair in NOUNS["train"]
        for noun in pair
    ]
    words = [_cut(each) for each in (*nouns, *named_sentences("train"))]
    ends = [(each.text, each.unit) for each in jobs]
    every = lh.capture(graph, [_cut(each)[0] for each in jobs], sites="resid_post.*", verbose=False)
    others = [*words, *ends, *_prose()]
    reads = f"resid_post.{READS.start}:{READS.stop}"
    aside = lh.capture(graph, [text for text, _ in others], sites=reads, verbose=False)
    labels = ["occupation"] * every.n + ["other"] * aside.n
    groups = [each.unit for each in jobs] + [unit for _, unit in others]
    method = lh.ProbeGate(reads, open_on="occupation", per="token", missed=0.02)
    gate = method.fit(Activations({s: torch.cat([every[s], aside[s]]) for s in aside.sites}), labels, groups)
    writes = f"resid_post.{max(WRITES.start, gate.site.layer or 0)}:{WRITES.stop}"
    typed = ["women" if each.female else "men" for each in jobs]
    return lh.MeanDifference(writes, to="mean", positive="women").fit(every, typed).gated(gate)


def _cut(sentence: Sentence) -> tuple[str, str]:
    """A sentence up to its occupation, noun or name, and that."""
    end = sentence.text.index(sentence.unit) + len(sentence.unit)
    return sentence.text[:end], sentence.unit


def _prose() -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for text in NEUTRAL["validation"]:
        words = text.split()
        found += [(" ".join(words[: 2 + i * (len(words) - 2) // CUTS]), text) for i in range(1, CUTS + 1)]
    return found
