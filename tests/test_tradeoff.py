"""Trade-offs: splits, choices, intervals, baselines; on a measure whose answers are known, and on small models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from zlib import crc32

import numpy as np
import pytest
import torch

import levelhead as lh
import tiny
import words
from levelhead import Add, Steer
from levelhead.data.records import CapabilityRecord, ChoiceRecord, PairRecord, PromptRecord
from levelhead.errors import InputError
from levelhead.metrics import (
    Accuracy,
    Drift,
    MentionRate,
    OccupationBias,
    Reading,
    StereotypePreference,
    TextPerplexity,
)
from levelhead.metrics.statistics import mean_of
from levelhead.tradeoff import FAIRNESS_PROMPT, Tradeoff, tradeoff
from levelhead.tradeoff.run import _cut
from levelhead.tradeoff.selection import _cost

VECTOR = torch.linspace(-1, 1, 32)
STEER = Steer({"resid_post.1": Add(VECTOR)})


@dataclass(frozen=True)
class Item:
    set_id: str
    target: str = ""


@dataclass(frozen=True)
class Known:
    """A measure that looks at a steer and not at a model: its value is a function of strength, with noise over items."""

    of: Any
    records: tuple[Item, ...] = tuple(Item(f"s{i // 2}", f"job{i // 2 % 4}") for i in range(80))
    name: str = "known"
    better: str = "lower"
    bounds: Any = field(default=(0.0, 1.0))
    chance: float = 0.0
    log: list[Any] = field(default_factory=list, compare=False)

    def clusters(self) -> list[str]:
        return [record.set_id for record in self.records]

    def part(self, keep: Sequence[bool]) -> Known:
        return replace(self, records=tuple(r for r, kept in zip(self.records, keep, strict=True) if kept))

    def on(self, graph: Any, prefix: str = "") -> Any:
        noise = np.array([(crc32(record.set_id.encode()) % 7 - 3) / 100 for record in self.records])

        def run(steer: Steer | None = None, strengths: Any = None, *, verbose: bool = False) -> list[Reading]:
            self.log.append((len(self.records), prefix, strengths))
            drawn = steer is not None and steer.card.get("method", {}).get("name") == "RandomDirection"
            own = 1.0 if steer is None else float(steer.strength)
            values = [0.0 if steer is None or drawn else own * float(s) for s in strengths or [0.0]]
            return [Reading(mean_of(self.of(s) + noise), len(noise)) for s in values]

        return run


def graph() -> Any:
    return lh.graph(tiny.ARCHITECTURES["llama"].model(), words.tokenizer())


def known(**more: Any) -> Tradeoff:
    """Bias falls by strength; capability holds to .6, and breaks down beyond."""
    options: dict[str, Any] = {"strengths": (0, 0.2, 0.4, 0.6, 0.8, 1.0), "random": 3, "verbose": False, "draws": 499}
    bias = Known(lambda s: 0.5 - 0.4 * s, name="bias")
    skill = Known(lambda s: 0.9 if s < 0.7 else 0.5, name="skill", better="higher", chance=0.25)
    return tradeoff(graph(), {"ours": STEER}, bias=[bias], capability=[skill], **(options | more))


# -- the result ----------------------------------------------------------------------------------------


def test_the_strength_is_the_least_bias_within_the_budget() -> None:
    result = known()
    assert result.chosen == {"ours": 0.6}
    assert known(budget=0.5).chosen == {"ours": 1.0}
    point = result.at("ours", 0.6)
    assert point.change.value == pytest.approx(-0.24) and point.change.low < -0.24 < point.change.high < 0
    assert point.estimate.low < point.estimate.value < point.estimate.high, "noise over sets"


def test_values_and_frontier_by_hand() -> None:
    result = known()
    curve = result.curve("ours")
    np.testing.assert_allclose(curve.bias - curve.bias[0], -0.4 * curve.strengths, atol=1e-12)
    row = result.summary().set_index("method").loc["ours"]
    assert row["tau"] == pytest.approx(-1.0) and row["strength"] == 0.6
    assert row["bias_at_budget"] == pytest.approx(curve.bias[3])
    base = result.at("none", 0.0, split="validation").estimate.value
    assert result.reference == (pytest.approx(1.25 * base), 0.25)
    ref, bias, skill = result.reference, curve.bias, curve.capability
    # Two boxes: the points of full skill, and the last one below them.
    area = (ref[0] - bias[3]) * (skill[0] - ref[1]) + (bias[3] - bias[5]) * (skill[5] - ref[1])
    assert row["hypervolume"] == pytest.approx(area / (ref[0] * (1 - ref[1])))


def test_the_pareto_set_is_what_nothing_beats() -> None:
    """At .8 the skill has gone already, and 1.0 has less bias for it."""
    found = known(baselines=["prompt"]).pareto()
    assert list(found["strength"]) == [1.0, 0.6] and set(found["method"]) == {"ours"}
    alone = tradeoff(graph(), STEER, bias=[Known(lambda s: s, name="b")], baselines=[], verbose=False, draws=99)
    with pytest.raises(InputError, match="no capability was measured"):
        alone.pareto()


def test_choosing_and_reporting_share_no_set() -> None:
    measure = Known(lambda s: s)
    first = _cut(measure, 0.4, "set", 0)
    chosen = {r.set_id for r, kept in zip(measure.records, first, strict=True) if kept}
    rest = {r.set_id for r, kept in zip(measure.records, first, strict=True) if not kept}
    assert not chosen & rest and len(chosen) == 16
    by_job = [
        sum(r.target == f"job{j}" for r, kept in zip(measure.records, first, strict=True) if kept) for j in range(4)
    ]
    assert by_job == [8, 8, 8, 8], "each occupation keeps its share"
    by_target = _cut(measure, 0.4, "target", 0)
    jobs = [
        {r.target for r, kept in zip(measure.records, by_target, strict=True) if kept == side} for side in (True, False)
    ]
    assert not jobs[0] & jobs[1] and all(jobs)
    assert _cut(measure, 0.4, "set", 0) == first != _cut(measure, 0.4, "set", 1)


def test_many_small_targets_are_cut_too() -> None:
    """A share of .4 of a single set rounds to none; over forty of them it is sixteen."""
    measure = Known(lambda s: s, tuple(Item(f"s{i}", f"job{i}") for i in range(40)))
    assert sum(_cut(measure, 0.4, "set", 0)) == 16


def test_random_directions_are_measured_on_the_reported_part_alone() -> None:
    bias = Known(lambda s: 0.5 - 0.4 * s, name="bias")
    result = tradeoff(graph(), STEER, bias=[bias], random=3, strengths=(0, 1), verbose=False, draws=99)
    drawn = [point for point in result.points if point.kind == "random"]
    assert {(p.split, p.strength) for p in drawn} == {("test", 1.0)} and {p.draw for p in drawn} == {0, 1, 2}
    row = result.summary().set_index("method").loc["3 random for steer"]
    assert row["bias: change"] == pytest.approx(0.0)
    part = {len(bias.records) * 2 // 5, len(bias.records) * 3 // 5}
    assert {n for n, _, _ in bias.log} == part
    assert [strengths for _, _, strengths in bias.log if strengths].count((1.0,)) == 2 + 3, "one call for all strengths"


def test_the_instruction_stands_before_everything() -> None:
    bias = Known(lambda s: 0.5, name="bias")
    tradeoff(graph(), STEER, bias=[bias], baselines=["prompt"], strengths=(0, 1), verbose=False, draws=99)
    assert [prefix for _, prefix, _ in bias.log if prefix] == [FAIRNESS_PROMPT] * 2


def test_a_measure_without_bounds_stands_beside_and_does_not_count() -> None:
    cost = Known(lambda s: 20 + 100 * s, name="perplexity", bounds=None)
    skill = Known(lambda s: 0.9, name="skill", better="higher")
    bias = Known(lambda s: 0.5 - 0.4 * s, name="bias")
    result = tradeoff(
        graph(), STEER, bias=[bias], capability=[skill, cost], random=1, strengths=(0, 1), verbose=False, draws=99
    )
    assert result.measures == {"bias": ["bias"], "capability": ["skill"], "beside": ["perplexity"]}
    assert result.chosen == {"steer": 1.0} and result.at("steer", 1.0, "perplexity").change.value == pytest.approx(100)


def test_with_no_strength_within_the_budget_none_is_chosen() -> None:
    skill = Known(lambda s: 0.9 - 0.5 * (s > 0), name="skill", better="higher")
    bias = Known(lambda s: 0.5 - 0.4 * s, name="bias")
    result = tradeoff(graph(), STEER, bias=[bias], capability=[skill], baselines=[], verbose=False, draws=99)
    assert result.chosen == {"steer": 0.0}
    assert "steer at 0" in str(result)


def test_frames_records_and_pictures_hold_every_point() -> None:
    import json

    result = known()
    frame = result.frame()
    assert len(frame) == len(result.points) == 2 * (2 * 7 + 3)
    assert set(frame["measure"]) == {"bias", "skill"}
    again = json.loads(json.dumps(result.record()))
    assert len(again["points"]) == len(frame) and again["chosen"] == {"ours": 0.6}
    back = Tradeoff.from_record(again)
    assert back.summary().equals(result.summary()) and back.chosen == result.chosen
    with pytest.raises(InputError, match="no record of a trade-off"):
        Tradeoff.from_record({"points": [{}]})
    ax = result.plot(title="x")
    assert ax.get_xlabel().startswith("bias") and ax.get_ylabel() == "skill"
    assert "ours" in [text.get_text() for text in ax.get_legend().get_texts()]


def test_what_cannot_be_run_is_refused_before_anything_runs() -> None:
    bias = Known(lambda s: s, name="bias")
    calls: list[tuple[str, dict[str, Any]]] = [
        ("needs a measure of bias", {"bias": []}),
        ("at least one steer", {"steers": {}}),
        ("name of a baseline", {"steers": {"none": STEER}}),
        ("unknown baseline 'luck'", {"baselines": ["luck"]}),
        ("at least one above 0", {"strengths": [0.0]}),
        ("at least one above 0", {"strengths": [float("nan"), 1.0]}),
        ("two measures are named 'bias'", {"capability": [bias]}),
        ("0 < validation < 1", {"validation": 1.0}),
    ]
    for match, change in calls:
        arguments: dict[str, Any] = {"steers": STEER, "bias": [bias], "verbose": False, **change}
        with pytest.raises(InputError, match=match):
            tradeoff(graph(), **arguments)
    assert bias.log == []
    one = Known(lambda s: s, (Item("a"), Item("a")), name="bias")
    with pytest.raises(InputError, match="too few to cut"):
        tradeoff(graph(), STEER, bias=[one], verbose=False)
    with pytest.raises(InputError, match=r"no point of 'ours' at strength 0\.3"):
        known().at("ours", 0.3)


# -- real measures on a small model --------------------------------------------------------------------


def choice(i: int, **fields: Any) -> ChoiceRecord:
    given = {"id": str(i), "prompt": "who is the doctor , the {0} or the {1} ?", "options": ("man", "woman")}
    return ChoiceRecord(**{**given, "target": f"job{i % 2}", "set_id": f"s{i // 2}", **fields})


def test_every_measure_runs_at_every_strength_and_leaves_the_model_as_it_was() -> None:
    wrapped = graph()
    texts = ["the doctor is a man .", "who is the nurse ? yes no .", "a woman smiles .", "the person is a doctor ."] * 4
    batch = wrapped.encode(texts[:2])
    before = wrapped.logits(batch).detach()
    measures = {
        "bias": [
            OccupationBias([choice(i, pro=i % 2, prompt=f"{'the ' * (i % 5)}who {{0}} or {{1}} ?") for i in range(20)]),
            StereotypePreference(
                [PairRecord(id=str(i), pro=texts[i], anti=texts[i + 1], set_id=str(i)) for i in range(12)]
            ),
            MentionRate([PromptRecord(id=str(i), prompt=text) for i, text in enumerate(texts)], max_new_tokens=4),
        ],
        "capability": [
            Accuracy([choice(i, label=i % 2, condition="unambiguous") for i in range(20)]),
            Accuracy(
                [
                    CapabilityRecord(id=str(i), task="t", prompt=text, options=("yes", "no"), label=i % 2)
                    for i, text in enumerate(texts)
                ],
                name="questions",
            ),
            TextPerplexity([CapabilityRecord(id=str(i), task="t", prompt=text) for i, text in enumerate(texts)]),
        ],
    }
    result = lh.tradeoff(
        wrapped, STEER, **measures, strengths=(0.5, 1.0), random=2, draws=99, verbose=False, prompt="no . "
    )
    assert wrapped.logits(batch).equal(before)
    assert len(result.points) == 6 * (2 * 4 + 2)
    for name in ("per-occupation bias", "accuracy", "questions", "perplexity"):
        measure = next(m for m in (*measures["bias"], *measures["capability"]) if m.name == name)
        alone = measure.part([not kept for kept in _cut(measure, 0.4, "set", 0)]).on(wrapped)(STEER)[0].value
        assert result.at("steer", 1.0, name).estimate.value == pytest.approx(alone, abs=1e-4), name
    assert result.facts["model"]["class"] == "LlamaForCausalLM"


def test_drift_is_the_divergence_of_the_next_word() -> None:
    wrapped = graph()
    texts = ["the doctor is", "who is the nurse ?", "a man smiles . the"]
    run = Drift([PromptRecord(id=str(i), prompt=text) for i, text in enumerate(texts)], batch_size=2).on(wrapped)
    expected = []
    for text in texts:
        batch = wrapped.encode([text])
        p, q = (wrapped.logits(batch, steer)[0, -1].detach().softmax(-1) for steer in (STEER, None))
        expected.append(float((p * (p / q).log()).sum()))
    zero, one = run(STEER, [0.0, 1.0])
    assert one.value == pytest.approx(np.mean(expected), rel=1e-3) and expected[0] > 1e-3
    assert zero.value == pytest.approx(0.0, abs=1e-6) and run()[0].value == pytest.approx(0.0, abs=1e-6)


def test_measures_need_records() -> None:
    for measure in (OccupationBias, Accuracy, StereotypePreference, TextPerplexity, MentionRate):
        with pytest.raises(InputError, match=f"{measure.__name__} needs records to ask; found none"):
            measure([])


# -- selecting -----------------------------------------------------------------------------------------


def selected(**more: Any) -> lh.Selection:
    """Of two candidates at three strengths: the stronger one costs a skill, and a perplexity."""
    strong = Steer({"resid_post.1": Add(VECTOR)}, strength=2.0)
    bias = Known(lambda s: 0.5 - 0.2 * s, name="bias")
    skill = Known(lambda s: 0.9 if s < 1.5 else 0.7, name="skill", better="higher")
    loss = Known(lambda s: 3.0 * (1 + 0.02 * s), name="loss", bounds=None)
    given: dict[str, Any] = {"strengths": (0.5, 1.0), "verbose": False, "limits": {"loss": 0.05}}
    bias = more.pop("bias", bias)
    feeble = Steer({"resid_post.1": Add(VECTOR)}, strength=0.1)
    return lh.select(
        graph(), {"feeble": feeble, "weak": STEER, "strong": strong}, bias, [skill, loss], **(given | more)
    )


def test_what_is_selected_does_most_within_every_limit() -> None:
    found = selected()
    # strong at .5 and weak at 1 do the same at the same cost; the weaker strength goes first.
    assert (found.name, found.strength, found.unsteered) == ("strong", 0.5, pytest.approx(0.5, abs=0.01))
    assert found.steer.strength == 1.0 and found.steer.card["selected"]["of"] == 6
    frame = found.frame().set_index(["candidate", "strength"])
    assert frame.loc[("strong", 1.0), "allowed"] == np.False_ and frame.loc[("strong", 1.0), "skill"] == pytest.approx(
        0.2, abs=0.01
    )
    assert frame.loc[("weak", 0.5), "loss"] == pytest.approx(0.01, abs=0.001), "relative, where there are no bounds"
    assert frame.loc["feeble", "allowed"].isna().all() and frame.loc["feeble", "loss"].isna().all(), (
        "it need not be asked"
    )
    assert selected(budget=0.3).strength == 1.0 and selected(budget=0.3).name == "strong"
    near = selected(tolerance=0.11)
    assert (near.name, near.strength) == ("weak", 0.5), "half as much is near enough, and costs less"


def test_costs_are_absolute_in_bounds_and_relative_without_unless_that_is_of_nothing() -> None:
    skill, drift = Known(lambda s: s, better="higher"), Known(lambda s: s, bounds=None)
    assert [_cost(skill, 0.7, 0.9), _cost(drift, 3.3, 3.0), _cost(drift, 0.3, 0.0)] == pytest.approx([0.2, 0.1, 0.3])


def test_measures_with_validation_items_of_their_own_are_reported_on_all_items() -> None:
    own = Known(lambda s: abs(s - 0.4), records=tuple(Item(f"v{i}", "job0") for i in range(20)), name="bias")
    found = known(chosen_on={"bias": own})
    assert found.chosen["ours"] == pytest.approx(0.4), "the items at hand would have had it at .6"
    assert found.at("ours", 0.4).items == 80 and found.at("ours", 0.4, split="validation").items == 20
    assert found.at("ours", 0.4, "skill").items < 80
    with pytest.raises(InputError, match=r"for \['typo'\]; the measures are \['bias', 'skill'\]"):
        known(chosen_on={"typo": own})


def test_random_directions_are_for_steers_that_are_there() -> None:
    with pytest.raises(InputError, match="random directions for 'typo' were asked for; the steers are ours"):
        known(random={"typo": 2})


def test_where_nothing_is_allowed_the_steer_is_a_no_op() -> None:
    found = selected(limits={"loss": 0.0001})
    assert (found.name, found.strength, found.steer.strength) == ("none", 0.0, 0.0) and len(found.trials) == 6


@dataclass(frozen=True)
class Cancelling(Known):
    """The size of a mean: half the clusters lean one way, half the other, so that strength 1 is level by chance alone."""

    def on(self, graph: Any, prefix: str = "") -> Any:
        signs = np.array([1.0 if int(record.set_id[1:]) % 2 else -1.0 for record in self.records])

        def run(steer: Steer | None = None, strengths: Any = None, *, verbose: bool = False) -> list[Reading]:
            own = 0.0 if steer is None else float(steer.strength)
            leans = [
                0.5 + 0 * signs if own == 0 else 0.02 + 0 * signs if own * s < 1 else 0.6 * signs
                for s in strengths or [0.0]
            ]
            means = [mean_of(lean) for lean in leans]
            return [Reading(lambda w, mean=mean: np.abs(mean(w)), len(signs)) for mean in means]

        return run


def test_a_gap_that_vanishes_by_chance_is_not_selected_where_resamples_judge() -> None:
    bias = Cancelling(lambda s: s, name="gap")
    given: dict[str, Any] = {"strengths": (0.5, 1.0), "verbose": False}
    by_value = lh.select(graph(), {"it": STEER}, bias, **given)
    steady = lh.select(graph(), {"it": STEER}, bias, resamples=200, **given)
    assert by_value.strength == 1.0 and by_value.frame()["bias"].min() == pytest.approx(0)
    assert steady.strength == 0.5 and steady.unsteered == pytest.approx(0.5)
    judged = steady.frame().set_index("strength")["resampled"]
    # The mean size of a mean of 40 clusters of +-.6: a normal's mean size, .6 * sqrt(2 / (40 pi)).
    assert judged[1.0] == pytest.approx(0.6 * np.sqrt(2 / (40 * np.pi)), rel=0.15) and judged[0.5] == pytest.approx(
        0.02
    )
    assert steady.frame().equals(lh.select(graph(), {"it": STEER}, bias, resamples=200, **given).frame())


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"resamples": -1}, "a number from 0; found -1"),
        ({"strengths": (0.0, 1.0)}, "strengths above 0"),
        ({"limits": {"speed": 0.1}}, "limits are by name"),
        ({"bias": Known(lambda s: s, name="skill", better="higher")}, "of which more is better"),
    ],
)
def test_bad_selections_say_so(more: dict[str, Any], expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        selected(**more)
