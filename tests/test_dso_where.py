"""Where a steer acts, by experiment: parts of it alone and left out, sparsity paths, probes before and after, training drawn."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import levelhead as lh
import tiny
import words
from conftest import model_of
from levelhead import Ablate, Add, Affine, Steer
from levelhead.data.records import ChoiceRecord
from levelhead.errors import FallbackWarning, InputError, SiteError
from levelhead.methods.dso import DSO, History
from levelhead.methods.dso.path import sparsity_path
from levelhead.metrics import OccupationBias, Reading
from levelhead.metrics.statistics import mean_of
from levelhead.probes.steered import probe_steered
from levelhead.restrict import Restrictions, restrict


def ones(number: float) -> Any:
    return torch.full((32,), float(number))


PARTED = Steer(
    {
        "ln1.0": Affine(ones(1), ones(2)),
        "ln2.0": Affine(ones(4), ones(8)),
        "ln1.1": Affine(scale=ones(16)),
        "ln2.1": Affine(shift=ones(32)),
        "ln1.2": Affine(ones(64), ones(128)),
    }
)
"""Every number is a power of two, so that a sum says what it is of."""


@dataclass(frozen=True)
class Sum:
    """A measure that gives the sum of a steer's numbers, with noise over items; it can fail on demand."""

    name: str = "sum"
    better: Any = "lower"
    bounds: Any = None
    chance: float = 0.0
    records: Sequence[Any] = tuple(range(20))
    fails_on: float | None = None
    error: type[BaseException] = ValueError
    log: list[Any] = field(default_factory=list, compare=False)

    def clusters(self) -> list[str]:
        return [str(record) for record in self.records]

    def part(self, keep: Sequence[bool]) -> Sum:
        return replace(self, records=[r for r, kept in zip(self.records, keep, strict=True) if kept])

    def on(self, graph: Any, prefix: str = "") -> Any:
        self.log.append("encoded")

        def run(steer: Steer | None = None, strengths: Any = None, *, verbose: bool = False) -> list[Reading]:
            value = 0.0 if steer is None else sum(float(p[0]) for e in steer for p in e.edit.params.values())
            self.log.append(value)
            if value == self.fails_on:
                raise self.error("no luck")
            return [Reading(mean_of(value + np.sin(np.arange(20.0))), 20)]

        return run


def table(result: Restrictions) -> dict[tuple[str, str, str], float]:
    frame = result.frame()
    keys = zip(frame["by"], frame["part"], frame["keep"], strict=True)
    return dict(zip(keys, frame["change"].round(6), strict=True))


# -- parts of a steer ----------------------------------------------------------------------------------


def test_parts_alone_and_left_out_by_layer_component_and_part() -> None:
    measure = Sum()
    result = restrict(
        model_of("llama"), PARTED, measure, by=("layer", "component", "part", "site"), draws=99, verbose=False
    )
    found = table(result)
    whole = 255.0
    assert found["", "", "none"] == 0 and found["", "", "all"] == whole
    wanted = {
        ("layer", "0"): 15, ("layer", "1"): 48, ("layer", "2"): 192,
        ("component", "ln1"): 211, ("component", "ln2"): 44,
        ("part", "scale"): 1 + 4 + 16 + 64, ("part", "shift"): 2 + 8 + 32 + 128,
        ("site", "ln1.0"): 3, ("site", "ln2.0"): 12, ("site", "ln1.1"): 16, ("site", "ln2.1"): 32, ("site", "ln1.2"): 192,
    }  # fmt: skip
    for (by, part), value in wanted.items():
        assert found[by, part, "only"] == value and found[by, part, "without"] == whole - value
    assert len(found) == 2 + 2 * len(wanted)
    assert len(measure.log) == len(set(measure.log)), "nothing is encoded or run twice"
    row = next(row for row in result.rows if (row.part, row.keep) == ("1", "without"))
    # Noise is the same with and without the steer, so that it leaves the differences alone.
    assert (row.change.low, row.change.high) == pytest.approx((207, 207))
    assert row.lack.value == pytest.approx(-48) and row.estimate.low < row.estimate.value < row.estimate.high


