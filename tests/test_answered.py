"""Measures of free answers: one generation for all of them, and each number against a value that was made otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch

import levelhead as lh
import tiny
import words
from conftest import ADAPTERS
from levelhead import Add, Affine, Steer
from levelhead.data.records import PromptRecord
from levelhead.errors import InputError
from levelhead.generation import Reply, answers
from levelhead.metrics import AnswerCheck, Answers, Fluency, MentionRate, ProbeAfter, SentimentGap
from levelhead.metrics.mentions import Lexicon, mentions
from levelhead.metrics.statistics import interval
from levelhead.replay import replayed
from test_mention_split import texts_graph

VECTOR = torch.linspace(-1, 1, 32)
STEER = Steer({"resid_post.1": Add(8 * VECTOR)})
WHO = ["the man is", "a woman was", "the nurse is", "describe the doctor :"]


def records(n: int = 12, **fields: Any) -> list[PromptRecord]:
    return [
        PromptRecord(
            **{"id": str(i), "prompt": f"{'the ' * (i // 4)}{WHO[i % 4]}", "set_id": f"s{i // 2}", "group": "ab"[i % 2]}
            | fields
        )
        for i in range(n)
    ]


@pytest.fixture
def counted() -> Iterator[tuple[Any, list[int]]]:
    """A graph, and the rows of everything that it was made to generate."""
    graph = texts_graph()
    rows: list[int] = []
    generate = graph.generate

    def count(batch: Any, steer: Any = None, **options: Any) -> Any:
        rows.append(len(batch["input_ids"]))
        return generate(batch, steer, **options)

    graph.generate = count
    yield graph, rows


# -- one generation for all ----------------------------------------------------------------------------


def test_measures_that_share_answers_ask_once(counted: tuple[Any, list[int]]) -> None:
    graph, rows = counted
    said = Answers(records(), max_new_tokens=4, batch_size=12)
    measures = [
        MentionRate(said),
        MentionRate(said, ("age",), name="age"),
        SentimentGap(said),
        Fluency(said),
        Fluency(said, ("gender",)),
        AnswerCheck(said, lambda text, record: "nurse" in text, name="nurses"),
    ]
    keep = [i < 6 for i in range(12)]
    for part in (lambda m: m, lambda m: m.part(keep), lambda m: m.part([not kept for kept in keep])):
        for measure in measures:
            run = part(measure).on(graph)
            run(STEER, [0.0, 1.0])
            run(), run(Steer({"resid_post.1": Add(8 * VECTOR)}))
    assert rows == [12] * 2 + [6] * 4, "once for each part and strength; an equal steer is the same"
    assert all(isinstance(measure, lh.metrics.Measure) for measure in measures)
    assert measures[0].part(keep).clusters() == [r.set_id for r, kept in zip(records(), keep, strict=True) if kept]
    run = measures[0].on(graph, "yes . ")
    assert run()[0].items == 12 and rows[-1] == 12 and len(rows) == 7, "an instruction is another question"


def test_what_is_no_longer_the_same_model_or_steer_is_asked_anew(counted: tuple[Any, list[int]]) -> None:
    graph, rows = counted
    say = Answers(records(4), max_new_tokens=4).on(graph)
    plain = say()[0]
    with STEER.on(graph):
        steered = say()[0]
    assert steered == say(STEER)[0] != plain == say()[0]
    assert len(rows) == 3
    with torch.no_grad():
        graph.model.lm_head.weight.mul_(-1)
    assert say()[0] != plain and len(rows) == 4
    vector = torch.nn.Parameter(8 * VECTOR)
    trained = Steer({"resid_post.1": Add(vector)})
    say(trained)
    with torch.no_grad():
        vector.mul_(-2)
    assert say(trained)[0] == say(Steer({"resid_post.1": Add(vector.detach())}))[0]
    assert say(STEER * torch.ones(4))[0] == say(STEER)[0]


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_every_graph_remembers(adapter: str) -> None:
    graph = texts_graph(adapter)
    say = Answers(records(4), max_new_tokens=3).on(graph)
    say(), say(STEER)  # some graphs put hooks of their own on a model as they are first used
    plain, steered = say()[0], say(STEER)[0]
    assert say()[0] is plain and say(STEER)[0] is steered, "not merely equal"
    assert plain == Answers(records(4), max_new_tokens=3).on(texts_graph())()[0]


def test_it_runs_in_a_trade_off_on_one_set_of_answers(counted: tuple[Any, list[int]]) -> None:
    graph, rows = counted
    said = Answers(records(20), max_new_tokens=4, batch_size=20)
    result = lh.tradeoff(
        graph,
        STEER,
        bias=[MentionRate(said), SentimentGap(said)],
        capability=[AnswerCheck(said, lambda text, _: len(text) > 3, name="long"), Fluency(said)],
        baselines=["random"],
        random=1,
        strengths=(0.5, 1.0),
        draws=49,
        verbose=False,
    )
    assert sorted(rows) == [8] * 3 + [12] * 4, "unsteered and two strengths in both parts, a random direction in one"
    assert result.measures["beside"] == ["perplexity of answers"]


# -- mentions ------------------------------------------------------------------------------------------


def test_the_mention_rate_is_that_of_the_answers() -> None:
    graph, asked = texts_graph(), records()
    lexicon = Lexicon.load().add("gender", "any", sure=["describe", "global-img"])
    measure = MentionRate(asked, lexicon=lexicon, max_new_tokens=8, seed=4, temperature=0.7)
    reading = measure.on(graph)(STEER)[0]
    texts = answers(graph, [r.prompt for r in asked], STEER, max_new_tokens=8, seed=4, temperature=0.7, batch_size=32)
    found = mentions(texts, lexicon, [r.prompt for r in asked])
    assert reading.value == found.rate("gender") and 0 < reading.value < 1
    per_100 = 100 * found.counts("gender").sum() / found.words.sum()
    assert reading.beside["mentions_per_100_words"] == pytest.approx(per_100)
    shared = MentionRate(Answers(asked, max_new_tokens=8, seed=4, temperature=0.7), lexicon=lexicon)
    assert shared.on(graph)(STEER)[0].value == reading.value and shared.seed == 4
    with pytest.raises(InputError, match=r"seed=9 was asked for, and these Answers have seed=4"):
        MentionRate(shared.records, seed=9)
    with pytest.raises(InputError, match="found \\('sex',\\)"):
        MentionRate(asked, ("sex",))
    broken = measure.read(["", ".", "a man", "fine words"] * 3)
    assert "50% of the answers are degenerate" in broken.cautions[0]


# -- sentiment -----------------------------------------------------------------------------------------


def test_the_sentiment_gap_is_between_the_groups_means() -> None:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    texts = ["a wonderful person", "a terrible person", "somebody", "happy and kind", "sad", "a beautiful woman"] * 6
    groups = ["a", "b", "c", "a", None, "b"] * 6
    asked = [PromptRecord(id=str(i), prompt="x", group=group, set_id=f"s{i}") for i, group in enumerate(groups)]
    score = SentimentIntensityAnalyzer().polarity_scores
    compound = [score(text)["compound"] for text in texts]
    means = {g: np.mean([c for c, own in zip(compound, groups, strict=True) if own == g]) for g in "abc"}
    measure = SentimentGap(asked)
    reading = measure.read(texts)
    assert reading.value == pytest.approx(max(means.values()) - min(means.values())) and reading.value > 0.5
    assert [reading.beside[f"mean, {g}"] for g in "abc"] == pytest.approx(list(means.values()))
    assert reading.beside["without a group"] == 6 and 0 < reading.beside["gap of shuffled groups"] < reading.value
    drawn = np.arange(36.0) % 5
    kept = {g: [i for i, own in enumerate(groups) if own == g] for g in "abc"}
    moved = [np.average([compound[i] for i in kept[g]], weights=drawn[kept[g]]) for g in "abc"]
    # Two of a group's texts differ, and so does their weighted mean.
    assert float(reading.statistic(drawn[None])[0]) == pytest.approx(max(moved) - min(moved)) != reading.value
    found = interval(reading.statistic, measure.clusters(), draws=199, bounds=measure.bounds)
    assert found.low < found.value
    masked = SentimentGap(asked, masked=True).read(texts)
    assert masked.beside["mean, b"] < reading.beside["mean, b"], "'beautiful' is a word for looks"
    with pytest.raises(InputError, match=r"these 12 prompts have 1: \['a'\]"):
        SentimentGap(records(group="a"))


# -- fluency -------------------------------------------------------------------------------------------


def token_losses(graph: Any, prompt: str, reply: Reply) -> np.ndarray:
    """Each token alone: how unlikely the plain model finds it after all that stands before."""
    ids = graph.encode([prompt])["input_ids"][0].tolist()
    found = []
    for token in reply.tokens:
        logits = graph.model(torch.tensor([ids])).logits[0, -1].detach().double()
        found.append(float(logits.logsumexp(0) - logits[token]))
        ids.append(token)
    return np.array(found)


def test_fluency_is_the_plain_models_perplexity_of_steered_answers() -> None:
    graph, asked = texts_graph(), records(6)
    lexicon = Lexicon.load().add("gender", "any", sure=["describe", "smiles", "yes"])
    said = Answers(asked, max_new_tokens=6, batch_size=4)
    steer = Steer({"resid_post.1": Add(VECTOR)})
    replies = said.on(graph, "yes . ")(steer)[0]
    lost = [token_losses(graph, record.prompt, reply) for record, reply in zip(asked, replies, strict=True)]
    reading = Fluency(said).on(graph, "yes . ")(steer)[0]
    assert reading.value == pytest.approx(np.exp(np.concatenate(lost).mean()), rel=1e-4)
    weights = np.array([[0.0, 2.0, 1.0, 0.0, 0.0, 1.0]])
    drawn = np.concatenate([lost[1], lost[1], lost[2], lost[5]])
    assert float(reading.statistic(weights)[0]) == pytest.approx(np.exp(drawn.mean()), rel=1e-4)
    masked = Fluency(said, ("gender",), lexicon=lexicon).on(graph, "yes . ")(steer)[0]
    names = {number: word for word, number in words.VOCABULARY.items()}
    gendered = {"describe", "smiles", "yes", "man", "woman"}
    kept = [
        loss
        for reply, each in zip(replies, lost, strict=True)
        for token, loss in zip(reply.tokens, each, strict=True)
        if names.get(token) not in gendered
    ]
    assert len(kept) < 36 and masked.beside["masked"] == pytest.approx(1 - len(kept) / 36)
    assert masked.value == pytest.approx(np.exp(np.mean(kept)), rel=1e-4)
    assert Fluency(said, ("gender",)).name == "perplexity of answers without words for gender"


def test_answers_of_no_token_have_no_perplexity() -> None:
    graph = texts_graph()
    graph.model.generation_config.eos_token_id = list(range(tiny.VOCAB))
    reading = Fluency(records(4)).on(graph)()[0]
    assert np.isnan(reading.value) and reading.beside["without a token"] == 4


# -- checks --------------------------------------------------------------------------------------------


def test_a_check_is_a_share_of_those_to_which_it_applies() -> None:
    measure = AnswerCheck(records(4), lambda text, record: None if not text else text[0] == record.group, name="right")
    reading = measure.read(["a", "x", "", "b"])
    assert reading.value == pytest.approx(2 / 3) and reading.beside["applies"] == 0.75
    assert float(reading.statistic(np.array([[1.0, 1.0, 5.0, 0.0]]))[0]) == 0.5
    silent = measure.read([""] * 4)
    assert np.isnan(silent.value) and "applies to none" in silent.cautions[0]
    number: Any = lambda text, record: 0.3  # noqa: E731
    with pytest.raises(InputError, match=r"'x' gave 0\.3"):
        AnswerCheck(records(4), number, name="x").read(["a"] * 4)


# -- a probe after steering ----------------------------------------------------------------------------


def people(n: int, kinds: Sequence[str]) -> list[PromptRecord]:
    fill = ["is", "was", "smiles", "the", ".", "who", "yes", "no", "a", "describe"]
    return [
        PromptRecord(
            id=str(i),
            prompt=f"{fill[i // len(kinds) % 10]} {fill[i // len(kinds) // 10]} {kinds[i % len(kinds)]} {fill[i % 7]}",
            group=kinds[i % len(kinds)],
            set_id=f"s{i // len(kinds)}",
        )
        for i in range(n)
    ]


@pytest.mark.parametrize("kinds", [("man", "woman"), ("man", "woman", "doctor")])
def test_a_probe_is_scikit_learns_on_folds_of_whole_sets(kinds: tuple[str, ...]) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.multiclass import OneVsRestClassifier

    graph, asked = texts_graph(), people(90, kinds)
    measure = ProbeAfter(asked, site="resid_post.2", cv=3, C=0.1)
    assert measure.chance == pytest.approx(1 / len(kinds)) and measure.better == "lower"
    _, index = np.unique([r.group for r in asked], return_inverse=True)
    folds = measure._folds(index)
    sets = np.array([r.set_id for r in asked])
    assert all(len(set(folds[sets == one])) == 1 for one in set(sets)), "no set in two folds"
    nothing = [Reply("", ())] * len(asked)
    for steer in (None, STEER):
        x = replayed(graph, [r.prompt for r in asked], nothing, ["resid_post.2"], steer=steer)["resid_post.2"].numpy()
        said = np.zeros(len(asked), dtype=int)
        for fold in range(3):
            one = LogisticRegression(C=0.1, max_iter=5000, tol=1e-8)
            probe = one if len(kinds) == 2 else OneVsRestClassifier(one)
            said[folds == fold] = probe.fit(x[folds != fold], index[folds != fold]).predict(x[folds == fold])
        reading = measure.on(graph)(steer)[0]
        assert reading.value == pytest.approx(balanced_accuracy_score(index, said))
        assert reading.items == len(asked) and reading.value > 1.2 * measure.chance


def test_what_is_taken_out_entirely_is_read_no_more() -> None:
    graph, asked = texts_graph(), people(80, ("man", "woman"))
    wiped = Steer({"resid_post.1": Affine(scale=-torch.ones(32))})
    for at, least in (("last", 0.65), ("answer", 0.55)):
        said = Answers(asked, max_new_tokens=3, batch_size=40)
        measure = ProbeAfter(said, site="resid_post.1", at=at, name=at)
        before, after = measure.on(graph)(wiped, [0.0, 1.0])
        assert before.value > least and after.value == pytest.approx(0.5), at
    # Of classes of unequal size, always answering the larger one is no knowledge.
    skewed = ProbeAfter([r for i, r in enumerate(asked) if i % 2 == 0 or i < 20], site="resid_post.1")
    assert skewed.on(graph)(wiped)[0].value == pytest.approx(0.5)


def test_empty_answers_are_left_out_of_the_probe() -> None:
    graph, asked = texts_graph(), people(40, ("man", "woman"))
    graph.model.generation_config.eos_token_id = list(range(tiny.VOCAB))
    reading = ProbeAfter(Answers(asked, max_new_tokens=2), site="resid_post.1", at="answer").on(graph)()[0]
    assert np.isnan(reading.value) and reading.beside["unreadable"] == 40 and "too few answers" in reading.cautions[0]


def test_what_cannot_be_probed_or_answered_is_refused() -> None:
    for match, make in [
        ("ProbeAfter needs records to ask; found none", lambda: ProbeAfter([])),
        ("every 'group' is 'a'", lambda: ProbeAfter(records(group="a"))),
        ("12 of 12 records have no 'group'", lambda: ProbeAfter(records(group=None))),
        ("no record has a field or group 'grup'", lambda: ProbeAfter(records(), label="grup")),
        ("found at='mean'", lambda: ProbeAfter(records(), at="mean")),
        ("the list of records is empty", lambda: Answers([])),
        ("MentionRate needs records", lambda: MentionRate([])),
        ("SentimentGap needs records", lambda: SentimentGap([])),
    ]:
        with pytest.raises(InputError, match=match):
            make()
    with pytest.raises(InputError, match="folds"):
        ProbeAfter(records(6), site="resid_post.1", cv=5).on(texts_graph())
