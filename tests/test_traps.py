"""The trap list of the design, as far as no other file holds it; each was met in a real project."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading

import pytest
import torch
import transformers as tf
from nnsight import NNsight
from torch import nn

import levelhead as lh
from conftest import graph_of, model_of, target_of
from levelhead import Ablate, Add, Site, Steer, operators
from levelhead.errors import AdapterError, EditError, SiteError, UntouchedSteerWarning
from levelhead_transformers import hooks
from tiny import ARCHITECTURES, IMAGE, TEXT


def add_at(site: str, width: int = 32, size: float = 1.0) -> Steer:
    return Steer({site: Add(size * torch.randn(width, generator=torch.Generator().manual_seed(9)))})


def batch_of(adapter: str, name: str, lengths: tuple[int, ...] = (9, 6)):
    return graph_of(adapter, name).encode(ARCHITECTURES[name].batch(lengths))


def hook_count(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


class Pair(nn.Module):
    def forward(self, x):
        return x, "cache"


def test_trap_01_a_module_may_return_a_tensor_or_a_tuple() -> None:
    for module in (nn.Identity(), Pair()):
        handle = hooks.attach(module, "output", lambda t: t + 1)
        found = module(torch.zeros(2))
        handle.remove()
        first, rest = (found[0], found[1:]) if isinstance(found, tuple) else (found, None)
        assert torch.equal(first, torch.ones(2)) and rest in (None, ("cache",))


def test_trap_03_an_edit_follows_the_activations_to_their_device() -> None:
    h = torch.zeros(1, 3, 4, device="meta", dtype=torch.bfloat16)
    step = ("0", "ablate", 1.0, "all", None, Ablate(torch.ones(4), torch.ones(4)).params, None)
    now = operators.open_pass({"inputs_embeds": h}, operators.new_run())
    out = operators.apply(h, [step], now, {})
    assert out.device.type == "meta" and out.dtype == torch.bfloat16


def test_trap_06_layer_zero_and_negative_layers(adapter: str) -> None:
    graph = graph_of(adapter, "llama")
    sites = lh.sites.resolve(["resid_post.0", "resid_post.-1"], graph.sites())
    assert [site.layer for site in sites] == [0, 2]
    batch = batch_of(adapter, "llama")
    for site in sites:
        assert not torch.equal(graph.logits(batch, add_at(str(site))), graph.logits(batch))


def test_trap_07_a_failed_installation_leaves_no_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("llama")
    before, real, calls = hook_count(model), hooks.attach, []

    def breaks(*args):
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("no room")
        return real(*args)

    monkeypatch.setattr(hooks, "attach", breaks)
    with pytest.raises(RuntimeError, match="no room"), (add_at("resid_post.0") | add_at("resid_post.1")).on(model):
        raise AssertionError("the block should not be entered")
    assert hook_count(model) == before and "generate" not in vars(model)


def test_trap_13_nested_steers_act_outer_first(adapter: str) -> None:
    graph, target = graph_of(adapter, "llama"), target_of(adapter, "llama")
    batch = batch_of(adapter, "llama")
    push, drop = add_at("resid_post.1", size=3.0), Steer({"resid_post.1": Ablate(torch.ones(32))})
    with push.on(target) as once, drop.on(once) as twice:
        nested = lh.graph(twice).logits(batch)
    assert torch.equal(nested, graph.logits(batch, push | drop))
    assert not torch.allclose(nested, graph.logits(batch, drop | push), atol=1e-3)


def test_trap_13_an_exception_inside_leaves_the_model_as_it_was(adapter: str) -> None:
    graph, target = graph_of(adapter, "llama"), target_of(adapter, "llama")
    batch = batch_of(adapter, "llama")
    before, hooked = graph.logits(batch), hook_count(graph.model)
    with pytest.raises(KeyError, match="mine"), add_at("z.1.1", 8).on(target) as steered:
        assert not torch.equal(lh.graph(steered).logits(batch), before)
        raise KeyError("mine")
    assert torch.equal(graph.logits(batch), before)
    assert hook_count(graph.model) == hooked and "generate" not in vars(target)
    if adapter == "nnsight":
        assert torch.equal(lh.graph(steered).logits(batch), before), "the edited copy is level again, too"


def test_trap_13_two_models_at_once(adapter: str) -> None:
    one, two = target_of(adapter, "llama"), target_of(adapter, "qwen2")
    a, b = add_at("resid_post.0"), add_at("resid_post.1", size=2.0)
    expected = [lh.graph(t).logits(batch_of(adapter, n), s) for t, n, s in ((one, "llama", a), (two, "qwen2", b))]
    with a.on(one) as first, b.on(two) as second:
        assert torch.equal(lh.graph(first).logits(batch_of(adapter, "llama")), expected[0])
        assert torch.equal(lh.graph(second).logits(batch_of(adapter, "qwen2")), expected[1])


def test_trap_13_two_threads_on_one_steered_model() -> None:
    model, graph = model_of("llama"), graph_of("transformers", "llama")
    steer = Steer({"resid_post.1": Add(torch.ones(32))}, scope="generated")
    batches = [batch_of("transformers", "llama", lengths) for lengths in ((9, 6), (4,), (12, 3, 7))]
    expected = [graph.generate(batch, steer, max_new_tokens=6, do_sample=False) for batch in batches]
    wrong: list[int] = []

    def work(number: int) -> None:
        call = {k: v for k, v in batches[number].items() if k != "position_ids"}
        for _ in range(4):
            if not torch.equal(model.generate(**call, max_new_tokens=6, do_sample=False), expected[number]):
                wrong.append(number)

    with steer.on(model):
        threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_trap_14_head_sizes_come_from_the_configuration(adapter: str) -> None:
    # d_model / n_heads would be 8 in each of these.
    for name, size in (("llama", 8), ("qwen3", 16), ("gemma2", 16)):
        location = graph_of(adapter, name).locate("z.1.3")
        assert (location.width, location.heads) == (size, 4)
        assert str(location).startswith("z.1.3: blocks.1.attn.hook_z[:, :, 3] | ")
    with pytest.raises(SiteError, match=r"'z.1.4' was asked for, and there are 4 heads at 'z.1' \(heads 0 to 3\)"):
        graph_of(adapter, "llama").locate("z.1.4")


def test_trap_16_every_hook_point_that_is_named_fires() -> None:
    for name in ("gpt2", "llama", "gemma2", "llava"):
        graph, bridge = graph_of("transformer_lens", name), target_of("transformer_lens", name)
        batch = batch_of("transformer_lens", name)
        names = {graph.locate(site).hook for site in graph.sites() if graph.point(site) is not None}
        fired: set[str] = set()
        with bridge.hooks(fwd_hooks=[(n, lambda t, hook, n=n, fired=fired: fired.add(n)) for n in sorted(names)]):
            bridge.original_model(**batch)
        assert fired == names and len(names) > 25


def test_trap_17_compatibility_mode_is_another_basis() -> None:
    from levelhead_transformer_lens import boot

    steer = add_at("z.1.1", 8)
    same, other = boot(model_of("gpt2")), boot(model_of("gpt2"))
    same.enable_compatibility_mode(disable_warnings=True, no_processing=True)
    assert steer.check(same)["basis"] == "'hf', as the model's"
    other.enable_compatibility_mode(disable_warnings=True)
    with pytest.raises(EditError, match="fitted in basis 'hf', and the model is in basis 'tl-compat'"):
        steer.check(other)
    acts = lh.capture(other, [[5, 6, 7], [8, 9, 10]], "resid_post.1", verbose=False)
    native = lh.MeanDifference().fit(acts, [0, 1])
    assert native.basis == "tl-compat"
    with native.on(other) as steered:
        steered(torch.tensor([[1, 2, 3]]))
    with pytest.raises(EditError, match="fitted in basis 'tl-compat', and the model is in basis 'hf'"):
        native.check(same)


def test_trap_19_sites_may_be_given_in_any_order() -> None:
    graph = graph_of("nnsight", "llava")
    sites = ["resid_post.2", "ln1.0", "projector", "vision/resid_post.0", "mlp_out.1"]
    parts = [add_at(site, graph.locate(site).width) for site in sites]
    forward, backward = parts[0], parts[-1]
    for part in parts[1:]:
        forward = forward | part
    for part in parts[-2::-1]:
        backward = backward | part
    batch = batch_of("nnsight", "llava")
    assert torch.equal(graph.logits(batch, forward), graph.logits(batch, backward))


def test_trap_20_a_users_own_trace_goes_on_after_the_steer() -> None:
    graph, model = graph_of("nnsight", "llama"), target_of("nnsight", "llama")
    batch = batch_of("nnsight", "llama", (7,))
    steer = Steer({"resid_post.1": Add(torch.ones(32))}, scope="generated")
    expected = graph.generate(batch, steer, max_new_tokens=5, do_sample=False)
    with model.trace(**batch, fn="generate", max_new_tokens=5, do_sample=False) as tracer:
        steer(model)
        found = tracer.result.save()
    assert torch.equal(found, expected)
    with model.trace(**batch):
        steer(model)
        hidden = model.model.layers[1].output.clone().save()
        logits = model.lm_head.output.save()
    assert torch.equal(logits, graph.logits(batch, steer))
    site = Site.parse("resid_post.1")
    assert torch.equal(hidden[:, -1], graph.capture(batch, [site], steer=steer)[site])


def test_trap_21_steering_nnsight_needs_no_source_file() -> None:
    program = textwrap.dedent("""
        import sys; sys.path.insert(0, "tests")
        import torch, levelhead as lh
        from nnsight import NNsight
        from tiny import ARCHITECTURES
        tiny = ARCHITECTURES["llama"]
        model = tiny.model()
        steer = lh.Steer({"resid_post.1": lh.Add(torch.ones(32))})
        graph = lh.graph(NNsight(model))
        batch = graph.encode(tiny.batch())
        assert torch.equal(graph.logits(batch, steer), lh.graph(model).logits(batch, steer))
        print("equal")
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "equal", done.stderr


