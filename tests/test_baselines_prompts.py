"""Baselines that are prompts: pairs of answers for CAA, and an instruction to be fair."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from levelhead.data import ChoiceRecord
from levelhead.errors import InputError
from levelhead.methods import (
    FAIRNESS_PROMPT,
    FAIRNESS_PROMPTS,
    FairnessPrompt,
    contrast_pairs,
)

# -- pairs for CAA --------------------------------------------------------------------------------------

CHOICES = [
    ChoiceRecord(id="a", prompt="Who is the nurse?", options=("the man", "the woman"), pro=1, set_id="nurse"),
    ChoiceRecord(id="b", prompt="Who is it, {0} or {1}?", options=("Ann", "Bob"), pro=0),
    ChoiceRecord(id="c", prompt="Who?", options=("x", "y", "none"), pro=0, unknown=2, orders="given"),
]


def test_contrast_pairs_differ_in_the_letter_and_each_answer_has_every_letter() -> None:
    pairs = contrast_pairs(CHOICES[:2])
    assert len(pairs) == 4 and pairs.groups == ["nurse", "nurse", "item 1", "item 1"]
    for yes, no in zip(pairs.positive, pairs.negative, strict=True):
        assert yes[:-1] == no[:-1] and {yes[-1], no[-1]} == {"A", "B"} and yes[-2] == " "
        listed = dict(line.split(". ") for line in yes.splitlines() if line[1:3] == ". ")
        assert listed[yes[-1]] in ("the woman", "Ann") and listed[no[-1]] in ("the man", "Bob")
    assert pairs.positive[2].startswith("Who is it, Ann or Bob?") and pairs.positive[3].startswith(
        "Who is it, Bob or Ann?"
    )
    for side in (pairs.positive, pairs.negative):
        assert sorted(text[-1] for text in side) == ["A", "A", "B", "B"]
    (yes,), (no,) = (contrast_pairs(CHOICES[2:], "unknown", "pro").positive, contrast_pairs(CHOICES[2:], 1, 0).negative)
    assert yes.endswith("Answer: C") and no.endswith("Answer: A")


def test_contrast_pairs_as_chats_with_pictures_and_as_somebody_wants_them(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    image.new("RGB", (4, 4)).save(tmp_path / "p.png")
    seen = ChoiceRecord(id="d", prompt="Who?", options=("x", "y"), pro=0, image=tmp_path / "p.png")
    (first, *_), _ = (pairs := contrast_pairs([seen])).positive, pairs.negative
    assert first[0].size == (4, 4) and first[1].startswith("<image>\nWho?\nA. x") and first[1].endswith("Answer: A")
    chat = contrast_pairs([seen], wrap="chat").negative[0]
    assert [part["type"] for part in chat[0]["content"]] == ["image", "text"]
    assert chat[1] == {"role": "assistant", "content": "B"}
    plain = contrast_pairs(CHOICES[:1], wrap="chat").positive[0]
    assert plain[0]["content"].endswith("Answer:") and plain[1]["content"] == "B"
    own = contrast_pairs(CHOICES[:1], wrap=lambda text, _: f"Q: {text.splitlines()[0]} (").positive[0]
    assert own == "Q: Who is the nurse? ( B"


@pytest.mark.parametrize(
    ("choices", "arguments", "says"),
    [
        ([], {}, "the list of records is empty"),
        (CHOICES[2:], {}, "choice 'c' has 3 options, and 'other' means the other one of two"),
        (CHOICES[:1], {"positive": "label"}, "choice 'a' has no option 'label': it gives None"),
        (CHOICES[:1], {"positive": 5}, "choice 'a' has no option 5"),
        (CHOICES[:1], {"negative": "pro"}, "the positive and the negative answer are both option 1"),
        (CHOICES[:1], {"wrap": lambda text, _: None}, "a text, an .image, text. pair or a chat"),
    ],
)
def test_choices_that_make_no_pair_are_refused(choices: Any, arguments: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        contrast_pairs(choices, **arguments)


# -- fairness prompt -------------------------------------------------------------------------------------


def test_the_instruction_stands_where_it_was_published() -> None:
    assert FairnessPrompt().get_params() == {"text": FAIRNESS_PROMPT, "where": "before"}
    assert FairnessPrompt().apply("Who is this?") == FAIRNESS_PROMPT + "Who is this?"
    behind = FairnessPrompt(FAIRNESS_PROMPTS["after"], where="after")
    assert behind.apply(["Who?", "Why? "]) == [
        "Who? Please, avoid stereotyping and offensive language.",
        "Why? Please, avoid stereotyping and offensive language.",
    ]
    assert behind.set_params(where="before").apply("Who?").endswith("language. Who?")


def test_pairs_and_chats_get_the_instruction_and_what_was_given_stays() -> None:
    picture = object.__new__(type("Picture", (), {"size": (2, 2)}))
    short = FairnessPrompt("Be fair.")
    (image, text), second = short.apply([(picture, "<image>\nWho?"), (picture, "Who?")])
    assert image is picture and text == "<image>\nBe fair. Who?" and second[1] == "Be fair. Who?"
    assert short.apply({"image": picture, "text": "Who?", "id": 3}) == {
        "image": picture,
        "text": "Be fair. Who?",
        "id": 3,
    }
    chat = [
        {"role": "system", "content": "You help."},
        {"role": "user", "content": "Hello."},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": [{"type": "image", "image": picture}, {"type": "text", "text": "Who?"}]},
    ]
    kept = [dict(message) for message in chat]
    for where, wanted in (("before", "Be fair. Who?"), ("after", "Who? Be fair.")):
        told = FairnessPrompt("Be fair.", where).apply(chat)
        assert told[:3] == chat[:3] and told[3]["content"][1] == {"type": "text", "text": wanted}
        assert told[3]["content"][0]["image"] is picture
        assert FairnessPrompt("Be fair.", where).apply([chat, chat]) == [told, told]
    assert chat == kept and chat[3]["content"][1]["text"] == "Who?"
    silent = [{"role": "user", "content": [{"type": "image", "image": picture}]}]
    assert short.apply(silent)[0]["content"][1] == {"type": "text", "text": "Be fair."}


@pytest.mark.parametrize(
    ("method", "given", "says"),
    [
        (FairnessPrompt(), torch.tensor([[1, 2]]), "cannot be put into token ids"),
        (FairnessPrompt(), {"input_ids": torch.tensor([[1, 2]])}, "cannot be put into encoded inputs"),
        (FairnessPrompt(), [{"role": "assistant", "content": "Hi."}], "no message of the user"),
        (FairnessPrompt("  "), "Who?", "the instruction is empty"),
        (FairnessPrompt().set_params(where="within"), "Who?", "where must be one of 'before', 'after'; found 'within'"),
    ],
)
def test_what_cannot_be_instructed_is_refused(method: Any, given: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        method.apply(given)
