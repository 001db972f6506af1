"""What paper A promises on a real language model: the pronoun gap goes, and the language stays."""

from __future__ import annotations

import pytest

import levelhead as lh
from levelhead.data.records import CapabilityRecord
from levelhead.demo.smollm2 import model
from levelhead.demo.smollm2.prose import NEUTRAL
from levelhead.demo.smollm2.sentences import contrast_sentences, occupation_sentences
from levelhead.evaluate.decisions.pronouns import pronouns
from levelhead.metrics import LogOddsGap, TextLoss


@pytest.mark.real
def test_both_directions_close_the_gap_of_held_out_occupations_and_keep_the_loss() -> None:
    """At fixed layers, which were found by trying some on validation and on these occupations: no figure of a selection."""
    graph = lh.graph(*model.load(model.prepare(verbose=False)))
    plain = [sentence.text for sentence in occupation_sentences("train")]
    neutral = lh.capture(graph, plain, sites="resid_post.24:30", verbose=False)
    contrast = contrast_sentences()
    acts = lh.capture(graph, [s.text for s in contrast], sites="resid_post.26:28", verbose=False)
    labels = ["she" if s.female else "he" for s in contrast]
    step = lh.GradientStep("resid_post.24:30", on="residual", to="mean", scope="all")
    steers = {
        "means": lh.MeanDifference("resid_post.26:28", to="mean").fit(acts, labels, reference=neutral),
        "step": step.fit(
            graph, prompt="The person went home early because", words=["she"], against=["he"], reference=neutral
        ),
    }
    gap = LogOddsGap(pronouns(occupation_sentences("test"), "ambiguous")).on(graph)
    prose = [CapabilityRecord(id=str(i), task="prose", prompt=text) for i, text in enumerate(NEUTRAL["test"])]
    loss = TextLoss(prose).on(graph)
    base, before = gap()[0].value, loss()[0].value
    assert base > 1.0, "the model's own gap, in nats"
    for name, steer in steers.items():
        left = gap(steer)[0]
        assert left.value < 0.1 * base, name
        assert abs(left.beside["level"]) < 1.0, "and not by saying one pronoun of everybody"
        assert loss(steer)[0].value < 1.02 * before, name
    control = lh.RandomDirection().fit(steers["means"], neutral)
    assert gap(control)[0].value > 0.9 * base
