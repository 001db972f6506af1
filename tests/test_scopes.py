"""Which tokens are written: absolute positions, so that padding, caching and batching change nothing."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from unittest.mock import patch

import pytest
import torch

from conftest import graph_of, model_of, target_of
from levelhead import Add, Site, Steer
from levelhead.errors import UntouchedSteerWarning
from levelhead.plan import plan
from levelhead.tokens import SCOPES
from tiny import ARCHITECTURES

GREEDY = {"max_new_tokens": 6, "do_sample": False}


def steer_at(site: str, width: int, scope: str, size: float = 1.0) -> Steer:
    return Steer({site: Add(size * torch.randn(width, generator=torch.Generator().manual_seed(5)))}, scope=scope)


@pytest.mark.parametrize(
    ("name", "scope"),
    [(name, scope) for name in ("gpt2", "llama", "llava") for scope in SCOPES if name == "llava" or scope != "image"],
)
def test_trap_11_cached_generation_equals_uncached(adapter: str, name: str, scope: str) -> None:
    graph = graph_of(adapter, name)
    batch = graph.encode(ARCHITECTURES[name].batch())
    steer = steer_at("resid_post.1", 32, scope, 2.0)
    cached = graph.generate(batch, steer, **GREEDY)
    assert torch.equal(graph.generate(batch, steer, use_cache=False, **GREEDY), cached)


@pytest.mark.parametrize("scope", ["all", "prompt", "generated", "text", "last"])
@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma3"])
def test_trap_10_padding_on_either_side_changes_nothing(adapter: str, name: str, scope: str) -> None:
    graph = graph_of(adapter, name)
    tiny = ARCHITECTURES[name]
    steer = steer_at("resid_post.1", 32, scope)
    left, right = (graph.encode(tiny.batch((9, 5), side)) for side in ("left", "right"))
    short = {"input_ids": left["input_ids"][1:, -5:]}
    with torch.no_grad():
        alone = graph.logits(graph.encode(short), steer)[0]
        torch.testing.assert_close(graph.logits(left, steer)[1, -5:], alone, atol=2e-5, rtol=1e-5)
        torch.testing.assert_close(graph.logits(right, steer)[1, :5], alone, atol=2e-5, rtol=1e-5)
    tokens = graph.generate(graph.encode(short), steer, **GREEDY)[0, 5:]
    assert torch.equal(graph.generate(left, steer, **GREEDY)[1, 9:], tokens)
    assert torch.equal(graph.generate(right, steer, **GREEDY)[1, 9:], tokens)


def test_trap_12_the_first_new_token_is_steered(adapter: str) -> None:
    graph = graph_of(adapter, "llama")
    batch = graph.encode(ARCHITECTURES["llama"].batch((8,)))
    with torch.no_grad():
        bare = graph.logits(batch)
        generated = graph.logits(batch, steer_at("resid_post.2", 32, "generated"))
    # The last prompt position, whose output is the first new token, and no other.
    assert torch.equal(generated[:, :-1], bare[:, :-1])
    assert not torch.equal(generated[:, -1], bare[:, -1])
    with pytest.warns(UntouchedSteerWarning, match="their scope held no token"), torch.no_grad():
        assert torch.equal(graph.logits(batch, steer_at("resid_post.2", 32, "continuation")), bare)


def written(graph, steer: Steer, run) -> int:
    """Vectors written at the one site of a steer, by the adapter's own tally."""
    tallies = []
    modules = [m for m in ("levelhead_transformers.hooks", "levelhead_nnsight.traces") if m in sys.modules]
    with ExitStack() as stack:
        for module in modules:
            stack.enter_context(patch(f"{module}.report", lambda _, tally: tallies.append(dict(tally))))
        run()
    return sum(int(tally.get("0", 0)) for tally in tallies)


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        # Two rows of 9 and 6 tokens, five new tokens; the last new token is never run.
        ("all", 15 + 2 * 4),
        ("prompt", 15),
        ("generated", 2 + 2 * 4),
        ("continuation", 2 * 4),
        ("text", 15 + 2 * 4),
        ("last", 2),
    ],
)
def test_trap_20_every_step_is_written_and_counted(adapter: str, scope: str, expected: int) -> None:
    graph = graph_of(adapter, "llama")
    batch = graph.encode(ARCHITECTURES["llama"].batch())
    steer = steer_at("resid_post.1", 32, scope)
    for cache in (True, False):
        found = written(
            graph, steer, lambda c=cache: graph.generate(batch, steer, max_new_tokens=5, do_sample=False, use_cache=c)
        )
        # Without a cache the model runs every position again at each step.
        assert found == expected if cache else found >= expected


