"""What a one-step method is given: words as a tokenizer spells them, and pictures as they are."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf
from PIL import Image
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers.models import BPE

import levelhead as lh
import tiny
import words as fixed
from conftest import model_of
from levelhead.errors import InputError
from levelhead.methods.patch_gradient import quick_patches
from levelhead.methods.pictured import check_picture, examples
from levelhead.methods.pixel_step import fast_gradient_sign
from levelhead.methods.target_words import Spelling, Target, spell

TEXT = "the nurse said that she was a young woman and the doctor said that he was an old man. Man, Woman, She, He " * 3


@cache
def talks() -> Any:
    """A graph whose tokenizer joins spaces to words, as GPT-2's does, with a chat template that ends in a new line."""
    inner = Tokenizer(BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<|turn|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator([TEXT], trainer)
    chat = "{% for m in messages %}<|turn|>{{ m.role }}\n{{ m.content }}\n{% endfor %}<|turn|>assistant{{ '\n' }}"
    tokenizer = tf.PreTrainedTokenizerFast(tokenizer_object=inner, chat_template=chat, eos_token="<|turn|>")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|turn|>"]})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = tf.LlamaForCausalLM(tf.LlamaConfig(**{**tiny.TEXT, "vocab_size": len(tokenizer)})).eval()
    return lh.graph(model, tokenizer)


def said(spelling: Spelling) -> list[str]:
    return [talks().processor.decode(list(word)) for word in (spelling.beginning, *spelling.words)]


def test_words_stand_as_they_would_come_behind_the_prompt():
    chat = [{"role": "user", "content": "who is it"}]
    assert said(spell(talks(), "the nurse said that", ["she", "he"])) == ["", " she", " he"]
    assert said(spell(talks(), "the nurse said that ", ["she"])) == ["", "she"]
    assert said(spell(talks(), "the nurse (", ["she"])) == ["", "she"]
    assert said(spell(talks(), chat, ["She"])) == ["", "She"]
    assert said(spell(talks(), chat, [" She"])) == ["", " She"]
    assert said(spell(talks(), chat, ["young woman"], beginning="a")) == ["a", " young woman"]
    assert said(spell(talks(), "she was", ["woman"], beginning=" a ")) == [" a", " woman"]
    assert said(spell(talks(), "the nurse said that", ["他"])) == ["", "他"]


def test_what_the_tokenizer_cannot_spell_is_named():
    graph = lh.graph(model_of("llama"), fixed.tokenizer())
    for given, message in (
        ({"words": ["unicorn"]}, "cannot spell 'unicorn'"),
        ({"words": ["man"], "against": ["unicorn"]}, "cannot spell 'unicorn'"),
        ({"words": []}, "no words were given"),
        ({"words": "man"}, "words is a list of words"),
        ({"words": ["man", " "]}, "none of them empty"),
        ({"words": ["man", "woman"], "against": [" man"]}, "man: a word cannot be among the words and those against"),
    ):
        with pytest.raises(InputError, match=message):
            spell(graph, "the", **given)
    with pytest.raises(InputError, match=r"cannot spell 'Man': it reads back 'man'"):
        spell(lh.testbed.load().graph, "the", ["Man"])


def test_words_of_one_token_share_a_row_and_so_does_what_a_longer_one_begins_with():
    one = Spelling((), ((1,), (2,)), ((3,),))
    assert one.slots == [()]
    assert Spelling((), ((1,), (2, 4))).slots == [(2,)]
    assert Spelling((), ((2, 4, 5), (2, 6), (7, 8))).slots == [(2, 4), (7,)]


@pytest.mark.parametrize("loss", ["sum_prob", "max_logit", "cross_entropy"])
def test_the_loss_is_that_of_the_words_one_by_one(loss):
    """Against a pass of its own for every prompt and word, without pads and without sharing."""
    graph, prompts = talks(), ["the nurse said that", "he was"]
    spellings = [spell(graph, prompt, ["she", "an old man"], ["a young woman"], beginning="and") for prompt in prompts]
    assert spellings[0] == spellings[1]
    target = Target.of(graph, graph.encode(prompts), spellings[0], loss)
    found = float(target(graph.logits(target.batch, last=target.last).detach()))

    def score(prompt: str, word: str) -> float:
        before = graph.processor(f"{prompt} and")["input_ids"]
        after = graph.processor(f"{prompt} and {word}")["input_ids"]
        logits = graph.model(torch.tensor([after])).logits[0].detach()
        steps = [
            logits[i - 1] if i == len(before) and loss == "max_logit" else logits[i - 1].log_softmax(-1)
            for i in range(len(before), len(after))
        ]
        return float(sum(step[token] for step, token in zip(steps, after[len(before) :], strict=True)))

    total = {"sum_prob": np.logaddexp.reduce, "max_logit": max, "cross_entropy": np.mean}[loss]
    expected = sum(
        total([score(prompt, "a young woman")]) - total([score(prompt, "she"), score(prompt, "an old man")])
        for prompt in prompts
    )
    assert found == pytest.approx(float(expected), rel=1e-4)


# -- pictures ---------------------------------------------------------------------------------------------


def test_pictures_are_refused_rather_than_mended(tmp_path):
    color = Image.new("RGB", (40, 30), (10, 200, 30))
    assert check_picture(color) is color
    for mode, message in (
        ("L", r"mode 'L' \(grey\)"),
        ("RGBA", r"mode 'RGBA' \(with transparency\)"),
        ("CMYK", "mode 'CMYK'"),
    ):
        with pytest.raises(InputError, match=rf"picture 2 has {message}.*image.convert\('RGB'\)"):
            check_picture(color.convert(mode), 2)
    path = tmp_path / "portrait.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(path)
    assert check_picture(path).size == (64, 64)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(InputError, match="cannot be read to its end"):
        check_picture(path)
    with Image.open(path) as lazy, pytest.raises(InputError, match="picture 0 cannot be read to its end"):
        check_picture(lazy)
    with pytest.raises(InputError, match="cannot be read to its end"):
        check_picture(tmp_path / "nowhere.png")
    with pytest.raises(InputError, match=r"array of shape \(30, 40\)"):
        check_picture(np.zeros((30, 40)))
    with pytest.raises(InputError, match="is of type int; give a path or a PIL picture"):
        check_picture(5)
    with pytest.raises(InputError, match=r"float64; \[height, width, 3\] of uint8 is needed"):
        check_picture(np.zeros((8, 8, 3)))


def test_pictures_within_a_chat_are_looked_at_too():
    grey = {"type": "image", "image": Image.new("L", (8, 8))}
    chat = [{"role": "user", "content": [grey, {"type": "text", "text": "who is it"}]}]
    with pytest.raises(InputError, match="has mode 'L'"):
        examples(None, None, chat)
    grey["image"] = Image.new("RGB", (8, 8))
    assert examples(None, None, chat) == [chat]


def test_real_photographs_pass():
    photo = check_picture(fixed.photograph("astronaut/astronaut.png"))
    assert photo.mode == "RGB"


PROCESSORS = {
    "clip": lambda: tf.CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}),
    "qwen": lambda: tf.Qwen2VLImageProcessorPil(min_pixels=56 * 56, max_pixels=56 * 56),
    "idefics": lambda: tf.Idefics3ImageProcessorPil(size={"longest_edge": 28}, max_image_size={"longest_edge": 28}),
    "plain": lambda: tf.CLIPImageProcessorPil(
        size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}, do_normalize=False
    ),
}


