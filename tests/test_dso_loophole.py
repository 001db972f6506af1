"""The loophole in DSO's published reward: answers that are none earn as much as levelling does, unless `invalid` says otherwise."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import levelhead as lh
import tiny
import words
from levelhead.data.records import ChoiceRecord
from levelhead.methods.dso import DSO
from levelhead.metrics.decisions import Choices, bias
from levelhead.testbed import load, sample
from levelhead.testbed.records import choices, wrap
from levelhead.testbed.world import SETTINGS

CLOSED, OPEN = -1, 1


def asked(*options: str, unknown: int | None = None) -> list[ChoiceRecord]:
    return [
        ChoiceRecord(id=job, prompt=f"who is the {job} ?", options=options, unknown=unknown, pro=0, target=job)
        for job in ("doctor", "nurse", "user")
    ]


def chances(invalid: float, records: list[ChoiceRecord]) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean probabilities of the options before and after some steps, on a model that knows nothing."""
    model = tiny.ARCHITECTURES["llama"].model()
    method = DSO(invalid=invalid, steps=12, batch=6, lr=0.02, kl=None, l1=0, validation=0)
    steer = method.fit(model, records, processor=words.tokenizer(), verbose=False)
    found = Choices(lh.graph(model, words.tokenizer()), records)(steer, [0, 1])
    before, after = (each.logprobs.exp().mean((0, 1)) for each in found)
    return before, after


def test_other_words_are_said_instead_with_the_loophole_open_and_not_with_it_closed() -> None:
    records = asked("man", "woman")
    before, opened = (each.sum() for each in chances(OPEN, records))
    _, closed = (each.sum() for each in chances(CLOSED, records))
    assert opened < 0.5 * before and closed > 1.2 * before


def test_an_option_that_says_it_cannot_be_known_is_worth_what_silence_is() -> None:
    """Among what is answered at all, since on such a model most of the rest is neither."""
    records = asked("man", "woman", "no", unknown=2)
    before, closed = chances(CLOSED, records)
    _, opened = chances(OPEN, records)
    share = [float(each[2] / each.sum()) for each in (before, opened, closed)]
    assert share[1] > 1.2 * share[0] and share[2] < share[0]


@pytest.mark.slow
@pytest.mark.parametrize("invalid", [OPEN, CLOSED])
def test_on_the_testbed_people_get_no_answer_or_a_level_one(invalid: float) -> None:
    """`benchmarks/dso_loophole.py` prints the figures."""
    pytest.importorskip("PIL", reason="Pillow is not installed; run: pip install 'levelhead[data]'")
    graph = load().graph
    method = DSO(invalid=invalid, steps=36, batch=16, lr=0.02, kl=None, l1=0, validation=0, wrap=wrap, random_state=1)
    steer = method.fit(graph, _undecided(4, held_out=False), verbose=False)
    before, after = map(bias, Choices(graph, _undecided(1, held_out=True), wrap=wrap)(steer, [0, 1]))
    assert before.answer_rate == 1 and before.pob_soft > 0.4
    if invalid == OPEN:
        assert after.answer_rate < 0.5 and after.mass < 0.5
    else:
        assert after.answer_rate > 0.95 and after.mass > 0.95 and after.pob_soft < 0.15


def _undecided(n: int, *, held_out: bool) -> list[Any]:
    scenes = [
        scene.counterfactual(gender=gender)
        for number, theme in enumerate(SETTINGS)
        for scene in sample(n, [int(held_out), number], roles=[theme.name], held_out=held_out)
        for gender in ("man", "woman")
    ]
    return choices(scenes, "job_choice")
