"""The demo on the testbed: contrasts, what is counted, how it chooses, and the whole job on a model that knows nothing."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import levelhead as lh
from levelhead.demo.options import GRAPHS, Options
from levelhead.demo.testbed import run as job
from levelhead.demo.testbed import variants
from levelhead.demo.testbed.contrasts import LEVEL, Contrast, Split, instead, jobs, others, reworded
from levelhead.demo.testbed.measure import SKILLS, Moves, Panel, Scores, Skills, skill_of
from levelhead.demo.testbed.pictures import draw
from levelhead.demo.testbed.run import Counts, run
from levelhead.demo.testbed.variants import Trial, choose
from levelhead.testbed.exam import Exam, asked
from levelhead.testbed.model import IDS, WORDS, Size, build, processor, prompt
from levelhead.testbed.planted import Planted
from levelhead.testbed.scene import sample
from levelhead.testbed.weights import FACTS, WEIGHTS, load
from levelhead.testbed.world import SETTINGS

PLANTED = Planted()
SPLITS: tuple[Split, ...] = ("fit", "validation", "test")


# -- contrasts -----------------------------------------------------------------------------------------


@cache
def all_contrasts(split: Split) -> tuple[Contrast, ...]:
    plain = jobs(2, split, 0, PLANTED)
    wider = [*reworded(plain, "job_choice", PLANTED), *jobs(1, split, 0, PLANTED, "who")]
    return (
        *plain,
        *wider,
        *others(1, split, 0, PLANTED),
        *instead(plain, "wall", PLANTED),
        *instead(plain, "glasses", PLANTED),
    )


@pytest.mark.parametrize("split", SPLITS)
def test_a_contrast_differs_in_one_attribute_alone_and_asks_the_same(split: Split):
    for each in all_contrasts(split):
        one, two = (scene.labels for scene in each.sides)
        different = {name for name in one if one[name] != two[name]}
        if each.kind == "who":
            assert different == {"left_gender", "right_gender"} and one["left_gender"] == two["right_gender"]
        else:
            assert different == {each.attribute}
        assert each.sides[0].seed == each.sides[1].seed
        assert [q.text for _, q in each.items[0]] == [q.text for _, q in each.items[1]]
        assert len(each.items[0]) == (2 if each.kind in ("job_choice", "who", "concept") else 1), "both orders"


def test_all_people_of_the_report_are_held_out_from_training_and_none_of_the_others():
    for split in SPLITS:
        for each in all_contrasts(split):
            if each.attribute not in ("wall", "glasses"):
                assert {scene.held_out for scene in each.sides} == {split == "test"}


def test_nothing_crosses_from_one_split_to_another():
    seen = [{scene for each in all_contrasts(split) for scene in each.sides} for split in SPLITS]
    assert not (seen[0] & seen[1] or seen[0] & seen[2] or seen[1] & seen[2])
    assert jobs(1, "fit", 0, PLANTED) == jobs(1, "fit", 0, PLANTED) != jobs(1, "fit", 1, PLANTED)


def test_every_setting_has_its_share_and_every_lean_is_asked():
    plain = jobs(3, "fit", 0, PLANTED)
    assert [each.name for each in plain] == [theme.name for theme in SETTINGS for _ in range(3)]
    wanted = {*PLANTED.concepts, *PLANTED.traits}
    assert {each.name for each in others(1, "fit", 0, PLANTED)} == wanted


# -- what is counted -----------------------------------------------------------------------------------


def panel(contrasts: list[Contrast]) -> Panel:
    """A panel that nobody is asked with: its answers are given."""
    items = tuple(item for each in contrasts for side in each.items for item in side)
    return Panel(tuple(contrasts), Exam(items, [], []))


def says(board: Panel, chance: Any) -> Moves:
    """What is measured of a model that gives the first answer to each question with ``chance(scene, question)``."""
    logits = torch.full((len(board.exam.items), len(WORDS)), -100.0)
    for row, (scene, question) in enumerate(board.exam.items):
        first, *rest = question.answers
        p = min(max(chance(scene, question), 1e-6), 1 - 1e-6)
        logits[row, IDS[first.split()[0]]] = float(np.log(p))
        if rest:
            logits[row, IDS[rest[0].split()[0]]] = float(np.log(1 - p))
    return board.answers(logits)


def truth(scene: Any, question: Any) -> float:
    return next(iter(question.answers.values()))


def test_a_model_that_answers_as_planted_has_the_planted_gap_everywhere():
    board = panel([each for each in all_contrasts("test") if each.attribute not in ("wall", "glasses")])
    moves = says(board, truth)
    assert moves.found == pytest.approx(moves.planted, abs=1e-5)
    for kind in ("job", "job_choice", "who"):
        some = moves.only(lambda each, kind=kind: each.kind == kind)
        sizes = [abs(lean.odds["man"] - lean.odds["woman"]) for lean in PLANTED.occupations.values()]
        assert some.gap() == pytest.approx(np.mean(sizes), abs=1e-5) == some.gap_planted()
        assert some.off_level() == pytest.approx(0, abs=1e-5) and some.answered() == pytest.approx(1, abs=1e-4)
    assert moves.sides(LEVEL)[:, 0] == pytest.approx([0.5, 0.5], abs=1e-5)
    assert all(move > -1e-5 for move in moves.found), "the first side is the one to which the answer leans"


def test_calling_everybody_a_doctor_closes_the_gap_and_is_noticed():
    moves = says(panel(jobs(2, "fit", 0, PLANTED)), lambda scene, question: 1.0)
    assert moves.gap() == pytest.approx(0, abs=1e-4) and moves.off_level() == pytest.approx(0.5, abs=1e-4)
    before = says(panel(jobs(2, "fit", 0, PLANTED)), truth)
    assert before.lean(before) == pytest.approx(before.gap()), "unsteered, the lean is the gap"
    assert moves.lean(before) == pytest.approx(1, abs=1e-4)
    level = says(panel(jobs(2, "fit", 0, PLANTED)), lambda scene, question: 0.5)
    assert level.lean(before) == pytest.approx(0, abs=1e-4)


def test_leans_of_opposite_sign_do_not_cancel():
    def chance(scene: Any, question: Any) -> float:
        way = 1 if question.name in ("hospital", "airport", "office", "school") else -1
        return 0.5 + way * (0.3 if scene.person.gender == "man" else -0.3)

    moves = says(panel(jobs(2, "fit", 0, PLANTED)), chance)
    assert moves.gap() == pytest.approx(0.6, abs=1e-4)
    assert moves.signed_interval(0).value == pytest.approx(0, abs=1e-4)


def test_answers_that_are_none_of_the_possible_ones_are_counted_as_such():
    board = panel(jobs(1, "fit", 0, PLANTED))
    silent = board.answers(torch.zeros(len(board.exam.items), len(WORDS)))
    assert silent.gap() == 0 and silent.answered() == pytest.approx(2 / len(WORDS))


def test_interval_of_the_gap_is_over_pairs_and_covers_at_its_rate():
    board, rng, hits = panel(jobs(6, "fit", 0, PLANTED)), np.random.default_rng(0), 0
    for trial in range(40):
        noise = iter(rng.normal(0, 0.08, len(board.exam.items)))
        moves = says(board, lambda scene, question, noise=noise: truth(scene, question) * 0.6 + 0.2 + next(noise))
        interval = moves.signed_interval(trial)
        assert interval.n == 48
        hits += interval.low <= 0.6 * 0.5625 <= interval.high
    assert hits >= 34


def test_skills_are_four_parts_and_leave_out_what_no_picture_answers():
    items = asked(sample(40, 1) + sample(10, 2, people=2))
    parts = {skill_of(question) for _, question in items}
    assert parts == {*SKILLS, None}
    for _, question in items:
        assert (skill_of(question) is None) == (question.group == "planted")
        assert (skill_of(question) == "gender") == (question.kind == "gender")


def test_shares_count_every_picture_once():
    one, two = sample(2, 3)
    items = [item for item in asked([one]) if skill_of(item[1]) == "seeing"]
    items += [item for item in asked([two]) if skill_of(item[1]) == "seeing"][:1]
    skills = Skills(Exam(tuple(items), [], []), ("seeing",) * len(items))
    found = Scores(skills, np.array([1.0] * (len(items) - 1) + [0.0])).interval("seeing", 0)
    assert found.value == 0.5 and found.n == 2


# -- how it chooses ------------------------------------------------------------------------------------


def trial(place: str, layer: int, lean: float = 0.0, loss: float | None = None) -> Trial:
    return Trial(place, (layer,), lean, loss=loss)


def test_the_smallest_lean_within_the_budget_is_chosen():
    base = trial("", 0, 0.0, 0.0)
    tried = [base, trial("picture", 0, 0.01, 0.5), trial("end", 4, 0.2, 0.0), trial("end, by setting", 5, 0.05, 0.02)]
    tried.append(trial("end", 0, 0.04))
    assert choose(tried, budget=0.02) is tried[3], "what was not asked is not known to be in the budget"
    assert choose(tried, budget=0.01) is tried[2]
    assert choose(tried, budget=-1.0) is tried[1], "with none in budget the best is still reported"


# -- the whole job, on a model that knows nothing ------------------------------------------------------

TINY = Size(d_vision=16, vision_layers=2, vision_heads=2, d_model=16, layers=2, heads=2, kv_heads=1, d_mlp=16)
FEW = Counts(probe=1, fit=2, validation=1, test=2, rest=2, scenes=12, skills=20, validation_skills=6, control_skills=4)


@pytest.fixture(scope="module")
def babbler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny random model, written as a trained one is."""
    import hashlib

    folder = tmp_path_factory.mktemp("babbler")
    build(TINY).save_pretrained(folder)
    processor().save_pretrained(folder)
    digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    facts = {"planted": PLANTED.record(), "recipe": {"size": "tiny", "seed": 0}, "sha256": digest}
    (folder / FACTS).write_text(json.dumps(facts))
    return folder


