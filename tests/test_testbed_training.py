from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pytest
import torch

from levelhead.errors import FileError, InputError
from levelhead.testbed.model import IDS, SIZES, build, processor, prompt
from levelhead.testbed.planted import Planted
from levelhead.testbed.questions import questions
from levelhead.testbed.scene import sample
from levelhead.testbed.training import Recipe, checkpoint, train, workers
from levelhead.testbed.training.packing import TOPICS, pack
from levelhead.testbed.training.run import Run, finished, trained
from levelhead.testbed.training.scenes import draw_scene, generator, pixels
from levelhead.testbed.weights import SHORT, fingerprint, load, shipped

TINY = Recipe(size="small", tower_steps=4, joint_steps=4, tower_batch=4, joint_batch=4)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return trained(folder)[0].state_dict()


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(first[name].equal(second[name]) for name in first)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("whole"), TINY, worker_count=1, verbose=False)


def test_a_run_ends_and_leaves_a_log_of_both_stages(whole: Path):
    assert finished(whole)
    assert {(entry["stage"], entry["step"]) for entry in lines(whole)} >= {("tower", 0), ("tower", 3), ("joint", 3)}
    assert Recipe.from_record(json.loads((whole / "recipe.json").read_text())) == TINY


@pytest.mark.parametrize("stops", [(2, 9), (4, 4), (6, 1, 1)])
def test_a_run_that_stopped_goes_on_to_the_same_bits(whole: Path, tmp_path: Path, stops: tuple[int, ...]):
    for steps in stops:
        train(tmp_path, TINY, worker_count=1, stop_after=steps, verbose=False)
    assert finished(tmp_path)
    assert same(weights(tmp_path), weights(whole))


def test_workers_change_next_to_nothing(whole: Path, tmp_path: Path):
    train(tmp_path, TINY, worker_count=2, verbose=False)
    for one, two in zip(lines(whole), lines(tmp_path), strict=True):
        assert (one["stage"], one["step"]) == (two["stage"], two["step"])
        assert one["loss"] == pytest.approx(two["loss"], rel=2e-3)


def test_another_seed_is_another_model(whole: Path, tmp_path: Path):
    train(tmp_path, replace(TINY, seed=1), worker_count=1, verbose=False)
    assert not same(weights(tmp_path), weights(whole))


# Saved and logged five times as often as usual, so that a few steps do; its workers load this file as well.
PROGRAM = """
import sys
import levelhead.testbed.training.run as run
from levelhead.testbed.training import Recipe, train
run.SAVE_EVERY, run.LOG_EVERY = 10, 2
if __name__ == "__main__":
    recipe = Recipe(size="small", tower_steps=400, joint_steps=4, tower_batch=4, joint_batch=4)
    train(sys.argv[1], recipe, worker_count=int(sys.argv[2]))
"""


