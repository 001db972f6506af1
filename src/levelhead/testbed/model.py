"""The testbed's model, untrained: genuine LLaVA classes of transformers, with a tokenizer and a processor made here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from levelhead.errors import InputError
from levelhead.testbed.captions import PROMPT
from levelhead.testbed.vocabulary import VOCABULARY

PICTURE = 96
"""Width and height of a picture, in pixels."""
PATCH = 16
"""Width and height of a patch, in pixels."""
IMAGE_TOKENS = (PICTURE // PATCH) ** 2

SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "<image>")
WORDS = (*SPECIAL, *VOCABULARY)
"""Every token, in the order of its id."""
IDS = {word: number for number, word in enumerate(WORDS)}

CHAT = (
    "{% for message in messages %}{% if message.content is string %}{{ message.content }}{% else %}"
    "{% for part in message.content %}{% if part.type == 'image' %}<image>{% else %} {{ part.text }}{% endif %}{% endfor %}"
    "{% endif %}{% if message.role == 'assistant' %}</s>{% endif %}{% endfor %}"
)
"""A question is asked as it stands: the picture, the question, and then the answer."""


@dataclass(frozen=True)
class Size:
    """Widths and depths of the model.

    Attributes
    ----------
    d_vision, vision_layers, vision_heads : int
        Of the picture's tower; its MLPs are twice as wide.
    d_model, layers, heads, kv_heads, d_mlp : int
        Of the language model; several query heads share one key-value head.
    """

    d_vision: int = 128
    vision_layers: int = 4
    vision_heads: int = 4
    d_model: int = 128
    layers: int = 6
    heads: int = 8
    kv_heads: int = 4
    d_mlp: int = 384


SIZES = {"base": Size(), "small": Size(96, 3, 4, 96, 6, 6, 3, 288)}
"""The shipped size, and one for a second opinion."""


def tokenizer() -> Any:
    """Make the tokenizer: lower-case words and punctuation, one token each.

    Returns
    -------
    transformers.PreTrainedTokenizerFast
        Puts ``<s>`` in front; pads on the left, as batches for generation need it.
    """
    from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers
    from tokenizers.models import WordLevel
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(WordLevel(dict(IDS), unk_token="<unk>"))
    inner.normalizer = normalizers.Lowercase()
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", IDS["<s>"])])
    inner.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        extra_special_tokens={"image_token": "<image>"},
        padding_side="left",
        model_max_length=512,
        chat_template=CHAT,
    )


def processor() -> Any:
    """Make the processor for pictures and text.

    Returns
    -------
    transformers.LlavaProcessor
        ``processor(images=picture, text="<image> what color is the wall?")``; a picture stands for 36 tokens.
    """
    from transformers import CLIPImageProcessorPil, LlavaProcessor

    pictures = CLIPImageProcessorPil(
        size={"shortest_edge": PICTURE},
        crop_size={"height": PICTURE, "width": PICTURE},
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.25, 0.25, 0.25],
        do_convert_rgb=True,
    )
    return LlavaProcessor(
        image_processor=pictures,
        tokenizer=tokenizer(),
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token="<image>",
        chat_template=CHAT,
    )


def build(size: Size | str = "base", seed: int = 0) -> Any:
    """Make the model with random weights.

    Parameters
    ----------
    size : Size or str
        A name out of `SIZES`, or widths and depths of your own.
    seed : int
        Of the weights; torch's own generator is left as it was.

    Returns
    -------
    transformers.LlavaForConditionalGeneration
        float32, on the CPU.

    Raises
    ------
    InputError
        If no size has that name.
    """
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    if isinstance(size, str):
        if size not in SIZES:
            raise InputError(f"no size '{size}'; sizes are {', '.join(SIZES)}")
        size = SIZES[size]
    vision = CLIPVisionConfig(
        hidden_size=size.d_vision,
        intermediate_size=2 * size.d_vision,
        projection_dim=size.d_vision,
        num_hidden_layers=size.vision_layers,
        num_attention_heads=size.vision_heads,
        image_size=PICTURE,
        patch_size=PATCH,
    )
    text = LlamaConfig(
        vocab_size=-(-len(WORDS) // 16) * 16,
        hidden_size=size.d_model,
        intermediate_size=size.d_mlp,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.kv_heads,
        max_position_embeddings=512,
        initializer_range=size.d_model**-0.5 / 2,
        bos_token_id=IDS["<s>"],
        eos_token_id=IDS["</s>"],
        pad_token_id=IDS["<pad>"],
        tie_word_embeddings=True,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=IDS["<image>"],
        image_seq_length=IMAGE_TOKENS,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: Any = LlavaForConditionalGeneration(config)
    model.generation_config.update(
        eos_token_id=IDS["</s>"], pad_token_id=IDS["<pad>"], bos_token_id=IDS["<s>"], max_new_tokens=64
    )
    return model.eval()


def prompt(text: str = PROMPT) -> str:
    """Put a picture before a question, as the processor wants it: ``"<image> describe the picture."``."""
    return f"<image> {text}"