@pytest.mark.parametrize("name", PROCESSORS)
def test_eps_is_a_change_of_intensity_in_each_color(name):
    """A picture that is brighter by 8/255 in one color is what a step of 8/255 in that color must give."""
    images = PROCESSORS[name]()
    color = np.array([100, 150, 50], dtype=np.uint8)

    def pixels(change: tuple[int, int, int]) -> torch.Tensor:
        array = np.broadcast_to(color + np.array(change, dtype=np.uint8), (56, 56, 3)).copy()
        return torch.as_tensor(np.asarray(images([Image.fromarray(array)], return_tensors="np")["pixel_values"]))

    start = pixels((0, 0, 0))
    for channel in range(3):
        brighter = pixels(tuple(8 * (c == channel) for c in range(3)))
        gradient = -(brighter - start)
        torch.testing.assert_close(fast_gradient_sign(start, gradient, 8 / 255, images), brighter, atol=1e-5, rtol=1e-5)
    # The range of pictures is kept: all steps up end at white.
    white = pixels((155, 105, 205))
    torch.testing.assert_close(
        fast_gradient_sign(start, -torch.ones_like(start), 5.0, images), white, atol=1e-5, rtol=1e-5
    )


def test_pixels_without_color_channels_are_refused():
    with pytest.raises(InputError, match="no color channels were found"):
        fast_gradient_sign(torch.zeros(2, 5, 7), torch.zeros(2, 5, 7), 0.1, PROCESSORS["clip"]())
    with pytest.raises(InputError, match="needs the processor"):
        fast_gradient_sign(torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4), 0.1, None)


@pytest.mark.parametrize("name", ["flat", "cropped", "solid", "overlapping"])
def test_patches_pass_gradients_on_as_the_convolution_does(name):
    conv, shape = {
        "flat": (torch.nn.Conv2d(3, 5, 4, 4), (2, 3, 8, 12)),
        "cropped": (torch.nn.Conv2d(3, 5, (2, 3), (2, 3), bias=False), (2, 3, 7, 11)),
        "solid": (torch.nn.Conv3d(3, 5, (2, 4, 4), (2, 4, 4)), (6, 3, 2, 8, 4)),
        "overlapping": (torch.nn.Conv2d(3, 5, 4, 2), (2, 3, 8, 8)),
    }[name]
    conv.requires_grad_(False)
    picture = torch.randn(shape, requires_grad=True)
    plain = conv(picture)
    ahead = torch.randn_like(plain)
    (expected,) = torch.autograd.grad(plain, picture, ahead)
    with quick_patches(conv):
        quick = conv(picture)
        (found,) = torch.autograd.grad(quick, picture, ahead)
    assert torch.equal(quick, plain)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert type(quick.grad_fn).__name__ == ("ConvolutionBackward0" if name == "overlapping" else "_CutBackward")
    assert type(conv(picture).grad_fn).__name__ == "ConvolutionBackward0"
