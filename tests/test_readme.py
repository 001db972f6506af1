"""The README's examples run as they are written: five on the testbed, the others on the real model."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[1] / "README.md"
BLOCKS = re.findall(r"### (.+?)\n\n```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_there_is_an_example_for_each_graph() -> None:
    assert [title for title, _ in BLOCKS] == [
        "The testbed",
        "What it buys, and what it costs",
        "One picture and a list of words",
        "A slider, found by reinforcement learning",
        "Fine-tuning against a stereotype",
        "Plain transformers",
        "TransformerLens",
        "nnsight",
    ]


def run(code: str, folder: Path) -> str:
    example = folder / "example.py"
    example.write_text(code, encoding="utf-8")
    env = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, example.name], cwd=folder, capture_output=True, text=True, timeout=400, env=env
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_example_of_the_testbed_runs(tmp_path: Path) -> None:
    said = run(BLOCKS[0][1], tmp_path)
    chances = [
        {name: float(value) for name, value in re.findall(r"'(\w+)': ([\d.]+)", line)}
        for line in said.splitlines()[-4:]
    ]
    planted, before, _, after = (each["man"] - each["woman"] for each in chances)
    assert abs(before - planted) < 0.1, said
    assert abs(after) < 0.5 * before, said


@pytest.mark.slow
def test_the_example_of_a_trade_off_runs(tmp_path: Path) -> None:
    said = run(BLOCKS[1][1], tmp_path)
    base, steered = (float(value) for value in re.findall(r"per-occupation bias \+([\d.]+)", said))
    assert base > 0.5 and steered < 0.5 * base, said
    assert (tmp_path / "tradeoff.png").is_file()


@pytest.mark.slow
def test_the_example_of_one_picture_runs(tmp_path: Path) -> None:
    before, after, asked = run(BLOCKS[2][1], tmp_path).splitlines()[-3:]
    mention = re.compile(r"\b(man|woman|he|she)\b")
    assert mention.search(before) and not mention.search(after), (before, after)
    assert re.search(r"\b(man|woman)$", asked), asked


@pytest.mark.slow
def test_the_example_of_a_slider_runs(tmp_path: Path) -> None:
    said = run(BLOCKS[3][1], tmp_path)
    plain, half, full = (float(value) for value in re.findall(r"per-occupation bias ([\d.]+)", said))
    assert plain > 0.5 and full < 0.3 * plain and full < half < plain, said
    assert re.search(r"^5 ", said, flags=re.MULTILINE), "the layers' shares"


@pytest.mark.slow
def test_the_example_of_fine_tuning_runs(tmp_path: Path) -> None:
    said = run(BLOCKS[4][1], tmp_path)
    before, after = (float(value) for value in re.findall(r"lowest Skew ([+-][\d.]+)", said))
    assert before < -0.8 and after > 0.5 * before, said
    assert (tmp_path / "csd" / "model" / "README.md").is_file()


@pytest.mark.real
@pytest.mark.parametrize(("title", "code"), BLOCKS[5:], ids=[title.replace(" ", "-") for title, _ in BLOCKS[5:]])
def test_the_example_runs(title: str, code: str, tmp_path: Path) -> None:
    said = run(code, tmp_path)
    odds = [float(value) for value in re.findall(r"log P\(she\)/P\(he\) = ([+-][\d.]+)", said)]
    assert odds, said
    if title == "Plain transformers":
        # Nurse and carpenter at strengths 0, 0.5 and 1: the distance between them shrinks.
        gaps = [nurse - carpenter for nurse, carpenter in zip(odds[::2], odds[1::2], strict=True)]
        assert gaps[0] > 0.5 and abs(gaps[2]) < gaps[0], gaps
        assert (tmp_path / "gender-steer" / "steer.safetensors").is_file()
