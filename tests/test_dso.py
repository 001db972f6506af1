"""DSO from choices to a steer: it levels, stays close, is sparse, can be stopped and taken up, and says what is wrong."""

from __future__ import annotations

import json
import os
import signal
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

import levelhead as lh
import tiny
import words
from conftest import target_of
from levelhead.data.records import ChoiceRecord
from levelhead.errors import FallbackWarning, FileError, InputError
from levelhead.methods.dso import DSO
from levelhead.methods.dso.checkpoint import FILE
from levelhead.metrics.decisions import Choices, bias
from levelhead.testbed.records import choices, wrap
from levelhead.testbed.scene import Scene, sample
from levelhead.testbed.weights import load
from levelhead.testbed.world import SETTINGS

SUBJECTS = ("doctor", "nurse", "person", "user")
QUICK: dict[str, Any] = {"steps": 6, "batch": 8, "lr": 0.02, "validation": 0.25, "evaluate_every": 2, "patience": 99,
                         "checkpoint_every": 2, "kl": None}  # fmt: skip


def records() -> list[ChoiceRecord]:
    prompts = ("who is the {target} , the {{0}} or the {{1}} ?", "is the {target} a {{0}} or a {{1}} ?")
    return [
        ChoiceRecord(
            id=f"{target}{i}",
            prompt=prompt.format(target=target),
            options=("man", "woman"),
            pro=int(target == "nurse"),
            target=target,
        )
        for target in SUBJECTS
        for i, prompt in enumerate(prompts)
    ]


def llama() -> Any:
    return tiny.ARCHITECTURES["llama"].model()


def opinionated() -> Any:
    """A tiny model that often says one of the options, and leans by .6: sampling meets the rarer answer, too."""
    model = tiny.ARCHITECTURES["llama"].model(8)
    with torch.no_grad():
        rows = model.lm_head.weight
        spoken = words.ids_of("man woman")
        loud = 3 * rows[spoken].mean(0) + 0.4 * (rows[spoken] - rows[spoken].mean(0))
        rows.mul_(0.3)
        rows[spoken] = loud
    return model


def fitted(method: DSO, **options: Any) -> lh.Steer:
    with warnings.catch_warnings():
        # A few steps may find nothing that is better for occupations that a random model never saw.
        warnings.simplefilter("ignore", FallbackWarning)
        return method.fit(llama(), records(), processor=words.tokenizer(), verbose=False, **options)


def rows(method: DSO) -> list[dict[str, float]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in method.history_]


def dumped(steer: lh.Steer) -> list[torch.Tensor]:
    return [value for entry in steer for _, value in sorted(entry.edit.params.items())]


@pytest.mark.parametrize(("estimator", "steps"), [("exact", 30), ("reinforce", 30), ("ppo", 15)])
def test_it_levels_the_choices_that_it_is_trained_on(estimator: Any, steps: int) -> None:
    model = opinionated().requires_grad_(True).train()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    method = DSO(
        estimator=estimator,
        **{**QUICK, "validation": 0, "lr": 0.004, "steps": steps, "l1": 0, "samples": 8, "epochs": 2},
    )
    steer = method.fit(model, records(), processor=words.tokenizer(), verbose=False)
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())
    assert model.training and all(p.requires_grad and p.grad is None for p in model.parameters())
    asked = Choices(lh.graph(model.eval(), words.tokenizer()), records())
    before, half, after = (bias(found).pob_soft for found in asked(steer, [0, 0.5, 1]))
    assert after < half < before and after < 0.6 * before
    assert [str(site) for site in steer.sites] == ["ln1.0", "ln2.0", "ln1.1", "ln2.1", "ln1.2", "ln2.2"]
    assert {(entry.edit.kind, entry.scope) for entry in steer} == {("affine", "all")} and steer.strength == 1
    assert method.history_.frame()["step"].tolist() == list(range(steps + 1))
    assert not method.history_.frame()["weight"].any(), "kl=None bounds nothing"


