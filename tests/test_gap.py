"""The gap between two groups' log-odds, and the loss on texts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import levelhead as lh
import tiny
import words
from levelhead import Add, Steer
from levelhead.data.records import CapabilityRecord, ChoiceRecord
from levelhead.errors import InputError
from levelhead.metrics import LogOddsGap, TextLoss, TextPerplexity

STEER = Steer({"resid_post.1": Add(torch.linspace(-1, 1, 32))})
JOBS = {"doctor": "men", "person": "men", "nurse": "women"}


@pytest.fixture(scope="module")
def graph() -> Any:
    return lh.graph(tiny.ARCHITECTURES["llama"].model(), words.tokenizer())


def choices(**more: Any) -> list[ChoiceRecord]:
    texts = {"a": "the {} is", "b": "a {} smiles . the"}
    return [
        ChoiceRecord(
            id=f"{job}.{name}", prompt=text.format(job), options=("woman", "man"), target=job, group=group,
            condition="ambiguous", pro=0, orders="given", **more,
        )
        for job, group in JOBS.items()
        for name, text in texts.items()
    ]  # fmt: skip


def test_the_gap_is_the_difference_of_the_groups_means_over_targets(graph: Any) -> None:
    run = LogOddsGap(choices()).on(graph)
    for steer, reading in ((None, run()[0]), (STEER, run(STEER, (0.5, 1.0))[1])):
        odds: dict[str, list[float]] = {}
        for record in choices():
            with torch.no_grad():
                logits = graph.logits(graph.encode([record.prompt]), steer)[0, -1].log_softmax(-1)
            woman, man = (float(logits[words.VOCABULARY[word]]) for word in ("woman", "man"))
            odds.setdefault(record.target, []).append(woman - man)
        mean = {job: np.mean(each) for job, each in odds.items()}
        expected = (mean["doctor"] + mean["person"]) / 2 - mean["nurse"]
        assert reading.value == pytest.approx(abs(expected), abs=1e-5)
        assert reading.beside["men minus the other"] == pytest.approx(expected, abs=1e-5)
        assert reading.beside["level"] == pytest.approx(np.mean([v for each in odds.values() for v in each]), abs=1e-5)
    # Weights of items: leaving out one job's sentences leaves the other's mean.
    left = np.array([[0.0 if record.target == "person" else 1.0 for record in choices()]])
    assert float(reading.statistic(left)[0]) == pytest.approx(abs(mean["doctor"] - mean["nurse"]), abs=1e-5)
    # A draw without one of the groups has no gap, and says so without a warning.
    alone = np.array([[float(record.group == "men") for record in choices()]])
    assert np.isnan(reading.statistic(alone)[0])


def test_a_gap_needs_two_groups_and_two_options() -> None:
    with pytest.raises(InputError, match=r"found groups \['men'\]"):
        LogOddsGap([record for record in choices() if record.group == "men"])
    for more in ({"target": ""}, {"group": "women"}):
        strange = [replace(choices()[0], **more), *choices()[1:]]
        with pytest.raises(InputError, match=r"the record 'doctor\."):
            LogOddsGap(strange)


def test_loss_is_the_logarithm_of_perplexity(graph: Any) -> None:
    texts = [CapabilityRecord(id=str(i), task="t", prompt="the doctor is a person . " * (i + 1)) for i in range(3)]
    loss, perplexity = (measure(texts).on(graph)(STEER)[0].value for measure in (TextLoss, TextPerplexity))
    assert perplexity == pytest.approx(np.exp(loss)) and loss > 0
