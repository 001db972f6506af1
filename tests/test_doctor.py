"""The check-up finds what is there, and finds what is wrong."""

from __future__ import annotations

import time

import pytest
import torch
import transformers as tf

import levelhead as lh
from conftest import graph_of, model_of
from levelhead import Site
from levelhead_transformers import hooks
from tiny import ARCHITECTURES, TEXT


@pytest.mark.parametrize("name", ["gpt2", "gemma2", "llava", "qwen2_5_vl", "internvl"])
def test_a_sound_model_passes_in_seconds(adapter: str, name: str) -> None:
    graph = graph_of(adapter, name)
    start = time.monotonic()
    found = lh.doctor(graph, ARCHITECTURES[name].batch())
    assert time.monotonic() - start < 20
    assert found.ok and found.graph == adapter
    assert len(found.frame()) == len([site for site in graph.sites() if site.head is None])
    text = str(found)
    assert f"{type(model_of(name)).__name__} on graph '{adapter}', basis 'hf'" in text
    assert "reads equal writes at every site that was checked" in text
    assert "blocks.0.attn.hook_z" in text


def test_what_the_model_does_not_use_is_found(adapter: str) -> None:
    # LLaVA takes its picture from the last layer but one, so the last layer of the tower reaches nothing.
    found = lh.doctor(graph_of(adapter, "llava"), ARCHITECTURES["llava"].batch())
    assert {site.layer for site in found.idle} == {2}
    assert {site.tower for site in found.idle} == {"vision"}
    assert Site.parse("vision/resid_post.1") not in found.idle


def test_a_write_that_is_lost_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real = hooks.attach

    def forgetful(module, side, touch):
        if side == "input" and isinstance(module, torch.nn.Linear):

            def look(tensor):
                touch(tensor)

            return real(module, side, look)
        return real(module, side, touch)

    monkeypatch.setattr(hooks, "attach", forgetful)
    found = lh.doctor(graph_of("transformers", "llama"))
    assert not found.ok
    assert {site.component for site in found.unequal} == {"z", "mlp_post"}
    assert "WRITES ARE NOT READ BACK at z.0, mlp_post.0" in str(found)


def test_missing_components_come_with_a_reason() -> None:
    found = lh.doctor(graph_of("transformers", "internvl"), ARCHITECTURES["internvl"].batch())
    assert "a layer scale stands between" in found.missing["vision/attn_out"]
    with pytest.raises(ValueError, match=r"'vision/attn_out.0' cannot be addressed on InternVL.*use 'resid_post'"):
        graph_of("transformers", "internvl").locate("vision/attn_out.0")


def test_a_model_on_the_meta_device_resolves_and_is_not_run() -> None:
    with torch.device("meta"):
        model = tf.LlamaForCausalLM(tf.LlamaConfig(**TEXT))
    found = lh.doctor(model)
    assert len(found.locations) == len([s for s in graph_of("transformers", "llama").sites() if s.head is None])
    assert any("nothing was run" in note for note in found.notes)


def test_trap_18_the_attention_implementation_is_named() -> None:
    model = tf.LlamaForCausalLM(tf.LlamaConfig(**TEXT)).eval()
    found = lh.doctor(model)
    assert any("'sdpa'" in note and "to the bit only with 'eager'" in note for note in found.notes)


def test_trap_15_layers_without_attention() -> None:
    config = tf.Lfm2Config(**TEXT, layer_types=["conv", "full_attention", "conv"])
    model = tf.Lfm2ForCausalLM(config).eval()
    graph = lh.graph(model)
    assert [site.layer for site in graph.sites() if site.component == "z" and site.head is None] == [1]
    assert [site.layer for site in graph.sites() if site.component == "resid_post"] == [0, 1, 2]
    with pytest.raises(ValueError, match=r"'z.0' was asked for, and 'z' is at layers 1 to 1 \(1 layers\)"):
        graph.locate("z.0")
    assert lh.doctor(model).ok


def test_a_bfloat16_model_is_checked_in_its_own_precision() -> None:
    model = tf.LlamaForCausalLM(tf.LlamaConfig(**TEXT)).to(torch.bfloat16).eval()
    found = lh.doctor(model)
    assert found.ok and found.settings["dtype"] == "bfloat16"
