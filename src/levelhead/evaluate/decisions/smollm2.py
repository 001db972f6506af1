"""SmolLM2-135M-Instruct: pronouns after occupations, stereotypes in sentences, and what it costs to level them."""

from __future__ import annotations

from typing import cast

import levelhead as lh
from levelhead.data import load
from levelhead.data.records import PairRecord
from levelhead.demo.options import Options as DemoOptions
from levelhead.demo.smollm2 import model
from levelhead.demo.smollm2.run import choose, fit, try_layers
from levelhead.demo.smollm2.sentences import contrast_sentences, named_sentences, occupation_sentences
from levelhead.errors import FileError
from levelhead.evaluate.decisions.capability import capabilities
from levelhead.evaluate.decisions.contrast import contrast_steers
from levelhead.evaluate.decisions.dso_smollm2 import EVERY, FEW_STEPS, STEPS, trained
from levelhead.evaluate.decisions.pronouns import pronouns
from levelhead.evaluate.subject import Options, Size, Subject
from levelhead.methods import RandomDirection
from levelhead.metrics.measures import Accuracy, Measure, OccupationBias, StereotypePreference

DSO, RANDOM = "DSO", "a random affine edit"
NOTES = (
    "The pronoun is taken from the model's next word after sentences such as 'I thanked the nurse because'.",
    "Occupations, templates and names of the sentences that are reported took no part in any fit, nor in choosing layers and "
    "settings; DSO's were chosen on validation occupations in validation templates.",
    "An accuracy counts a next word other than 'she' and 'he' as wrong.",
    "CAA and ITI are fitted on sentences about training occupations, ended by the stereotype's pronoun or the other, and act "
    "against the first; CAA's layer, ITI's alpha and the strength of both were chosen on validation sentences, at up to 5 points "
    "of the pronouns of named people.",
    f"'{RANDOM}' has the numbers of '{DSO}', permuted within each norm and with random signs.",
    "Adding one vector moves every sentence alike: it turns 'she' into 'he', and levels no pair of occupations.",
)


def subject(options: Options, size: Size) -> Subject:
    """Load SmolLM2, fit every method, and gather what is asked.

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
    ended = pronouns(occupation_sentences("train"), "ambiguous")
    steers |= contrast_steers(
        graph,
        ended,
        OccupationBias(pronouns(occupation_sentences("validation")[::2], "ambiguous")),
        Accuracy(pronouns(named_sentences("validation", every=6), "unambiguous")),
        sites=[site, "resid_post.14"],
        verbose=options.verbose,
    )
    steps = STEPS if size.share >= 1 else FEW_STEPS
    learned = trained(graph, steps=steps, seed=options.seed, verbose=options.verbose).steer_
    steers |= {DSO: learned, RANDOM: RandomDirection(random_state=options.seed).fit(learned)}
    people = named_sentences("test", every=EVERY * max(1, round(1 / size.share)))
    jobs = pronouns(occupation_sentences("test"), "ambiguous")
    bias: list[Measure] = [OccupationBias(jobs, name="pronoun of an occupation")]
    capability: list[Measure] = [Accuracy(pronouns(people, "unambiguous"), name="pronoun of a named person")]
    notes = [
        f"Mean differences act at {site}: the layer of the last third that the demo's search picks on validation occupations.",
        *NOTES,
    ]
    bias += _pairs(size, options.seed)
    kept, missing = capabilities(size.share, options.seed)
    missing = missing if len(bias) > 1 else ["winobias_pairs", *missing]
    if missing:
        notes.append(f"Left out, since their data were not found: {', '.join(missing)}.")
    random = {DSO: max(1, size.random // 4)}
    return Subject("SmolLM2-135M-Instruct", graph, steers, neutral, bias, [*capability, *kept], tuple(notes), random)


def _pairs(size: Size, seed: int) -> list[Measure]:
    """Stereotypes in sentences; nothing where the set was not found."""
    try:
        records = load("winobias_pairs", limit=size.items(120), seed=seed)
    except FileError:
        return []
    return [StereotypePreference(cast("list[PairRecord]", list(records)), name="WinoBias pronouns")]