def test_image_and_text_scopes_split_the_prompt(adapter: str) -> None:
    graph = graph_of(adapter, "llava")
    batch = graph.encode(ARCHITECTURES["llava"].batch())
    site = Site.parse("resid_post.1")
    clean = graph.capture(batch, [site], "all")[site]
    image = graph.layout(batch).image[graph.layout(batch).real]
    for scope, chosen in (("image", image), ("text", ~image)):
        moved = (graph.capture(batch, [site], "all", steer_at("resid_post.1", 32, scope))[site] != clean).any(dim=1)
        assert torch.equal(moved, chosen)


def test_decoding_by_hand_with_a_cache_equals_generate() -> None:
    graph, model = graph_of("transformers", "llama"), model_of("llama")
    batch = graph.encode(ARCHITECTURES["llama"].batch((7,)))
    steer = steer_at("resid_post.1", 32, "generated", 2.0)
    expected = graph.generate(batch, steer, **GREEDY)
    ids, cache = batch["input_ids"], None
    with steer.on(model), torch.no_grad():
        step = ids
        for _ in range(6):
            out = model(input_ids=step, past_key_values=cache, use_cache=True)
            cache, step = out.past_key_values, out.logits[:, -1:].argmax(-1)
            ids = torch.cat([ids, step], dim=1)
    assert torch.equal(ids, expected)


def test_decoding_by_hand_without_a_cache_needs_the_prompt_length() -> None:
    graph, model = graph_of("transformers", "llama"), model_of("llama")
    batch = graph.encode(ARCHITECTURES["llama"].batch((7,)))
    steer = steer_at("resid_post.1", 32, "generated", 2.0)
    ids = batch["input_ids"]
    with steer.on(model, prompt_length=7), torch.no_grad():
        for _ in range(6):
            ids = torch.cat([ids, model(input_ids=ids, use_cache=False).logits[:, -1:].argmax(-1)], dim=1)
    assert torch.equal(ids, graph.generate(batch, steer, **GREEDY))


def test_users_generate_inside_on_knows_the_prompt() -> None:
    for adapter in ("transformers", "transformer_lens"):
        graph, target = graph_of(adapter, "llama"), target_of(adapter, "llama")
        batch = graph.encode(ARCHITECTURES["llama"].batch((7,)))
        steer = steer_at("resid_post.1", 32, "generated", 2.0)
        expected = graph.generate(batch, steer, **GREEDY)
        with steer.on(target) as steered:
            model = getattr(steered, "original_model", steered)
            found = model.generate(**batch, use_cache=False, **GREEDY)
        assert torch.equal(found, expected)
        assert "generate" not in vars(target) and "generate" not in vars(model)


def test_vision_sites_take_scopes_that_hold_pictures_only() -> None:
    with pytest.raises(
        ValueError, match=r"scope 'generated' holds no picture, so it cannot act at 'vision/resid_post.0'"
    ):
        steer_at("vision/resid_post.0", 16, "generated")


def test_a_plan_is_plain_data_in_execution_order() -> None:
    graph = graph_of("transformers", "llava")
    steer = steer_at("resid_post.2", 32, "all") | steer_at("projector", 32, "all") | steer_at("vision/z.0.1", 8, "all")
    placed = plan(steer, graph)
    assert [str(place.location.site.whole) for place in placed] == ["vision/z.0", "projector", "resid_post.2"]
    for place in placed:
        for step in place.steps:
            assert all(isinstance(part, str | int | float | tuple | dict | type(None)) for part in step)