@pytest.mark.slow
def test_the_testbed_is_levelled_for_people_whom_training_never_showed() -> None:
    """A doctor or a nurse? In a few seconds, without a cost in questions that the picture decides."""
    pytest.importorskip("PIL", reason="Pillow is not installed; run: pip install 'levelhead[data]'")
    bed = load()
    method = DSO(steps=14, batch=16, lr=0.03, validation=0, wrap=wrap)
    steer = method.fit(bed.graph, choices(_both(2, held_out=False), "job_choice"), verbose=False)
    asked = Choices(bed.graph, choices(_both(2, held_out=True), "job_choice"), wrap=wrap)
    before, after = (bias(found) for found in asked(steer, [0, 1]))
    assert before.pob_soft > 0.45 and after.pob_soft < 0.65 * before.pob_soft and after.answer_rate == 1
    clear = choices(sample(12, 5, roles=["doctor", "nurse", "chef"], held_out=True), "job_choice")
    assert Choices(bed.graph, clear, wrap=wrap)(steer)[0].right.mean() > 0.95


def _both(n: int, *, held_out: bool) -> list[Scene]:
    """People of every setting in which nothing shows what they do, each as a man and as a woman."""
    return [
        scene.counterfactual(gender=gender)
        for number, theme in enumerate(SETTINGS)
        for scene in sample(n, [3, number], roles=[theme.name], held_out=held_out)
        for gender in ("man", "woman")
    ]


def test_a_steer_of_zeros_is_the_model_as_it_is() -> None:
    """Of the best state before the first update; and a penalty that no gradient exceeds leaves every neuron alone."""
    method = DSO(**{**QUICK, "l1": 1e6})
    with pytest.warns(FallbackWarning, match="does nothing"):
        steer = method.fit(llama(), records(), processor=words.tokenizer(), verbose=False)
    assert method.untouched_ == 1 and not any(value.any() for value in dumped(steer))
    graph = lh.graph(llama(), words.tokenizer())
    batch = graph.encode(["who is the doctor", "a nurse"])
    assert torch.equal(graph.logits(batch, steer), graph.logits(batch))


