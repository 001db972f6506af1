"""``levelhead evaluate`` and ``levelhead score``: what they measure, write, and refuse."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import levelhead as lh
import tiny
import words
from levelhead.cli import app
from levelhead.errors import FileError, InputError
from levelhead.evaluate.benchmarks import BENCHMARKS, Score, score
from levelhead.evaluate.decisions import testbed
from levelhead.evaluate.decisions.pronouns import pronouns
from levelhead.evaluate.page import evaluation_table, put, score_table
from levelhead.evaluate.run import evaluate
from levelhead.evaluate.subject import Options, Size
from levelhead.metrics.statistics import Estimate

PAGE = Path(__file__).resolve().parents[1] / "docs" / "results.md"


@pytest.fixture(scope="module")
def graph() -> Any:
    return lh.graph(tiny.ARCHITECTURES["llama"].model(), words.tokenizer())


# -- benchmarks ----------------------------------------------------------------------------------------


def test_a_benchmark_is_scored_from_its_own_files(tmp_path: Path, graph: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEVELHEAD_DATA", raising=False)
    rows = [
        f"technician.customer.{a}.{g}.txt\tThe technician told the customer that {p} smiles ."
        for a in (0, 1)
        for g, p in (("male", "he"), ("female", "she"), ("neutral", "they"))
    ]
    (tmp_path / "all_sentences.tsv").write_text("sentid\tsentence\n" + "\n".join(rows) + "\n")
    found = score(graph, "winogender", source=str(tmp_path), draws=99, verbose=False)
    assert found.items == 6 and {"acc", "acc_female", "gap", "answer_rate"} <= set(found.numbers)
    assert "correlation" not in found.numbers, "the authors' table of shares is not at hand, and no other stands in"
    assert found.data["name"] == "winogender" and str(tmp_path) not in json.dumps(found.record())


def test_an_unknown_benchmark_is_told_of_the_known_ones(graph: Any) -> None:
    with pytest.raises(InputError, match=f"benchmarks are {', '.join(BENCHMARKS)}"):
        score(graph, "glue")


@pytest.fixture(scope="module")
def smollm2() -> Any:
    from levelhead.demo.smollm2 import model

    return lh.graph(*model.load(model.prepare(verbose=False)))


def needs(*names: str) -> None:
    home = os.environ.get("LEVELHEAD_DATA")
    if not home or not all((Path(home) / name).is_dir() for name in names):
        pytest.skip(f"set LEVELHEAD_DATA to a folder with {', '.join(names)}")


@pytest.mark.real
@pytest.mark.parametrize("name", ["winobias", "winogender", "synthbias", "crows_pairs"])
def test_smollm2_is_scored_on_real_sentences(name: str, smollm2: Any) -> None:
    needs(name)
    found = score(smollm2, name, limit=24, draws=99, verbose=False)
    for key, value in found.numbers.items():
        if isinstance(value, Estimate) and value.value != value.value:
            assert value.note, f"{key} is undefined on so few items, and must say so"
        elif isinstance(value, Estimate):
            assert value.low <= value.value + 1e-9 and value.value <= value.high + 1e-9, key
    if "answer_rate" in found.numbers:
        assert found.numbers["answer_rate"] > 0.5, "the wording should lead to one of the options"


@pytest.mark.real
def test_smollm2_knows_grammar_and_some_science(smollm2: Any) -> None:
    needs("blimp", "arc")
    grammar = score(smollm2, "blimp", limit=100, verbose=False, draws=199).numbers["accuracy"]
    science = score(smollm2, "arc", limit=20, verbose=False, draws=199).numbers["accuracy"]
    assert grammar.low > 0.55, f"BLiMP {grammar}"
    assert science.value > 0.25, f"ARC {science}"


# -- evaluation ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_testbed_is_evaluated_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(testbed, "FEW_STEPS", 15)
    size = Size(0.12, 1, (0.0, 1.0), 199)
    found = evaluate(Options(out=tmp_path, verbose=False), size=size)
    result = found.result
    base = result.at("none", 0.0).estimate
    assert base.value == pytest.approx(0.56, abs=0.08), "as planted"
    ablated = result.at("mean difference, ablated", 1.0)
    assert ablated.change.high < -0.2, "the ablation levels choices between a man and a woman"
    for name in (testbed.DSO_ALL, testbed.DSO_ONE):
        assert result.at(name, 1.0).change.high < -0.2, f"{name} levels them in a fraction of its steps"
        assert result.at(name, 1.0, "unambiguous choices").estimate.value > 0.95
    assert result.at(testbed.RANDOM, 1.0).change.low > -0.2, "as large an edit that means nothing does not"
    drawn = [p for p in result.points if p.kind == "random" and p.measure == result.measures["bias"][0]]
    assert {p.method for p in drawn} == {testbed.DSO_ALL, "mean difference, ablated"} and len(drawn) == 2
    found.write()
    record = json.loads((tmp_path / "summary.json").read_text())
    assert record["chosen"] == result.chosen and record["versions"]["levelhead"] == lh.__version__
    assert (tmp_path / "tradeoff.png").read_bytes()[:4] == b"\x89PNG"
    lines = (tmp_path / "points.csv").read_text().splitlines()
    assert len(lines) == 1 + len(result.points)
    table = evaluation_table(found)
    assert "1 random for mean difference, ablated" in table and "1 random for DSO, three forms" in table
    for title in ("Occupations that DSO was never trained on", "Beside the bias, in full strength", "Every strength"):
        assert f"{title}:\n\n|" in table and (tmp_path / f"{title}.csv").exists()
    assert "The whole frontier" not in table, "every strength is there already"
    assert "mean difference, added, in full" in table, "full strength is shown where it was not chosen"


@pytest.mark.slow
def test_what_nobody_asked_about_is_silenced_and_what_is_asked_is_answered(tmp_path: Path) -> None:
    """The promise of the suite of mentions on few pictures: the reported figures are `make results`'."""
    found = evaluate(Options(suite="mentions", out=tmp_path, verbose=False), size=Size(0.25, 1, (0.0, 1.0), 199))
    result, bias = found.result, found.result.measures["bias"]
    for method in ("mean difference, gated", "one step, gated"):
        assert result.at("none", 0.0).estimate.value > 0.7
        assert result.at(method, 1.0).estimate.value < 0.3 * result.at("none", 0.0).estimate.value
        for name in ("neutral questions", "gender, asked outright", "grammatical captions", "object and role right"):
            assert result.at(method, 1.0, name).estimate.value > 0.95
        assert result.at(method, 1.0, "who is the doctor?").change.value == pytest.approx(0, abs=0.02)
    drawn = [p for p in result.points if p.kind == "random" and p.measure == bias[0]]
    assert len(drawn) == 2 and max(abs(p.change.value) for p in drawn) < 0.15
    cosines = found.subject.tables["Cosine with the data-set based vector"]
    assert cosines["one step"].max() > 0.5
    found.write()
    assert json.loads((tmp_path / "summary.json").read_text())["suite"] == "mentions"
    table = evaluation_table(found)
    assert (
        "| one step, gated | 1 |" in table
        and "The whole frontier" in table
        and "How 'one step, gated' was selected" in table
    )


