"""Inputs: what people hand over, and the dictionary of tensors that every graph gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import levelhead as lh
import tiny
import words
from levelhead.errors import AdapterError, InputError
from words import VOCABULARY, ids_of

PAD, IMAGE = VOCABULARY["<pad>"], tiny.IMAGE
ASTRONAUT = "astronaut/astronaut.png"
FACES = ["faces_london/composites/f_african.jpg", "faces_london/composites/m_white.jpg"]


def a_graph(name: str = "llama", processor: Any = None) -> Any:
    return lh.graph(tiny.ARCHITECTURES[name].model(), processor)


@pytest.fixture(scope="module")
def talks() -> Any:
    return a_graph("llama", words.tokenizer(chat=True))


@pytest.fixture(scope="module")
def sees() -> Any:
    return a_graph("llava", words.llava(chat=True))


def drawing(seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (40, 30, 3), dtype=np.uint8))


# -- text and ids --------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["left", "right"])
def test_strings_are_padded_on_the_side_asked_for_and_the_tokenizer_stays_as_it_was(talks: Any, side: str) -> None:
    before = dict(vars(talks.processor))
    batch = talks.encode(["the doctor is a woman .", "who ?"], padding_side=side)
    short, gap = ids_of("who ?"), [PAD] * 4
    assert batch["input_ids"].tolist() == [
        ids_of("the doctor is a woman ."),
        gap + short if side == "left" else short + gap,
    ]
    assert batch["attention_mask"].tolist()[1] == ([0] * 4 + [1] * 2 if side == "left" else [1] * 2 + [0] * 4)
    assert dict(vars(talks.processor)) == before
    assert "position_ids" not in batch or side == "left"


def test_the_same_rows_by_any_way_in_are_the_same_batch(talks: Any) -> None:
    texts = ["the doctor is a woman .", "a man smiles yes no ?"]
    expected = talks.encode(texts)
    ids = [ids_of(text) for text in texts]
    for inputs in (ids, torch.tensor(ids), tuple(texts), [torch.tensor(row) for row in ids], talks.processor(texts)):
        found = talks.encode(inputs)
        for name in ("input_ids", "attention_mask"):
            assert torch.equal(found[name], expected[name])


def test_trap_24_one_input_needs_no_list_and_gives_one_row(talks: Any) -> None:
    single = ids_of("who smiles ?")
    chat = [{"role": "user", "content": "who smiles ?"}]
    for inputs in ("who smiles ?", ["who smiles ?"], single, [single], torch.tensor(single), {"input_ids": [single]}):
        assert talks.encode(inputs)["input_ids"].tolist() == [single]
    assert torch.equal(talks.encode(chat)["input_ids"], talks.encode([chat])["input_ids"])


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_padded_row_is_read_as_it_is_alone(name: str) -> None:
    """Traps 10 and 24, with learned positions and with rotary ones."""
    graph = a_graph(name, words.tokenizer())
    texts = ["the doctor is a woman .", "who ?"]
    alone = lh.capture(graph, texts, ["resid_post.*", "ln_final"], batch_size=1, verbose=False)
    together = lh.capture(graph, texts, ["resid_post.*", "ln_final"], verbose=False)
    right = graph.capture(graph.encode(texts, padding_side="right"), alone.sites)
    for site in alone:
        torch.testing.assert_close(together[site], alone[site])
        torch.testing.assert_close(right[site], alone[site])


# -- chats ---------------------------------------------------------------------------------------------


def turns(*texts: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(texts)]


def test_a_chat_is_rendered_once_and_ends_where_the_answer_begins_or_with_the_answer(talks: Any) -> None:
    asked, answered = turns("who smiles ?"), turns("who smiles ?", "a nurse")
    question = ids_of("<start> user : who smiles ? <end> <start> assistant :")
    assert talks.encode([asked])["input_ids"].tolist() == [question]
    assert talks.encode([answered])["input_ids"].tolist() == [[*question, *ids_of("a nurse <end>")]]


def test_trap_25_the_last_token_of_a_chat_is_a_formatting_token(talks: Any) -> None:
    chats = [turns("who smiles ?", "the nurse smiles"), turns("who is the doctor ?", "a woman")]
    batch = talks.encode(chats)
    tokens = lh.capture(talks, chats, "resid_post.1", at="all", verbose=False)
    rows = [tokens["resid_post.1"][tokens.example == row] for row in (0, 1)]
    for row, last_word in enumerate(("smiles", "woman")):
        real = batch["input_ids"][row][batch["attention_mask"][row] > 0].tolist()
        assert real[-2:] == ids_of(f"{last_word} <end>")
    read = {at: lh.capture(talks, chats, "resid_post.1", at=at, verbose=False)["resid_post.1"] for at in ("last", -2)}
    assert torch.equal(read["last"], torch.stack([row[-1] for row in rows]))
    assert torch.equal(read[-2], torch.stack([row[-2] for row in rows]))
    # The answer is its words, without the token that closes the turn.
    words_alone = torch.stack([rows[0][-4:-1].mean(dim=0), rows[1][-3:-1].mean(dim=0)])
    for inputs in (chats, batch):
        answer = lh.capture(talks, inputs, "resid_post.1", at="answer", batch_size=1, verbose=False)
        torch.testing.assert_close(answer["resid_post.1"], words_alone)


def test_the_answer_is_found_beside_pads_and_pictures_and_only_where_there_is_one(sees: Any) -> None:
    def chat(*answer: str) -> Any:
        content = [{"type": "image", "image": drawing()}, {"type": "text", "text": "who smiles ?"}]
        return [{"role": "user", "content": content}, *({"role": "assistant", "content": text} for text in answer)]

    for side in ("left", "right"):
        batch = sees.encode([chat("a woman smiles"), chat("no")], padding_side=side)
        answers = [row[chosen].tolist() for row, chosen in zip(batch["input_ids"], batch.answer, strict=True)]
        assert answers == [ids_of("a woman smiles"), ids_of("no")]
    assert sees.encode([chat()]).answer is None
    with pytest.raises(InputError, match="at='answer' was asked for, and row 1 of the batch has no such token"):
        lh.capture(sees, [chat("yes"), chat()], "resid_post.1", at="answer", verbose=False)


# -- pictures ------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # in transformers, for PaliGemma
@pytest.mark.parametrize("name", words.PROCESSORS)
def test_trap_23_positions_count_after_image_tokens_have_been_expanded(name: str) -> None:
    graph = a_graph(name, words.PROCESSORS[name]())
    texts = ["describe the person", "who ?"]
    batch = graph.encode([(drawing(n), text) for n, text in enumerate(texts)])
    layout = graph.layout(batch)
    assert layout.image.sum(dim=1).tolist() == [tiny.ARCHITECTURES[name].image_tokens] * 2
    for row, text in enumerate(texts):
        real = batch["input_ids"][row][layout.real[row]].tolist()
        assert len(real) > len(text.split()) + 1
        assert real[-len(text.split()) :] == ids_of(text)
    pairs = [(drawing(n), text) for n, text in enumerate(texts)]
    read = {at: lh.capture(graph, pairs, "resid_post.1", at=at, verbose=False) for at in ("all:image", "image", "text")}
    means = [read["all:image"]["resid_post.1"][read["all:image"].example == row].mean(dim=0) for row in (0, 1)]
    torch.testing.assert_close(read["image"]["resid_post.1"], torch.stack(means))
    assert not torch.allclose(read["image"]["resid_post.1"], read["text"]["resid_post.1"])
    assert graph.generate(batch, max_new_tokens=2, do_sample=False).shape[1] == batch["input_ids"].shape[1] + 2


def test_real_photographs_by_path_by_object_and_in_a_chat_are_one_input(sees: Any) -> None:
    astronaut, *faces = (words.photograph(name) for name in (ASTRONAUT, *FACES))
    content = [{"type": "image", "image": str(astronaut)}, {"type": "text", "text": "describe the person"}]
    chat = [{"role": "user", "content": content}]
    with Image.open(astronaut) as opened:
        ways = [
            [(str(astronaut), "describe the person")],
            [(astronaut, "describe the person")],
            [(opened, "describe the person")],
            [{"image": opened, "text": "describe the person"}],
            {"image": opened, "text": "describe the person"},
            (opened, "describe the person"),
            (str(astronaut), "describe the person"),
            chat,
        ]
        batches = [sees.encode(way) for way in ways]
    for batch in batches[1:]:
        assert batch.keys() == batches[0].keys()
        assert all(torch.equal(batch[name], batches[0][name]) for name in batch)
    acts = lh.capture(sees, [(face, "who ?") for face in faces], "vision/resid_post.*", at="mean", verbose=False)
    first, second = acts["vision/resid_post.2"]
    assert not torch.allclose(first, second)


def test_several_pictures_in_a_row_stay_with_their_row(sees: Any) -> None:
    pairs = [{"images": [drawing(0), drawing(1)], "text": "who ?"}, {"image": drawing(2), "text": "describe the man"}]
    batch = sees.encode(pairs)
    assert sees.layout(batch).image.sum(dim=1).tolist() == [8, 4]
    together = lh.capture(sees, pairs, ["projector", "vision/resid_post.1"], at="mean", verbose=False)
    alone = lh.capture(sees, pairs, together.sites, at="mean", batch_size=1, verbose=False)
    for site in alone:
        torch.testing.assert_close(together[site], alone[site])


def test_rows_of_a_token_each_know_the_example_that_they_belong_to(sees: Any) -> None:
    pairs = [(drawing(n), text) for n, text in enumerate(("who ?", "describe the man", "who smiles ?"))]
    expected = {"vision/resid_post.1": [5, 5, 5], "projector": [4, 4, 4], "resid_post.1": [13, 14, 14]}
    for site, counts in expected.items():
        acts = lh.capture(sees, pairs, site, at="all", batch_size=2, verbose=False)
        assert acts.example.bincount().tolist() == counts and len(acts[site]) == sum(counts)
        assert len(acts.rows(acts.example == 1)[site]) == counts[1]

    def both_tokens_of_the_first_row(layout: Any) -> Any:
        return layout.real & (torch.arange(len(layout.real)) == 0)[:, None]

    acts = lh.capture(sees, [[5, 6], [7, 8]], "resid_post.1", at=both_tokens_of_the_first_row, verbose=False)
    assert acts.example.tolist() == [0, 0]


# -- what is refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ([], "no inputs were given; give strings, chats"),
        ([3.5], r"cannot read an input of type float; give strings, chats"),
        (["", "who ?"], "input 0 is empty; leave out empty strings"),
        ([[5, 6], []], "cannot read an input of type list|a row of token ids is empty"),
        (torch.ones(2, 3), r"token ids must be integers .*; found shape \(2, 3\), torch.float32"),
        (torch.ones(2, 3, 4, dtype=torch.long), r"found shape \(2, 3, 4\)"),
        ({"input_ids": torch.tensor([5, 6])}, r"'input_ids' .*\[row, token\].*\(2,\)"),
        ({"input_ids": torch.tensor([[5, 6]]), "attention_mask": torch.tensor([[0, 0]])}, "has no token"),
        (["who ?", [5, 6]], "of several: ids without pictures and text without pictures; make a call for each"),
        (["who ?", turns("who ?")], "chat without pictures and text without pictures"),
    ],
)
def test_inputs_that_cannot_be_read_are_refused_with_what_can(talks: Any, inputs: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        talks.encode(inputs)


def test_a_batch_of_mixed_modalities_is_refused_before_any_forward_pass(sees: Any, tmp_path: Path) -> None:
    seen: list[int] = []
    handle = sees.model.register_forward_pre_hook(lambda *_: seen.append(1))
    picture_chat = [{"role": "user", "content": [{"type": "image", "image": drawing()}]}]
    (tmp_path / "note.png").write_text("no picture")
    refused = {
        "pair with pictures and text without pictures": [(drawing(), "who ?"), "who ?"],
        "chat without pictures and chat with pictures": [turns("who ?"), picture_chat],
        "cannot read the picture '.*nowhere.png'": [(tmp_path / "nowhere.png", "who ?")],
        "cannot read the picture '.*note.png'": [(tmp_path / "note.png", "who ?")],
    }
    for says, inputs in refused.items():
        with pytest.raises(InputError, match=says):
            lh.capture(sees, inputs, verbose=False)
    handle.remove()
    assert not seen


def test_what_the_model_or_its_processor_lacks_is_named(talks: Any, sees: Any) -> None:
    with pytest.raises(InputError, match="inputs with pictures were given, and LlamaForCausalLM has no vision tower"):
        talks.encode([(drawing(), "who ?")])
    with pytest.raises(InputError, match="padding_side must be 'left' or 'right'; found 'both'"):
        talks.encode(["who ?"], padding_side="both")
    with pytest.raises(InputError, match="the tokenizer has no chat template; pass plain strings"):
        a_graph("llama", words.tokenizer()).encode([turns("who ?")])
    with pytest.raises(AdapterError, match=r"came without a tokenizer: wrap it once as lh.graph\(model, tokenizer\)"):
        a_graph("llama").encode(["who ?"])
    with pytest.raises(AdapterError, match=r"came without a processor: wrap it once as lh.graph\(model, processor\)"):
        a_graph("llava", words.tokenizer()).encode([(drawing(), "who ?")])
