"""Tiny random models of every architecture in the contract suite, and batches for them; nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import transformers as tf
from torch import Tensor

VOCAB, IMAGE = 64, 60
TEXT: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": None,
}
CLIP: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
MROPE = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}


@dataclass(frozen=True)
class Tiny:
    """One architecture: how to build it, and how pictures enter its batches."""

    name: str
    build: Callable[[], Any]
    picture: Callable[[int], dict[str, Tensor]] | None = None
    image_tokens: int = 0

    def model(self, seed: int = 0) -> Any:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = self.build()
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.normal_(0.0, 0.3) if parameter.dim() > 1 else parameter.add_(
                        0.3 * torch.randn_like(parameter)
                    )
        model.generation_config.eos_token_id = None
        model.generation_config.pad_token_id = 0
        return model.float().eval()

    def batch(self, lengths: tuple[int, ...] = (9, 6), side: str = "left", seed: int = 1) -> dict[str, Tensor]:
        """Random rows of these text lengths (image tokens come on top), padded on one side."""
        generator = torch.Generator().manual_seed(seed)
        rows = []
        for length in lengths:
            text = torch.randint(3, 50, (length,), generator=generator)
            picture = torch.full((self.image_tokens,), IMAGE)
            rows.append(torch.cat([text[:2], picture, text[2:]]))
        longest = max(len(row) for row in rows)
        ids = torch.zeros(len(rows), longest, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for number, row in enumerate(rows):
            where = slice(longest - len(row), None) if side == "left" else slice(0, len(row))
            ids[number, where], mask[number, where] = row, 1
        batch = {"input_ids": ids, "attention_mask": mask}
        if self.picture is not None:
            batch |= self.picture(len(rows))
            if self.name.startswith("qwen"):
                batch["mm_token_type_ids"] = (ids == IMAGE).long()
            if self.name in ("gemma3_mm", "paligemma"):
                batch["token_type_ids"] = (ids == IMAGE).long()
        return batch


def _pixels(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(7))


def _clip_pixels(rows: int) -> dict[str, Tensor]:
    return {"pixel_values": _pixels(rows, 3, 28, 28)}


def _idefics_pixels(rows: int) -> dict[str, Tensor]:
    return {
        "pixel_values": _pixels(rows, 1, 3, 28, 28),
        "pixel_attention_mask": torch.ones(rows, 1, 28, 28, dtype=torch.bool),
    }


def _qwen_pixels(patch: int) -> Callable[[int], dict[str, Tensor]]:
    def pixels(rows: int) -> dict[str, Tensor]:
        return {
            "pixel_values": _pixels(rows * 16, 3 * 2 * patch * patch),
            "image_grid_thw": torch.tensor([[1, 4, 4]] * rows),
        }

    return pixels


def _text(**changes: Any) -> dict[str, Any]:
    return {**TEXT, **changes}


def _eager(config: Any) -> Any:
    config._attn_implementation = "eager"
    for name in config.sub_configs if hasattr(config, "sub_configs") else ():
        part = getattr(config, name, None)
        if part is not None:
            part._attn_implementation = "eager"
    return config


def _llava() -> Any:
    config = tf.LlavaConfig(
        vision_config=tf.CLIPVisionConfig(**CLIP),
        text_config=tf.LlamaConfig(**TEXT),
        image_token_index=IMAGE,
        vision_feature_layer=-2,
        image_seq_length=4,
    )
    return tf.LlavaForConditionalGeneration(_eager(config))


def _qwen2_vl() -> Any:
    config = tf.Qwen2VLConfig(
        text_config=_text(rope_parameters=MROPE),
        vision_config={
            "depth": 3,
            "embed_dim": 16,
            "hidden_size": 32,
            "num_heads": 2,
            "patch_size": 14,
            "mlp_ratio": 2,
        },
        image_token_id=IMAGE,
        video_token_id=61,
        vision_start_token_id=62,
        vision_end_token_id=63,
    )
    return tf.Qwen2VLForConditionalGeneration(_eager(config))


def _qwen25_vl() -> Any:
    config = tf.Qwen2_5_VLConfig(
        text_config=_text(rope_parameters=MROPE),
        vision_config={
            "depth": 3,
            "hidden_size": 16,
            "out_hidden_size": 32,
            "intermediate_size": 24,
            "num_heads": 2,
            "patch_size": 14,
            "window_size": 56,
            "fullatt_block_indexes": [1],
        },
        image_token_id=IMAGE,
        video_token_id=61,
        vision_start_token_id=62,
        vision_end_token_id=63,
    )
    return tf.Qwen2_5_VLForConditionalGeneration(_eager(config))


def _qwen3_vl() -> Any:
    config = tf.Qwen3VLConfig(
        text_config=_text(head_dim=8, rope_parameters={**MROPE, "mrope_interleaved": True}),
        vision_config={
            "depth": 3,
            "hidden_size": 16,
            "out_hidden_size": 32,
            "intermediate_size": 24,
            "num_heads": 2,
            "patch_size": 16,
            "deepstack_visual_indexes": [0, 1],
            "num_position_embeddings": 16,
        },
        image_token_id=IMAGE,
        video_token_id=61,
        vision_start_token_id=62,
        vision_end_token_id=63,
    )
    return tf.Qwen3VLForConditionalGeneration(_eager(config))


def _idefics3() -> Any:
    config = tf.Idefics3Config(
        vision_config={**CLIP}, text_config=tf.LlamaConfig(**TEXT), image_token_id=IMAGE, scale_factor=2
    )
    return tf.Idefics3ForConditionalGeneration(_eager(config))


def _smolvlm() -> Any:
    config = tf.SmolVLMConfig(
        vision_config={**CLIP}, text_config=tf.LlamaConfig(**TEXT), image_token_id=IMAGE, scale_factor=2
    )
    return tf.SmolVLMForConditionalGeneration(_eager(config))


def _gemma3_mm() -> Any:
    config = tf.Gemma3Config(
        text_config=tf.Gemma3TextConfig(**_text(head_dim=16, query_pre_attn_scalar=16, sliding_window=8)),
        vision_config=tf.SiglipVisionConfig(**CLIP),
        image_token_index=IMAGE,
        mm_tokens_per_image=4,
        boi_token_index=58,
        eoi_token_index=59,
    )
    return tf.Gemma3ForConditionalGeneration(_eager(config))


def _paligemma() -> Any:
    config = tf.PaliGemmaConfig(
        text_config=tf.GemmaConfig(**_text(head_dim=8)),
        vision_config=tf.SiglipVisionConfig(**CLIP),
        image_token_index=IMAGE,
        projection_dim=32,
        hidden_size=32,
    )
    return tf.PaliGemmaForConditionalGeneration(_eager(config))


def _internvl() -> Any:
    config = tf.InternVLConfig(
        text_config=tf.Qwen2Config(**TEXT),
        vision_config=tf.InternVLVisionConfig(**{**CLIP, "image_size": [28, 28], "patch_size": [14, 14]}),
        image_token_id=IMAGE,
        downsample_ratio=0.5,
    )
    return tf.InternVLForConditionalGeneration(_eager(config))


ARCHITECTURES: dict[str, Tiny] = {
    tiny.name: tiny
    for tiny in (
        Tiny(
            "gpt2",
            lambda: tf.GPT2LMHeadModel(
                _eager(
                    tf.GPT2Config(
                        vocab_size=VOCAB,
                        n_embd=32,
                        n_layer=3,
                        n_head=4,
                        n_positions=128,
                        bos_token_id=1,
                        eos_token_id=None,
                        pad_token_id=0,
                    )
                )
            ),
        ),
        Tiny("llama", lambda: tf.LlamaForCausalLM(_eager(tf.LlamaConfig(**TEXT)))),
        Tiny("qwen2", lambda: tf.Qwen2ForCausalLM(_eager(tf.Qwen2Config(**TEXT)))),
        Tiny("qwen3", lambda: tf.Qwen3ForCausalLM(_eager(tf.Qwen3Config(**_text(head_dim=16))))),
        Tiny("gemma2", lambda: tf.Gemma2ForCausalLM(_eager(tf.Gemma2Config(**_text(head_dim=16, sliding_window=8))))),
        Tiny(
            "gemma3", lambda: tf.Gemma3ForCausalLM(_eager(tf.Gemma3TextConfig(**_text(head_dim=16, sliding_window=8))))
        ),
        Tiny("llava", _llava, _clip_pixels, 4),
        Tiny("qwen2_vl", _qwen2_vl, _qwen_pixels(14), 4),
        Tiny("qwen2_5_vl", _qwen25_vl, _qwen_pixels(14), 4),
        Tiny("qwen3_vl", _qwen3_vl, _qwen_pixels(16), 4),
        Tiny("idefics3", _idefics3, _idefics_pixels, 1),
        Tiny("smolvlm", _smolvlm, _idefics_pixels, 1),
        Tiny("gemma3_mm", _gemma3_mm, _clip_pixels, 4),
        Tiny("paligemma", _paligemma, _clip_pixels, 4),
        Tiny("internvl", _internvl, _clip_pixels, 1),
    )
}