def test_parts_of_your_own_one_way() -> None:
    own = {"early": "ln1.0:2", "late": ["ln1.2", "ln2.1"]}
    found = table(restrict(model_of("llama"), PARTED, Sum(), own, "without", verbose=False))
    assert found["own", "early", "without"] == 255 - 19 and found["own", "late", "without"] == 255 - 224
    assert {keep for *_, keep in found} == {"none", "all", "without"}
    alone = Steer({"ln1.0": Affine(ones(1))})
    assert table(restrict(model_of("llama"), alone, Sum(), verbose=False))["layer", "0", "without"] == 0


def test_what_was_found_outlives_a_failure() -> None:
    good, bad = Sum("good"), Sum("bad", fails_on=48.0)
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error) as caught:
            restrict(model_of("llama"), PARTED, [good, replace(bad, error=error)], keep="only", verbose=False)
        partial: Any = caught.value.partial  # pyright: ignore[reportAttributeAccessIssue]
        assert [(row.measure, row.part) for row in partial.rows][-4:] == [
            ("good", "2"),
            ("bad", ""),
            ("bad", ""),
            ("bad", "0"),
        ]
    frame = restrict(model_of("llama"), PARTED, [bad, good], keep="only", on_error="note", verbose=False).frame()
    assert len(frame) == 10 and frame["note"].tolist().count("ValueError: no luck") == 1
    failed = frame[frame["note"] != ""].iloc[0]
    assert (failed["measure"], failed["part"]) == ("bad", "1") and np.isnan(failed["value"])


def test_a_part_is_measured_as_a_steer_made_by_hand() -> None:
    asked = OccupationBias(records(), name="bias")
    graph = lh.graph(model_of("llama"), words.tokenizer())
    whole = Steer(
        {f"{norm}.{i}": Affine(0.3 * ones(1), 0.2 * drawn(i)) for i in range(3) for norm in ("ln1", "ln2")},
        strength=0.5,
    )
    found = restrict(graph, whole, asked, by=("component", "part"), keep="only", draws=99, verbose=False).frame()
    by_hand = {
        "ln2": Steer({f"ln2.{i}": Affine(0.3 * ones(1), 0.2 * drawn(i)) for i in range(3)}, strength=0.5),
        "shift": Steer({f"{n}.{i}": Affine(shift=0.1 * drawn(i)) for i in range(3) for n in ("ln1", "ln2")}),
    }
    for part, steer in by_hand.items():
        value = asked.on(graph)(steer)[0].value
        assert float(found["value"][found["part"] == part].iloc[0]) == pytest.approx(value, abs=1e-5)


def drawn(seed: int) -> Any:
    return torch.randn(32, generator=torch.Generator().manual_seed(seed))


def test_parts_that_make_no_sense_are_refused() -> None:
    model = model_of("llama")
    with pytest.raises(InputError, match="this steer has add edits"):
        restrict(model, Steer({"ln1.0": Add(ones(1))}), Sum(), by="part", verbose=False)
    with pytest.raises(InputError, match="name= of its own"):
        restrict(model, PARTED, [Sum(), Sum()], verbose=False)
    with pytest.raises(SiteError, match="names none of this steer's sites"):
        restrict(model, PARTED, Sum(), {"late": "ln1.9"}, verbose=False)
    with pytest.raises(InputError, match="no numbers of 'other'"):
        lh.plots.restriction_chart(Restrictions(()), measure="other")


def test_the_picture_of_restrictions_shows_each_value() -> None:
    pytest.importorskip("matplotlib")
    result = restrict(model_of("llama"), PARTED, Sum(), verbose=False)
    ax = result.plot()
    shown = sorted(x for bar in ax.containers for x in bar.lines[0].get_xdata())
    frame = result.frame()
    np.testing.assert_allclose(shown, sorted(frame["value"][frame["part"] != ""]))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["layer 0", "layer 1", "layer 2"]


# -- probes before and after ---------------------------------------------------------------------------

SAID = [
    (f"the {who} {a} {b} .", who, a)
    for who in ("man", "woman")
    for a in ("smiles", "is", "was", "who", "describe", "no", "yes", "the", "a", "user")
    for b in ("doctor", "nurse", "person")
]
TEXTS, LABELS, GROUPS = (list(each) for each in zip(*SAID, strict=True))
SWEEP = lh.ProbeSweep(cv=4, n_controls=3, verbose=False)


def probed(steer: Steer, sites: Any = ("resid_post.*",)) -> Any:
    graph = lh.graph(model_of("llama"), words.tokenizer())
    return probe_steered(graph, TEXTS, LABELS, steer, sites, groups=GROUPS, sweep=SWEEP, verbose=False)


