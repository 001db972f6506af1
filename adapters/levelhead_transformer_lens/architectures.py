"""Architecture adapters that TransformerLens 4.3 lacks, registered through its own entry-point group.

They name modules and no more: the text towers are those of families that TransformerLens knows.
"""

from __future__ import annotations

from typing import Any, ClassVar

from transformer_lens.model_bridge.generalized_components import (
    LinearBridge,
    SiglipVisionEncoderBridge,
    VisionProjectionBridge,
)
from transformer_lens.model_bridge.generalized_components.base import GeneralizedComponent
from transformer_lens.model_bridge.generalized_components.qwen3_5_vision_encoder import (
    Qwen3_5VisionBlockBridge,
    Qwen3_5VisionEncoderBridge,
)
from transformer_lens.model_bridge.supported_architectures.gemma1 import Gemma1ArchitectureAdapter
from transformer_lens.model_bridge.supported_architectures.idefics3 import Idefics3ArchitectureAdapter
from transformer_lens.model_bridge.supported_architectures.qwen2 import Qwen2ArchitectureAdapter
from transformer_lens.model_bridge.supported_architectures.qwen2_5_vl import Qwen2_5_VLArchitectureAdapter


class SmolVLMArchitectureAdapter(Idefics3ArchitectureAdapter):
    """``SmolVLMForConditionalGeneration``: Idefics 3 with other sizes."""


class Qwen2VLArchitectureAdapter(Qwen2_5_VLArchitectureAdapter):
    """``Qwen2VLForConditionalGeneration``: Qwen2.5-VL with a plain vision MLP."""

    required_libraries: ClassVar[list[str]] = []

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        mlp = GeneralizedComponent(
            name="mlp", submodules={"in": LinearBridge(name="fc1"), "out": LinearBridge(name="fc2")}
        )
        self.component_mapping["vision_encoder"] = Qwen3_5VisionEncoderBridge(  # pyright: ignore[reportOptionalSubscript]
            name="model.visual",
            config=self.cfg,
            submodules={
                "pos_embed": GeneralizedComponent(name="rotary_pos_emb"),
                "blocks": Qwen3_5VisionBlockBridge(name="blocks", submodules={"mlp": mlp}),
            },
        )


class PaliGemmaArchitectureAdapter(Gemma1ArchitectureAdapter):
    """``PaliGemmaForConditionalGeneration``: SigLIP, a linear projector, Gemma."""

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        _see(self, SiglipVisionEncoderBridge(name="model.vision_tower", config=self.cfg))


class InternVLArchitectureAdapter(Qwen2ArchitectureAdapter):
    """``InternVLForConditionalGeneration``: InternViT (one opaque component), a projector, Qwen2."""

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        _see(self, GeneralizedComponent(name="model.vision_tower"))


def _see(adapter: Any, tower: GeneralizedComponent) -> None:
    adapter.cfg.is_multimodal = True
    adapter.cfg.attn_implementation = "eager"
    adapter._reprefix_components("model.", "model.language_model.")
    adapter.components["vision_encoder"] = tower
    adapter.components["vision_projector"] = VisionProjectionBridge(name="model.multi_modal_projector")