def test_every_graph_trains_the_same_steer(adapter: str) -> None:
    steers = [
        DSO(**{**QUICK, "steps": 2, "validation": 0}).fit(
            target_of(name, "llama"), records(), ["who smiles ?"], words.tokenizer(), verbose=False
        )
        for name in ("transformers", adapter)
    ]
    for one, other in zip(*map(dumped, steers), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_a_run_that_was_stopped_goes_on_to_the_same_numbers(tmp_path: Path) -> None:
    for optimizer in ("adam", "sgd"):
        options = {**QUICK, "optimizer": optimizer, "estimator": "reinforce", "kl": 0.05, "limit": 0.5, "half_life": 4}
        whole = DSO(**options)
        steer = fitted(whole)
        fitted(DSO(**{**options, "steps": 3}), checkpoint=tmp_path / optimizer)
        resumed = DSO(**options)
        again = fitted(resumed, checkpoint=tmp_path / optimizer)
        assert rows(resumed) == rows(whole) and len(rows(whole)) == 7
        assert all(map(torch.equal, dumped(again), dumped(steer)))
        assert resumed.best_step_ == whole.best_step_


def test_the_last_checkpoint_outlives_a_crash(tmp_path: Path) -> None:
    calls: list[Any] = []
    patience = [3 * 3 * 8]

    def failing(record: ChoiceRecord, option: int | None, now: Any) -> float:
        calls.append(option)
        if len(calls) > patience[0]:
            raise KeyboardInterrupt
        return -1.0 if option is None else float(option)

    with pytest.raises(KeyboardInterrupt):
        fitted(DSO(**QUICK, reward=failing), checkpoint=tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [FILE]
    patience[0] = 10_000
    again = DSO(**QUICK, reward=failing)
    fitted(again, checkpoint=tmp_path)
    assert [row["step"] for row in again.history_] == list(range(7))
    assert len(calls) == (3 * 8 * 3 + 1) + 4 * 8 * 3, "four of six steps were left"


def test_a_foreign_or_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    fitted(DSO(**{**QUICK, "steps": 1}), checkpoint=tmp_path)
    with pytest.raises(FileError, match="other hyper-parameters, another model or other data"):
        fitted(DSO(**{**QUICK, "lr": 0.5}), checkpoint=tmp_path)
    with pytest.raises(FileError, match="its weights or the pictures are others"):
        DSO(**QUICK).fit(opinionated(), records(), processor=words.tokenizer(), checkpoint=tmp_path, verbose=False)
    whole = (tmp_path / FILE).read_bytes()
    flipped = bytearray(whole)
    flipped[-40] ^= 8
    for damaged in (whole[:200], bytes(flipped), b""):
        (tmp_path / FILE).write_bytes(damaged)
        with pytest.raises(FileError, match="is damaged"):
            fitted(DSO(**QUICK), checkpoint=tmp_path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that can be forked")
def test_a_run_that_was_killed_goes_on_to_the_same_numbers(tmp_path: Path) -> None:
    """kill -9 in the middle of the fourth step, while an unfinished checkpoint of another run lies about."""

    def published(record: ChoiceRecord, option: int | None, now: Any) -> float:
        calls.append(option)
        if len(calls) == deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        return -1.0 if option is None else float(option)

    calls: list[Any] = []
    deadly = 3 * 8 * 3 + 5
    (tmp_path / f".{FILE}.unfinished").write_bytes(b"half")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that forks and threads do not mix: none is used here
        child = os.fork()
    if child == 0:
        try:
            signal.alarm(120)
            torch.set_num_threads(1)
            fitted(DSO(**QUICK, reward=published), checkpoint=tmp_path)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    deadly = -1
    resumed, whole = DSO(**QUICK, reward=published), DSO(**QUICK, reward=published)
    again = fitted(resumed, checkpoint=tmp_path)
    assert len(calls) == 4 * 8 * 3, "two of six steps were on disk"
    steer = fitted(whole)
    assert rows(resumed) == rows(whole) and all(map(torch.equal, dumped(again), dumped(steer)))


def test_drift_is_held_to_its_target() -> None:
    """By the means over the last steps: multipliers swing about the target, and without a bound it is far beyond."""
    free = {**QUICK, "steps": 30, "lr": 0.01, "validation": 0, "l1": 0, "dual_rate": 0.5}
    ends = []
    for target in (None, 0.02):
        method = DSO(**{**free, "kl": target})
        neutral = ["describe the man", "who smiles ?", "yes no"]
        method.fit(llama(), records(), neutral, words.tokenizer(), verbose=False)
        ends.append(method.history_.frame()[["kl", "kl_neutral"]].tail(10).mean())
    assert (ends[1] < 0.05).all() and (ends[0] > 3 * ends[1]).all()


def test_drift_on_neutral_prompts_may_have_a_target_of_its_own() -> None:
    free = {**QUICK, "steps": 30, "lr": 0.01, "validation": 0, "l1": 0, "dual_rate": 0.5, "neutral_tokens": "every"}
    ends: list[float] = []
    for aside in (None, 0.002):
        method = DSO(**{**free, "kl": 1.0, "kl_neutral": aside})
        method.fit(llama(), records(), ["describe the man", "who smiles ?", "yes no"], words.tokenizer(), verbose=False)
        ends.append(float(method.history_.frame()["kl_neutral"].tail(10).mean()))
    assert ends[1] < 0.006 and ends[0] > 3 * ends[1]


def test_sparsity_follows_the_penalty_and_a_limit_is_kept() -> None:
    found = []
    for l1 in (0, 3e-3, 3e-2):
        method = DSO(**{**QUICK, "validation": 0, "l1": l1})
        fitted(method)
        found.append(method.untouched_)
    assert found[0] < found[1] < found[2]
    method = DSO(**{**QUICK, "validation": 0, "l1": 0}, limit=0.25)
    steer = fitted(method)
    touched = torch.cat([(e.edit.params["scale"] != 0) | (e.edit.params["shift"] != 0) for e in steer])
    assert (
        method.untouched_ == pytest.approx(1 - float(touched.double().mean())) and 0.2 < touched.double().mean() <= 0.25
    )


def test_it_stops_when_held_out_occupations_get_no_better() -> None:
    method = DSO(**{**QUICK, "steps": 50, "lr": 1e-7, "patience": 2})
    fitted(method)
    assert method.history_[-1]["step"] == 4 and len(method.validation_) == 1


@pytest.mark.parametrize("options", [("the man", "the woman"), ("the man is", "the woman", "person")])
def test_options_that_begin_alike_are_levelled_as_wholes(options: tuple[str, ...]) -> None:
    """Of three, each a side of its own: (3 max p - 1) / 2 falls, written out from the decisions' own log-probabilities."""
    model = opinionated()
    asked = [
        ChoiceRecord(id=job, prompt=f"is the {job} {{0}} or {{1}} ?", options=options, groups=options, target=job)
        for job in SUBJECTS
    ]
    method = DSO(**{**QUICK, "validation": 0, "lr": 0.005, "steps": 40, "l1": 0}, sides="groups")
    steer = method.fit(model, asked, processor=words.tokenizer(), verbose=False)
    uneven: list[float] = []
    for found in Choices(lh.graph(model, words.tokenizer()), asked)(steer, [0, 1]):
        each = found.logprobs.double().softmax(-1).mean(1)
        k = len(options)
        uneven.append(float((k * each.amax(1) - 1).mean() / (k - 1)))
    assert uneven[0] > 0.2 and uneven[1] < 0.75 * uneven[0]


def test_other_sites_pictures_and_a_users_reward(tmp_path: Path) -> None:
    """The reverse reward on a model that sees, at heads: the lean grows; the steer can be saved and loaded."""
    Image = pytest.importorskip("PIL.Image")
    model = tiny.ARCHITECTURES["llava"].model()
    seen = [ChoiceRecord(id=r.id, prompt=r.prompt, options=r.options, pro=r.pro, target=r.target,
                         image=Image.new("RGB", (28, 28), (9 * i, 80, 200))) for i, r in enumerate(records())]  # fmt: skip

    def pro(record: ChoiceRecord, option: int | None, now: Any) -> float:
        return float(option == record.pro)

    method = DSO("z.1.*", **{**QUICK, "steps": 15, "validation": 0, "lr": 0.1}, reward=pro)
    steer = method.fit(model, seen, (), words.llava(), verbose=False)
    asked = Choices(lh.graph(model, words.llava()), seen)
    before, after = (
        float(found.logprobs.exp()[range(len(seen)), :, found.pro].mean()) for found in asked(steer, [0, 1])
    )
    assert after > before + 0.1
    steer.save(tmp_path / "steer")
    assert json.loads((tmp_path / "steer" / "card.json").read_text())["method"]["params"]["reward"].endswith("pro")
    assert all(map(torch.equal, dumped(lh.load(tmp_path / "steer")), dumped(steer)))


@pytest.mark.parametrize("validation", [0, 0.25])
def test_a_loss_that_is_not_finite_ends_training_and_the_last_good_state_is_kept(
    validation: float, tmp_path: Path
) -> None:
    """Whether occupations are held out to choose it, or it is the last one whose answers could be read."""
    method = DSO(**{**QUICK, "optimizer": "sgd", "lr": 1e30, "checkpoint_every": 1, "validation": validation})
    with pytest.raises(InputError, match=r"is NaN or infinite.*lower lr"):
        fitted(method, checkpoint=tmp_path)
    assert method.best_step_ == 0 and method.untouched_ == 1
    assert (tmp_path / FILE).is_file() and method.history_[0]["step"] == 0


@pytest.mark.parametrize("validation", [0, 0.25])
def test_a_diverging_drift_ends_training_and_the_last_good_state_is_kept(validation: float) -> None:
    """Without held-out occupations, that is the last whose drift was no farther than one nat."""
    method = DSO(**{**QUICK, "steps": 40, "lr": 3, "kl": 1e-3, "dual_rate": 1e-9, "validation": validation})
    with pytest.raises(InputError, match="training diverges"):
        fitted(method)
    assert method.steer_.card["training"]["best_step"] == method.best_step_ < 10
    assert method.history_[method.best_step_ + 1]["kl"] <= 1 < method.history_[-1]["kl"]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"estimator": "dpo"}, "estimator must be one of"),
        ({"kl": 0}, "kl must be above 0, or None"),
        ({"limit": 2}, r"limit must be in \(0, 1\]"),
        ({"ema": 1}, r"ema must be in \[0, 1\)"),
        ({"batch": 0}, "batch must be at least 1"),
    ],
)
def test_hyper_parameters_out_of_range_are_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        DSO().set_params(**wrong).fit(None, [])
