"""A folded model does what the steered one does, without a steer; what cannot be folded says so."""

from __future__ import annotations

import copy
import pickle
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as tf
from torch import Tensor, nn

import levelhead as lh
from conftest import graph_of, model_of, target_of
from levelhead import Ablate, Add, Affine, Steer
from levelhead.errors import AdapterError, EditError, FallbackWarning, FileError, InputError, SiteError
from levelhead.gates import Gate
from levelhead.steer import Entry
from tiny import ARCHITECTURES, TEXT

D = 32


def noise(*shape: int, seed: int = 0, size: float = 0.3) -> Tensor:
    return size * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def norm_steer(graph: Any, *components: str, shift: bool = True) -> Steer:
    """Affine edits at every norm of some kinds; norms that nothing linear reads get a scale alone."""
    edits: dict[Any, Any] = {}
    for number, site in enumerate(graph.sites()):
        if site.tower == "language" and site.component in components:
            alone = not shift or site.component.endswith("post")
            edits[site] = Affine(noise(D, seed=number), None if alone else noise(D, seed=100 + number))
    return Steer(edits, card={"method": {"name": "DSO"}})


def full_steer(graph: Any) -> Steer:
    """The same at all norms, with a sparse and a constant edit after others at the same places, of strengths of their own."""
    index = torch.tensor([3, 17, 30])
    more = [
        Entry(lh.Site.parse("ln1.1"), Affine(noise(3, seed=1), noise(3, seed=2), index), 0.7),
        Entry(lh.Site.parse("ln2.2"), Add(noise(D, seed=3)), -1.5),
        Entry(lh.Site.parse("ln2.2"), Affine(noise(D, seed=4))),
    ]
    return Steer([*norm_steer(graph, "ln1", "ln2", "ln1_post", "ln2_post", "ln_final"), *more], strength=0.8)


def fold(steer: Steer, model: Any, strength: float = 1.0) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FallbackWarning)
        return steer.fold(model, strength)


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def real(logits: Tensor, batch: Any) -> Tensor:
    return logits[batch["attention_mask"].bool()]


# -- folded is steered -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_folded_is_steered_on_every_architecture(name: str) -> None:
    model, graph = model_of(name), graph_of("transformers", name)
    batch, before, steer = graph.encode(ARCHITECTURES[name].batch()), state(model), full_steer(graph)
    plain = real(graph.logits(batch), batch)
    for strength in (1.0, -0.5):
        folded = fold(steer, model, strength)
        steered = real(graph.logits(batch, steer * strength), batch)
        found = real(lh.graph(folded).logits(batch), batch)
        torch.testing.assert_close(found, steered, atol=1e-4, rtol=1e-4)
        assert (steered - plain).abs().max() > 1, "a steer that does nothing shows nothing"
        if strength == 1:
            new: Any = {"max_new_tokens": 8, "do_sample": False}
            assert torch.equal(lh.graph(folded).generate(batch, **new), graph.generate(batch, steer, **new))
    after = model.state_dict()
    assert after.keys() == before.keys() and all(torch.equal(after[key], value) for key, value in before.items())
    assert type(folded) is type(model)
    ours = {value.data_ptr() for value in model.parameters()}
    assert not any(value.data_ptr() in ours for value in folded.parameters()), "the copy shares no weight"


@pytest.mark.parametrize("name", ["gpt2", "llava"])
@pytest.mark.parametrize("adapter", ["transformer_lens", "nnsight"])
def test_what_wraps_a_model_is_left_behind(adapter: str, name: str) -> None:
    plain = graph_of("transformers", name)
    steer, batch = full_steer(plain), plain.encode(ARCHITECTURES[name].batch())
    folded, expected = fold(steer, target_of(adapter, name), 0.6), fold(steer, model_of(name), 0.6)
    assert type(folded) is type(expected)
    assert not [m for m in folded.modules() if type(m).__module__.startswith(("transformer_lens", "nnsight"))]
    assert not [v for m in folded.modules() for v in vars(m).values() if type(v).__module__.startswith("nnsight")]
    assert folded.state_dict().keys() == expected.state_dict().keys()
    assert torch.equal(lh.graph(folded).logits(batch), lh.graph(expected).logits(batch))


@pytest.mark.parametrize("adapter", ["transformers", "transformer_lens", "nnsight"])
def test_a_model_that_has_just_been_run_with_gradients_folds(adapter: str) -> None:
    graph = graph_of(adapter, "gpt2")
    batch = graph.encode(ARCHITECTURES["gpt2"].batch())
    with torch.enable_grad():
        graph.logits(batch).sum()
    folded = fold(full_steer(graph), target_of(adapter, "gpt2"))
    assert all(parameter.is_leaf for parameter in folded.parameters())


