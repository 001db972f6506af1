"""What one gradient step costs, in forward passes of the same batch and in their memory; ``make bench`` prints it.

Ratios of time are taken pair by pair in one run (ours, theirs, ours, theirs, ...), in processor time on one thread; the median
and the quartiles of the pairs are printed. Memory is what torch allocated at most beside the model, in ratio to a plain forward
pass.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from itertools import accumulate
from typing import Any

import torch

from levelhead import graph as wrap
from levelhead import testbed
from levelhead.methods.gradient_step import GradientStep
from levelhead.testbed.drawing import draw
from levelhead.testbed.model import prompt

BAR, PAIRS, PICTURES = 4.0, 9, 16
WORDS = ["man", "woman"]
VARIANTS: dict[str, dict[str, Any]] = {
    "image": {"on": "image"},
    "embeddings": {"on": "embeddings"},
    "residual": {"on": "residual"},
    "residual, checkpointed": {"on": "residual", "checkpoint": True},
    "image, checkpointed": {"on": "image", "checkpoint": True},
    "image, 1 picture a pass": {"on": "image", "batch_size": 1},
}


def setting(deep: bool) -> tuple[Any, list[Any]]:
    """The testbed's model, or a wider and deeper untrained one whose activations are worth measuring."""
    bed = testbed.load()
    pictures = [draw(scene) for scene in testbed.sample(PICTURES, 3)]
    if not deep:
        return bed.graph, pictures
    size = testbed.model.Size(d_vision=256, d_model=256, d_mlp=768, layers=16, vision_layers=8)
    return wrap(testbed.model.build(size), bed.processor), pictures


def jobs(graph: Any, pictures: list[Any]) -> tuple[Callable[[], Any], dict[str, Callable[[], Any]]]:
    """A plain forward pass of all pictures, and a fit on them in each variant."""
    batch = graph.encode([(picture, f"{prompt()} a") for picture in pictures])

    def forward() -> Any:
        with torch.no_grad():
            return graph.model(**batch, use_cache=False, logits_to_keep=1)

    def fit(options: dict[str, Any]) -> Callable[[], Any]:
        settings: dict[str, Any] = {"answer": "a", "batch_size": len(pictures), **options}
        method = GradientStep(**settings)
        return lambda: method.fit(graph, images=pictures, prompt=prompt(), words=WORDS, verbose=False)

    return forward, {name: fit(options) for name, options in VARIANTS.items()}


def encoding(graph: Any, pictures: list[Any]) -> Callable[[], Any]:
    """What a fit encodes, which is no pass: the batch, and one prompt to see how words are spelled behind it."""
    return lambda: (graph.encode([(p, prompt()) for p in pictures]), graph.encode([(pictures[0], prompt())]))


def peak(run: Callable[[], Any]) -> int:
    """Bytes that torch held at most during a run, above what it held before."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return torch.cuda.max_memory_allocated() - before
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as seen:
        run()
    found: Any = seen.profiler
    events = [event for event in found.kineto_results.events() if event.name() == "[memory]"]
    return max(accumulate(event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())))


def main() -> None:
    """Print all ratios."""
    torch.set_num_threads(1)
    print(f"{PICTURES} pictures in one pass unless said, all layers, torch {torch.__version__}, one thread")
    for deep in (False, True):
        graph, pictures = setting(deep)
        forward, fits = jobs(graph, pictures)
        encode = encoding(graph, pictures)
        what = "untrained, 16 layers of 256" if deep else "the testbed's model"
        print(f"{what}: {'time of a fit without encoding / forward pass':<50} median [quartiles]")
        for name, fit in fits.items():
            for run in (fit, forward, encode):
                run()
            ratios: list[float] = []
            for _ in range(PAIRS):
                gc.collect()
                spent: list[float] = []
                for run in (fit, forward, encode):
                    start = time.process_time()
                    run()
                    spent.append(time.process_time() - start)
                ratios.append((spent[0] - spent[2]) / spent[1])
            low, _, high = statistics.quantiles(ratios, n=4)
            middle = statistics.median(ratios)
            held = "1 picture" in name or "checkpointed" in name or ("met" if middle <= BAR else "MISSED")
            said = "" if held is True else f"  bar {BAR:.1f}  {held}"
            print(f"  {name:<60} {middle:5.2f}  [{low:5.2f}, {high:5.2f}]{said}")
        plain = peak(forward)
        print(f"{what}: peak memory / that of a forward pass ({plain / 2**20:.1f} MiB)")
        for name, fit in fits.items():
            found = peak(fit)
            print(f"  {name:<60} {found / plain:5.2f}  ({found / 2**20:.1f} MiB)")


if __name__ == "__main__":
    main()