def test_trap_29_a_steer_that_was_never_run_is_reported(adapter: str) -> None:
    target = target_of(adapter, "llama")
    with pytest.warns(UntouchedSteerWarning, match=r"nothing was written at 1 of 1 sites \(resid_post.1\)"):
        with add_at("resid_post.1").on(target):
            pass


@pytest.mark.parametrize("name", ["llava", "qwen2_vl", "gemma3_mm"])
def test_trap_30_pictures_are_steered_in_forward_and_in_generation(adapter: str, name: str) -> None:
    graph, batch = graph_of(adapter, name), batch_of(adapter, name)
    steer = add_at("vision/resid_post.0", 16, 5.0) | add_at("projector", 32, 5.0)
    new = {"max_new_tokens": 1, "do_sample": False, "output_logits": True, "return_dict_in_generate": True}
    first = graph.generate(batch, steer, **new).logits[0]
    torch.testing.assert_close(first, graph.logits(batch, steer)[:, -1], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(first, graph.logits(batch)[:, -1], atol=1e-2)


def test_trap_31_qwen_pictures_have_no_batch_dimension(adapter: str) -> None:
    graph, batch = graph_of(adapter, "qwen2_vl"), batch_of(adapter, "qwen2_vl")
    site = Site.parse("vision/resid_post.1")
    assert graph.capture(batch, [site], "all")[site].shape == (32, 16)
    assert graph.capture(batch, [site], "mean")[site].shape == (2, 16)


def test_trap_32_qwen3_adds_pictures_between_blocks(adapter: str) -> None:
    graph, batch = graph_of(adapter, "qwen3_vl"), batch_of(adapter, "qwen3_vl")
    post, pre = Site.parse("resid_post.0"), Site.parse("resid_pre.1")
    found = graph.capture(batch, [post, pre], "image")
    assert not torch.allclose(found[post], found[pre], atol=1e-2)
    text = graph.capture(batch, [post, pre], "text")
    torch.testing.assert_close(text[post], text[pre])


def test_trap_33_image_tokens_are_never_sampled(adapter: str) -> None:
    graph, batch = graph_of(adapter, "llava"), batch_of(adapter, "llava", (6,))
    loud = torch.zeros(32)
    loud += 50.0 * graph.model.lm_head.weight[IMAGE].detach()
    steer = Steer({"ln_final": Add(loud)})
    with torch.no_grad():
        assert int(graph.logits(batch, steer)[0, -1].argmax()) == IMAGE
    tokens = graph.generate(batch, steer, max_new_tokens=4, do_sample=False)
    assert not (tokens[:, batch["input_ids"].shape[1] :] == IMAGE).any()
    scored = {**batch, "input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
    assert graph.logits(scored).shape[1] == tokens.shape[1]


def test_trap_34_booting_a_bridge_leaves_the_model_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from levelhead_transformer_lens import boot

    monkeypatch.setattr(subprocess, "run", lambda *a, **k: pytest.fail("nothing may be installed"))
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: pytest.fail("nothing may be installed"))
    for name in ("llama", "qwen2_5_vl", "llava"):
        model = ARCHITECTURES[name].model()
        NNsight(model)
        keys, kinds = list(model.state_dict()), [type(m) for m in model.modules()]
        bridge = boot(model)
        assert list(model.state_dict()) == keys and [type(m) for m in model.modules()] == kinds
        mine = {p.data_ptr() for p in model.parameters()}
        assert {p.data_ptr() for p in bridge.original_model.parameters()} == mine, "weights are shared"
        assert not any(
            "nnsight" in type(v).__module__ for m in bridge.original_model.modules() for v in vars(m).values()
        )


def test_trap_35_a_generation_with_nothing_to_write_at_its_steps_ends() -> None:
    graph, batch = graph_of("nnsight", "llava"), batch_of("nnsight", "llava")
    assert graph.generate(batch, add_at("vision/resid_post.0", 16), max_new_tokens=3, do_sample=False).shape[0] == 2
    assert graph.generate(batch, add_at("resid_post.0") * 0.0, max_new_tokens=3, do_sample=False).shape[0] == 2


def test_trap_37_every_row_is_steered(adapter: str) -> None:
    graph, batch = graph_of(adapter, "llama"), batch_of(adapter, "llama", (6, 6, 6))
    moved = (graph.logits(batch, add_at("resid_post.1")) - graph.logits(batch)).abs().amax(dim=(1, 2))
    assert bool((moved > 1e-3).all())


def test_a_write_reaches_what_transformers_collects_itself(adapter: str) -> None:
    # transformers gathers hidden states in hooks of its own, installed at the first pass that asks for them.
    graph, batch = graph_of(adapter, "llava"), batch_of(adapter, "llava")
    graph.logits(batch)
    steer = add_at("vision/resid_post.1", 16, 3.0)
    assert not torch.allclose(graph.logits(batch, steer), graph.logits(batch), atol=1e-3)


def test_tensor_sites_of_other_graphs_are_refused_by_name() -> None:
    steer = add_at("resid_post.0")
    with pytest.raises(AdapterError, match=r"adapter 'transformer_lens' does not take a .*LlamaForCausalLM"):
        steer.hooks(model_of("llama"))
    with pytest.raises(AdapterError, match="adapter 'nnsight' does not take"):
        steer(model_of("llama"))
    with pytest.raises(AdapterError, match="belongs inside an nnsight trace"):
        steer(target_of("nnsight", "llama"))
    with pytest.raises(AdapterError, match=r"no adapter takes a torch.nn.modules.linear.Linear; installed adapters: "):
        lh.graph(nn.Linear(2, 2))


def test_one_broken_adapter_does_not_take_the_others_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint, entry_points

    module = sys.modules["levelhead.graph"]
    broken = EntryPoint("broken", "no.such.package:adapter", module.GROUP)
    real = tuple(entry_points(group=module.GROUP))
    monkeypatch.setattr(module, "entry_points", lambda group: (broken, *real))
    module.adapters.cache_clear()
    try:
        with pytest.warns(
            lh.errors.FallbackWarning, match=r"the adapter 'broken' \(no.such.package:adapter\) cannot be loaded"
        ):
            assert lh.graph(model_of("llama")).name == "transformers"
    finally:
        module.adapters.cache_clear()


def test_hooks_drop_into_run_with_hooks() -> None:
    bridge, graph = target_of("transformer_lens", "llama"), graph_of("transformer_lens", "llama")
    steer = add_at("resid_post.1") | add_at("z.0.2", 8)
    ids = torch.tensor([[5, 6, 7, 8]])
    found = bridge.run_with_hooks(ids, fwd_hooks=steer.hooks(bridge))
    torch.testing.assert_close(found, graph.logits(graph.encode(ids), steer))


def test_resid_mid_is_read_only_and_says_why() -> None:
    with pytest.raises(SiteError, match=r"'resid_mid.1' is read only: .* write at 'attn_out.1' or 'resid_pre.1'"):
        add_at("resid_mid.1")


def test_a_steer_from_another_model_is_recognized() -> None:
    acts = lh.capture(model_of("llama"), [[5, 6, 7], [8, 9, 10]], "resid_post.1", verbose=False)
    steer = lh.MeanDifference().fit(acts, [0, 1])
    assert steer.check(model_of("llama"))["model"].startswith("fitted on a model of this configuration")
    assert steer.check(model_of("qwen2"))["model"].startswith("fitted on another configuration: LlamaForCausalLM")
    wide = tf.LlamaForCausalLM(tf.LlamaConfig(**{**TEXT, "hidden_size": 48})).eval()
    with pytest.raises(EditError, match=r"the edit at 'resid_post.1' has width 32, and the model has 48 there"):
        with steer.on(wide):
            pass
    assert hook_count(wide) == 0