def test_strength_0_is_the_model_itself() -> None:
    graph = graph_of("transformers", "llama")
    batch = graph.encode(ARCHITECTURES["llama"].batch())
    assert torch.equal(lh.graph(fold(full_steer(graph), graph, 0)).logits(batch), graph.logits(batch))


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_folded_model_is_an_ordinary_one_that_can_be_steered_and_folded_again(name: str) -> None:
    graph = graph_of("transformers", name)
    batch = graph.encode(ARCHITECTURES[name].batch())
    a, b = norm_steer(graph, "ln1", "ln2"), full_steer(graph) * 0.5
    once = a.fold(graph, 0.5)
    steered, twice = lh.graph(once).logits(batch, b), lh.graph(fold(b, once)).logits(batch)
    torch.testing.assert_close(real(twice, batch), real(steered, batch), atol=1e-4, rtol=1e-4)
    chain = lh.graph(fold(a * 0.5 | b, graph)).logits(batch)
    torch.testing.assert_close(real(chain, batch), real(graph.logits(batch, a * 0.5 | b), batch), atol=1e-4, rtol=1e-4)
    assert [(one["method"], one["strength"]) for one in fold(b, once).config.levelhead_folded] == [
        ("DSO", 0.5),
        (None, 0.4),
    ]
    assert "another configuration" in a.annotate(model=graph.identity()).check(once)["model"]


@pytest.mark.parametrize("component", ["ln1", "ln2"])
def test_norms_of_the_vision_tower_fold_too(component: str) -> None:
    graph = graph_of("transformers", "llava")
    batch = graph.encode(ARCHITECTURES["llava"].batch())
    steer = Steer({f"vision/{component}.1": Affine(noise(16), noise(16, seed=1))}, scope="image")
    folded = steer.fold(graph, 2.0, saveable=True)
    steered = graph.logits(batch, steer * 2.0)
    torch.testing.assert_close(lh.graph(folded).logits(batch), steered, atol=1e-4, rtol=1e-4)
    assert (steered - graph.logits(batch)).abs().max() > 1e-2


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2"])
def test_half_precision_is_as_good_folded_as_steered(name: str, dtype: torch.dtype) -> None:
    model = copy.deepcopy(model_of(name)).to(dtype)
    exact = lh.graph(copy.deepcopy(model).float())
    steer, batch = full_steer(exact), exact.encode(ARCHITECTURES[name].batch())
    folded = fold(steer, model)
    assert {parameter.dtype for parameter in folded.parameters()} == {dtype}
    truth = real(exact.logits(batch, steer), batch)
    ours = (real(lh.graph(folded).logits(batch), batch).float() - truth).square().mean().sqrt()
    theirs = (real(lh.graph(model).logits(batch, steer), batch).float() - truth).square().mean().sqrt()
    assert ours < 2 * theirs < 0.2 * truth.std()


# -- the numbers, by hand ---------------------------------------------------------------------------------


def test_the_weights_are_those_of_the_formulas() -> None:
    a, b, s = noise(D), noise(D, seed=1), 0.7
    steer = Steer({"ln2.1": Affine(a, b)})
    old, new = (m.transformer.h[1] for m in (model_of("gpt2"), steer.fold(model_of("gpt2"), s)))
    torch.testing.assert_close(new.ln_2.weight, nn.Parameter(old.ln_2.weight * (1 + s * a)))
    torch.testing.assert_close(new.ln_2.bias, nn.Parameter(old.ln_2.bias * (1 + s * a) + s * b))
    assert torch.equal(new.mlp.c_fc.weight, old.mlp.c_fc.weight) and torch.equal(new.ln_1.bias, old.ln_1.bias)

    old, new = (m.model.layers[1] for m in (model_of("llama"), fold(steer, model_of("llama"), s)))
    norm = "post_attention_layernorm"
    torch.testing.assert_close(getattr(new, norm).weight, nn.Parameter(getattr(old, norm).weight * (1 + s * a)))
    torch.testing.assert_close(new.mlp.up_proj.bias, nn.Parameter(old.mlp.up_proj.weight @ (s * b)))
    torch.testing.assert_close(new.mlp.gate_proj.bias, nn.Parameter(old.mlp.gate_proj.weight @ (s * b)))
    assert not new.mlp.down_proj.bias.any() and torch.equal(new.mlp.up_proj.weight, old.mlp.up_proj.weight)

    steer = Steer({"ln1.1": Affine(a, b)})
    old, new = (m.model.layers[1] for m in (model_of("gemma2"), steer.fold(model_of("gemma2"), s)))
    norm = "input_layernorm"
    torch.testing.assert_close(1 + getattr(new, norm).weight, (1 + getattr(old, norm).weight) * (1 + s * a))

    old, new = (m.model.layers[1].self_attn for m in (model_of("qwen2"), steer.fold(model_of("qwen2"), s)))
    for part in ("q_proj", "k_proj", "v_proj"):
        before, after = getattr(old, part), getattr(new, part)
        torch.testing.assert_close(after.bias, nn.Parameter(before.bias + before.weight @ (s * b)))
    assert new.o_proj.bias is None


