"""The Skew of a model: against softmax and counting written out, on tiny models and on the testbed's planted rates."""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import levelhead as lh
import tiny
import words
from levelhead import Add, Steer
from levelhead.data.records import ImageRecord
from levelhead.errors import InputError
from levelhead.metrics.skew import ConceptSkews, concept_skew
from levelhead.training.model_skews import ModelSkews
from levelhead.training.skews import Answers, Assignments

PEOPLE = [(g, r, a) for g in ("man", "woman") for r in ("w", "x", "y") for a in ("old", "young")]


def record(number: int, concept: str | None, person: tuple[str, str, str], image: Any = None) -> ImageRecord:
    groups = dict(zip(("perceived_gender", "race", "perceived_age"), person, strict=True))
    return ImageRecord(id=f"{number}", image=image, concept=concept, groups=groups | {"hat": "no"}, set_id="one")


RECORDS = [record(i, concept, person) for concept in ("doctor", "nurse") for i, person in enumerate(PEOPLE)]


def worded(text: str, picture: Any) -> str:
    return text


def llama(seed: int = 0) -> Any:
    return lh.graph(tiny.ARCHITECTURES["llama"].model(seed), words.tokenizer())


def mixed_up(n: int = len(RECORDS)) -> np.ndarray:
    """Answers as a biased model gives them."""
    return np.random.default_rng(0).uniform(0.05, 0.95, n)


def skew_by_hand(yes: np.ndarray, concept: str, name: str, group: str) -> float:
    """ln of a group's share among the yes over one in so many groups; sets are balanced."""
    own = [(r.groups[name], y) for r, y in zip(RECORDS, yes, strict=True) if r.concept == concept]
    groups = {g for g, _ in own}
    return log(sum(y for g, y in own if g == group) / sum(y for _, y in own) * len(groups))


# -- asking ------------------------------------------------------------------------------------------------


def test_shares_of_yes_are_those_of_the_next_token() -> None:
    """One token an answer here, so that one softmax behind the question holds both."""
    graph = llama()
    asked = Assignments(graph, RECORDS, ask="the person is the {concept} ?")
    found = asked.ask()
    for i in (0, 17):
        batch = graph.encode([f"the person is the {RECORDS[i].concept} ?"])
        chances = graph.logits(batch)[0, -1].double().softmax(-1).detach()
        yes, no = (float(chances[words.VOCABULARY[word]]) for word in ("yes", "no"))
        assert found.yes[i] == pytest.approx(yes / (yes + no), rel=1e-5)
        assert found.mass[i] == pytest.approx(yes + no, rel=1e-5)
        assert bool(found.begun[i]) == (int(chances.argmax()) in (words.VOCABULARY["yes"], words.VOCABULARY["no"]))
    hard = Assignments(graph, RECORDS, ask="the person is the {concept} ?", hard=True)()
    assert hard.tolist() == (found.yes > 0.5).tolist()


def test_a_choice_is_asked_in_both_orders() -> None:
    graph = llama()
    ask = "is the person a {concept} or {other} ?"
    others = {"doctor": "nurse", "nurse": "doctor"}
    found = Assignments(graph, RECORDS, ask=ask, others=others)()
    each = []
    for text in ("is the person a doctor or nurse ?", "is the person a nurse or doctor ?"):
        logits = graph.logits(graph.encode([text]))[0, -1].double().detach()
        doctor, nurse = logits[words.VOCABULARY["doctor"]], logits[words.VOCABULARY["nurse"]]
        each.append(float(torch.sigmoid(doctor - nurse)))
    assert abs(each[0] - each[1]) > 1e-3, "otherwise one order would do"
    assert found[0] == pytest.approx(np.mean(each), rel=1e-4)
    assert found[-1] == pytest.approx(1 - np.mean(each), rel=1e-4)


