"""The user's own way of working with each library goes on inside ``steer.on``, with text and a tokenizer."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import pytest
import torch

import levelhead as lh
import words
from conftest import model_of
from levelhead import Add, Site, Steer

TEXTS = ["the man", "a woman is here the"]
NEW = {"max_new_tokens": 5, "do_sample": False}
STEER = Steer({"resid_post.1": Add(torch.linspace(-1, 1, 32))}, scope="generated")


@cache
def wrapped() -> tuple[Any, Any, Any]:
    """A plain graph, a bridge, and nnsight's own TransformersModel, on one model and one tokenizer."""
    from nnsight import TransformersModel

    from levelhead_transformer_lens import boot

    model, tokenizer = model_of("llama"), words.tokenizer()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # transformers says that this tokenizer names no checkpoint
        traced = TransformersModel(model, tokenizer=tokenizer, task="text-generation")
    return lh.graph(model, tokenizer), boot(model, tokenizer), traced


def test_all_graphs_encode_text_alike() -> None:
    plain, *others = wrapped()
    batch = plain.encode(TEXTS)
    assert batch["attention_mask"].tolist() == [[0, 0, 0, 1, 1], [1, 1, 1, 1, 1]]
    assert batch["position_ids"].tolist()[0] == [0, 0, 0, 0, 1]
    for other in others:
        graph = lh.graph(other)
        encoded = graph.encode(TEXTS)
        assert encoded.keys() == batch.keys() and all(torch.equal(encoded[k], batch[k]) for k in batch)
        assert torch.equal(graph.logits(encoded, STEER), plain.logits(batch, STEER))


def test_nnsight_generates_and_traces_from_text() -> None:
    plain, _, traced = wrapped()
    batch = plain.encode(TEXTS)
    with STEER.on(traced) as steered:
        with steered.generate(TEXTS, **NEW) as tracer:
            tokens = tracer.result.save()
        with steered.trace() as tracer:
            with tracer.invoke(TEXTS[0]):
                first = steered.lm_head.output.save()
            with tracer.invoke(TEXTS[1]):
                second = steered.lm_head.output.save()
    assert torch.equal(tokens, plain.generate(batch, STEER, **NEW))
    assert torch.equal(torch.cat([first, second]), plain.logits(batch, STEER))


@pytest.mark.parametrize("cached", [True, False])
def test_a_bridge_generates_by_itself(cached: bool) -> None:
    plain, bridge, _ = wrapped()
    one = plain.encode([TEXTS[1]])
    with STEER.on(bridge) as steered:
        tokens = steered.generate(
            one["input_ids"], verbose=False, return_type="tokens", use_past_kv_cache=cached, **NEW
        )
    assert torch.equal(tokens, plain.generate(one, STEER, **NEW))


def test_a_bridge_runs_and_caches_by_itself() -> None:
    plain, bridge, _ = wrapped()
    one = plain.encode([TEXTS[1]])
    site = Site.parse("resid_post.1")
    expected, hidden = plain.logits(one, STEER), plain.capture(one, [site], steer=STEER)[site]
    with STEER.on(bridge) as steered:
        assert torch.equal(steered(one["input_ids"]), expected)
        logits, cache = steered.run_with_cache(one["input_ids"])
        assert torch.equal(logits, expected)
        assert torch.equal(cache["blocks.1.hook_resid_post"][:, -1], hidden)
        assert torch.equal(steered(one["input_ids"]), expected), "caching takes no hook away"
    assert torch.equal(bridge(one["input_ids"]), plain.logits(one))


def test_token_ids_may_be_handed_over_by_position() -> None:
    plain, bridge, traced = wrapped()  # nnsight has put a forward of its own on the plain model
    one = plain.encode([TEXTS[1]])
    expected = plain.logits(one, STEER)
    with STEER.on(traced) as steered:
        with steered.trace(one["input_ids"]):
            found = steered.lm_head.output.save()
    assert torch.equal(found, expected)
    for target in (plain.model, bridge):
        with STEER.on(target) as steered:
            found = steered(one["input_ids"])
        assert torch.equal(getattr(found, "logits", found), expected)


def test_a_plain_model_runs_in_a_pipeline() -> None:
    from transformers import pipeline

    plain, *_ = wrapped()
    run = pipeline("text-generation", model=plain.model, tokenizer=plain.processor)
    one = plain.encode([TEXTS[1]])
    with STEER.on(plain.model):
        found = run(TEXTS[1], return_tensors=True, **NEW)[0]["generated_token_ids"]
    assert found == plain.generate(one, STEER, **NEW)[0].tolist()