# -- families beyond the fifteen ----------------------------------------------------------------------------


def built(kind: str, config: Any) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = getattr(tf, kind)(config)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
    return model.eval()


def agrees(model: Any, *components: str, shift: bool = True) -> Any:
    graph = lh.graph(model)
    batch = {"input_ids": torch.arange(20).reshape(2, 10)}
    steer = norm_steer(graph, *components, shift=shift)
    folded = fold(steer, model)
    expected = graph.logits(batch, steer)
    torch.testing.assert_close(lh.graph(folded).logits(batch), expected, atol=1e-4, rtol=1e-4)
    assert (expected - graph.logits(batch)).abs().max() > 0.1
    return folded


def test_one_norm_that_attention_and_mlp_read() -> None:
    folded = agrees(built("CohereForCausalLM", tf.CohereConfig(**TEXT)), "ln1")
    layer = folded.model.layers[0]
    readers = (
        layer.self_attn.q_proj,
        layer.self_attn.k_proj,
        layer.self_attn.v_proj,
        layer.mlp.gate_proj,
        layer.mlp.up_proj,
    )
    assert all(linear.bias is not None and bool(linear.bias.any()) for linear in readers)


def test_fused_projections_and_norms_that_add_one_and_have_a_bias() -> None:
    agrees(built("Phi3ForCausalLM", tf.Phi3Config(**TEXT)), "ln1", "ln2")
    agrees(built("NemotronForCausalLM", tf.NemotronConfig(**TEXT)), "ln1", "ln2", "ln_final")


def test_experts_take_a_scale_and_no_shift() -> None:
    model = built("MixtralForCausalLM", tf.MixtralConfig(**TEXT, num_local_experts=4))
    agrees(model, "ln1")
    agrees(model, "ln2", shift=False)
    message = (
        r"^the shifts at ln2.0, ln2.1, ln2.2 cannot be folded: these norms have no bias, .*'ln2.0' is read by .*mlp"
    )
    with pytest.raises(EditError, match=message):
        norm_steer(lh.graph(model), "ln1", "ln2").fold(model)


def test_a_linear_layer_that_reads_elsewhere_too_takes_no_shift() -> None:
    model = copy.deepcopy(model_of("llama"))
    model.model.layers[2].mlp.up_proj = model.model.layers[0].mlp.up_proj
    agrees(model, "ln1")
    with pytest.raises(
        EditError, match=r"shifts at ln2.0 cannot.*'model.layers.0.mlp.up_proj', which reads elsewhere, too"
    ):
        Steer({"ln2.0": Affine(noise(D), noise(D))}).fold(model)


def test_a_weight_that_two_norms_share_is_written_for_one() -> None:
    model = copy.deepcopy(model_of("llama"))
    model.model.layers[2].input_layernorm.weight = model.model.layers[0].input_layernorm.weight
    steer, batch = Steer({"ln1.0": Affine(noise(D))}), ARCHITECTURES["llama"].batch((9, 9))
    folded = lh.graph(steer.fold(model)).logits(batch)
    torch.testing.assert_close(folded, lh.graph(model).logits(batch, steer), atol=1e-4, rtol=1e-4)


def test_the_copy_trains_where_the_model_did() -> None:
    model = copy.deepcopy(model_of("llama")).requires_grad_(False).train()
    folded = fold(full_steer(lh.graph(model)), model)
    assert all(module.training for module in folded.modules())
    assert not any(parameter.requires_grad for parameter in folded.parameters())


# -- saving ----------------------------------------------------------------------------------------------