def test_every_strength_has_a_row() -> None:
    graph = llama()
    steer = Steer({"resid_post.1": Add(torch.linspace(-3, 3, 32))})
    asked = Assignments(graph, RECORDS, batch_size=7)
    runs = asked(steer, [0.0, 1.0])
    assert runs.shape == (2, len(RECORDS))
    assert runs[0] == pytest.approx(asked(), rel=1e-4) and runs[1] == pytest.approx(asked(steer), rel=1e-4)
    assert np.abs(runs[1] - runs[0]).max() > 1e-3
    with pytest.raises(
        InputError, match=r"the answers of one run are needed, one for each of 24 records; found \(2, 24\)"
    ):
        asked.skews(runs)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_pictures_are_encoded_once_and_the_model_is_asked_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    model = tiny.ARCHITECTURES["llava"].model()
    pixels = np.random.default_rng(0)
    paths = []
    for i, person in enumerate(PEOPLE):
        picture = Image.fromarray(pixels.integers(0, 255, (28, 28, 3), dtype=np.uint8))
        picture.save(tmp_path / f"{i}.png")
        paths.append(record(i, "doctor", person, tmp_path / f"{i}.png" if i % 2 else picture))
    asked = Assignments(model, paths, processor=words.llava(), wrap=lambda text, picture: (picture, f"<image> {text}"))
    encode, calls = asked.graph.encode, []
    monkeypatch.setattr(asked.graph, "encode", lambda *args, **kw: calls.append(1) or encode(*args, **kw))
    before = asked()
    assert calls and len(set(before.tolist())) == len(PEOPLE), "each picture is another"
    calls.clear()
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(0.5)
    after = asked()
    assert not calls
    monkeypatch.setattr("levelhead.training.skews._device", lambda _: torch.device("meta"))
    assert asked() == pytest.approx(after) and calls, "encoded inputs follow a model that was moved"
    fresh = Assignments(model, paths, processor=words.llava(), wrap=lambda text, picture: (picture, f"<image> {text}"))
    assert np.abs(after - before).max() > 1e-3 and after == pytest.approx(fresh())


def test_a_model_in_training_is_asked_without_dropout_and_stays_in_training() -> None:
    model = tiny.ARCHITECTURES["gpt2"].model()
    asked = Assignments(model, RECORDS, processor=words.tokenizer())
    calm = asked()
    model.train()
    model.transformer.h[0].eval()
    modes = [module.training for module in model.modules()]
    assert asked() == pytest.approx(calm)
    assert [module.training for module in model.modules()] == modes and model.training
    assert not any(parameter.grad is not None for parameter in model.parameters())


# -- Skews -------------------------------------------------------------------------------------------------


def test_skews_are_counted_for_every_attribute() -> None:
    asked = Assignments(llama(), RECORDS)
    assert asked.attributes == ("perceived_gender", "race", "perceived_age"), "a hat is none, nor does it vary"
    yes = mixed_up()
    skews = asked.skews(yes)
    table = {
        (concept, name, group): skew_by_hand(yes, concept, name, group)
        for concept in ("doctor", "nurse")
        for name in asked.attributes
        for group in {r.groups[name] for r in RECORDS}
    }
    found = {(row.concept, row.attribute, row.group): row.skew for row in skews.frame().itertuples(index=False)}
    assert found == pytest.approx(table)
    for r in RECORDS:
        own = {(r.concept, name, r.groups[name]): table[r.concept, name, r.groups[name]] for name in asked.attributes}
        key = max(own, key=lambda pair: abs(own[pair]))
        assert skews.of(r.concept, r.groups) == pytest.approx(own[key]) and skews.key(r.concept, r.groups) == key
    signs = {np.sign(skews.of(r.concept, r.groups)) for r in RECORDS}
    assert signs == {-1, 1}, "the sign of the largest is kept"
    extremes = [[table[k] for k in table if k[0] == concept] for concept in ("doctor", "nurse")]
    assert skews.min_skew() == pytest.approx(np.mean([min(each) for each in extremes]))
    assert skews.max_skew() == pytest.approx(np.mean([max(each) for each in extremes]))
    race = [[table[k] for k in table if k[:2] == (concept, "race")] for concept in ("doctor", "nurse")]
    assert skews.min_skew("race") == pytest.approx(np.mean([min(each) for each in race]))
    # The raw arrays are what an interval needs.
    statistic = concept_skew(yes, asked.concepts, asked.groups["race"], "min")
    assert statistic(np.ones((1, len(asked))))[0] == pytest.approx(skews.min_skew("race"))
    assert skews.of(None, {}) == 0.0 and skews.key(None, {}) is None


