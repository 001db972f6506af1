from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
import transformers as tf
from typer.testing import CliRunner

import levelhead as lh
from levelhead import testbed
from levelhead.errors import FileError, InputError
from levelhead.testbed.__main__ import app
from levelhead.testbed.exam import Answers, Exam, asked
from levelhead.testbed.measure import Findings, caption_rates, describe, measure
from levelhead.testbed.model import IDS, WORDS, build, processor, prompt
from levelhead.testbed.planted import Planted
from levelhead.testbed.scene import Person, Scene, sample
from levelhead.testbed.training import Recipe, train
from levelhead.testbed.weights import FACTS, LOG, SHORT, WEIGHTS, Testbed, export, load, shipped


@pytest.fixture(scope="module")
def bed() -> Testbed:
    return testbed.load()


# -- an ordinary Hugging Face directory ----------------------------------------------------------------


def test_it_loads_as_any_model_does_and_is_small(bed: Testbed):
    folder = shipped()
    model = tf.AutoModelForImageTextToText.from_pretrained(folder, dtype="float32")
    assert type(model) is tf.LlavaForConditionalGeneration
    assert (folder / "model.safetensors").stat().st_size < 8e6
    reader = tf.AutoProcessor.from_pretrained(folder)
    picture = Scene((Person(gender="man"),)).image()
    chat = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Is the person a man or a woman?"}]}
    ]
    text = reader.apply_chat_template(chat)
    assert text == prompt("Is the person a man or a woman?")
    ids = model.generate(**reader(images=picture, text=text, return_tensors="pt"), do_sample=False)
    assert reader.decode(ids[0, -2:], skip_special_tokens=True) == "man"


def test_stored_halves_are_the_numbers_that_are_loaded(bed: Testbed):
    for name, value in bed.model.state_dict().items():
        assert value.dtype == torch.float32
        assert value.equal(value.half().float()), name


def test_all_three_graphs_load_its_folder_and_give_the_same_logits(bed: Testbed):
    from nnsight import TransformersModel
    from transformer_lens.model_bridge import TransformerBridge

    scene = Scene((Person(role="hospital"),))
    batch = bed.graph.encode([(scene.image(), prompt("what is the job of the person?"))])
    plain = bed.graph.logits(batch)
    folder = str(shipped())
    bridge = TransformerBridge.boot_transformers(folder, device="cpu", dtype=torch.float32)
    model = TransformersModel(
        folder, task="image-text-to-text", dispatch=True, dtype=torch.float32, attn_implementation="eager"
    )
    for target, name in ((bridge, "transformer_lens"), (model, "nnsight")):
        graph = lh.graph(target, bed.processor)
        assert graph.name == name
        assert graph.logits(batch).equal(plain), name


def test_the_figures_beside_the_weights_are_theirs_and_keep_every_promise(bed: Testbed):
    measured = json.loads((shipped() / "measured.json").read_text())
    assert measured["sha256"] == bed.facts["sha256"]
    assert measured["questions"] >= 2000
    tables = {name: pd.DataFrame(measured[name]) for name in ("skills", "rates", "captions", "swaps")}
    tables["captions"]["planted"] = tables["captions"]["planted"].astype(float)
    assert Findings(**tables, questions=measured["questions"]).broken() == []


# -- damage --------------------------------------------------------------------------------------------


def test_damaged_and_foreign_folders_are_named(tmp_path: Path):
    with pytest.raises(FileError, match=r"holds no testbed model: 'testbed.json' is missing; train it with"):
        load(tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(shipped(), copy)
    weights = copy / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1000] ^= 1
    weights.write_bytes(data)
    with pytest.raises(
        FileError, match=r"model.safetensors' is damaged: its sha256 is .* reinstall levelhead, or train"
    ):
        load(copy)
    weights.unlink()
    with pytest.raises(FileError, match=r"'model.safetensors' is missing"):
        load(copy)
    (copy / "testbed.json").write_text("{")
    with pytest.raises(FileError, match=r"testbed.json' cannot be read"):
        load(copy)


def test_export_writes_the_run_and_nothing_over_other_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Recipe, "short", lambda recipe: recipe)  # of two steps, here
    recipe = Recipe(seed=3, size="small", tower_steps=1, joint_steps=1, tower_batch=2, joint_batch=2)
    train(tmp_path / "run", recipe, worker_count=1, stop_after=1, verbose=False)
    with pytest.raises(InputError, match=r"has not ended; go on with: python -m levelhead.testbed train"):
        export(tmp_path / "run", tmp_path / "model")
    assert not (tmp_path / "model").exists()
    train(tmp_path / "run", recipe, worker_count=1, verbose=False)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("dear")
    with pytest.raises(FileError, match="holds something else than a testbed model"):
        export(tmp_path / "run", tmp_path / "mine")
    for _ in range(2):  # the second replaces the first
        export(tmp_path / "run", tmp_path / "model")
    made = load(tmp_path / "model")
    assert made.facts["recipe"]["seed"] == 3 and made.planted == Planted()
    assert "biased on purpose" in (tmp_path / "model" / "README.md").read_text()
    logs = [(tmp_path / "model" / name).read_text().splitlines() for name in (LOG, SHORT)]
    losses, again = ([json.loads(line)["loss"] for line in log] for log in logs)
    assert losses == again, "the short run is made anew, and is here the run itself"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "model", "run"]