SAVEABLE = [
    ("gpt2", ("ln1", "ln2", "ln_final"), True),
    ("llama", ("ln1", "ln2"), True),
    ("llama", ("ln2",), True),
    ("llava", ("ln1", "ln2"), True),
    ("qwen2", ("ln1",), True),
    ("qwen3_vl", ("ln1",), True),
    ("gemma3", ("ln1", "ln1_post", "ln2_post"), True),
    ("internvl", ("ln1", "ln2", "ln_final"), False),
    ("gemma2", ("ln1", "ln2", "ln1_post", "ln2_post", "ln_final"), False),
]


@pytest.mark.parametrize(("name", "components", "shift"), SAVEABLE, ids=lambda value: str(value).replace(" ", ""))
def test_what_is_saved_comes_back(name: str, components: tuple[str, ...], shift: bool, tmp_path: Path) -> None:
    graph = graph_of("transformers", name)
    batch, steer = graph.encode(ARCHITECTURES[name].batch()), norm_steer(graph, *components, shift=shift)
    folded = steer.fold(graph, 0.6, saveable=True)
    folded.save_pretrained(tmp_path)
    again, told = type(folded).from_pretrained(tmp_path, output_loading_info=True, attn_implementation="eager")
    assert not told["missing_keys"] and not told["unexpected_keys"]
    assert torch.equal(lh.graph(again.eval()).logits(batch), lh.graph(folded).logits(batch))
    record = {"method": "DSO", "strength": 0.6, "sites": [str(site) for site in steer.sites]}
    assert again.config.levelhead_folded == [record]


def test_flags_are_set_where_they_are_needed_alone() -> None:
    graph = graph_of("transformers", "llava")
    folded = norm_steer(graph, "ln2").fold(graph, saveable=True)
    text = folded.config.text_config
    assert (text.mlp_bias, text.attention_bias) == (True, False)
    assert not graph.model.config.text_config.mlp_bias
    assert folded.model.language_model.layers[0].self_attn.o_proj.bias is None


def test_biases_that_a_configuration_cannot_express_are_not_lost_in_silence(tmp_path: Path) -> None:
    graph = graph_of("transformers", "qwen2")
    steer = norm_steer(graph, "ln1", "ln2")
    said = (
        r"^folding the shifts gave Qwen2ForCausalLM biases that its configuration cannot express, .*mlp.gate_proj.bias"
    )
    with pytest.raises(InputError, match=said):
        steer.fold(graph, saveable=True)
    with pytest.warns(FallbackWarning, match=said) as caught:
        folded = steer.fold(graph)
    assert len(caught) == 1
    later = norm_steer(graph, "ln1", shift=False)
    for model in (folded, copy.deepcopy(folded), pickle.loads(pickle.dumps(folded)), fold(later, folded)):
        with pytest.raises(FileError, match="holds a folded steer in 6 biases that its configuration cannot express"):
            model.save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="cannot express"):
        later.fold(folded, saveable=True)


# -- what does not fold ----------------------------------------------------------------------------------


def one(site: str, edit: Any = None, **options: Any) -> Steer:
    return Steer([Entry(lh.Site.parse(site), edit or Affine(noise(D)), **options)])


REFUSED = [
    (one("resid_post.1"), r"^resid_post.1: not the output of a norm with a weight"),
    (one("attn_out.0"), r"^attn_out.0: not the output of a norm"),
    (one("z.1"), r"^z.1: not the output of a norm"),
    (one("z.1.2", Affine(noise(8))), r"^the edit at 'z.1.2' cannot be folded: it is at one head"),
    (one("ln1.1", Ablate(noise(D))), r"^the edit at 'ln1.1' cannot be folded: it is of kind 'ablate'"),
    (one("ln1.1", scope="generated"), r"^the edit at 'ln1.1' .*: its scope is 'generated', and weights act on every"),
    (one("ln1.1", gate=Gate("ln1.0", noise(D), 0.0)), r"^the edit at 'ln1.1' .*: it stands behind a gate"),
    (one("ln1.1", strength=torch.ones(2)), r"^the edit at 'ln1.1' .*: it has one strength for each row"),
]


@pytest.mark.parametrize(("steer", "message"), REFUSED)
def test_other_edits_and_sites_say_what_folds(steer: Steer, message: str) -> None:
    with pytest.raises(EditError, match=message + r".*what folds is Affine and Add edits of whole norm outputs"):
        steer.fold(model_of("llama"))


def test_a_shift_after_a_norm_without_readers_names_the_sites() -> None:
    steer = Steer({site: Affine(noise(D), noise(D)) for site in ("ln1.0", "ln1_post.0", "ln2_post.1")})
    message = r"^the shifts at ln1_post.0, ln2_post.1 cannot be folded: .*'ln1_post.0' is read by '\w*add\w*' in 'model.layers.0'"
    with pytest.raises(EditError, match=message):
        steer.fold(model_of("gemma2"))
    steer = Steer({"vision/ln1.1": Affine(noise(16), noise(16))})
    with pytest.raises(EditError, match=r"'vision/ln1.1' is read by nothing in a pass over text"):
        steer.fold(model_of("qwen2_5_vl"))


