"""`levelhead train`: from a folder of pictures or the testbed to a model with a card, stopped and taken up again."""

from __future__ import annotations

import io
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("accelerate")
pytest.importorskip("typer")

from typer.testing import CliRunner

from levelhead.console import Console, typer
from levelhead.testbed import concept_records
from levelhead.testbed.concept_records import ASK
from levelhead.testbed.model import Size, build, processor
from levelhead.testbed.records import wrap
from levelhead.training import bar, command
from levelhead.training.undisturbed import quiet_transformers

pytestmark = pytest.mark.usefixtures("few_objects")

app = typer.Typer()
app.command()(command.train)

LABELS = [
    (concept, gender, number) for number in (1, 2) for concept in ("science", "arts") for gender in ("man", "woman")
]
FAST = ["--quiet", "--batch", "4", "--epochs", "1", "--checkpoint-every", "1"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tiny model, and pictures with their labels in their names."""
    from PIL import Image

    root = tmp_path_factory.mktemp("given")
    with quiet_transformers():
        build(Size(16, 1, 2, 16, 2, 2, 1, 32)).save_pretrained(root / "model")
        processor().save_pretrained(root / "model")
    rng = np.random.default_rng(0)
    for concept, gender, number in LABELS:
        path = root / "pictures" / concept / f"{gender}_{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (96, 96, 3), dtype=np.uint8)).save(path)
    return root / "model", root / "pictures"


def ran(folders: tuple[Path, Path], out: Path, *more: str) -> Any:
    model, pictures = folders
    given = ["--model", str(model), "--data", str(pictures), "--out", str(out), "--pattern", "concept/gender_set"]
    return CliRunner().invoke(app, [*given, "--ask", "is the person {concept}?", *FAST, *more], catch_exceptions=False)


def test_a_folder_of_pictures_becomes_a_model(folders: tuple[Path, Path], tmp_path: Path) -> None:
    found = ran(folders, tmp_path / "run", "--lora", "2", "--freeze", "vision/*")
    assert found.exit_code == 0, found.output
    assert "training (csd, 16 examples)" in found.output
    card = (tmp_path / "run" / "model" / "README.md").read_text(encoding="utf-8")
    assert "Concepts: arts, science." in card and "perceived_gender (man, woman)" in card
    assert "`is the person arts?` with the answer `yes`" in card and "PeftModel.from_pretrained(" in card
    # A model of random weights says neither yes nor no, which must not pass for a level one.
    assert "! epoch 0: the answers have only" in found.output and "**Caution**, epoch 0: the answers have only" in card
    assert (tmp_path / "run" / "model" / "adapter_model.safetensors").is_file()


def test_control_c_stops_at_a_checkpoint_and_the_same_command_goes_on(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = bar.Watch.on_step_end
    monkeypatch.setattr(
        bar.Watch, "on_step_end", lambda *a, **k: (signal.raise_signal(signal.SIGINT), real(*a, **k))[1]
    )
    before = signal.getsignal(signal.SIGINT)
    found = ran(folders, tmp_path / "run")
    assert found.exit_code == 130 and "the same command goes on" in found.output
    assert signal.getsignal(signal.SIGINT) is before
    assert (tmp_path / "run" / "checkpoints" / "checkpoint-1").is_dir()
    monkeypatch.undo()
    again = ran(folders, tmp_path / "run")
    assert again.exit_code == 0 and "model, with its card" in again.output
    assert "16 examples), going on from checkpoint-1" in again.output
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--method", "csdd"], "--method is one of csd, ft, resample, loss"),
        (["--model", "nowhere"], "'nowhere' has no config.json"),
        (["--pattern", "concept_gender"], "does not fit the name"),
        (["--freeze", "visoin/*"], "covers no parameter"),
        (["--concept", "art"], "did you mean 'arts'?"),
        (["--attribute", "perceived_age"], "'perceived_age' does not have two values"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    folders: tuple[Path, Path], tmp_path: Path, more: list[str], message: str
) -> None:
    found = ran(folders, tmp_path / "run", *more)
    assert found.exit_code == 1
    said = " ".join(found.output.split())
    assert "levelhead:" in said and message in said and "Traceback" not in said


def test_a_metadata_file_counts_before_a_pattern_and_that_is_said(folders: tuple[Path, Path], tmp_path: Path) -> None:
    rows: list[str] = []
    for i, (concept, gender, number) in enumerate(LABELS[:4]):
        shutil.copy(folders[1] / concept / f"{gender}_{number}.png", tmp_path / f"arts_{i}.png")
        rows.append(f"arts_{i}.png,{concept},{gender}")
    (tmp_path / "metadata.csv").write_text("\n".join(["file_name,concept,perceived_gender", *rows]), encoding="utf-8")
    said = io.StringIO()
    found = command._records(str(tmp_path), "concept_set", 2, 0, Console(file=said))
    assert [record.concept for record in found] == ["science", "science", "arts", "arts"]
    assert "labels are those of metadata.csv; --pattern only adds what it lacks" in said.getvalue()


def test_the_testbeds_model_is_asked_what_it_was_taught_also_about_a_folder() -> None:
    assert command._question(wrap, "pictures", None) == ASK
    assert command._question("chat", "pictures", None)("science") == "Is this person studying science?"
    assert command._question(wrap, "pictures", "{concept}?") == "{concept}?"


def test_the_testbeds_pictures_need_no_folder(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = concept_records.concept_records
    fewer = lambda n, seed, **options: drawn(n, seed, ["subject"], **options)  # noqa: E731
    monkeypatch.setattr(concept_records, "concept_records", fewer)
    given = ["--model", str(folders[0]), "--data", "testbed", "--sets", "2", "--out", str(tmp_path / "run"), "--quiet"]
    found = CliRunner().invoke(
        app, [*given, "--epochs", "1", "--batch", "48", "--method", "ft"], catch_exceptions=False
    )
    assert found.exit_code == 0 and "training (ft, 48 examples)" in found.output
    card = (tmp_path / "run" / "model" / "README.md").read_text(encoding="utf-8")
    assert "Concepts: arts, science." in card and "gender (man, woman); skin (" in card


@pytest.mark.slow
def test_the_testbed_learns_its_own_pictures(tmp_path: Path) -> None:
    given = [
        "--out",
        str(tmp_path / "run"),
        "--sets",
        "2",
        "--method",
        "loss",
        "--lr",
        "1e-4",
        "--batch",
        "32",
        "--quiet",
    ]
    found = CliRunner().invoke(app, [*given, "--epochs", "1", "--freeze", "vision/*"], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    rows = [line.split("│") for line in found.output.splitlines() if line.count("│") > 5]
    before, after = ([float(cell) for cell in row[2:4]] for row in rows)
    assert before[0] < -0.2 and before[1] > 0.2  # what was planted
    assert after[0] > before[0]
