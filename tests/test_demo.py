"""What both demos share: options, intervals, the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import levelhead as lh
from levelhead.demo.intervals import mean_interval

# -- intervals -----------------------------------------------------------------------------------------


def test_units_that_all_agree_do_not_make_a_result_certain():
    interval = mean_interval(np.ones(12), 0)
    assert interval.value == interval.high == 1 and 0.7 < interval.low < 0.9


def test_same_seed_same_interval():
    values = np.random.default_rng(3).normal(size=20)
    assert mean_interval(values, 7) == mean_interval(values, 7)
    assert mean_interval(values, 7) != mean_interval(values, 8)


# -- the command line ----------------------------------------------------------------------------------


def command(*arguments: str) -> Any:
    from typer.testing import CliRunner

    from levelhead.cli import app

    return CliRunner().invoke(app, list(arguments))


def test_wrong_options_are_said_in_one_line(tmp_path: Path):
    found = command("demo", "--graphs", "transformers,jax", "--out", str(tmp_path))
    assert found.exit_code == 1
    assert "unknown graph 'jax'; graphs are transformers, transformer_lens, nnsight" in " ".join(found.output.split())
    (tmp_path / "file").write_text("")
    found = command("demo", "--out", str(tmp_path / "file"))
    assert found.exit_code == 1 and "is a file" in found.output


def test_version():
    assert command("--version").output.strip() == f"levelhead {lh.__version__}"


# -- words -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([1, 2, 3], "from layer 1 on"),
        ([1, 2], "at layers 1 to 2"),
        ([2], "at layer 2"),
        ([0, 3], "at 2 layers"),
        ([], "at no layers"),
    ],
)
def test_titles_claim_no_more_layers_than_there_are(layers: list[int], words: str):
    assert spell(layers, 4) == words