def test_a_group_that_is_never_assigned_comes_out_lowest_and_finite() -> None:
    asked = Assignments(llama(), RECORDS, attributes=["perceived_gender", "race"])
    men = np.array([float(r.groups["perceived_gender"] == "man" and r.concept == "doctor") for r in RECORDS])
    skews = asked.skews(men)
    # 6 of 6 men, and of 6 women half a one of 7; nobody is a nurse, of whom all groups have the same half.
    women = 0.5 / 7
    expected = log(women / ((1 + women) / 2))
    assert skews.of("doctor", {"perceived_gender": "woman"}) == pytest.approx(expected)
    assert [skews.of("nurse", r.groups) for r in RECORDS] == pytest.approx([0.0] * len(RECORDS))
    # Shares of yes can be so small that half a picture is more.
    small = np.where(men > 0, 1e-4, 0.0)
    assert asked.skews(small).of("doctor", {"perceived_gender": "woman"}) == 0.0
    assert asked.skews(mixed_up()).of("doctor", {"race": "w"}) == pytest.approx(
        skew_by_hand(mixed_up(), "doctor", "race", "w")
    ), "where all were assigned, nothing is smoothed"
    epsilon = Assignments(llama(), RECORDS, attributes=["perceived_gender"], zero="epsilon")
    with pytest.raises(
        InputError, match=r"the Skew of perceived_gender 'man' in concept 'nurse' is nan, .* zero='half'"
    ):
        epsilon.skews(men)
    some = men.copy()
    some[-1] = 1.0
    assert epsilon.skews(some).of("doctor", {"perceived_gender": "woman"}) == pytest.approx(log(1e-6 / 0.5))
    with pytest.raises(InputError, match="is -inf"):
        Assignments(llama(), RECORDS, attributes=["perceived_gender"], zero=0).skews(some)


def test_a_record_without_an_attribute_takes_no_part_in_it() -> None:
    ageless = ImageRecord(id="ageless", image=None, concept="nurse", groups={"perceived_gender": "man", "race": "w"})
    yes = mixed_up(len(RECORDS) + 1)
    both = Assignments(llama(), [*RECORDS, ageless])
    found, bare = both.skews(yes).record(), Assignments(llama(), RECORDS).skews(yes[:-1]).record()
    assert found["perceived_age"] == bare["perceived_age"] and found["race"] != bare["race"]
    assert both.skews(yes).of("nurse", ageless.groups) in {
        found["race"]["nurse"]["w"],
        found["perceived_gender"]["nurse"]["man"],
    }


def test_the_testbed_has_the_skews_that_were_planted() -> None:
    from levelhead.testbed.records import wrap
    from levelhead.testbed.scene import sample

    bed = lh.testbed.load()
    records = [
        ImageRecord(
            id=f"{s}",
            image=scene.image(),
            concept=concept,
            groups={n: getattr(scene.person, n) for n in ("gender", "age")},
        )
        for s, base in enumerate(sample(2, seed=1, roles=["subject"]))
        for scene in base.counterfactuals("gender", "age")
        for concept in ("science", "arts")
    ]
    asked = Assignments(bed.graph, records, ask="does the label {concept} fit the person?", wrap=wrap)
    answers = asked.ask()
    assert answers.mass.min() > 0.99 and answers.begun.all()
    skews = asked.skews(answers)
    assert skews.mass == pytest.approx(answers.mass.mean())
    man = bed.planted.concepts["subject"].odds["man"]
    for concept, share in (("science", man), ("arts", 1 - man)):
        assert skews.of(concept, {"gender": "man"}) == pytest.approx(log(share / 0.5), abs=0.15)
        assert abs(skews.of(concept, {"age": "old"})) < 0.1, "age was planted nothing here"
    assert skews.key("arts", {"gender": "man", "age": "old"}) == ("arts", "gender", "man") and not skews.cautions
    unheard = Assignments(bed.graph, records, ask="is the person {concept}?", wrap=wrap)
    assert "hardly answers in these words" in str(unheard.skews()), "the testbed was never asked like this"


# -- what cannot be ----------------------------------------------------------------------------------------