def test_a_strength_is_one_number() -> None:
    steer = Steer({"ln1.0": Affine(noise(D))})
    with pytest.raises(InputError, match="this steer has one for each row"):
        (steer * torch.tensor([0.0, 1.0])).fold(model_of("llama"))
    with pytest.raises(InputError, match="finite"):
        steer.fold(model_of("llama"), float("nan"))
    half = copy.deepcopy(model_of("llama")).half()
    with pytest.raises(
        EditError, match=r"the weight of 'model.layers.0.input_layernorm' would have entries beyond float16"
    ):
        steer.fold(half, 1e8)


def test_a_steer_that_does_not_fit_or_a_model_that_is_none() -> None:
    with pytest.raises(SiteError, match=r"'ln1.9' was asked for"):
        Steer({"ln1.9": Affine(noise(D))}).fold(model_of("llama"))
    with pytest.raises(EditError, match="width 8"):
        Steer({"ln1.0": Affine(noise(8))}).fold(model_of("llama"))
    with pytest.raises(AdapterError, match="no adapter takes"):
        Steer({"ln1.0": Affine(noise(D))}).fold(nn.Linear(2, 2))


def test_processed_weights_are_refused() -> None:
    from levelhead_transformer_lens import boot

    bridge = boot(ARCHITECTURES["llama"].model())
    bridge.enable_compatibility_mode(disable_warnings=True)
    for basis in ("hf", "tl-compat"):
        with pytest.raises(EditError, match="TransformerLens has processed its weights"):
            Steer({"ln1.0": Affine(noise(D))}, card={"basis": basis}).fold(bridge)


def test_weights_that_are_not_there_or_quantised_are_refused() -> None:
    steer = Steer({"ln1.0": Affine(noise(D), noise(D))})
    with torch.device("meta"):
        empty = tf.LlamaForCausalLM(tf.LlamaConfig(**TEXT))
    with pytest.raises(InputError, match="parameters are on the meta device"):
        steer.fold(empty)

    class PackedWeight(nn.Parameter):
        """As torchao has them: a plain layer with a weight of another kind."""

    class PackedLinear(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return super().forward(input)

    attention = (packed := copy.deepcopy(model_of("llama"))).model.layers[0].self_attn
    attention.k_proj.weight = PackedWeight(attention.k_proj.weight.detach())
    with pytest.raises(
        InputError, match=r"weight of 'model.layers.0.self_attn.k_proj' is a PackedWeight of float32, and quan"
    ):
        steer.fold(packed)
    attention.k_proj = PackedLinear(D, 16, bias=False)
    with pytest.raises(EditError, match=r"'linear' in 'model.layers.0.self_attn.k_proj' \(PackedLinear\)"):
        steer.fold(packed)
    norm = packed.model.layers[0].input_layernorm
    norm.weight = nn.Parameter(norm.weight.to(torch.int8), requires_grad=False)
    with pytest.raises(InputError, match=r"weight of 'model.layers.0.input_layernorm' is a Parameter of int8"):
        steer.fold(packed)


def test_a_norm_of_another_make_is_refused() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(D))

        def forward(self, x: Tensor) -> Tensor:
            return x * self.weight.exp()

    model = copy.deepcopy(model_of("llama"))
    model.model.layers[0].input_layernorm = Odd()
    with pytest.raises(EditError, match=r"'model.layers.0.input_layernorm' \(Odd\) does not multiply by its weight"):
        Steer({"ln1.0": Affine(noise(D))}).fold(model)


def test_a_steer_that_is_on_would_stay_in_the_copy() -> None:
    steer, model = Steer({"ln1.0": Affine(noise(D))}), model_of("llama")
    with pytest.warns(UserWarning, match="nothing was written"), steer.on(model):
        with pytest.raises(InputError, match=r"a steer is on, .*outside of the 'with' block"):
            steer.fold(model)


def test_an_adapter_that_cannot_fold_says_so() -> None:
    graph = copy.copy(graph_of("transformers", "llama"))
    graph.__class__ = type("Bare", (type(graph),), {"folded": None})
    with pytest.raises(AdapterError, match="the adapter 'transformers' cannot fold a steer"):
        Steer({"ln1.0": Affine(noise(D))}).fold(graph)
