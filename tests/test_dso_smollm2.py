"""DSO on a real language model: what it learns from, and that occupations never trained on come out level."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import levelhead as lh
import tiny
import words
from levelhead.data.records import ChoiceRecord
from levelhead.demo.smollm2 import model
from levelhead.demo.smollm2.prose import NEUTRAL
from levelhead.demo.smollm2.sentences import TEMPLATES, fill, named_sentences, occupation_sentences, occupations
from levelhead.evaluate.decisions import dso_smollm2, dso_synthbias
from levelhead.evaluate.decisions.pronouns import pronouns
from levelhead.metrics.decisions import Choices, bias


def test_nothing_that_is_reported_is_trained_on() -> None:
    """Occupations, templates, names and prose: a leak of any would make the figures those of training."""
    asked = dso_smollm2.training_choices(20)
    trained = {record.target for record in asked}
    assert all(record.prompt == fill(str(record.group), record.target) for record in asked)
    assert trained == {job.name for job in occupations("train")} and len(asked) == 20 * len(trained)
    reported = [sentence for split in ("validation", "test") for sentence in occupation_sentences(split)]
    assert not trained & {sentence.unit for sentence in reported}
    assert not {record.group for record in asked} & {*TEMPLATES["validation"], *TEMPLATES["test"]}
    neutral = dso_smollm2.kept_as_is(named=10**6, nouns=10**6, prose=10**6)
    people = [sentence.unit for sentence in named_sentences("test", every=dso_smollm2.EVERY)]
    assert people and not any(person in text.split() for text in neutral for person in people)
    assert not any(text in read for text in neutral for read in NEUTRAL["test"])


def test_each_training_sentence_is_a_cell_and_half_of_them_are_male_typed() -> None:
    asked = dso_smollm2.training_choices(8, seed=3)
    assert len({(record.target, record.group) for record in asked}) == len(asked) == 8 * 28
    assert sum(record.pro == 0 for record in asked) == len(asked) / 2
    assert asked == dso_smollm2.training_choices(8, seed=3) != dso_smollm2.training_choices(8, seed=4)


def synthetic() -> list[ChoiceRecord]:
    """A sentence for every pair of a male- and a female-typed occupation of SynthBias, counted for each in turn."""
    from levelhead.data.occupations import FEMALE_TYPED, MALE_TYPED

    return [
        ChoiceRecord(id=f"{m} {f} {pro}", prompt="who smiles , {0} or {1} ?", options=(m, f), pro=pro, target=(m, f)[pro])
        for m in sorted(MALE_TYPED)
        for f in sorted(FEMALE_TYPED)
        for pro in (0, 1)
    ]  # fmt: skip


def test_synthbias_is_divided_by_occupations() -> None:
    never, rest = (dso_synthbias.divided(synthetic(), 5, never=each) for each in (True, False))
    told = [{option for record in part for option in record.options} for part in (never, rest)]
    assert len(told[0]) == 2 * dso_synthbias.HELD_OUT and len(told[1]) == 40 - len(told[0]) and not told[0] & told[1]
    few = dso_synthbias.divided(synthetic(), 5, 60, never=False)
    counts = np.unique([record.target for record in few], return_counts=True)[1]
    assert len(few) == 60 and len(counts) == 28 and counts.max() - counts.min() <= 1


def test_the_recipes_run_on_any_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = lh.graph(tiny.ARCHITECTURES["llama"].model(), words.tokenizer())
    labeled = [replace(record, label=record.pro, condition="unambiguous") for record in synthetic()]

    def sentences(config: str, seed: int = 0, n: int | None = None, *, never: bool) -> list[ChoiceRecord]:
        records = labeled if config == "type2" else synthetic()
        # The tiny vocabulary has no occupations, and so no two of them would differ.
        told = {"options": ("man", "woman"), "condition": "unambiguous" if config == "type2" else "ambiguous"}
        return [replace(record, **told) for record in dso_synthbias.divided(records, seed, n, never=never)]

    monkeypatch.setattr(dso_synthbias, "sentences", sentences)
    small: dict[str, Any] = {"sites": ("ln1.*", "ln2.*"), "steps": 1, "batch": 4, "verbose": False}
    learned = dso_synthbias.trained(graph, n=28, kept=4, checkpoint=tmp_path, **small)
    assert len(learned.history_) == 2 and learned.untouched_ < 1
    table = dso_synthbias.report(graph, learned.steer_, n=12, draws=49, verbose=False)
    assert list(table["measure"].unique()) == ["per-occupation bias", "accuracy"]
    accuracy = table[table["measure"] == "accuracy"]
    right = Choices(graph, sentences("type2", 0, 12, never=True))()[0].right.mean()
    assert accuracy["value"].iloc[0] == pytest.approx(right) and (accuracy["chance"] == 0.5).all()


@pytest.mark.real
def test_occupations_never_trained_on_come_out_more_level_and_names_keep_their_pronouns() -> None:
    """A short training, which goes about a third of the way."""
    graph = lh.graph(*model.load(model.prepare(verbose=False)))
    asked = Choices(graph, pronouns(occupation_sentences("test"), "ambiguous"))
    people = Choices(graph, pronouns(named_sentences("test", every=6), "unambiguous"))
    short: dict[str, Any] = {"steps": 14, "each": 4, "batch": 16, "neutral_batch": 6, "half_life": 8}
    steer = dso_smollm2.trained(graph, **short, verbose=False).steer_
    before, after = (bias(found) for found in asked(steer, [0, 1]))
    assert before.pob_soft > 0.3 and after.pob_soft < 0.85 * before.pob_soft
    assert after.gap < 0.85 * before.gap and after.mass > 0.7 * before.mass, "and not by avoiding pronouns"
    named, still = (found.right_soft.mean() for found in people(steer, [0, 1]))
    assert still >= named - 0.05
