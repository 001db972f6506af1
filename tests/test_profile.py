"""Where a steer acts: masses by hand, head-facing projections against the model's own modules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf
from torch import Tensor

import levelhead as lh
import tiny
from conftest import model_of, target_of
from levelhead import Ablate, Add, Affine, Erase, Rotate, Steer
from levelhead.errors import InputError, SiteError
from levelhead.steer import Entry

A, B = torch.tensor([0.5, 0.0, -1.0, 0.0]), torch.tensor([0.0, 2.0, 0.0, 0.0])


def dso(width: int = 32, layers: tuple[int, ...] = (0, 2), seed: int = 0) -> Steer:
    generator = torch.Generator().manual_seed(seed)
    edits = {
        f"{norm}.{layer}": Affine(
            0.2 * torch.randn(width, generator=generator), torch.randn(width, generator=generator)
        )
        for layer in layers
        for norm in ("ln1", "ln2")
    }
    return Steer(edits)


# -- masses --------------------------------------------------------------------------------------------


def test_masses_by_hand() -> None:
    steer = Steer({"ln1.0": Affine(A, B), "ln2.0": Affine(shift=B), "ln1.3": Affine(A, A)})
    found = steer.profile()
    frame = found.frame().set_index("site")
    assert list(frame.index) == ["ln1.0", "ln2.0", "ln1.3"] and list(frame["layer"]) == [0, 0, 3]
    row = frame.loc["ln1.0"]
    assert (row["scale_l1"], row["shift_l1"], row["l1"]) == (1.5, 2.0, 3.5)
    assert row["l2"] == pytest.approx((0.25 + 1 + 4) ** 0.5) and row["untouched"] == 0.25
    assert list(frame["share"]) == pytest.approx([3.5 / 8.5, 2 / 8.5, 3 / 8.5])
    assert found.untouched == pytest.approx((1 + 3 + 2) / 12)
    layers = found.by("layer")
    assert layers["l1"].to_dict() == {0: 5.5, 3: 3.0} and layers["untouched"].to_dict() == {0: 0.5, 3: 0.5}
    assert layers.loc[0, "l2"] == pytest.approx((0.25 + 1 + 4 + 4) ** 0.5)
    assert found.by("component")["l1"].to_dict() == {"ln1": 6.5, "ln2": 2.0}
    parts = found.by("part")
    assert parts["l1"].to_dict() == {"scale": 3.0, "shift": 5.5} and parts.loc["scale", "untouched"] == pytest.approx(
        8 / 12
    )


def test_a_profile_is_of_the_steer_at_its_strength() -> None:
    steer = Steer([Entry(lh.Site.parse("ln1.0"), Affine(A, B), strength=2.0)], strength=-0.5)
    whole = Steer({"ln1.0": Affine(A, B)}).profile().masses[0]
    assert steer.profile().masses[0] == whole
    assert (steer * 0.5).profile().masses[0].l1 == whole.l1 / 2
    assert (steer * 0).profile().untouched == 1 and (steer * 0).profile().frame()["share"].sum() == 0
    with pytest.raises(InputError, match="one strength a row"):
        (steer * torch.tensor([0.0, 1.0])).profile()


def test_a_sparse_edit_leaves_the_neurons_alone_that_it_does_not_name() -> None:
    steer = Steer({"ln2.1": Affine(scale=torch.ones(2), index=torch.tensor([3, 7]))})
    assert steer.profile(model_of("llama")).untouched == 30 / 32


def test_other_edits_count_by_the_rows_of_their_matrix() -> None:
    """Each matrix is built here from the definition of its edit."""
    rng = torch.Generator().manual_seed(1)
    v, w, c = (torch.randn(4, generator=rng, dtype=torch.float64) for _ in range(3))
    u, x = v / v.norm(), (w - (w @ v) / (v @ v) * v)
    x = x / x.norm()
    turn = np.cos(0.3) - 1, np.sin(0.3)
    wanted = {
        Add(v): (torch.zeros(4, 4), v),
        Ablate(v, offset=c): (-torch.outer(u, u), u * (u @ c)),
        Erase(v[None], w[None]): (-torch.outer(w, v), torch.zeros(4)),
        Rotate(w, 0.3, source=v): (
            turn[0] * (torch.outer(u, u) + torch.outer(x, x)) + turn[1] * (torch.outer(x, u) - torch.outer(u, x)),
            torch.zeros(4),
        ),
    }
    for edit, (matrix, shift) in wanted.items():
        mass = Steer({"resid_post.0": edit}).profile().masses[0]
        rows = matrix.double().norm(dim=1)
        assert mass.scale_l1 == pytest.approx(float(rows.sum())), edit.kind
        assert mass.scale_l2 == pytest.approx(float(rows.norm())), edit.kind
        assert mass.shift_l1 == pytest.approx(float(shift.abs().sum())), edit.kind
    mass = Steer({"resid_post.0": Rotate(v, 0.3)}).profile().masses[0]
    assert mass.scale_l2 == pytest.approx(2 * np.sin(0.15)) and mass.touched == 4


# -- heads ---------------------------------------------------------------------------------------------


def projected(model: Any, layer: int, call: Any) -> dict[str, Tensor]:
    """What the projections of a layer give [row, head, d_head], as the modules themselves say, by name."""
    found: dict[str, Tensor] = {}
    decoder = model.get_decoder() or model
    block = (getattr(decoder, "layers", None) or decoder.h)[layer]
    attention = getattr(block, "self_attn", None) or block.attn
    names = ["c_attn"] if hasattr(attention, "c_attn") else ["q_proj", "k_proj", "v_proj"]
    hooks = [
        getattr(attention, name).register_forward_hook(
            lambda _, __, out, name=name: found.__setitem__(name, out.detach())
        )
        for name in names
    ]
    call()
    for hook in hooks:
        hook.remove()
    if names == ["c_attn"]:
        parts = found["c_attn"].chunk(3, dim=-1)
    else:
        parts = [found[name] for name in names]
    d_head = getattr(attention, "head_dim", 8)
    return {k: part.flatten(0, 1).unflatten(-1, (-1, d_head)) for k, part in zip("qkv", parts, strict=True)}


@pytest.mark.parametrize("name", ["gpt2", "llama", "qwen3", "gemma3", "qwen2_vl"])
def test_what_reaches_each_head_is_what_changes_in_its_projections(name: str) -> None:
    """The layer before is not edited, so that the change of a projection is the edit's alone."""
    model, batch = model_of(name), tiny.ARCHITECTURES[name].batch((9, 9))
    graph = lh.graph(model)
    steer = dso(layers=(1,)).only("ln1.1") * 0.7
    acts = lh.capture(graph, batch, "ln1.1", at="all", verbose=False)
    found = steer.profile(graph, acts).heads()
    before = projected(model, 1, lambda: graph.logits(batch))
    after = projected(model, 1, lambda: graph.logits(batch, steer))
    bias = projected(model, 1, lambda: graph.logits(batch, Steer({"ln1.1": Affine(scale=-torch.ones(32))})))
    shifted = projected(
        model, 1, lambda: graph.logits(batch, Steer({"ln1.1": Affine(-torch.ones(32), steer.entries[0].edit.params["shift"] * 0.7)}))
    )  # fmt: skip
    assert len(found) == sum(each.shape[1] for each in before.values())
    for row in found.to_dict("records"):
        part = row["projection"]
        old, new, empty, alone = (each[part][:, row["head"]] for each in (before, after, bias, shifted))
        usual = (old - empty).square().sum(1).mean().sqrt()
        change = (new - old).square().sum(1).mean().sqrt()
        assert row["relative"] == pytest.approx(float(change / usual), rel=1e-3)
        assert row["shift"] == pytest.approx(float((alone - empty)[0].norm()), rel=1e-3)
        assert row["shift_relative"] == pytest.approx(row["shift"] / float(usual), rel=1e-3)
        assert row["serves"] == before["q"].shape[1] // before[part].shape[1]


