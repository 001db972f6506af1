"""Capture: the right tokens, one pass a batch, nothing kept that was not asked for."""

from __future__ import annotations

import re

import pytest
import torch

import levelhead as lh
from conftest import graph_of, model_of
from levelhead import Add, Site, Steer
from levelhead.errors import InputError, SiteError
from tiny import ARCHITECTURES

IDS = [[5, 6, 7, 8, 9], [10, 11, 12], [13, 14, 15, 16], [17, 18, 19, 20, 21, 22], [23, 24]]


def hidden(ids: list[int], layer: int) -> torch.Tensor:
    """Residual stream after a layer, by transformers' own book-keeping."""
    with torch.no_grad():
        return model_of("llama")(torch.tensor([ids]), output_hidden_states=True).hidden_states[layer + 1][0]


def test_last_and_mean_against_transformers_own_hidden_states(adapter: str) -> None:
    graph = graph_of(adapter, "llama")
    last = lh.capture(graph, IDS, "resid_post.0:2", batch_size=2, verbose=False)
    mean = lh.capture(graph, IDS, ["resid_post.1"], at="mean", verbose=False)
    assert last.sites == [Site("resid_post", 0), Site("resid_post", 1)] and last.n == len(IDS)
    for row, ids in enumerate(IDS):
        for layer in (0, 1):
            torch.testing.assert_close(last[f"resid_post.{layer}"][row], hidden(ids, layer)[-1], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(mean["resid_post.1"][row], hidden(ids, 1).mean(0), atol=1e-5, rtol=1e-5)


def test_every_token_comes_with_the_example_it_belongs_to(adapter: str) -> None:
    acts = lh.capture(graph_of(adapter, "llama"), IDS, "resid_post.0", at="all", batch_size=2, verbose=False)
    assert acts.example.tolist() == [row for row, ids in enumerate(IDS) for _ in ids]
    for row, ids in enumerate(IDS):
        torch.testing.assert_close(acts["resid_post.0"][acts.example == row], hidden(ids, 0), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("at", [0, 1, -1, -2])
def test_an_index_counts_real_tokens(at: int) -> None:
    acts = lh.capture(graph_of("transformers", "llama"), IDS, "resid_post.1", at=at, verbose=False)
    for row, ids in enumerate(IDS):
        torch.testing.assert_close(acts["resid_post.1"][row], hidden(ids, 1)[at], atol=1e-5, rtol=1e-5)


def test_a_patch_is_picked_by_number_and_one_too_many_is_refused(adapter: str) -> None:
    graph = graph_of(adapter, "llava")
    batch = graph.encode(ARCHITECTURES["llava"].batch())
    site = Site.parse("projector")
    every = graph.capture(batch, [site], "all")[site]
    assert torch.equal(graph.capture(batch, [site], 1)[site], every[[1, 5]])
    with pytest.raises(ValueError, match="patch 4 was asked for, and the smallest picture here has 4 patches"):
        graph.capture(batch, [site], 4)


def test_heads_are_slices_of_the_layer(adapter: str) -> None:
    acts = lh.capture(graph_of(adapter, "qwen3"), IDS, ["z.1", "z.1.*"], verbose=False)
    heads = [acts[f"z.1.{head}"] for head in range(4)]
    assert heads[0].shape == (5, 16)
    assert torch.equal(torch.cat(heads, dim=1), acts["z.1"])
    (sites, stack), *_ = [pair for pair in acts.stacks() if len(pair[0]) == 4]
    assert stack.shape == (4, 5, 16) and torch.equal(stack[2], acts[sites[2]])


@pytest.mark.parametrize("number", [1, 40])
def test_one_forward_pass_a_batch_whatever_the_number_of_sites(adapter: str, number: int) -> None:
    graph = graph_of(adapter, "llama")
    passes = []
    handle = graph.map.decoder.register_forward_hook(lambda *_: passes.append(1))
    try:
        lh.capture(graph, IDS, graph.sites()[:number], batch_size=2, verbose=False)
    finally:
        handle.remove()
    assert len(passes) == 3


def test_trap_09_nothing_but_the_wanted_tokens_is_kept(adapter: str) -> None:
    graph = graph_of(adapter, "llama")
    batch = graph.encode(ARCHITECTURES["llama"].batch((40, 30)))
    sites = [site for site in graph.sites() if site.head is None]
    for site, value in graph.capture(batch, sites).items():
        assert value.untyped_storage().nbytes() == value.nbytes, site
        assert not value.requires_grad
    one = Site.parse("z.1.2")
    assert graph.capture(batch, [one])[one].untyped_storage().nbytes() == 2 * 8 * 4


def test_moments_are_those_of_the_examples(adapter: str) -> None:
    graph = graph_of(adapter, "llama")
    labels = ["she", "he", "he", "she", "he"]
    acts = lh.capture(graph, IDS, "resid_post.*", verbose=False)
    moments = lh.capture(graph, IDS, "resid_post.*", reduce="moments", labels=labels, batch_size=2, verbose=False)
    assert moments.classes == ["he", "she"] and moments.counts.tolist() == [3, 2]
    mask = torch.tensor([label == "she" for label in labels])
    for site in acts.sites:
        expected = torch.stack([acts[site][~mask].mean(0), acts[site][mask].mean(0)]).double()
        torch.testing.assert_close(moments.means(site), expected, atol=1e-5, rtol=1e-5)
    one, two = lh.MeanDifference().fit(moments), lh.MeanDifference().fit(acts, labels)
    for mine, theirs in zip(one.entries, two.entries, strict=True):
        torch.testing.assert_close(mine.edit.params["basis"], theirs.edit.params["basis"], atol=1e-4, rtol=1e-4)


def test_pictures_are_read_by_example(adapter: str) -> None:
    for name in ("llava", "qwen2_5_vl", "idefics3"):
        graph = graph_of(adapter, name)
        batch = graph.encode(ARCHITECTURES[name].batch())
        sites = [Site.parse("vision/resid_post.1"), Site.parse("projector")]
        means = graph.capture(batch, sites, "mean")
        patches = graph.capture(batch, sites, "all")
        for site in sites:
            rows = patches[site]
            assert means[site].shape == (2, graph.locate(site).width) and len(rows) % 2 == 0
            torch.testing.assert_close(means[site], torch.stack([half.mean(0) for half in rows.chunk(2)]))


def test_out_of_memory_halves_the_batch_and_loses_nothing(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    graph = graph_of("transformers", "llama")
    expected = lh.capture(graph, IDS, "resid_post.*", batch_size=5, verbose=False)
    sizes = []
    real = type(graph).capture

    def scarce(self, batch, *args, **kwargs):
        sizes.append(len(batch["input_ids"]))
        if sizes[-1] > 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return real(self, batch, *args, **kwargs)

    monkeypatch.setattr(type(graph), "capture", scarce)
    found = lh.capture(graph, IDS, "resid_post.*", batch_size=5, verbose=False)
    assert sizes == [5, 2, 2, 1]
    assert "out of memory with 5 rows a pass; going on with 2" in capsys.readouterr().out
    for site in expected.sites:
        torch.testing.assert_close(found[site], expected[site], atol=1e-5, rtol=1e-5)


def test_errors_of_the_model_are_not_taken_for_scarce_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = graph_of("transformers", "llama")
    monkeypatch.setattr(type(graph), "capture", lambda *a, **k: (_ for _ in ()).throw(RuntimeError("shapes differ")))
    with pytest.raises(RuntimeError, match="shapes differ"):
        lh.capture(graph, IDS, verbose=False)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"sites": "resid_pots.1"}, SiteError, "unknown component 'resid_pots'; did you mean 'resid_post'"),
        ({"sites": "resid_post.3"}, SiteError, "layer 3 was asked for, and there are 3 (layers 0 to 2)"),
        ({"sites": "mlp_out.1.2"}, SiteError, "names a head, and 'mlp_out' has none"),
        ({"sites": "vision/resid_post.0"}, SiteError, "this model has no vision tower that could be addressed"),
        ({"at": "first"}, InputError, "unknown reader at='first'"),
        ({"at": "answer"}, InputError, "these inputs have no answer"),
        ({"at": 4}, InputError, "the shortest row has 2 tokens"),
        ({"reduce": "moments"}, InputError, "needs labels"),
        ({"reduce": "sums"}, InputError, "is not known"),
        ({"labels": [1, 0], "reduce": "moments"}, InputError, "5 inputs and 2 labels were given"),
        ({"batch_size": 0}, InputError, "at least 1"),
        ({"steer": Steer({"resid_post.0": Add(torch.ones(31))})}, ValueError, "has width 31, and the model has 32"),
    ],
)
def test_bad_requests_are_refused_before_anything_runs(options, error, text) -> None:
    graph = graph_of("transformers", "llama")
    with pytest.raises(error, match=re.escape(text)):
        lh.capture(graph, IDS, **options, verbose=False)


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ([[1, 2], "a string"], "of several: ids without pictures and text without pictures"),
        ([], "no inputs were given"),
        (torch.zeros(2, 3), "token ids must be integers"),
        ([object()], "cannot read an input of type object"),
    ],
)
def test_bad_inputs(inputs, text: str) -> None:
    with pytest.raises(InputError, match=text):
        lh.capture(graph_of("transformers", "llama"), inputs, verbose=False)


def test_trap_36_remote_is_refused_and_never_runs_locally_in_silence() -> None:
    graph = graph_of("nnsight", "llama")
    with pytest.raises(TypeError, match="remote"):
        lh.capture(graph, IDS, remote=True)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="remote"):
        graph.logits(graph.encode(torch.tensor([[1, 2]])), remote=True)


def test_what_was_not_captured_is_said() -> None:
    acts = lh.capture(graph_of("transformers", "llama"), IDS, "resid_post.*", verbose=False)
    with pytest.raises(SiteError, match=r"'z.0' was not captured; there are resid_post.0, .*\(3 sites\)"):
        acts["z.0"]
    assert acts.select("resid_post.-1").sites == [Site("resid_post", 2)]
    assert acts.rows([0, 2]).n == 2
    assert acts.source["model"]["class"] == "LlamaForCausalLM"