def begin(folder: Path, worker_count: int) -> subprocess.Popen[str]:
    script = folder / "program.py"
    script.write_text(PROGRAM)
    paths = os.pathsep.join(path for path in sys.path if path)
    run = subprocess.Popen(
        [sys.executable, str(script), str(folder / "run"), str(worker_count)],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    log = folder / "run" / "training.jsonl"
    deadline = time.monotonic() + 240
    while not (log.exists() and len(log.read_text().splitlines()) > 7):
        if run.poll() is not None or time.monotonic() > deadline:
            with suppress(ProcessLookupError):
                os.killpg(run.pid, signal.SIGKILL)
            pytest.fail(f"it ended or dawdled: {run.communicate()}")
        time.sleep(0.05)
    return run


def position(folder: Path) -> int:
    found = checkpoint.read(folder)
    assert found is not None
    return found[1]["step"]


@pytest.mark.parametrize("send", [os.killpg, os.kill], ids=["ctrl-c", "the parent alone"])
def test_interrupted_by_hand_it_saves_where_it_is(tmp_path: Path, send: Callable[[int, int], None]):
    run = begin(tmp_path, 2)
    send(run.pid, signal.SIGINT)
    _, errors = run.communicate(timeout=120)
    assert run.returncode == 0, errors
    assert "Traceback" not in errors
    saved = position(tmp_path / "run")
    assert saved == lines(tmp_path / "run")[-1]["step"] + 1 > 14


def test_killed_it_goes_on_from_its_last_checkpoint(tmp_path: Path):
    run = begin(tmp_path, 1)
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate(timeout=120)
    saved = position(tmp_path / "run")
    assert saved > 0
    recipe = Recipe.from_record(json.loads((tmp_path / "run" / "recipe.json").read_text()))
    train(tmp_path / "run", recipe, worker_count=1, stop_after=1, verbose=False)
    assert position(tmp_path / "run") == saved + 1
    steps = [entry["step"] for entry in lines(tmp_path / "run")]
    assert steps == sorted(set(steps)), "steps that are made again are logged once"


def test_a_worker_that_dies_is_said(tmp_path: Path):
    run = begin(tmp_path, 2)
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children")
    if not children.exists():
        pytest.skip("needs Linux's /proc to find the workers")
    os.kill(max(map(int, children.read_text().split())), signal.SIGKILL)
    _, errors = run.communicate(timeout=120)
    assert run.returncode == 1
    assert "a worker stopped" in errors and "train again to go on from there" in errors


def test_a_damaged_checkpoint_is_named(whole: Path, tmp_path: Path):
    data = (whole / checkpoint.NAME).read_bytes()
    (tmp_path / checkpoint.NAME).write_bytes(data[: len(data) // 2])
    with pytest.raises(FileError, match=r"checkpoint.safetensors' is damaged .*delete it to train from the beginning"):
        train(tmp_path, TINY, worker_count=1, verbose=False)


def test_another_recipe_does_not_go_on_with_a_run(whole: Path):
    with pytest.raises(InputError, match="holds a run of another recipe: seed, joint_rate differ"):
        train(whole, replace(TINY, seed=3, joint_rate=1e-3), worker_count=1, verbose=False)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="cannot be written"):
        train(tmp_path / "file" / "run", TINY, worker_count=1, verbose=False)
    with pytest.raises(FileError, match="holds no training run; begin one with"):
        trained(tmp_path)
    with pytest.raises(InputError, match="at least one worker"):
        train(tmp_path, TINY, worker_count=0)


def test_the_generator_of_torch_is_left_alone(tmp_path: Path):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    train(tmp_path, TINY, worker_count=1, stop_after=1, verbose=False)
    assert torch.get_rng_state().equal(before)


# -- what the steps are made of ------------------------------------------------------------------------


def test_training_never_shows_the_people_that_are_held_out():
    for stage in ("tower", "joint"):
        scenes = [draw_scene(TINY, generator(TINY, stage, step, 0)) for step in range(300)]
        assert not any(scene.held_out for scene in scenes)
        assert {len(scene.people) for scene in scenes} == {1, 2}
        assert sum(scene.person.ambiguous for scene in scenes) > 60


def test_pictures_are_what_the_processor_makes_of_them():
    scenes = sample(2, 4)
    made = processor().image_processor([scene.image() for scene in scenes], return_tensors="pt")["pixel_values"]
    assert torch.allclose(pixels(scenes), made, atol=1e-6)


def test_packed_questions_are_answered_as_if_each_were_asked_alone(tmp_path: Path):
    # A question that saw its neighbors, or the wrong positions, would be answered differently when it stands alone.
    recipe = replace(TINY, questions=99, captions=1.0)
    run = Run(recipe, workers.Alone(), tmp_path)
    [scene] = sample(1, 2, people=2, roles=["doctor"])
    [packed] = pack([scene], [np.random.default_rng(0)], recipe, dict.fromkeys(range(len(TOPICS)), 1.0))
    ids = packed.input_ids[0].tolist()
    with torch.no_grad():
        together = run.model.lm_head(run.hidden(run.patches(pixels([scene])), packed)[0])
        for question in questions(scene)[::5]:
            encoded = processor()(images=scene.image(), text=prompt(question.text), return_tensors="pt")
            asked = encoded["input_ids"][0].tolist()
            asked = asked[asked.index(IDS["<image>"]) :][36:]
            place = next(i for i in range(len(ids)) if ids[i : i + len(asked)] == asked) + len(asked) - 1
            alone = run.model(**encoded).logits[0, -1]
            assert torch.allclose(together[place], alone, atol=1e-4), question.text


def test_every_target_is_a_distribution(tmp_path: Path):
    scenes = sample(6, 1) + sample(6, 2, people=2)
    rngs = [np.random.default_rng(i) for i in range(12)]
    parts = pack(scenes, rngs, TINY, dict.fromkeys(range(len(TOPICS)), 1.0), size=5)
    assert sorted(number for part in parts for number in part.pictures.tolist()) == list(range(12))
    for part in parts:
        assert torch.allclose(part.chances.sum(1), torch.ones(len(part.chances)))
        assert part.weights.min() > 0
    uncertain = [part.chances.max(1).values.lt(1).any() for part in parts]
    assert any(uncertain), "planted answers have no certain word"


def test_sizes_are_genuine_and_differ():
    for name, size in SIZES.items():
        model = build(name)
        text = model.config.text_config
        assert text.num_hidden_layers >= 6 and text.num_attention_heads >= 4
        assert text.num_key_value_heads < text.num_attention_heads
        assert model.get_decoder().layers[0].self_attn.head_dim * size.heads == size.d_model
        assert type(model).__name__ == "LlavaForConditionalGeneration"
    with pytest.raises(InputError, match="no size 'large'; sizes are base, small"):
        build("large")


def test_planted_rates_survive_pickling_and_records():
    import copy

    planted = Planted(mentions={"gender": 0.1, "age": 0.2, "skin": 0.3, "body": 0.4})
    assert copy.deepcopy(planted) == planted == Planted.from_record(planted.record())


# -- the weights that ship -----------------------------------------------------------------------------


def test_a_short_training_moves_the_loss_as_recorded(tmp_path: Path):
    recorded = [json.loads(line) for line in (shipped() / SHORT).read_text().splitlines()]
    recipe = Recipe.from_record({**load().facts["recipe"], "planted": load().planted.record()})
    train(tmp_path, recipe.short(), worker_count=1, verbose=False)
    for entry, expected in zip(lines(tmp_path), recorded, strict=True):
        assert (entry["stage"], entry["step"]) == (expected["stage"], expected["step"])
        assert entry["loss"] == pytest.approx(expected["loss"], rel=0.02)
    joint = [entry["loss"] for entry in lines(tmp_path) if entry["stage"] == "joint"]
    assert joint[-1] < 0.8 * joint[0]


def test_the_recorded_run_begins_as_the_script_does(tmp_path: Path):
    text = (shipped() / "training.jsonl").read_text()
    recorded = {(entry["stage"], entry["step"]): entry["loss"] for entry in map(json.loads, text.splitlines())}
    recipe = Recipe.from_record({**load().facts["recipe"], "planted": load().planted.record()})
    train(tmp_path, recipe, worker_count=1, stop_after=11, verbose=False)
    for entry in lines(tmp_path):
        assert entry["loss"] == pytest.approx(recorded[entry["stage"], entry["step"]], rel=5e-3)


def test_the_weights_were_trained_on_these_pictures():
    facts = load().facts
    trained_with = facts["versions"]["pillow"]
    if trained_with != PIL.__version__:
        pytest.skip(
            f"the weights saw pictures of Pillow {trained_with}; this is {PIL.__version__}, install that one to compare"
        )
    assert fingerprint() == facts["pictures"], "the drawing has changed: train and measure anew (CONTRIBUTING.md)"