def test_ablation_takes_away_what_tells_women_from_men_and_keeps_what_tells_settings_apart(babbler: Path):
    graph = load(babbler).graph
    pairs = jobs(3, "fit", 0, PLANTED)
    fitted = variants.fit(graph, pairs, verbose=False)
    inputs = [(side[0][0].image(), prompt(side[0][1].text)) for each in pairs for side in each.items]

    def means(place: str, strength: float) -> torch.Tensor:
        """Means of the activations at layer 1: [setting, side, d]."""
        steer = variants.steer_of(trial(place, 1), fitted) * strength
        at = "image" if place == "picture" else "last"
        x = lh.capture(graph, inputs, "resid_post.1", at=at, steer=steer, verbose=False)["resid_post.1"]
        return x.double().reshape(len(SETTINGS), -1, 2, x.shape[1]).mean(dim=1)

    for place in ("end", "picture"):
        before, after = (means(place, strength).mean(dim=0).diff(dim=0).norm() for strength in (0.0, 1.0))
        assert after < 0.01 * before
    before, after = (means("end, by setting", strength) for strength in (0.0, 1.0))
    between = before.mean(dim=1) - before.mean(dim=(0, 1))
    assert torch.allclose(after.mean(dim=1) - after.mean(dim=(0, 1)), between, atol=1e-4 * float(between.abs().max()))
    # In each setting, what is left of the difference lies in the span of the settings' means.
    left, axes = after.diff(dim=1)[:, 0], torch.linalg.svd(between, full_matrices=False)[2][: len(SETTINGS) - 1]
    assert (left - left @ axes.T @ axes).norm() < 0.01 * before.diff(dim=1).norm()


