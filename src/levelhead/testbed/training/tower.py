"""First stage: the picture's tower learns the attributes, each read by a small head that is thrown away afterwards."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import einsum
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from levelhead.testbed.scene import Scene
from levelhead.testbed.world import PERSON, ROLES, SCENE

_OWN = {**PERSON, "role": tuple(ROLES)}
_HEADS: dict[str, tuple[str, ...]] = {
    **SCENE,
    **{f"{slot}_{name}": values for slot in ("only", "left", "right") for name, values in _OWN.items()},
}
"""One head for each attribute of the room, and for each of a person alone, on the left and on the right."""
_CODES = {name: {value: code for code, value in enumerate(values)} for name, values in _HEADS.items()}
IGNORED = -100


def targets(scenes: Sequence[Scene]) -> Int[Tensor, "picture head"]:
    """Class of every attribute; `IGNORED` where a picture has none."""
    rows: list[list[int]] = []
    for scene in scenes:
        labels = scene.labels
        if len(scene.people) == 1:
            labels = {(name if name in SCENE else f"only_{name}"): value for name, value in labels.items()}
        rows.append([codes[labels[name]] if name in labels else IGNORED for name, codes in _CODES.items()])
    return torch.tensor(rows)


class Heads(nn.Module):
    """Linear readers of the attributes: each looks at the patches that it needs, and starts as a mean over all."""

    def __init__(self, width: int) -> None:
        super().__init__()
        classes = max(len(values) for values in _HEADS.values())
        self.query = nn.Parameter(torch.zeros(len(_HEADS), width))
        self.weight = nn.Parameter(torch.zeros(len(_HEADS), classes, width))
        self.bias = nn.Parameter(torch.zeros(len(_HEADS), classes))
        spare = torch.tensor([[code >= len(values) for code in range(classes)] for values in _HEADS.values()])
        self.register_buffer("spare", spare, persistent=False)

    def forward(self, patches: Float[Tensor, "picture patch width"]) -> Float[Tensor, "picture head value"]:
        """Logits of every attribute."""
        patches = F.layer_norm(patches, patches.shape[-1:])
        look = einsum(patches, self.query, "b p d, h d -> b h p").softmax(-1)
        read = einsum(look, patches, "b h p, b p d -> b h d")
        logits = einsum(read, self.weight, "b h d, h c d -> b h c") + self.bias
        return logits.masked_fill(self.get_buffer("spare"), -1e4)

    def loss(
        self, patches: Float[Tensor, "picture patch width"], wanted: Int[Tensor, "picture head"]
    ) -> Float[Tensor, ""]:
        """Cross-entropy, summed over attributes and pictures."""
        logits = self(patches)
        return F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=IGNORED, reduction="sum")

    def right(
        self, patches: Float[Tensor, "picture patch width"], wanted: Int[Tensor, "picture head"]
    ) -> dict[str, Int[Tensor, " _"]]:
        """For each attribute, 1 for every picture that was read right and 0 for every other, absent ones left out."""
        hits = (self(patches).argmax(-1) == wanted).long()
        return {name: hits[wanted[:, i] != IGNORED, i] for i, name in enumerate(_HEADS)}
