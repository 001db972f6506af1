"""SmolLM2-135M-Instruct: the pronoun gap over occupations, and gender in what it says of people who are named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import levelhead as lh
from levelhead.capture import Activations
from levelhead.data import load, people_of, person_prompts
from levelhead.data.records import CapabilityRecord
from levelhead.demo.smollm2 import model
from levelhead.demo.smollm2.prose import NEUTRAL
from levelhead.demo.smollm2.sentences import (
    FEMALE_NAMES,
    MALE_NAMES,
    contrast_sentences,
    named_sentences,
    occupation_sentences,
    occupations,
)
from levelhead.errors import FileError
from levelhead.evaluate.decisions.capability import spread
from levelhead.evaluate.decisions.pronouns import pronouns
from levelhead.evaluate.mentions.at_occupations import at_occupations
from levelhead.evaluate.mentions.vectors import beside, trials
from levelhead.evaluate.subject import Options, Size, Subject
from levelhead.graph import Graph
from levelhead.metrics.measures import (
    Accuracy,
    Answers,
    Fluency,
    LogOddsGap,
    Measure,
    MentionRate,
    OccupationBias,
    SentimentGap,
    TextLoss,
)
from levelhead.steer import Steer

GAP, JOBS = "pronoun gap", "pronoun of an occupation"
NOTES = (
    "Directions are fitted on training words, occupations and templates; layers are chosen on validation occupations and "
    "templates, by the mean gap over resampled occupations, and all is reported on others. No steer may cost more than 2 % of the loss on other documents of WikiText-2.",
    "The data-set based vector: sentences that name a woman against sentences that name a man. The one-step vector: 'she' "
    "against 'he' after one sentence about 'the person'. Both are ablated to the mean of plain sentences about occupations.",
    "'Mean difference, gated' is that of typed occupations and writes at words for occupations alone, from layer 3 on: a probe "
    "of each token opens for them, and not for names.",
    "The gap is the mean log-odds of 'she' over 'he' after occupations in which most are women, minus that after those in "
    "which most are men. A steer that says 'she' of everybody has no gap: the bias of probabilities stands beside it.",
    "INLP's penalty is ten times scikit-learn's own (C=0.1): with that, its classifiers do not converge on these activations.",
    "Answers are about people who are named, and whom the model may well call 'she' or 'he': here a mention is no fault.",
)
LAYERS = range(24, 30)
SPANS = ((26, 28), (25, 28))


def subject(options: Options, size: Size) -> Subject:
    """Load SmolLM2, fit every method, select layers, and gather what is asked.

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
    contrast = contrast_sentences()
    labels = ["she" if sentence.female else "he" for sentence in contrast]
    groups = [sentence.unit for sentence in contrast]
    texts = [sentence.text for sentence in contrast]
    sites = f"resid_post.{LAYERS.start}:{LAYERS.stop}"
    acts = lh.capture(graph, texts, sites=sites, verbose=options.verbose)
    plain = [sentence.text for sentence in occupation_sentences("train")]
    neutral = lh.capture(graph, plain, sites=sites, verbose=options.verbose)
    means = lh.MeanDifference(sites, to="mean", positive="she").fit(acts, labels, reference=neutral)
    step = _one_step(graph, sites, neutral)
    documents, source = _documents(size)
    validation = pronouns(occupation_sentences("validation"), "ambiguous")
    gap = LogOddsGap(validation, name=GAP)
    prose = TextLoss(documents[0], pieces=max(6, size.items(6)), name=f"loss on {source}")
    found = {
        name: lh.select(
            graph,
            _placed(steer),
            gap,
            [prose],
            strengths=(0.75, 1.0),
            budget=0.02,
            tolerance=0.02,
            resamples=200,
            verbose=options.verbose,
        )
        for name, steer in (("mean difference", means), ("one step", step))
    }
    steers = {name: each.steer for name, each in found.items()}
    site = str(steers["mean difference"].sites[-1])
    steers |= {
        "mean difference, gated": at_occupations(graph),
        "CAA": lh.CAA(site, multiplier=-1.0, scope="all").fit(
            *(acts.rows([i for i, label in enumerate(labels) if label == side]) for side in ("she", "he"))
        ),
        "LEACE": lh.LEACE(site).fit(acts, labels, groups),
        "INLP": lh.INLP(site, C=0.1).fit(acts, labels, groups),
        "mean projection": lh.MeanProjection(site).fit(acts, labels, groups),
        "ITI": lh.ITI(f"z.{LAYERS.start}:{LAYERS.stop}.*", heads=16, alpha=5.0, toward="he").fit(
            lh.capture(graph, texts, sites=f"z.{LAYERS.start}:{LAYERS.stop}.*", verbose=options.verbose), labels, groups
        ),
    }
    bias, capability = _measures(size, options.seed)
    tables = {
        **{f"How '{name}' was selected": trials(each) for name, each in found.items()},
        "Cosine with the data-set based vector": beside(means, {"one step": step}),
    }
    notes = (
        NOTES if source != "prose" else (*NOTES, "WikiText-2 was not found: prose of levelhead's own stands for it.")
    )
    return Subject(
        "SmolLM2-135M-Instruct",
        graph,
        steers,
        neutral,
        bias,
        [*capability, TextLoss(documents[1], pieces=max(6, size.items(6)), name=f"loss on {source}")],
        notes,
        {"one step": size.random},
        tables,
        {GAP: gap, JOBS: OccupationBias(validation, name=JOBS)},
    )


