"""Prefix reuse: the same logits to the bit, at every layer, on every architecture; and fewer blocks that run."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import levelhead as lh
from conftest import graph_of
from levelhead import Ablate, Add, Gate, Steer
from levelhead.study.reuse import forget, reusing
from levelhead_transformers.prefix import PrefixGraph
from tiny import ARCHITECTURES

QUICK = ("gpt2", "gemma3_mm", "qwen3_vl")
"""Learned positions; pictures and two kinds of attention; pictures between blocks, where passes run in full."""
STRENGTHS = torch.tensor([0.0, 0.5, 1.0, 2.0])


def steers() -> list[Steer]:
    vector = torch.linspace(-1, 1, 32)
    sites = ("resid_pre.0", "ln1.1", "attn_out.1", "resid_post.1", "mlp_out.2", "resid_post.2", "ln_final")
    found = [Steer({site: Add(vector)}) for site in sites]
    found.append(Steer({"resid_post.0": Ablate(vector), "resid_post.2": Add(vector)}, scope="last"))
    found.append(Steer({"resid_post.2": Add(vector)}).gated(Gate("resid_post.0", vector, 0.1)))
    return found


def counted(graph: Any, ran: list[int]) -> list[Any]:
    """Note which blocks' attention runs."""
    return [
        block.register_forward_hook(lambda *_, n=n: ran.append(n))
        for n, block in enumerate(each.self_attn for each in graph.map.blocks)
    ]


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in sorted(ARCHITECTURES)],
)
def test_logits_are_those_of_the_whole_pass_to_the_bit(name: str) -> None:
    plain = graph_of("transformers", name)
    short = reusing(plain)
    batch = plain.encode(ARCHITECTURES[name].batch())
    # Another library may have put a forward of its own there in an earlier test.
    before = [vars(block).get("forward") for block in plain.map.blocks]
    with torch.no_grad():
        for steer in steers():
            for _ in range(2):
                found = short.logits_at(batch, steer, STRENGTHS, prompt_length=5)
                assert torch.equal(found, plain.logits_at(batch, steer, STRENGTHS, prompt_length=5)), steer
            assert torch.equal(short.logits(batch, steer, last=1), plain.logits(batch, steer, last=1)), steer
        assert torch.equal(short.logits(batch), plain.logits(batch))
    assert before == [vars(block).get("forward") for block in plain.map.blocks], "the model is as it was"


def test_blocks_before_the_edit_run_once_for_a_batch() -> None:
    short = reusing(graph_of("transformers", "llama"))
    batches = [ARCHITECTURES["llama"].batch(seed=seed) for seed in (1, 2)]
    ran: list[int] = []
    handles = counted(short, ran)
    vector = torch.ones(32)
    try:
        with torch.no_grad():
            for layer, expected in ((0, [0, 1, 2, 1, 2]), (1, [2]), (2, []), (0, [1, 2])):
                short.logits_at(batches[0], Steer({f"resid_post.{layer}": Add(vector)}), STRENGTHS)
                assert ran == expected
                ran.clear()
            short.logits(batches[1], Steer({"resid_post.1": Add(vector)}))
            assert ran == [0, 1, 2, 2]
            ran.clear()
            forget(short)
            short.logits(batches[1], Steer({"resid_post.1": Add(vector)}))
            assert ran == [0, 1, 2, 2]
        ran.clear()
        short.logits(batches[1], Steer({"resid_post.1": Add(vector)}))
        assert ran == [0, 1, 2], "gradients would end at what was kept"
    finally:
        for handle in handles:
            handle.remove()


def test_without_room_and_on_other_graphs_passes_run_in_full() -> None:
    plain = graph_of("transformers", "llama")
    small = PrefixGraph(plain, room=4096)
    batch = ARCHITECTURES["llama"].batch()
    steer = Steer({"resid_post.1": Add(torch.ones(32))})
    with torch.no_grad():
        assert torch.equal(small.logits(batch, steer), plain.logits(batch, steer))
    other = graph_of("transformer_lens", "llama")
    assert reusing(other) is other


def test_an_error_in_a_pass_leaves_the_model_as_it_was() -> None:
    short = reusing(lh.graph(ARCHITECTURES["llama"].model()))
    batch = ARCHITECTURES["llama"].batch()
    with torch.no_grad(), pytest.raises(ValueError):
        short.logits(batch, Steer({"resid_post.1": Add(torch.ones(31))}))
    assert not any("forward" in vars(block) for block in short.map.blocks)
