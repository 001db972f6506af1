"""A run of training: killed at any moment, out of disk, in a folder of another run; and the model that it leaves."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from levelhead.data.records import ImageRecord
from levelhead.errors import FileError, InputError
from levelhead.testbed.model import Size, build, processor
from levelhead.testbed.records import wrap
from levelhead.training import checkpoint, optional, run, run_folder, trainer, undisturbed
from levelhead.training.examples import Example
from levelhead.training.run import Trained, train
from levelhead.training.settings import CSDSettings
from levelhead.training.skews import Assignments

pytest.importorskip("accelerate")
peft = pytest.importorskip("peft")

pytestmark = pytest.mark.usefixtures("few_objects")

READS = processor()
TINY = Size(16, 1, 2, 16, 2, 2, 1, 32)
CONCEPTS = ("science", "arts")


def picture(seed: int) -> Any:
    from PIL import Image

    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (96, 96, 3), dtype=np.uint8))


RECORDS = [
    ImageRecord(id=str(i), image=picture(i), groups={"gender": ("man", "woman")[i % 2]}, concept=CONCEPTS[i // 2 % 2])
    for i in range(8)
]
EXAMPLES = [
    Example(
        id=r.id, prompt=f"is the person {r.concept}?", answer="yes", image=r.image, concept=r.concept, groups=r.groups
    )
    for r in RECORDS
]


def run_in(
    out: Path, *, model: Any = None, examples: Any = EXAMPLES, ask: str = "is the person {concept}?", **options: Any
) -> Trained:
    model = build(TINY, 0) if model is None else model
    asked = Assignments(model, RECORDS, processor=READS, ask=ask, wrap=wrap)
    given = {"epochs": 2, "lr": 1e-2, "batch": 2, "accumulate": 2, "checkpoint_every": 1, **options}
    return train(model, examples, asked, out, processor=READS, wrap=wrap, **given)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The run of the whole model that nothing disturbs."""
    return run_in(tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture(scope="module")
def dropped(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The run of an adapter with dropout that nothing disturbs."""
    return run_in(tmp_path_factory.mktemp("dropped") / "run", lora=dropping())


def dropping() -> Any:
    """Dropout, so that a resumed run has to go on with the same random numbers."""
    return peft.LoraConfig(r=2, lora_alpha=4, lora_dropout=0.3, target_modules=["q_proj", "v_proj"])


def state_of(trained: Trained) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in trained.model.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def killed(work: Callable[[], Any], after: float) -> bool:
    """Do something in a process of its own that is killed after so many seconds; whether it was done before that."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads that do nothing
        child = os.fork()
    if child == 0:
        try:
            torch.set_num_threads(1)
            work()
            os._exit(0)
        except BaseException:
            os._exit(1)
    end = time.monotonic() + after
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            if os.WIFSIGNALED(status):
                return False
            assert os.WEXITSTATUS(status) == 0, "the run failed by itself"
            return True
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a process made by fork, which this system has not")
def test_killed_at_any_moment_it_ends_at_the_same_weights(tmp_path: Path, dropped: Trained) -> None:
    out, rng = tmp_path / "killed", random.Random(0)
    length, times, reached = 1.5, 0, -1
    while times < 2:
        if killed(lambda: run_in(out, lora=dropping()), rng.uniform(0.1, 0.7) * length):
            if times:
                break
            length /= 2  # a fast machine
            shutil.rmtree(out)
            continue
        times += 1
        last = checkpoint.newest(out / "checkpoints")
        step = -1 if last is None else int(last.name.removeprefix("checkpoint-"))
        assert step >= reached  # never less than it had
        reached = step
    found = run_in(out, lora=dropping())
    assert same(state_of(found), state_of(dropped))
    assert [row for row in found.history if "min_skew" in row] == [row for row in dropped.history if "min_skew" in row]
    assert sorted(each.name for each in out.iterdir()) == ["model", "run.json"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a process made by fork, which this system has not")
@pytest.mark.parametrize("where", ["seal", "save"])
def test_killed_in_the_middle_of_writing_it_ends_at_the_same_weights(
    tmp_path: Path, expected: Trained, where: str
) -> None:
    def broken() -> None:
        calls = iter((False, False, True)) if where == "seal" else iter((True,))
        home = checkpoint if where == "seal" else run
        real = getattr(home, where)

        def cut(*args: Any) -> None:
            if next(calls):
                if where == "save":
                    real(*args)  # all of the model is there, and not yet under its name
                os.kill(os.getpid(), signal.SIGKILL)
            real(*args)

        setattr(home, where, cut)  # in the process that ends
        run_in(tmp_path)

    assert not killed(broken, 60)
    if where == "seal":
        assert (tmp_path / "checkpoints" / "checkpoint-3").is_dir()
        assert checkpoint.newest(tmp_path / "checkpoints") == tmp_path / "checkpoints" / "checkpoint-2"
    else:
        assert not (tmp_path / "model").exists() and list(tmp_path.glob(".model-*"))
    assert same(state_of(run_in(tmp_path)), state_of(expected))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["model", "run.json"]


def test_asked_to_stop_it_leaves_a_checkpoint_and_goes_on_later(tmp_path: Path, expected: Trained) -> None:
    asked: list[bool] = []
    part = run_in(tmp_path / "part", checkpoint_every=None, stop=lambda: asked.append(True) or len(asked) == 3)
    assert not part.finished and not part.folder.exists()
    found = run_in(tmp_path / "part", checkpoint_every=None)
    assert found.finished and len(asked) == 3
    assert same(state_of(found), state_of(expected))


def test_a_full_disk_is_told_and_the_last_checkpoint_is_whole(
    tmp_path: Path, expected: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = torch.save

    def full(thing: Any, to: Any, *args: Any, **options: Any) -> None:
        if "checkpoint-2" in str(to):
            raise OSError(28, "No space left on device")
        save(thing, to, *args, **options)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(
        FileError, match=r"checkpoint-2' cannot be written: No space left on device; 'checkpoint-1' is whole"
    ):
        run_in(tmp_path / "run")
    assert [each.name for each in (tmp_path / "run" / "checkpoints").iterdir()] == ["checkpoint-1"]
    monkeypatch.undo()
    assert same(state_of(run_in(tmp_path / "run")), state_of(expected))


def test_a_full_disk_at_the_end_leaves_no_half_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        run_folder, "card", lambda record: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(FileError, match="model' cannot be written: No space left on device"):
        run_in(tmp_path, epochs=1, checkpoint_every=None)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["checkpoints", "run.json"]


def test_another_run_in_the_folder_is_refused_and_told_apart(tmp_path: Path) -> None:
    run_in(tmp_path / "run", epochs=1, checkpoint_every=None)
    with pytest.raises(FileError, match=r"holds another run: lr 0\.01 there, 0\.02 here\."):
        run_in(tmp_path / "run", epochs=1, lr=2e-2)
    with pytest.raises(FileError, match="weights_sha256"):
        run_in(tmp_path / "run", epochs=1, model=build(TINY, 1))
    with pytest.raises(FileError, match="questions_sha256"):
        run_in(tmp_path / "run", epochs=1, ask="does {concept} fit the person?")
    with pytest.raises(FileError, match="examples 8 there, 7 here"):
        run_in(tmp_path / "run", epochs=1, examples=EXAMPLES[:7])
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").touch()
    with pytest.raises(FileError, match=r"holds something else than a run \(a\.png\)"):
        run_in(tmp_path / "photos")


@pytest.mark.parametrize("lora", [None, 2])
def test_the_model_loads_with_the_libraries_of_its_kind(tmp_path: Path, lora: int | None) -> None:
    from transformers import AutoProcessor, LlavaForConditionalGeneration

    given = build(TINY, 0)
    before = {name: value.clone() for name, value in given.state_dict().items()}
    found = run_in(tmp_path, model=given, lora=lora, freeze=["vision/*"], validation=EXAMPLES[:2], epochs=1)
    folder = found.folder
    with undisturbed.quiet_transformers(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        if lora:
            loaded = peft.PeftModel.from_pretrained(build(TINY, 0), folder)
            assert not any("vision" in name for name in loaded.state_dict() if "lora" in name)
        else:
            loaded = LlavaForConditionalGeneration.from_pretrained(folder)
        reads = AutoProcessor.from_pretrained(folder)
    batch = reads(images=[EXAMPLES[0].image], text="<image> is the person science?", return_tensors="pt")
    with torch.no_grad():
        torch.testing.assert_close(loaded(**batch).logits, found.model(**batch).logits)
    moved = {
        n for n, v in given.state_dict().items() if not torch.equal(v, before.get(n.replace(".base_layer", ""), v))
    }
    if lora is None:
        assert moved and not any("vision_tower" in name for name in moved)
    assert all(parameter.requires_grad for name, parameter in given.named_parameters() if "lora" not in name)
    assert not any(module.training for module in given.modules())
    card = (folder / "README.md").read_text(encoding="utf-8")
    record = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    for said in (
        "LlavaForConditionalGeneration",
        record["data"]["examples_sha256"],
        "(csd)",
        "| lr | 0.01 |",
        "What it is not for",
    ):
        assert said in card
    skews = [row for row in found.history if "min_skew" in row]
    assert [row["epoch"] for row in skews] == [0, 1]
    assert all(f"| {row['epoch']} | {row['min_skew']:+.3f} |" in card for row in skews)
    assert len([row for row in found.history if "eval_loss" in row]) == 1


def test_the_seed_decides_and_the_callers_random_numbers_stay(tmp_path: Path) -> None:
    torch.manual_seed(1)
    legacy = np.random.get_state
    kept = legacy()[1].tolist(), torch.get_rng_state()
    one, again, other = (
        run_in(tmp_path / str(i), lora=dropping(), seed=seed, epochs=1, arguments={"save_strategy": "no"})
        for i, seed in enumerate((0, 0, 1))
    )
    assert same(state_of(one), state_of(again)) and not same(state_of(again), state_of(other))
    assert legacy()[1].tolist() == kept[0] and torch.equal(torch.get_rng_state(), kept[1])


def test_methods_do_what_their_names_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    skewed = np.where(np.arange(8) % 2, 0.9, -0.9)
    drawn: dict[str, tuple[bool, bool]] = {}
    seen: list[Any] = []
    collate = run.Collator.__call__
    monkeypatch.setattr(run.Collator, "__call__", lambda self, samples: seen.extend(samples) or collate(self, samples))
    for method in ("csd", "ft", "resample", "loss"):
        seen.clear()
        options = {"epochs": 1, "arguments": {"save_strategy": "no"}, "processor": READS, "wrap": wrap}
        train(build(TINY, 0), EXAMPLES, lambda: skewed, tmp_path / method, method=method, **options)
        copied = len({each.example.id for each in seen}) < len(EXAMPLES)
        drawn[method] = copied, any(each.skew for each in seen)
    assert drawn == {"csd": (True, True), "ft": (False, False), "resample": (True, False), "loss": (False, True)}
    said = capsys.readouterr()
    assert not said.out and not said.err


def test_a_loss_that_is_not_finite_keeps_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = trainer.rescaled_loss
    calls = iter(range(100))
    monkeypatch.setattr(
        trainer, "rescaled_loss", lambda *a, **k: real(*a, **k) * (torch.nan if next(calls) == 2 else 1)
    )
    with pytest.raises(InputError, match=r"the loss of step 2 is NaN or infinite.*The last checkpoint is whole"):
        run_in(tmp_path)
    assert checkpoint.newest(tmp_path / "checkpoints") == tmp_path / "checkpoints" / "checkpoint-1"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "csdd"}, "method is one of csd, ft, resample, loss"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"lr": 0.0}, "lr and checkpoint_every must be above 0"),
        ({"lora": 0}, "a rank of at least 1"),
        ({"freeze": ["nothing.*"]}, "covers no parameter"),
        ({"examples": []}, "the list is empty"),
        ({"arguments": {"seed": 3}}, "arguments= holds seed"),
        ({"arguments": {"learnig_rate": 3}}, "not what transformers' TrainingArguments takes"),
    ],
)
def test_arguments_that_make_no_sense(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        run_in(tmp_path / "run", **options)


def test_the_skew_of_another_model_is_refused(tmp_path: Path) -> None:
    other = Assignments(build(TINY, 0), RECORDS, processor=READS, wrap=wrap)
    with pytest.raises(InputError, match="another model than the one that is trained"):
        train(build(TINY, 0), EXAMPLES, other, tmp_path, processor=READS, wrap=wrap)


def test_what_is_missing_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optional, "find_spec", lambda name: None)
    with pytest.raises(
        InputError, match=r"training needs the package accelerate; run: pip install 'levelhead\[training\]'"
    ):
        train(build(TINY, 0), EXAMPLES, None, tmp_path, settings=CSDSettings())
