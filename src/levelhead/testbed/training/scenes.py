"""The pictures of each training step: a function of the recipe, the stage and the step, and of nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from levelhead.testbed.scene import Scene, sample
from levelhead.testbed.training.recipe import STAGES, Recipe, Stage
from levelhead.testbed.world import PLAIN, SETTINGS, THEMES

Random = np.random.Generator


def generator(recipe: Recipe, stage: Stage, step: int, number: int) -> Random:
    """Random numbers for one picture of one step, whichever process draws it."""
    return np.random.default_rng([recipe.seed, STAGES.index(stage), step, number])


def draw_scene(recipe: Recipe, rng: Random) -> Scene:
    """Draw one scene out of those that training may show."""
    people = 2 if rng.random() < recipe.pairs else 1
    themes = SETTINGS if people == 2 else THEMES
    clear = [PLAIN, *(role for theme in themes for role in theme.answers)]
    # A pair of clear roles comes from either of them, a pair of ambiguous ones from one name.
    often = recipe.ambiguous * (2 if people == 2 else 1)
    unclear = [theme.name for theme in themes]
    weights = np.array([1.0] * len(clear) + [often] * len(unclear))
    role = (clear + unclear)[rng.choice(len(weights), p=weights / weights.sum())]
    return sample(1, seed=int(rng.integers(2**62)), people=people, roles=[role], held_out=False)[0]


def pixels(scenes: Sequence[Scene]) -> Float[Tensor, "picture 3 96 96"]:
    """Draw scenes as the processor would hand them to the model."""
    drawn = np.stack([np.asarray(scene.image()) for scene in scenes])
    return (torch.from_numpy(drawn).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.25