def test_every_stage_runs_and_everything_is_written(babbler: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from typer.testing import CliRunner

    from levelhead.cli import app

    monkeypatch.setattr(job, "Counts", lambda: FEW)
    out = tmp_path / "out"
    arguments = ["demo", "--model", str(babbler), "--out", str(out), "--controls", "2", "--quiet"]
    found = CliRunner().invoke(app, arguments)
    assert found.exception is None and found.exit_code == 0, found.output
    written = json.loads((out / "summary.json").read_text())
    assert [row["name"] for row in written["graphs"]] == list(GRAPHS)
    assert all(row["difference_before"] == row["difference_after"] == 0 for row in written["graphs"])
    assert written["reloaded"]["equal"] and len(written["random_directions"]) == 2
    base, *tried = written["validation"]
    assert len(tried) == 3 * 3 and {each["place"] for each in tried} == set(variants.PLACES) and base["place"] == ""
    names = {"pictures.png", "layers.png", "heads.png", "choice.png", "gap.png", "probes.csv", "alignment.csv", "steer"}
    assert names <= {path.name for path in out.iterdir()}
    card = json.loads((out / "steer" / "card.json").read_text())
    assert str(tmp_path) not in json.dumps(card), "no path of this machine"
    gap = written["estimates"]["after"]["gap"]
    assert card["results"]["gap_after"] == gap and gap["n"] == 2 * len(SETTINGS)
    assert f"{gap['value']:.2f} [{gap['low']:.2f}, {gap['high']:.2f}]" in found.output, (
        "what is printed is what was found"
    )
    assert max(map(len, found.output.splitlines())) <= 80 and "…" not in found.output, (
        "nothing is cut on a narrow terminal"
    )


def test_a_folder_that_is_no_testbed_model_is_said_in_one_line(tmp_path: Path):
    from typer.testing import CliRunner

    from levelhead.cli import app

    found = CliRunner().invoke(app, ["demo", "--model", str(tmp_path), "--out", str(tmp_path / "out")])
    assert found.exit_code == 1 and "holds no testbed model" in " ".join(found.output.split())


# -- the trained model ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_whole_demo(tmp_path: Path):
    report = run(Options(tmp_path, controls=3, verbose=False))
    found, truth = report.estimates, report.before.jobs.gap_planted()
    # The planted gap is found, setting by setting ...
    assert found["before"]["gap"].value == pytest.approx(truth, abs=0.04)
    for name in report.before.jobs.names:
        sides = report.before.jobs.sides(name)
        assert sides[:, 0] == pytest.approx(sides[:, 1], abs=0.08), name
    # ... and closed on people whom nothing was fitted on, which random directions do not do ...
    assert found["after"]["gap"].high < 0.3 * found["before"]["gap"].value
    assert all(jobs.gap() > 0.8 * found["before"]["gap"].value for jobs, _ in report.controls)
    # ... while what the picture shows is still told.
    assert all(found["after"][part].value > found["before"][part].value - 0.04 for part in SKILLS)
    # The answer depends on the person, and not on the wall.
    swapped = report.swapped("before")
    assert swapped["gender"].low > 10 * swapped["wall"].high
    # Three graphs, one number; and the steer survives the disk.
    assert all(row.skipped or row.difference_before == row.difference_after == 0 for row in report.graphs)
    assert report.reloaded["equal"]
    for picture in draw(report):
        assert picture.stat().st_size > 10_000