def test_without_activations_the_norm_stands_for_them() -> None:
    """Against draws from what is assumed of them: a norm's output with coordinates that are not correlated."""
    generator = torch.Generator().manual_seed(3)
    steer = Steer({"ln1.1": Affine(torch.randn(32, generator=generator), torch.randn(32, generator=generator))})
    for name in ("gpt2", "gemma2"):
        model = tiny.ARCHITECTURES[name].model()
        norm = model.transformer.h[1].ln_1 if name == "gpt2" else model.model.layers[1].input_layernorm
        x = torch.randn(20_000, 32, generator=generator)
        with torch.no_grad():
            norm.weight.copy_(torch.linspace(0.1, 4, 32))
        h = norm.weight * x + norm.bias if name == "gpt2" else (1 + norm.weight) * x
        found = steer.profile(model).heads()
        drawn = steer.profile(model, lh.Activations({"ln1.1": h.detach()})).heads()
        for column in ("relative", "scale_relative", "shift_relative"):
            np.testing.assert_allclose(found[column], drawn[column], rtol=0.05)


def test_gain_is_one_for_directions_at_random() -> None:
    drawn = [
        Steer({"ln1.0": Affine(shift=torch.randn(32, generator=torch.Generator().manual_seed(i)))})
        .profile(model_of("llama")).heads()["gain"].to_numpy()
        for i in range(50)
    ]  # fmt: skip
    np.testing.assert_allclose(np.sqrt(np.mean(np.square(drawn), axis=0)), 1, atol=0.15)