def test_pronouns_of_occupations_follow_and_of_named_people_are_right() -> None:
    from levelhead.demo.smollm2.sentences import Sentence

    (nurse,) = pronouns([Sentence("The nurse smiled because", "nurse", True)], "ambiguous")
    assert (nurse.options[nurse.pro], nurse.label, nurse.target) == ("she", None, "nurse")
    (john,) = pronouns([Sentence("John smiled because", "John", False)], "unambiguous")
    assert (john.options[john.label], john.pro, john.orders) == ("he", None, "given")


def test_options_are_checked_before_the_work(tmp_path: Path) -> None:
    for match, change in (
        ("unknown model 'gpt'", {"model": "gpt"}),
        ("unknown size 'huge'", {"size": "huge"}),
        ("a seed is a number from 0", {"seed": -1}),
    ):
        with pytest.raises(InputError, match=match):
            Options(**change)
    blocked = tmp_path / "file"
    blocked.write_text("x")
    done = CliRunner().invoke(app, ["evaluate", "--out", str(blocked)])
    assert done.exit_code == 1 and "cannot write results" in done.output
    done = CliRunner().invoke(app, ["evaluate", "--model", "gpt", "--out", str(tmp_path / "x")])
    assert done.exit_code == 1 and "unknown model 'gpt'" in done.output


# -- the page ------------------------------------------------------------------------------------------


def a_score() -> Score:
    numbers = {"gap": Estimate(0.1, -0.05, 0.25, 40), "answer_rate": 1.0}
    return Score("winobias", {"title": "WinoBias"}, 1584, numbers, ("place decides",))


def test_a_section_is_replaced_and_the_rest_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- begin winobias -->\nold\n<!-- end winobias -->\nafter\n")
    put(page, {"winobias": score_table([a_score()])})
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    assert "| gap | 0.100 | [-0.050, 0.250] | 40 |" in text and "**Caution**: place decides." in text
    put(page, {"winobias": "new"})
    assert page.read_text() == "before\n<!-- begin winobias -->\nnew\n<!-- end winobias -->\nafter\n"
    assert list(tmp_path.iterdir()) == [page], "nothing half-written is left"
    with pytest.raises(FileError, match="has no place for 'bbq'"):
        put(page, {"bbq": "x"})
    with pytest.raises(FileError, match="cannot read the page"):
        put(tmp_path / "none.md", {"bbq": "x"})


def test_the_results_page_holds_every_section_that_its_commands_write() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name in ("testbed", "smollm2", "winobias", "winogender", "synthbias", "crows_pairs", "blimp"):
        body = re.search(rf"<!-- begin {name} -->\n(.*?)<!-- end {name} -->", text, re.DOTALL)
        assert body is not None and body[1].count("\n|") > 3, f"{name}: run the command above it"