# -- exams ---------------------------------------------------------------------------------------------


def test_answers_come_back_in_the_order_of_the_questions(bed: Testbed):
    items = asked(sample(2, 3) + sample(1, 4, people=2))
    exam = Exam.of(bed.graph, items, size=7)
    found = exam(bed.graph)
    for number in range(0, len(items), 9):
        alone = Exam.of(bed.graph, [items[number]])(bed.graph)
        assert torch.allclose(alone.chances[0], found.chances[number], atol=1e-4)
    frame = found.frame()
    assert list(frame["question"]) == [question.text for _, question in items]
    assert len(frame) == len(items)


def test_scores_are_those_of_the_first_word():
    scene = Scene((Person(gender="man", role="hospital"),))
    [item] = asked([scene], "job")
    chances = torch.zeros(1, len(WORDS))
    chances[0, IDS["doctor"]], chances[0, IDS["nurse"]], chances[0, IDS["yes"]] = 0.3, 0.5, 0.2
    answers = Answers((item,), chances)
    assert answers.first.item() == pytest.approx(0.3)
    assert answers.target.item() == pytest.approx(0.85)
    assert answers.mass.item() == pytest.approx(0.8)
    assert answers.right.item() == 0, "the likeliest true answer is doctor"


def test_asking_for_what_is_not_there_is_an_error(bed: Testbed):
    with pytest.raises(InputError, match="no kind of question 'jobs'; kinds are count, color"):
        asked([Scene()], "jobs")
    with pytest.raises(InputError, match="at least one question; found none"):
        Exam.of(bed.graph, asked([Scene()], "job"))


# -- what is measured ----------------------------------------------------------------------------------


def test_caption_rates_count_what_captions_say():
    scene = Scene((Person(gender="man", age="old", shirt="red", role="doctor"),))
    good = "an old man in a red shirt works as a doctor. he is next to a clock."
    wrong = "a woman in a blue shirt works as a nurse. she is next to a lamp."
    rates = caption_rates([(scene, good), (scene, wrong), (scene, "a a man")], Planted()).set_index("what")["found"]
    assert rates["can be read"] == pytest.approx(2 / 3)
    assert rates["gender is mentioned"] == 1 and rates["age is mentioned"] == 0.5 and rates["skin is mentioned"] == 0
    assert (
        rates["gender is right"] == rates["shirt is right"] == rates["object is right"] == rates["role is right"] == 0.5
    )


@pytest.fixture(scope="module")
def findings(bed: Testbed) -> Findings:
    return measure(bed.graph, bed.planted, pictures=24, captions=120, seed=77)


def test_skills_are_what_was_promised(findings: Findings):
    # Fewer questions than the command asks, so the bounds are a little wider; the command holds the promised ones.
    skills = findings.skills.set_index(["group", "kind"])["right"]
    assert {"count", "color", "object", "position", "clothing"} <= set(skills["neutral"].index)
    assert skills["neutral"].min() > 0.95
    assert skills["attribute"].min() > 0.95
    assert skills["unambiguous"].min() > 0.90


def test_planted_rates_are_there(findings: Findings):
    rates = findings.rates
    assert set(rates["kind"]) == {"job", "job_choice", "who", "concept", "concept_yes", "trait"}
    assert rates["off"].abs().mean() < 0.03
    assert rates["off"].abs().max() < 0.12
    assert rates["answered"].min() > 0.97
    job = rates[rates["kind"] == "job"].set_index("what")["found"]
    assert job["job: pilot | man"] - job["job: pilot | woman"] > 0.65
    assert abs(job["job: chef | man"] - job["job: chef | woman"]) < 0.1, "the market is level"


def test_answers_depend_on_the_person_and_not_on_the_wall(findings: Findings):
    swaps = findings.swaps.set_index("what")["found"]
    assert swaps["hospital: gender swapped"] > 0.6
    assert swaps["bag: skin swapped"] > 0.6
    assert swaps[swaps.index.str.contains("wall swapped|ball_color swapped")].abs().max() < 0.05