def test_what_is_erased_what_is_turned_over_and_what_is_left() -> None:
    """Minus the activation keeps all of it, and turns what the old probes read upside down; zero keeps nothing."""
    nothing = probed(Steer({"resid_post.1": Affine(-0.5 * ones(1))}, strength=0)).frame()
    assert (nothing[["change", "change_low", "change_high", "old_change_low", "old_change_high"]] == 0).all(axis=None)
    assert nothing["before"].max() > 0.8, "there is something to read"
    turned = probed(Steer({"resid_post.1": Affine(-2 * ones(1))})).frame().set_index("site")
    row = turned.loc["resid_post.1"]
    assert row["change"] == pytest.approx(0, abs=1e-6) and row["old"] == pytest.approx(1 - row["before"])
    assert row["old_change_high"] < 0 and turned.loc["resid_post.0", "old_change"] == 0
    gone = probed(Steer({"resid_post.1": Affine(-1 * ones(1))})).frame().set_index("site")
    assert gone.loc["resid_post.1", "after"] == gone.loc["resid_post.1", "old"] == 0.5
    assert gone.loc["resid_post.1", "change_high"] < 0 and gone.loc["resid_post.0", "change"] == 0


def test_old_probes_are_those_of_scikit_learn_fitted_without_the_person() -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    metrics = pytest.importorskip("sklearn.metrics")
    steer = Steer({"resid_post.0": Ablate(drawn(0))})
    result = probed(steer, ("resid_post.1", "z.1.*"))
    graph = lh.graph(model_of("llama"), words.tokenizer())
    for site in ("resid_post.1", "z.1.2"):
        old, new = (
            lh.capture(graph, TEXTS, site, steer=each, verbose=False)[site].double().numpy() for each in (None, steer)
        )
        y, folds = np.array(LABELS) == "woman", result.before.folds_
        area = pairs = 0.0
        for fold in range(4):
            probe = linear.LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000).fit(
                old[folds != fold], y[folds != fold]
            )
            here = y[folds == fold]
            weight = here.sum() * (~here).sum()
            area += weight * metrics.roc_auc_score(here, probe.decision_function(new[folds == fold]))
            pairs += weight
        frame = result.frame().set_index("site")
        assert frame.loc[site, "old"] == pytest.approx(area / pairs, abs=5e-3)
        assert frame.loc[site, "old_change"] == pytest.approx(area / pairs - frame.loc[site, "before"], abs=5e-3)


def test_both_sweeps_need_the_same_folds_and_examples() -> None:
    graph = lh.graph(model_of("llama"), words.tokenizer())
    steer = Steer({"resid_post.0": Add(ones(1))})
    with pytest.raises(InputError, match="whose random_state is a number"):
        probe_steered(graph, TEXTS, LABELS, steer, sweep=lh.ProbeSweep(random_state=None), verbose=False)
    with pytest.raises(InputError, match="keeps several tokens"):
        probe_steered(graph, TEXTS, LABELS, steer, "resid_post.1", "all", verbose=False)


def test_the_picture_of_probes_has_its_three_lines() -> None:
    pytest.importorskip("matplotlib")
    result = probed(Steer({"resid_post.1": Affine(-2 * ones(1))}), ("resid_post.*", "z.*.*"))
    frame = result.frame()
    lines = {str(line.get_label()): line.get_ydata() for line in result.plot().lines}
    whole = frame[frame["component"] == "resid_post"]
    np.testing.assert_allclose(lines["steered, read by the probes from before"], whole["old"])
    best = frame[frame["component"] == "z"].groupby("layer")["before"].max()
    heads = {str(line.get_label()): line.get_ydata() for line in result.plot(component="z").lines}
    np.testing.assert_allclose(heads["unsteered"], best)
    with pytest.raises(SiteError, match="component 'mlp_out' was asked for"):
        result.plot(component="mlp_out")


# -- training ------------------------------------------------------------------------------------------

QUICK: dict[str, Any] = {"steps": 4, "batch": 8, "lr": 0.02, "validation": 0.25, "evaluate_every": 2, "kl": None}


