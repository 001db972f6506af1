"""The testbed on one thread: drawing pictures, and packing questions behind them; interleaved in one process.

Drawing is set against decoding the same pictures from PNG files in memory, which is what a data set on disk costs.
Packing ten questions behind one picture, as training does, is set against a training step that asks them one by one.
Ratios are medians over repeats, with quartiles; above 1 ours is faster.

Promise: at least 200 pictures a second.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import io
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from levelhead.testbed import Scene, sample
from levelhead.testbed.training import Recipe, workers
from levelhead.testbed.training.packing import TOPICS, pack
from levelhead.testbed.training.run import Run
from levelhead.testbed.training.scenes import pixels

REPEATS = 9
URGENCY = dict.fromkeys(range(len(TOPICS)), 1.0)


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def quartiles(values: list[float]) -> str:
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.2f} [{low:.2f}, {high:.2f}]"


def drawing(scenes: list[Scene]) -> None:
    files: list[bytes] = []
    for scene in scenes:
        buffer = io.BytesIO()
        scene.image().save(buffer, "PNG")
        files.append(buffer.getvalue())
    ours, theirs = [], []
    for _ in range(REPEATS):
        ours.append(seconds(lambda: [np.asarray(scene.image()) for scene in scenes]))
        theirs.append(seconds(lambda: [np.asarray(Image.open(io.BytesIO(data))) for data in files]))
    rates = [len(scenes) / each for each in ours]
    print(f"pictures a second: {statistics.median(rates):.0f}, the slowest of {REPEATS} runs {min(rates):.0f}")
    print(f"decoding from PNG / drawing: {quartiles([b / a for a, b in zip(ours, theirs, strict=True)])}")


def packing(scenes: list[Scene]) -> None:
    recipe = Recipe(captions=0.0)
    run = Run(recipe, workers.Alone(), Path())
    pictures = pixels(scenes)

    def step(packed: bool) -> None:
        rngs = [np.random.default_rng(number) for number in range(len(scenes))]
        if packed:
            parts = [(pictures, part) for part in pack(scenes, rngs, recipe, URGENCY)]
        else:
            alone = Recipe(captions=0.0, questions=1)
            parts = [(pictures, part) for _ in range(recipe.questions) for part in pack(scenes, rngs, alone, URGENCY)]
        loss = torch.zeros(())
        patches = run.patches(pictures) if packed else None
        for own, part in parts:
            seen = patches[part.pictures] if patches is not None else run.patches(own[part.pictures])
            loss = loss + run.shortfall(seen, part).sum()
        loss.backward()

    ours, theirs = [], []
    for _ in range(REPEATS):
        ours.append(seconds(lambda: step(True)))
        theirs.append(seconds(lambda: step(False)))
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    print(f"ten questions one by one / packed behind one picture: {quartiles(ratios)}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    drawing(sample(200, 0) + sample(100, 1, people=2))
    packing(sample(8, 2) + sample(8, 3, people=2))
