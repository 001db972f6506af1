"""What both demos share: options, intervals, the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import levelhead as lh
from levelhead.demo.intervals import mean_interval
from levelhead.demo.options import Options
from levelhead.demo.results import spell, write
from levelhead.errors import FileError, InputError, SiteError

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
    found = command("demo", "--out", str(tmp_path / "file" / "below"))
    assert found.exit_code == 1 and "choose another folder with --out" in " ".join(found.output.split())


def test_an_unknown_model_is_said_with_those_there_are(tmp_path: Path):
    found = command("demo", "--model", "gpt", "--out", str(tmp_path))
    assert found.exit_code == 1
    assert "unknown model 'gpt'; models are testbed, smollm2, or a folder" in " ".join(found.output.split())


def test_testbed_commands_are_part_of_the_command_line(tmp_path: Path):
    listed = command("testbed", "--help").output
    assert all(name in listed for name in ("train", "measure", "sheet", "concepts"))
    found = command("testbed", "sheet", str(tmp_path / "sheet.png"), "--n", "3", "--size", "32")
    assert found.exit_code == 0 and (tmp_path / "sheet.png").stat().st_size > 0


def test_help_comes_without_loading_torch_or_a_graph():
    program = (
        "import sys; from typer.testing import CliRunner; from levelhead.cli import app; "
        "print(CliRunner().invoke(app, ['--help']).output); "
        "sys.exit(bool({'torch', 'transformers', 'matplotlib', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "demo" in done.stdout and "testbed" in done.stdout


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        ({"model": "gpt"}, InputError, "unknown model 'gpt'"),
        ({"graphs": ("jax",)}, InputError, "unknown graph 'jax'"),
        ({"controls": 0}, InputError, "at least one random direction"),
        ({"seed": -1}, InputError, "a number from 0"),
    ],
)
def test_options_are_checked_before_anything_is_loaded(wrong: dict[str, Any], error: type[Exception], words: str):
    with pytest.raises(error, match=words):
        Options(**wrong)


def test_results_that_cannot_be_written_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuses(self: Path, *arguments: Any, **options: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_text", refuses)
    with pytest.raises(
        FileError, match=r"cannot write results into .*Permission denied; choose another folder with --out"
    ):
        write(tmp_path, {})


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


# -- pictures ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sweeps() -> dict[str, Any]:
    """Two attributes in a tower, a projector and a language model: one that is everywhere, one that fades."""
    rng, found = torch.Generator().manual_seed(0), {}
    sites = ["vision/resid_post.0", "vision/resid_post.1", "projector", "resid_post.0", "resid_post.1"]
    sign = torch.tensor([1.0, -1.0] * 40)[:, None]
    for name, sizes in (("gender", (3, 3, 3, 3, 3)), ("age", (3, 3, 1, 0, 0))):
        acts = {site: torch.randn(80, 6, generator=rng) + size * sign for site, size in zip(sites, sizes, strict=True)}
        labels = ["a" if s > 0 else "b" for s in sign[:, 0]]
        found[name] = lh.ProbeSweep(n_controls=5, verbose=False).fit(lh.Activations(acts), labels)
    return found


def test_attribute_curves_go_through_the_whole_model_and_carry_their_names(sweeps: dict[str, Any]):
    ax = lh.plots.attribute_curves(sweeps, title="all of it")
    curves = [line.get_ydata() for line in ax.lines if len(line.get_xdata()) == 5]
    for curve, sweep in zip(curves, sweeps.values(), strict=True):
        assert curve == pytest.approx(sweep.frame()["auc"].to_numpy())
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "1", "projector", "0", "1"]
    words = {text.get_text(): text for text in ax.texts}
    assert {"gender", "age", "layer of the picture's tower", "layer of the language model"} <= set(words)
    assert words["gender"].xy[1] > words["age"].xy[1]
    heads = lh.Activations({"z.0.0": torch.randn(80, 2, generator=torch.Generator().manual_seed(1))})
    alone = lh.ProbeSweep(n_controls=5, verbose=False).fit(heads, ["a", "b"] * 40)
    with pytest.raises(SiteError, match="no 'resid_post' and no 'projector' is in the sweep for heads; it has z"):
        lh.plots.attribute_curves({"heads": alone})


def test_names_of_lines_that_end_together_do_not_touch():
    from levelhead.plots.probes import _spread

    spread = _spread([1.0, 0.99, 1.0, 0.5], 0.05)
    assert min(np.diff(sorted(spread))) > 0.049 and spread[3] == 0.5


def test_lean_chart_shows_both_sides_of_every_row_three_times():
    rows = {
        "hospital": {"planted": (0.85, 0.15), "before": (0.8, 0.2), "after": (0.5, 0.4)},
        "market": {"planted": (0.5, 0.5), "before": (0.51, 0.52), "after": (0.5, 0.5)},
    }
    ax = lh.plots.lean_chart(rows, ("a man", "a woman"), {"hospital": "doctor (hospital)"}, title="smaller")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["doctor (hospital)", "market"]
    points = [line for line in ax.lines if line.get_marker() in ("s", "o")]
    open_, full = (
        [float(p.get_xdata()[0]) for p in points if (p.get_markerfacecolor() == "white") == o] for o in (1, 0)
    )
    assert open_ == [0.8, 0.2, 0.51, 0.52] and full == [0.5, 0.4, 0.5, 0.5]
    assert {"a man", "a woman"} <= {text.get_text() for text in ax.texts}


def test_budget_chart_rings_the_chosen_edit():
    points = {"early": [(0.1, 0.4), (0.3, 0.0)], "late": [(0.05, 0.01)]}
    ax = lh.plots.budget_chart(points, 0.02, (0.05, 0.01), 0.6)
    ring = next(line for line in ax.lines if line.get_markerfacecolor() == "none")
    assert (ring.get_xdata()[0], ring.get_ydata()[0]) == (0.05, 0.01)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["early", "late"]