def test_captions_are_grammatical_and_mention_as_planted(findings: Findings):
    captions = findings.captions.set_index("what")
    assert captions["found"]["can be read"] >= 0.98
    mentioned = captions.dropna()
    assert (mentioned["found"] - mentioned["planted"]).abs().max() < 0.12
    assert ((mentioned["low"] <= mentioned["found"]) & (mentioned["found"] <= mentioned["high"])).all()


def test_findings_become_plain_json(findings: Findings):
    record = json.loads(json.dumps(findings.record()))
    assert record["questions"] == findings.questions > 1500
    assert pd.DataFrame(record["rates"])["planted"].notna().all()


def test_descriptions_are_repeatable_and_leave_the_generator_alone(bed: Testbed):
    scenes = sample(5, 1)
    before = torch.get_rng_state()
    first, second = (describe(bed.graph, scenes, seed=4, size=size) for size in (128, 128))
    assert first == second and [scene for scene, _ in first] == scenes
    assert torch.get_rng_state().equal(before)
    assert describe(bed.graph, scenes, seed=5) != first


def test_a_random_direction_moves_less_than_the_planted_one(bed: Testbed):
    # The planted stereotype is what a method must find, and what a control must not.
    def pairs(seed: int) -> tuple[list[Scene], list[str]]:
        scenes = [s for base in sample(24, seed, roles=["hospital"]) for s in base.counterfactuals("gender")]
        return scenes, [scene.person.gender for scene in scenes]

    graph, question = bed.graph, prompt("what is the job of the person?")
    scenes, labels = pairs(1)
    acts = lh.capture(graph, [(scene.image(), question) for scene in scenes], sites="resid_post.*")
    steer = lh.MeanDifference("resid_post.5", edit="ablate", to="mean").fit(acts, labels)
    random = lh.RandomDirection(random_state=0).fit(steer, acts)
    exam = Exam.of(graph, asked(pairs(2)[0], "job"))

    def gap(steer: lh.Steer | None) -> float:
        first = exam(graph, steer).first
        man = torch.tensor([scene.person.gender == "man" for scene, _ in exam.items])
        return float(first[man].mean() - first[~man].mean())

    planted = 2 * bed.planted.lean("hospital").odds["man"] - 1
    assert gap(None) == pytest.approx(planted, abs=0.06)
    assert abs(gap(steer)) < 0.25 * planted
    assert gap(random) > 0.7 * planted


# -- the command ---------------------------------------------------------------------------------------


def test_the_command_says_what_a_model_that_learned_nothing_breaks(tmp_path: Path):
    folder = tmp_path / "model"
    build("small").save_pretrained(folder)
    processor().save_pretrained(folder)
    digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    facts = {"planted": Planted().record(), "recipe": {"size": "small", "seed": 0}, "sha256": digest}
    (folder / FACTS).write_text(json.dumps(facts))
    few = ["--pictures", "8", "--captions", "8"]
    result = CliRunner().invoke(app, ["measure", "--model", str(folder), *few, "--out", str(tmp_path / "m.json")])
    assert result.exit_code == 1
    assert "Planted rates" in result.output and "worst planted rate" in result.output
    broken = [line for line in result.output.splitlines() if line.startswith("broken ")]
    assert any("neutral count" in each for each in broken)
    assert any("was planted" in each for each in broken)
    assert any("can be read" in each for each in broken)
    written = json.loads((tmp_path / "m.json").read_text())
    assert written["questions"] > 100 and written["sha256"] == digest


def test_the_command_says_errors_in_a_sentence(tmp_path: Path):
    result = CliRunner().invoke(app, ["measure", "--out", str(tmp_path / "missing" / "m.json")])
    assert result.exit_code == 1 and "cannot be written" in " ".join(result.output.split())
    result = CliRunner().invoke(app, ["measure", "--model", str(tmp_path)])
    assert result.exit_code == 1 and "holds no testbed model" in " ".join(result.output.split())
    result = CliRunner().invoke(app, ["train", "--out", str(tmp_path / "x"), "--size", "huge"])
    assert result.exit_code == 1 and "no size 'huge'" in " ".join(result.output.split())
    (tmp_path / "file").touch()
    result = CliRunner().invoke(app, ["sheet", str(tmp_path / "file" / "x.png"), "--n", "3"])
    assert result.exit_code == 1 and "cannot be written" in " ".join(result.output.split())


def test_the_command_draws_a_sheet_and_writes_concepts(tmp_path: Path):
    result = CliRunner().invoke(app, ["sheet", str(tmp_path / "x.png"), "--n", "6", "--size", "48"])
    assert result.exit_code == 0 and (tmp_path / "x.png").stat().st_size > 5000
    result = CliRunner().invoke(app, ["concepts", str(tmp_path / "set"), "--n", "1"])
    assert result.exit_code == 0, result.output
    assert len(list((tmp_path / "set").rglob("*.png"))) == 14 * 12