def test_every_graph_finds_the_same_weights(adapter: str) -> None:
    one, other = (dso().profile(target_of(name, "llama")).heads() for name in ("transformers", adapter))
    assert len(one) == 16 and list(one["site"].unique()) == ["ln1.0", "ln1.2"]
    np.testing.assert_allclose(one["relative"], other["relative"], rtol=1e-5)


def test_fused_projections_interleaved_by_head_are_told_apart() -> None:
    """GPT-NeoX keeps the query, key and value of a head together."""
    config = tf.GPTNeoXConfig(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        attn_implementation="eager",
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = tf.GPTNeoXForCausalLM(config).eval()
    b = torch.randn(32, generator=torch.Generator().manual_seed(0))
    found = Steer({"ln1.0": Affine(shift=b)}).profile(model).heads()
    attention = model.gpt_neox.layers[0].attention
    each = (attention.query_key_value.weight @ b).view(4, 3, 8).norm(dim=-1)
    for k, part in enumerate("qkv"):
        np.testing.assert_allclose(found["shift"][found["projection"] == part], each[:, k].detach(), rtol=1e-4)


def test_what_cannot_be_told_is_said() -> None:
    with pytest.raises(InputError, match=r"nothing is known of heads: give the model"):
        dso().profile().heads()
    with pytest.raises(InputError, match="this steer edits resid_post"):
        Steer({"resid_post.0": Add(torch.ones(32))}).profile(model_of("llama")).heads()
    with pytest.raises(InputError, match="along its own way"):
        Steer({"ln1.0": Rotate(torch.ones(32), 0.1)}).profile(model_of("llama"))
    with pytest.raises(SiteError, match="layers 0 to 2"):
        dso(layers=(7,)).profile(model_of("llama"))
    with pytest.raises(InputError, match="give the model as well"):
        dso().profile(acts=lh.Activations({"ln1.0": torch.ones(2, 32)}))
    with torch.device("meta"):
        empty = tf.LlamaForCausalLM(tf.LlamaConfig(**tiny.TEXT))
    with pytest.raises(InputError, match="meta device"):
        dso().profile(empty)
    model = tiny.ARCHITECTURES["llama"].model()
    attention = model.model.layers[0].self_attn
    attention.query_of_its_own = attention._modules.pop("q_proj")
    with pytest.raises(InputError, match="query_of_its_own"):
        dso().profile(model)


def test_pictures_of_a_profile() -> None:
    pytest.importorskip("matplotlib")
    found = dso().profile(model_of("llama"))
    ax = found.plot()
    mass = found.by("layer")["l1"]
    tops = {round(bar.get_x() + bar.get_width() / 2): 0.0 for bar in ax.patches}
    for bar in ax.patches:
        tops[round(bar.get_x() + bar.get_width() / 2)] += bar.get_height()
    assert tops == {0: pytest.approx(mass[0]), 1: pytest.approx(mass[2])} and "untouched" in ax.get_title("left")
    ax = found.plot_heads(what="gain")
    shown = ax.images[0].get_array()
    assert shown is not None and shown.shape == (2, 4 + 1 + 2 + 1 + 2)
    first = found.heads().query("site == 'ln1.2' and projection == 'k'")["gain"]
    np.testing.assert_allclose(shown[1, 5:7], first)
    with pytest.raises(InputError, match="what is one of"):
        lh.plots.reach_map(found, what="size")