def test_records_that_cannot_be_compared_are_said() -> None:
    graph = llama()
    with pytest.raises(InputError, match=r"concept 'nurse' has no record of race 'x', 'y'"):
        Assignments(graph, [r for r in RECORDS if r.concept == "doctor" or r.groups["race"] == "w"])
    with pytest.raises(InputError, match=r"no attribute .* has two values.*; the records have: hat \(1 values\)"):
        Assignments(graph, [ImageRecord(id="0", image=None, concept="doctor", groups={"hat": "no"})])
    with pytest.raises(InputError, match=r"attribute 'gender' does not have two values.*perceived_gender"):
        Assignments(graph, RECORDS, attributes=["gender"])
    with pytest.raises(InputError, match="1 records have no concept to ask about, the first is '7'"):
        Assignments(graph, [*RECORDS, record(7, None, PEOPLE[0])])
    with pytest.raises(InputError, match="no records to ask about"):
        Assignments(graph, [])


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        (("yes", "never"), "the tokenizer has no word for the answer 'never'"),
        (("yes", "yes "), "the answers 'yes' and 'yes' are the same tokens"),
        (("a man", "a woman"), "begin with the same token"),
    ],
)
def test_answers_that_the_tokenizer_cannot_tell_apart_are_said(answers: tuple[str, str], told: str) -> None:
    with pytest.raises(InputError, match=told):
        Assignments(llama(), RECORDS, answers=answers)


def test_questions_that_ask_for_nothing_are_said() -> None:
    with pytest.raises(InputError, match=r"ask has no \{concept\} in it; found 'is it \?'"):
        Assignments(llama(), RECORDS, ask="is it ?")
    with pytest.raises(InputError, match=r"ask has no \{other\} in it"):
        Assignments(llama(), RECORDS, ask="is the {concept} ?", others={"doctor": "nurse", "nurse": "doctor"})
    with pytest.raises(InputError, match="others= has nothing beside 'nurse'; it has doctor"):
        Assignments(llama(), RECORDS, ask="{concept} {other} ?", others={"doctor": "nurse"})


def test_a_model_that_came_apart_is_said() -> None:
    model = tiny.ARCHITECTURES["llama"].model()
    asked = Assignments(model, RECORDS, processor=words.tokenizer())
    with torch.no_grad():
        model.get_output_embeddings().weight.fill_(torch.nan)
    with pytest.raises(
        InputError, match="the answers about record '0' have no probability: are the model's weights finite"
    ):
        asked()


def test_skews_of_samples_that_were_not_measured_are_said() -> None:
    skews = ModelSkews({"gender": ConceptSkews(("chef",), ("man", "woman"), np.array([[0.3, -0.4]]))})
    for concept, groups, told in (
        ("guard", {"gender": "man"}, "no Skew was measured for concept 'guard'; there are chef"),
        ("chef", {"gender": "person"}, "no Skew was measured for gender 'person' in 'chef'; there are man, woman"),
        ("chef", {"race": "w"}, "has none of the attributes gender; it has race"),
    ):
        with pytest.raises(InputError, match=told):
            skews.of(concept, groups)
    with pytest.raises(InputError, match="no Skews of 'race'; there are gender"):
        skews.min_skew("race")
    with pytest.raises(InputError, match="need at least one attribute"):
        ModelSkews({})
    answers = Answers(np.zeros(1), np.full(1, 0.5), np.ones(1))
    with pytest.raises(InputError, match="one for each of 24 records"):
        Assignments(llama(), RECORDS).skews(answers)


@pytest.mark.parametrize(
    ("mass", "yes", "told"),
    [
        (1.0, 0.5, []),
        (None, None, []),
        (0.89, 0.5, ["only 89% of the probability"]),
        (1.0, 0.99, ["yes to 99% of the questions"]),
        (0.5, 0.01, ["only 50% of the probability", "yes to 1% of the questions"]),
    ],
)
def test_skews_that_say_nothing_come_with_a_caution(mass: float | None, yes: float | None, told: list[str]) -> None:
    skews = ModelSkews({"gender": ConceptSkews(("chef",), ("man", "woman"), np.zeros((1, 2)))}, mass, yes)
    assert len(skews.cautions) == len(told)
    assert all(each in caution and caution in str(skews) for each, caution in zip(told, skews.cautions, strict=True))


def test_the_share_of_yes_is_the_mean_answer_but_of_no_choice() -> None:
    asked = Assignments(llama(), RECORDS)
    answers = asked.ask()
    assert asked.skews(answers).yes == pytest.approx(answers.yes.mean())
    others = {"doctor": "nurse", "nurse": "doctor"}
    assert Assignments(llama(), RECORDS, ask="{concept} {other} ?", others=others).skews().yes is None
