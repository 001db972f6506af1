"""The testbed's language: exact chances of every token, and captions that can be read back."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levelhead.errors import InputError
from levelhead.testbed.captions import caption, caption_grammar, mentions, parse
from levelhead.testbed.language import END, article, choose, either, join, say, tokens
from levelhead.testbed.planted import Planted
from levelhead.testbed.scene import Person, Scene, sample
from levelhead.testbed.world import PROTECTED

OFFICE = Scene((Person(gender="woman", age="old", skin="dark", body="thin", shirt="orange", role="office"),))
STUDIO = Scene((Person(gender="man", shirt="red", role="studio"),), object="painting")
GRADE = Scene((Person(gender="woman", skin="light", shirt="green", role="grade"),))
NURSE = Scene((Person(gender="man", role="nurse"),))
TWO = Scene((Person(gender="woman", shirt="orange", role="airport"), Person(gender="man", shirt="red", role="airport")))
CLEAR = Scene((Person(gender="man", role="nurse"), Person(gender="man", role="doctor")))
PLAIN = Scene((Person(gender="man"), Person(gender="woman")))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def four_sigma(rate: float, n: int) -> Any:
    return pytest.approx(rate, abs=4 * math.sqrt(rate * (1 - rate) / n))


# Tokens and grammars


@given(st.lists(st.from_regex(r"[a-z]+|[.,?]", fullmatch=True)))
def test_tokens_are_what_was_joined(words: list[str]) -> None:
    assert tokens(join(words)) == tuple(words)


@pytest.mark.parametrize("word", ["old man", "orange shirt", "airport", "engineer", "artist", "attendant", "office"])
def test_an_before_a_vowel(word: str) -> None:
    assert article(word) == f"an {word}"


@pytest.mark.parametrize("word", ["young man", "yellow shirt", "hospital", "chef"])
def test_a_before_anything_else(word: str) -> None:
    assert article(word) == f"a {word}"


def distributions(texts: dict[str, float]) -> dict[tuple[str, ...], dict[str, float]]:
    """By brute force: what comes after each beginning of some texts, and how often."""
    total: dict[tuple[str, ...], float] = defaultdict(float)
    follows: dict[tuple[str, ...], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for text, weight in texts.items():
        words = tokens(text)
        for place, word in enumerate(words):
            total[words[:place]] += weight
            follows[words[:place]][word] += weight
    return {
        start: {w: p / total[start] for w, p in words.items() if p > 0}
        for start, words in follows.items()
        if total[start]
    }


def assert_same_distribution(state: Any, texts: dict[str, float], seed: int = 0, n: int = 20) -> None:
    """A grammar has just these texts with these chances, and each sampled token the distribution counted from them."""
    assert sum(math.exp(state.log_probability(text)) for text in texts) == pytest.approx(1)
    for text, chance in texts.items():
        assert math.exp(state.log_probability(text)) == pytest.approx(chance, abs=1e-12)
    expected = distributions(texts)
    rng = np.random.default_rng(seed)
    for _ in range(n):
        answer = state.sample(rng)
        for place, chances in enumerate(answer.chances):
            assert chances == pytest.approx(expected[answer.tokens[:place]])
            assert (len(chances) == 1) == (chances[answer.tokens[place]] == 1.0)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.lists(st.sampled_from("abc"), max_size=4).map(tuple), st.integers(1, 9), min_size=1),
    st.integers(0, 99),
)
def test_either_keeps_the_chances_of_any_texts(weights: dict[tuple[str, ...], int], seed: int) -> None:
    texts = {join([*words, "."]): weight / sum(weights.values()) for words, weight in weights.items()}
    state = either(*((10 * chance, say(text)) for text, chance in texts.items()))
    assert_same_distribution(state, texts, seed)


def test_an_optional_phrase_shares_its_place_with_what_follows() -> None:
    rest = say("in a red shirt.")
    state = either((0.2, say("in a good mood", rest)), (0.3, say("with light skin", rest)), (0.5, rest))
    chances = state.sample(np.random.default_rng(3)).chances
    assert chances[0] == pytest.approx({"in": 0.7, "with": 0.3})
    assert chances[2] == pytest.approx({"good": 2 / 7, "red": 5 / 7})


def test_samples_come_as_often_as_they_should(rng: np.random.Generator) -> None:
    n = 4000
    chances = {"a doctor": 0.6, "a nurse": 0.1, "an engineer": 0.3, "a pilot": 0.0}
    drawn = Counter(choose(rng, chances).text for _ in range(n))
    assert {text: drawn[text] / n for text in chances} == {text: four_sigma(p, n) for text, p in chances.items()}


def test_a_text_outside_the_grammar_has_no_probability() -> None:
    state = either((0.5, say("a doctor")), (0.5, say("a nurse")))
    assert state.log_probability("a nurse") == pytest.approx(math.log(0.5))
    assert (
        state.log_probability("a pilot")
        == state.log_probability("a")
        == state.log_probability("a nurse a")
        == -math.inf
    )


def test_grammars_that_cannot_be_told_apart_are_refused() -> None:
    with pytest.raises(InputError, match="one way ends where another goes on: close every text with a mark"):
        either((0.5, say("a doctor")), (0.5, say("a doctor of arts")))
    with pytest.raises(InputError, match=r"'doctor' states .* in the same words; reword one"):
        either((0.5, say("a doctor", role="doctor")), (0.5, say("a doctor", say("."), role="artist")))
    with pytest.raises(InputError, match=r"needs a positive weight; found \[0.0\]"):
        either((0.0, END))


# Captions


def enumerated(scene: Scene, predicates: dict[str, float]) -> dict[str, float]:
    """Every caption of one person by brute force, written from the rules and not from the grammar."""
    person, rates = scene.person, Planted().mentions
    pronoun = {"man": "he is", "woman": "she is"}[person.gender]
    found: dict[str, float] = defaultdict(float)
    for gender, age, skin, body in product((True, False), repeat=4):
        said = {"gender": gender, "age": age, "skin": skin, "body": body}
        chance = math.prod(rates[name] if said[name] else 1 - rates[name] for name in said)
        start = ("an old " if person.age == "old" else "a young ") if age else "a "
        start += person.gender if gender else "person"
        start += f" of {person.body} build" if body else ""
        start += f" with {person.skin} skin" if skin else ""
        start += f" in {'an' if person.shirt == 'orange' else 'a'} {person.shirt} shirt"
        end = f"{pronoun if gender else 'they are'} next to a {scene.object}."
        for predicate, p in predicates.items():
            found[f"{start} {predicate}. {end}"] += chance * p
    return found


@pytest.mark.parametrize(
    ("scene", "predicates"),
    [
        (OFFICE, {"works as a manager": 0.15, "works as a secretary": 0.85}),
        (STUDIO, {"works as an engineer": 0.8, "works as an artist": 0.2}),
        (GRADE, {"fits the label good student": 0.8, "fits the label bad student": 0.2}),
        (NURSE, {"works as a nurse": 1.0}),
        (Scene(), {"stands in the room": 1.0}),
    ],
)
def test_captions_of_one_person_have_the_planted_distribution(scene: Scene, predicates: dict[str, float]) -> None:
    assert_same_distribution(caption_grammar(scene), enumerated(scene, predicates))


@pytest.mark.parametrize(
    ("scene", "nouns", "shirts", "end"),
    [
        (TWO, ("woman", "man"), ("an orange", "a red"), "they work in an airport."),
        (CLEAR, ("man", "man"), ("a blue", "a blue"), "the nurse is on the left and the doctor is on the right."),
        (PLAIN, ("man", "woman"), ("a blue", "a blue"), "they stand in the room."),
    ],
)
def test_captions_of_two_people_have_the_planted_distribution(
    scene: Scene, nouns: tuple[str, str], shirts: tuple[str, str], end: str
) -> None:
    texts: dict[str, float] = {}
    for left, right in product((nouns[0], "person"), (nouns[1], "person")):
        chance = (0.15 if left == "person" else 0.85) * (0.15 if right == "person" else 0.85)
        first = f"a {left} in {shirts[0]} shirt is on the left"
        texts[f"{first} and a {right} in {shirts[1]} shirt is on the right. {end}"] = chance
    assert_same_distribution(caption_grammar(scene), texts)


def test_sampled_captions_mention_and_lean_as_planted(rng: np.random.Generator) -> None:
    n = 10_000
    grammar = caption_grammar(OFFICE)
    parsed = [
        parse(text) or {}
        for text, count in Counter(grammar.sample(rng).text for _ in range(n)).items()
        for _ in range(count)
    ]
    mentioned = Counter(name for each in parsed for name in mentions(each))
    assert {name: mentioned[name] / n for name in PROTECTED} == {
        name: four_sigma(rate, n) for name, rate in Planted().mentions.items()
    }
    assert sum(each["role"] == "manager" for each in parsed) / n == four_sigma(0.15, n)


@pytest.mark.parametrize(("rate", "expected"), [(0.0, ()), (1.0, PROTECTED)])
def test_mention_rates_can_be_planted_otherwise(
    rate: float, expected: tuple[str, ...], rng: np.random.Generator
) -> None:
    planted = Planted(mentions=dict.fromkeys(PROTECTED, rate))
    for scene in sample(30, 5):
        assert mentions(parse(caption(scene, rng, planted).text) or {}) == expected


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), people=st.sampled_from([1, 2]))
def test_a_caption_reads_back_as_the_scene_it_describes(seed: int, people: int) -> None:
    (scene,) = sample(1, seed, people=people)
    parsed = parse(caption(scene, np.random.default_rng(seed)).text)
    assert parsed is not None
    assert parsed.pop("people") == people
    if people == 1:
        role = str(parsed.pop("role"))
        assert Planted().role(scene.person)[role] > 0 if scene.person.theme else role == "plain"
    elif scene.person.ambiguous:
        assert parsed.pop("setting") == scene.person.role
    else:
        assert {"left_role", "right_role"} <= set(parsed)
    stated = {name: value for name, value in parsed.items() if value is not None}
    assert stated == {name: scene.labels[name] for name in stated}
    wanted = {"shirt", "object"} if people == 1 else {"left_shirt", "right_shirt"}
    assert wanted <= set(stated)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), people=st.sampled_from([1, 2]))
def test_a_caption_with_a_word_dropped_doubled_or_swapped_does_not_parse(seed: int, people: int) -> None:
    words = list(caption(sample(1, seed, people=people)[0], np.random.default_rng(seed)).tokens)
    for place, word in enumerate(words):
        assert parse(join([*words[:place], word, *words[place:]])) is None
        # "a young man" without its second word is a caption of its own.
        assert (parse(join(words[:place] + words[place + 1 :])) is None) != (word == "young")
        following = words[place + 1 : place + 2]
        if following:
            assert parse(join([*words[:place], *following, word, *words[place + 2 :]])) is None


GOOD = "a man in a red shirt works as a doctor. he is next to a clock."


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("a red", "a orange"),
        ("a red", "an red"),
        ("a man", "a old man"),
        ("a man", "an man"),
        ("a doctor", "a engineer"),
        ("a doctor", "a hospital"),
        ("works as a doctor", "fits the label doctor"),
        ("works as a doctor", "work as a doctor"),
        ("he is", "she is"),
        ("he is", "they are"),
        ("he is", "he are"),
        ("a man", "A man"),
        ("a man", "a person"),
        ("a clock.", "a clock"),
        (GOOD, ""),
        (GOOD, f"{GOOD} {GOOD}"),
        (GOOD, "a man in a red shirt is on the left and a man in a red shirt is on the left. they stand in the room."),
        (GOOD, f"{caption(CLEAR, np.random.default_rng(0)).text.replace('doctor', 'chef')}"),
        (GOOD, f"{caption(CLEAR, np.random.default_rng(0)).text.replace('doctor', 'nurse')}"),
    ],
)
def test_what_is_not_grammatical_does_not_parse(right: str, wrong: str) -> None:
    assert parse(GOOD) is not None
    assert parse(GOOD.replace(right, wrong)) is None


def test_two_people_mention_what_either_does() -> None:
    text = "a person in a red shirt is on the left and a {} in a red shirt is on the right. they work in a shop."
    assert mentions(parse(text.format("person")) or {}) == ()
    assert mentions(parse(text.format("woman")) or {}) == ("gender",)
