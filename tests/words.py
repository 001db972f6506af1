"""Tokenizers and processors built in code for the tiny models, and real photographs; nothing is downloaded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import transformers as tf
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

from tiny import IMAGE

CHAT = (
    "{% for message in messages %}<start> {{ message.role }} : "
    "{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content %}"
    "{% if part.type == 'image' %}<image> {% else %}{{ part.text }}{% endif %}{% endfor %}{% endif %} <end> {% endfor %}"
    "{% if add_generation_prompt %}<start> assistant : {% endif %}"
)
"""A turn is ``<start> role : words <end>``: its last token is a formatting token."""

_PLAIN = ["<pad>", "<s>", "</s>", "<unk>", "<start>", "<end>", ":", "user", "assistant", "system"]
_PLAIN += "the a man woman person doctor nurse is was describe who smiles yes no . ?".split()
_FIXED = {"<boi>": 56, "<eoi>": 57, "<global-img>": 58, "<end_of_utterance>": 59, "<image>": IMAGE}
VOCABULARY: dict[str, int] = {**{word: number for number, word in enumerate(_PLAIN)}, **_FIXED}
VOCABULARY["<fake_token_around_image>"] = 61


def ids_of(words: str) -> list[int]:
    return [VOCABULARY.get(word, VOCABULARY["<unk>"]) for word in words.split()]


def tokenizer(*, chat: bool = False, **options: Any) -> Any:
    """Words apart by spaces, one token each."""
    inner = Tokenizer(WordLevel(VOCABULARY, unk_token="<unk>"))
    inner.pre_tokenizer = WhitespaceSplit()
    return tf.PreTrainedTokenizerFast(
        **{
            "tokenizer_object": inner,
            "pad_token": "<pad>",
            "bos_token": "<s>",
            "eos_token": "</s>",
            "unk_token": "<unk>",
            "additional_special_tokens": ["<image>", "<start>", "<end>"],
            "chat_template": CHAT if chat else None,
            **options,
        }
    )


def llava(*, chat: bool = False) -> Any:
    return tf.LlavaProcessor(
        image_processor=tf.CLIPImageProcessorPil(
            size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}, do_convert_rgb=True
        ),
        tokenizer=tokenizer(),
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token="<image>",
        chat_template=CHAT if chat else None,
    )


def paligemma() -> Any:
    pictures = tf.SiglipImageProcessorPil(size={"height": 28, "width": 28})
    pictures.image_seq_length = 4
    return tf.PaliGemmaProcessor(image_processor=pictures, tokenizer=tokenizer())


def gemma3() -> Any:
    named = {"image_token": "<image>", "boi_token": "<boi>", "eoi_token": "<eoi>"}
    return tf.Gemma3Processor(
        image_processor=tf.Gemma3ImageProcessorPil(size={"height": 28, "width": 28}),
        tokenizer=tokenizer(extra_special_tokens=named),
        image_seq_length=4,
    )


def idefics3() -> Any:
    return tf.Idefics3Processor(
        image_processor=tf.Idefics3ImageProcessorPil(
            size={"longest_edge": 28}, max_image_size={"longest_edge": 28}, do_image_splitting=False
        ),
        tokenizer=tokenizer(),
        image_seq_len=1,
    )


PROCESSORS = {"llava": llava, "paligemma": paligemma, "gemma3_mm": gemma3, "idefics3": idefics3}
"""By the name of the tiny architecture."""


def photograph(name: str) -> Path:
    """A real photograph by its path under the data folder; skips where that folder is not at hand."""
    home = os.environ.get("LEVELHEAD_DATA")
    if not home:
        pytest.skip("LEVELHEAD_DATA is not set")
    path = Path(home) / name
    assert path.is_file(), f"LEVELHEAD_DATA has no {name}"
    return path
