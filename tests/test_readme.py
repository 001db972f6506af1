"""The README's examples run as they are written, on the real model."""

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
    assert [title for title, _ in BLOCKS] == ["Plain transformers", "TransformerLens", "nnsight"]


@pytest.mark.real
@pytest.mark.parametrize(("title", "code"), BLOCKS, ids=[title.replace(" ", "-") for title, _ in BLOCKS])
def test_the_example_runs(title: str, code: str, tmp_path: Path) -> None:
    example = tmp_path / "example.py"
    example.write_text(code, encoding="utf-8")
    env = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, example.name], cwd=tmp_path, capture_output=True, text=True, timeout=400, env=env
    )
    assert done.returncode == 0, done.stderr[-2000:]
    odds = [float(value) for value in re.findall(r"log P\(she\)/P\(he\) = ([+-][\d.]+)", done.stdout)]
    assert odds, done.stdout
    if title == "Plain transformers":
        # Nurse and carpenter at strengths 0, 0.5 and 1: the distance between them shrinks.
        gaps = [nurse - carpenter for nurse, carpenter in zip(odds[::2], odds[1::2], strict=True)]
        assert gaps[0] > 0.5 and abs(gaps[2]) < gaps[0], gaps
        assert (tmp_path / "gender-steer" / "steer.safetensors").is_file()