def _one_step(graph: Graph, sites: str, neutral: Activations) -> Steer:
    """The gradient of 'she' against 'he' after one sentence, ablated to where sentences about occupations are."""
    method = lh.GradientStep(sites, on="residual", edit="ablate", to="mean", scope="all")
    prompt = "The person went home early because"
    return method.fit(graph, prompt=prompt, words=["she"], against=["he"], reference=neutral, verbose=False)


def _placed(steer: Steer) -> dict[str, Steer]:
    """A steer at each layer, and over some spans of layers."""
    found = {str(site): steer.only(site) for site in steer.sites}
    for first, stop in (*SPANS, (LAYERS.start, LAYERS.stop)):
        found[f"resid_post.{first}:{stop}"] = steer.only(f"resid_post.{first}:{stop}")
    return found


def _documents(size: Size) -> tuple[list[list[CapabilityRecord]], str]:
    """Documents to select on and others to report on, and what they are."""
    try:
        records = cast("list[CapabilityRecord]", list(load("wikitext")))
        return [records[0::2], records[1::2]], "WikiText-2"
    except FileError:
        parts: list[Sequence[str]] = [NEUTRAL["validation"], NEUTRAL["test"]]
        return [
            [CapabilityRecord(id=str(i), task="prose", prompt=text) for i, text in enumerate(part)] for part in parts
        ], "prose"


def _measures(size: Size, seed: int) -> tuple[list[Measure], list[Measure]]:
    jobs = pronouns(occupation_sentences("test"), "ambiguous")
    people = named_sentences("test", every=3 * max(1, round(1 / size.share)))
    named = people_of(
        {"woman": FEMALE_NAMES, "man": MALE_NAMES},
        [job.name for job in occupations("test")][: max(12, size.items(16))],
        seed=seed,
    )
    said = Answers(person_prompts(named, ["describe"]), max_new_tokens=32, seed=seed, wrap="chat", batch_size=32)
    bias: list[Measure] = [
        LogOddsGap(jobs, name=GAP),
        OccupationBias(jobs, name=JOBS),
        MentionRate(said, name="answers that mention gender"),
        SentimentGap(said, name="sentiment gap"),
    ]
    kept: list[Measure] = [
        Accuracy(pronouns(people, "unambiguous"), name="pronoun of a named person"),
    ]
    try:
        pairs = cast("list[CapabilityRecord]", list(load("blimp", limit=None, seed=seed)))
        kept.append(Accuracy(spread(pairs, size.items(134), seed), name="BLiMP"))
    except FileError:
        pass
    return bias, [*kept, Fluency(said, name="perplexity of answers")]
