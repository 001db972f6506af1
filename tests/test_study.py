"""Studies on small models: figures by hand, resuming, refusals, the table and the picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import levelhead as lh
import tiny
import words
from levelhead import Add, MeanDifference, Steer
from levelhead.data.records import PairRecord, PromptRecord
from levelhead.errors import FileError, InputError, SiteError
from levelhead.metrics import Drift, StereotypePreference
from levelhead.metrics.statistics import interval, mean_of
from levelhead.study import Study, study
from levelhead.study.inputs import digest

VECTOR = torch.linspace(-1, 1, 32)
STEER = Steer({f"resid_post.{layer}": Add(VECTOR * (layer + 1)) for layer in range(3)})
PAIRS = [
    PairRecord(id=f"{who}{what}", set_id=what, pro=f"the {who} {what}", anti=f"the {other} {what}", extra={"who": who})
    for who, other in (("man", "woman"), ("doctor", "nurse"))
    for what in ("smiles ?", "is a person .", "was who", "yes no")
]
PROMPTS = [
    PromptRecord(id=text, prompt=text) for text in ("who smiles ?", "describe the person .", "is a doctor", "the")
]
BIAS, DRIFT = StereotypePreference(PAIRS), Drift(PROMPTS)


def graph(seed: int = 0) -> Any:
    return lh.graph(tiny.ARCHITECTURES["llama"].model(seed), words.tokenizer())


def run(out: Path, target: Any = None, methods: Any = STEER, **more: Any) -> Study:
    options: dict[str, Any] = {"bias": [BIAS], "capability": [DRIFT], "strengths": (0.5, 1), "draws": 99}
    return study(target or graph(), methods, out=out, verbose=False, **(options | more))


def same(one: Study, other: Study) -> None:
    for a, b in zip(one.rows, other.rows, strict=True):
        assert replace(a, seconds=0.0) == replace(b, seconds=0.0)


def test_each_row_is_the_measure_of_the_steer_cut_to_one_site(tmp_path: Path) -> None:
    target = graph()
    found = run(tmp_path, target)
    assert [(row.site, row.strength) for row in found.rows if row.measure == DRIFT.name] == [
        ("", 0.0), *((f"resid_post.{layer}", s) for layer in range(3) for s in (0.5, 1.0)),
    ]  # fmt: skip
    asked = BIAS.on(target)
    base = asked()[0].value
    for row in found.rows:
        if row.measure == BIAS.name and row.site:
            layer = int(row.site[-1])
            alone = Steer({row.site: Add(VECTOR * (layer + 1) * row.strength)})
            assert row.estimate.value == pytest.approx(asked(alone)[0].value, abs=1e-9)
            assert row.change.value == pytest.approx(row.estimate.value - base, abs=1e-9)
    last = next(
        row for row in found.rows if row.measure == DRIFT.name and row.site == "resid_post.2" and row.strength == 1
    )
    expected = interval(mean_of(_divergences(target)), [r.id for r in PROMPTS], draws=99, seed=0)
    assert last.estimate.value == pytest.approx(expected.value, rel=1e-4)
    assert (last.estimate.low, last.estimate.high) == pytest.approx((expected.low, expected.high), rel=1e-4)


def _divergences(target: Any) -> np.ndarray:
    """KL(steered || plain) of the next token, prompt by prompt, by hand."""
    found = []
    for record in PROMPTS:
        ids = torch.tensor([words.tokenizer()(record.prompt)["input_ids"]])
        hidden: list[Any] = []

        def shift(_: Any, __: Any, output: Any) -> Any:
            return (output[0] if isinstance(output, tuple) else output) + 3 * VECTOR

        with torch.no_grad():
            hidden.append(target.model(ids).logits[0, -1].double().log_softmax(-1))
            handle = target.model.model.layers[2].register_forward_hook(shift)
            hidden.append(target.model(ids).logits[0, -1].double().log_softmax(-1))
            handle.remove()
        found.append(float((hidden[1].exp() * (hidden[1] - hidden[0])).sum()))
    return np.array(found)


def test_a_finished_study_is_read_and_not_run_again(tmp_path: Path) -> None:
    target = graph()
    first = run(tmp_path, target)
    ran: list[int] = []
    handle = target.model.register_forward_pre_hook(lambda *_: ran.append(1))
    again = run(tmp_path, target)
    handle.remove()
    assert not ran and again.rows == first.rows
    same(Study.load(tmp_path), replace(first, rows=tuple(sorted(first.rows, key=lambda r: r.measure != BIAS.name))))


def test_sites_and_methods_may_be_added_later(tmp_path: Path) -> None:
    run(tmp_path / "a", sites="resid_post.1")
    grown = run(tmp_path / "a", methods={"steer": STEER, "other": -STEER}, capability=[])
    same(grown, run(tmp_path / "b", methods={"steer": STEER, "other": -STEER}, capability=[]))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"strengths": (0.5,)}, r"strengths is \[0.5, 1.0\] there, \[0.5\] here"),
        ({"seed": 1}, "seed is 0 there, 1 here"),
        ({"methods": STEER * 2}, "method 'steer' sha256"),
        ({"bias": [StereotypePreference(PAIRS[:-1])]}, "measure 'stereotype preference' items is 8 there, 7 here"),
        ({"bias": [StereotypePreference(PAIRS, wrap="chat")]}, "measure 'stereotype preference' sha256"),
        ({"bias": [DRIFT], "capability": [BIAS]}, "role is beside there, bias here"),
        ({"target": 1}, "model weights_sha256"),
    ],
)
def test_a_store_of_other_inputs_is_refused_and_left_as_it_is(
    store: Path, tmp_path: Path, more: dict[str, Any], says: str
) -> None:
    before = (store / "study.sqlite").read_bytes()
    if "target" in more:
        target = graph()
        with torch.no_grad():  # one number of the whole model
            target.model.lm_head.weight[5, 7] += 1e-3
        more = {"target": target}
    with pytest.raises(FileError, match=says):
        run(store, **more)
    assert (store / "study.sqlite").read_bytes() == before


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("store")
    run(home, sites="resid_post.0")
    return home


def test_a_method_is_fitted_at_each_site_of_activations_captured_once(tmp_path: Path) -> None:
    target = graph()
    labels = ["a", "b", "a", "b"]
    acts = lh.capture(target, [record.prompt for record in PROMPTS], "resid_post.*", verbose=False)
    found = run(tmp_path, target, MeanDifference(), acts=acts, labels=labels, sites="resid_post.1")
    assert found.methods == ["MeanDifference"]
    whole = run(tmp_path / "whole", target, MeanDifference().fit(acts, labels), sites="resid_post.1")
    assert [r.estimate for r in found.rows] == [r.estimate for r in whole.rows]
    with pytest.raises(FileError, match="method 'MeanDifference' sha256"):
        run(tmp_path, target, MeanDifference(), acts=acts, labels=["a", "a", "b", "b"], sites="resid_post.1")
    with pytest.raises(InputError, match="give acts= and labels="):
        run(tmp_path, target, MeanDifference())


def test_the_table_the_ranking_and_the_map(store: Path) -> None:
    found = Study.load(store)
    frame = found.frame()
    assert len(frame) == 6 and set(frame["layer"].dropna()) == {0} and (frame["seconds"] > 0).all()
    bias = frame[(frame["measure"] == BIAS.name) & (frame["method"] == "steer")]
    best = found.best(1)
    assert best["value"].iloc[0] == bias["value"].min() and list(best["site"]) == ["resid_post.0"]
    ax = found.plot(DRIFT.name)
    drawn = ax.images[0].get_array()
    assert drawn is not None
    expected = frame[(frame["measure"] == DRIFT.name) & (frame["method"] == "steer")]["change"]
    np.testing.assert_array_equal(np.asarray(drawn)[0], expected)
    with pytest.raises(InputError, match="no method 'ours'"):
        found.best(method="ours")


def test_what_cannot_be_used_is_refused_before_anything_runs(tmp_path: Path) -> None:
    for wrong, says in (
        ({"bias": []}, "measure of bias"),
        ({"strengths": [0]}, "at least one of them not 0"),
        ({"capability": [BIAS]}, "two measures"),
        ({"methods": {"none": STEER}}, "'none' is the name"),
        ({"methods": STEER * torch.ones(3)}, "one strength a row"),
        ({"workers": 0}, "workers >= 1"),
    ):
        with pytest.raises(InputError, match=says):
            run(tmp_path / "x", **wrong)
    with pytest.raises(SiteError, match=r"none of the sites 'z.0'"):
        run(tmp_path / "x", sites="z.0")
    assert not (tmp_path / "x").exists()


def test_digests_tell_values_apart_and_nothing_else() -> None:
    one = [1, "a", torch.tensor([1.0]), {"k": (1, 2)}, PAIRS[0], _half]
    assert digest(one) == digest([1, "a", torch.tensor([1.0]), {"k": [1, 2]}, replace(PAIRS[0]), _half])
    others = [["1", "a"], [1, "a"], [1.0, "a"], [[1], "a"], [1, ["a"]], torch.tensor([1, 2]), torch.tensor([[1, 2]])]
    others += [torch.tensor([1.0, 2.0]), {"a": 1}, {"a": None}, _half, _double, replace(PAIRS[0], id="x"), PAIRS[0]]
    others.append(replace(PAIRS[0], extra={"who": "all"}))
    assert len({digest(each) for each in others}) == len(others)


def _half(x: float) -> float:
    return x / 2


def _double(x: float) -> float:
    return x * 2
