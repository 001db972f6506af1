"""What capture and steering cost, as ratios to the same graph doing nothing; ``make bench`` prints them.

Every ratio is taken pair by pair in one run (ours, theirs, ours, theirs, ...), in processor time on one thread; the
median and the quartiles of the pairs are printed.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import transformers as tf
from nnsight import NNsight

import levelhead as lh
from levelhead_transformer_lens import boot

BATCH, TOKENS, NEW = 8, 64, 32


def model() -> Any:
    """A Llama of 12 layers and 36 million parameters outside of its embeddings."""
    torch.manual_seed(0)
    config = tf.LlamaConfig(
        vocab_size=1024,
        hidden_size=512,
        intermediate_size=1280,
        num_hidden_layers=12,
        num_attention_heads=8,
        num_key_value_heads=8,
        attn_implementation="eager",
        eos_token_id=None,
        pad_token_id=0,
    )
    built = tf.LlamaForCausalLM(config).eval()
    built.generation_config.eos_token_id = None
    return built


def ratio(name: str, ours: Callable[[], Any], plain: Callable[[], Any], bar: float, pairs: int) -> None:
    """Print the ratio of processor times, pair by pair."""
    ours(), plain()
    ratios = []
    for _ in range(pairs):
        gc.collect()
        times = []
        for run in (ours, plain):
            start = time.process_time()
            run()
            times.append(time.process_time() - start)
        ratios.append(times[0] / times[1])
    low, _, high = statistics.quantiles(ratios, n=4)
    middle = statistics.median(ratios)
    print(f"{name:<62} {middle:5.3f}  [{low:5.3f}, {high:5.3f}]  bar {bar:.2f}  {'met' if middle <= bar else 'MISSED'}")


def main() -> None:
    """Print all ratios."""
    torch.set_num_threads(1)
    plain = model()
    size = sum(p.numel() for p in plain.model.layers.parameters())
    graphs = {
        "transformers": lh.graph(plain),
        "nnsight": lh.graph(NNsight(plain)),
        "transformer_lens": lh.graph(boot(plain)),
    }
    batch = {
        "input_ids": torch.randint(3, 1000, (BATCH, TOKENS)),
        "attention_mask": torch.ones(BATCH, TOKENS, dtype=torch.long),
    }
    prompt = {name: value[:1, :16] for name, value in batch.items()}
    print(f"{size / 1e6:.0f}M parameters in 12 layers, batch {BATCH} x {TOKENS}, torch {torch.__version__}, one thread")
    print(f"{'':<62} median [quartiles]")

    with torch.no_grad():
        for name, graph in graphs.items():
            sites = lh.sites.resolve(["resid_post.*", "z.*.*"], graph.sites())
            bar = 1.15 if name == "transformer_lens" else 1.25
            ratio(
                f"{name}: capture of {len(sites)} layers and heads / bare forward",
                lambda g=graph, s=sites: g.capture(batch, s),
                lambda g=graph: g.model(**batch, use_cache=False, logits_to_keep=1),
                bar,
                15,
            )
        steer = lh.Steer({"resid_post.6": lh.Add(0.01 * torch.randn(512))}, scope="all")
        for name, graph in graphs.items():
            options = {"max_new_tokens": NEW, "do_sample": False}
            ratio(
                f"{name}: one site steered / unsteered, {NEW} new tokens",
                lambda g=graph, o=options: g.generate(prompt, steer, **o),
                lambda g=graph, o=options: g.generate(prompt, **o),
                1.05,
                15,
            )


if __name__ == "__main__":
    main()