def records() -> list[ChoiceRecord]:
    prompts = ("who is the {target} , the {{0}} or the {{1}} ?", "is the {target} a {{0}} or a {{1}} ?")
    return [
        ChoiceRecord(id=f"{target}{i}", prompt=prompt.format(target=target), options=("man", "woman"),
                     pro=int(target == "nurse"), target=target)
        for target in ("doctor", "nurse", "person", "user")
        for i, prompt in enumerate(prompts)
    ]  # fmt: skip


def same(one: Steer, other: Steer) -> bool:
    return all(a.site == b.site and a.edit == b.edit for a, b in zip(one, other, strict=True))


def test_a_path_is_runs_of_their_own_and_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    calls: list[Any] = []

    def pro(record: ChoiceRecord, option: int | None, now: Any) -> float:
        calls.append(option)
        return float(option == record.pro)

    model, tokenizer = tiny.ARCHITECTURES["llama"].model(), words.tokenizer()
    method = DSO(**QUICK, reward=pro)
    given: dict[str, Any] = {"processor": tokenizer, "verbose": False, "checkpoint": tmp_path}
    found = sparsity_path(method, model, records(), l1=[1e6, 0, 3e-3], **given)
    assert [run.l1 for run in found.runs] == [0, 3e-3, 1e6] and method.l1 == 1e-4 and not hasattr(method, "steer_")
    untouched = [run.untouched for run in found.runs]
    assert untouched == sorted(untouched) and untouched[-1] == 1
    alone = DSO(**QUICK, reward=pro, l1=3e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FallbackWarning)
        steer = alone.fit(model, records(), processor=tokenizer, verbose=False)
    run = found.runs[1]
    assert same(run.steer, steer) and same(found.steers[3e-3], steer)
    at_best = next(row for row in alone.history_ if row["step"] == alone.best_step_)
    assert run.bias == at_best["validation_bias"] and run.before == alone.history_[0]["validation_bias"]
    before = len(calls)
    again = sparsity_path(method, model, records(), l1=[0, 3e-3], **given)
    assert len(calls) == before and all(map(same, again.steers.values(), found.steers.values()))
    assert list(found.frame()["untouched"]) == untouched and found.held_out == tuple(alone.validation_)
    ax = found.plot()
    np.testing.assert_allclose(ax.lines[0].get_xdata(), [100 * each for each in untouched])


def test_a_run_that_fails_is_noted_and_the_others_go_on() -> None:
    method = DSO(**{**QUICK, "optimizer": "sgd", "lr": 1e30})
    found = sparsity_path(
        method, tiny.ARCHITECTURES["llama"].model(), records(), l1=[0, 1e6], processor=words.tokenizer(), verbose=False
    )
    assert len(found.runs) == 2 and "is NaN or infinite" in found.runs[0].note and found.runs[0].untouched == 1
    with pytest.raises(InputError, match="different weights of the penalty"):
        sparsity_path(method, None, [], l1=[0.1, 0.1])
    with pytest.raises(InputError, match="lr must be above 0"):
        sparsity_path(DSO(lr=0), model_of("llama"), records(), l1=[0.1], processor=words.tokenizer(), verbose=False)


def test_a_history_is_drawn_with_all_that_it_holds() -> None:
    pytest.importorskip("matplotlib")
    rows = History(
        [
            {"step": 0.0, "bias": 0.6, "validation_bias": 0.5, "untouched": 1.0, "seconds": 0.0},
            {"step": 1.0, "bias": 0.4, "reward": -0.5, "kl": 0.01, "answered": 0.9, "untouched": 0.7},
            {
                "step": 2.0,
                "bias": 0.2,
                "reward": -0.1,
                "kl": 0.03,
                "validation_bias": 0.3,
                "answered": 1.0,
                "untouched": 0.4,
            },
        ]
    )
    axes = rows.plot(kl=0.05, best=2)
    drawn = [{str(line.get_label()): list(line.get_ydata()) for line in ax.lines} for ax in axes]
    assert drawn[0]["bias, in training"] == [0.6, 0.4, 0.2] and drawn[0]["bias, held out"] == [0.5, 0.3]
    assert drawn[0]["reward"] == [-0.5, -0.1] and drawn[1]["choices"] == [0.01, 0.03]
    assert drawn[1]["largest drift allowed"] == [0.05, 0.05] and "neutral" not in drawn[1]
    assert drawn[2]["answered"] == [0.9, 1.0] and drawn[2]["neurons untouched"] == [1.0, 0.7, 0.4]
    with pytest.raises(InputError, match="a history of no updates"):
        History(rows[:1]).plot()
