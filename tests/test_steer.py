"""Steer: its algebra, what it refuses, and what it does on a model."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor

import levelhead as lh
import tiny
from levelhead.edits import Ablate, Add, Affine, Rotate
from levelhead.errors import EditError, InputError, SiteError
from levelhead.sites import Site
from levelhead.steer import Entry, Steer

GPT2 = tiny.ARCHITECTURES["gpt2"]
D, HEAD, LAYERS = 32, 8, 3


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def graph() -> Any:
    return lh.graph(GPT2.model())


@pytest.fixture(scope="module")
def batch(graph: Any) -> Any:
    return graph.encode(GPT2.batch((7, 5, 7)))


def a_steer(**options: Any) -> Steer:
    edits = {f"resid_post.{layer}": Add(noise(D, seed=layer)) for layer in range(LAYERS)}
    return Steer({**edits, "z.1.2": Ablate(noise(HEAD))}, **options)


# -- what it is ----------------------------------------------------------------------------------------


def test_entries_are_in_execution_order_with_one_scope_and_an_own_strength_of_one() -> None:
    steer = Steer({"resid_post.2": Add(noise(D)), "ln1.0": Affine(noise(D)), "z.1.2": Ablate(noise(HEAD))}, "prompt")
    assert [str(site) for site in steer.sites] == ["ln1.0", "z.1.2", "resid_post.2"]
    assert [(str(e.site), e.scope, e.strength) for e in steer] == [(str(s), "prompt", 1.0) for s in steer.sites]
    assert (len(steer), steer.basis, steer.strength) == (3, "hf", 1.0)
    assert repr(steer) == "Steer(ablate+add+affine at ln1.0, z.1.2, resid_post.2; 3 edits, scope prompt, strength 1)"


def test_a_steer_is_frozen_down_to_its_card_and_its_makers_hands() -> None:
    card = {"limits": "none"}
    edits = {"resid_post.0": Add(noise(D))}
    steer = Steer(edits, card=card)
    card["limits"], edits["resid_post.1"] = "changed", Add(noise(D))
    assert steer.card["limits"] == "none" and len(steer) == 1
    for name in ("strength", "entries", "card"):
        with pytest.raises(AttributeError):
            setattr(steer, name, None)
    with pytest.raises(TypeError):
        steer.card["limits"] = "changed"


def test_equal_steers_are_equal_whatever_their_cards_say() -> None:
    assert a_steer() == a_steer(card={"seed": 3})
    assert len({a_steer(), a_steer().annotate(seed=4)}) == 1
    assert a_steer() != a_steer() * 2 and a_steer() != a_steer(scope="last")


@pytest.mark.parametrize(
    "again", [copy.deepcopy, lambda steer: pickle.loads(pickle.dumps(steer))], ids=["copy", "pickle"]
)
def test_a_steer_can_be_copied_and_sent_to_another_process(again: Any) -> None:
    steer = a_steer(scope="last", card={"data": {"name": "x"}}) * 0.5
    assert again(steer) == steer and again(steer).card == steer.card


def test_directions_are_unit_rows_by_site_and_leave_out_edits_without_any() -> None:
    steer = Steer({"resid_post.0": Add(3 * noise(D)), "ln1.0": Affine(noise(D)), "ln2.0": Rotate(noise(D), 1.0)})
    found = (steer | Steer({"resid_post.0": Ablate(noise(2, D, seed=1))})).directions()
    assert {str(site): tuple(rows.shape) for site, rows in found.items()} == {"resid_post.0": (3, D)}
    torch.testing.assert_close(found[Site("resid_post", 0)].norm(dim=1), torch.ones(3))


# -- algebra -------------------------------------------------------------------------------------------


def test_strengths_multiply_and_leave_the_steer_itself_alone() -> None:
    steer = a_steer(strength=2.0)
    assert [(steer * 0.5).strength, (0.25 * steer * 2).strength, (-steer).strength] == [1.0, 1.0, -2.0]
    assert steer.strength == 2.0
    assert (steer * torch.tensor([0.0, 1.0])).strength.tolist() == [0.0, 2.0]
    assert (steer * torch.tensor(0.5)).strength == 1.0
    assert "strength per row [2]" in repr(torch.tensor([0.0, 1.0]) * steer)


def test_chaining_keeps_order_strengths_scopes_and_both_cards() -> None:
    a = Steer({"resid_post.1": Add(noise(D))}, "last", 0.5, {"seed": 1, "model": {"id": "m"}})
    b = Steer({"resid_post.1": Ablate(noise(D)), "ln1.0": Affine(noise(D))}, card={"seed": 2, "model": {"id": "m"}})
    chained = (a | b * 2) * 3
    assert [(str(e.site), e.edit.kind, e.strength, e.scope) for e in chained] == [
        ("resid_post.1", "add", 0.5, "last"),
        ("ln1.0", "affine", 2.0, "all"),
        ("resid_post.1", "ablate", 2.0, "all"),
    ]
    assert chained.strength == 3 and [str(site) for site in chained.sites] == ["ln1.0", "resid_post.1"]
    assert [card["seed"] for card in (chained | a).card["chain"]] == [1, 2, 1]
    assert chained.card["model"] == {"id": "m"}
    assert "model" not in (a | a.annotate(model={"id": "other"})).card


def test_only_some_sites_keep_their_strengths_and_the_card() -> None:
    steer = a_steer(card={"seed": 3}) * 0.5
    assert [str(site) for site in steer.only("resid_post.1:40").sites] == ["resid_post.1", "resid_post.2"]
    assert [str(site) for site in steer.only(["z.*.*", Site("resid_post", 0)]).sites] == ["resid_post.0", "z.1.2"]
    assert steer.only("z.1.2").strength == 0.5 and steer.only("z.1.2").card["seed"] == 3
    with pytest.raises(SiteError, match=r"'mlp_out.\*' names none of this steer's sites; it has resid_post.0, z.1.2"):
        steer.only("mlp_out.*")
    # A steer does not know how many layers the model has.
    with pytest.raises(SiteError, match=r"'resid_post.-1' counts layers from the end, which needs a model"):
        steer.only("resid_post.-1")


def test_another_scope_is_checked_at_each_site() -> None:
    assert {entry.scope for entry in a_steer().scoped("generated")} == {"generated"}
    with pytest.raises(InputError, match=r"scope 'last' holds no picture, so it cannot act at 'vision/resid_post.0'"):
        Steer({"vision/resid_post.0": Add(noise(D))}).scoped("last")


# -- what is refused -----------------------------------------------------------------------------------

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: Steer({}), SiteError, "a steer needs at least one edit; none was given"),
        (
            lambda: Steer({"resid_mid.3": Add(noise(D))}),
            SiteError,
            r"'resid_mid.3' is read only.*write at 'attn_out.3'",
        ),
        (lambda: Steer({"resid_post.*": Add(noise(D))}), SiteError, r"'resid_post.\*' is a pattern"),
        (lambda: a_steer(scope="promt"), InputError, "unknown scope 'promt'; scopes are all, prompt"),
        (lambda: a_steer(strength=NAN), InputError, "strength must be a finite number; found nan"),
        (lambda: a_steer() * INF, InputError, "strength must be a finite number; found inf"),
        (lambda: a_steer() * torch.ones(2, 2), InputError, r"a number or one a row \[row\]; found shape \(2, 2\)"),
        (lambda: a_steer() * torch.tensor([1, NAN]), InputError, r"strength must be finite"),
        (lambda: Steer([Entry(Site("ln1", 0), Add(noise(D)), NAN)]), InputError, "strength must be a finite number"),
        (lambda: a_steer() * torch.ones(2) * torch.ones(3), InputError, "each of 2 rows cannot be multiplied by 3"),
        (lambda: a_steer() | a_steer(card={"basis": "tl-compat"}), EditError, "'hf' with one in basis 'tl-compat'"),
        (lambda: a_steer() * torch.ones(2) | a_steer(), InputError, "chain first, then multiply"),
    ],
)
def test_what_makes_no_steer_is_refused_with_the_reason(make: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        make()


@pytest.mark.parametrize(
    ("edits", "error", "says"),
    [
        (
            {"resid_post.3": Add(noise(D))},
            SiteError,
            r"'resid_post.3' was asked for, and .* layers 0 to 2 \(3 layers\)",
        ),
        ({"z.1.4": Add(noise(HEAD))}, SiteError, r"'z.1.4' was asked for, and there are 4 heads.*heads 0 to 3"),
        ({"z.1.0": Add(noise(D))}, EditError, r"at 'z.1.0' has width 32, and the model has 8 there"),
        ({"resid_post.1": Add(noise(D + 1))}, EditError, r"has width 33, and the model has 32 there .*blocks.1"),
        ({"ln1.0": Affine(noise(1), index=torch.tensor([D]))}, EditError, "writes coordinate 32, and the model has 32"),
        ({"ln2_post.1": Add(noise(D))}, SiteError, "no 'ln2_post' in its language tower"),
        ({"vision/resid_post.1": Add(noise(D))}, SiteError, "no vision tower"),
    ],
)
def test_a_steer_that_does_not_fit_is_refused_before_anything_runs(
    graph: Any, batch: Any, edits: Any, error: type[Exception], says: str
) -> None:
    calls: list[int] = []
    handle = graph.model.register_forward_pre_hook(lambda *_: calls.append(1))
    hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in graph.model.modules())
    try:
        for use in (lambda steer: graph.logits(batch, steer), lambda steer: steer.check(graph.model)):
            with pytest.raises(error, match=says):
                use(Steer({"resid_post.0": Add(noise(D)), **edits}))
        assert not calls
        assert hooks == sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in graph.model.modules())
    finally:
        handle.remove()


# -- what it does --------------------------------------------------------------------------------------


def test_check_says_in_words_whether_a_steer_fits(graph: Any) -> None:
    said = a_steer().check(graph.model)
    assert said["sites"] == "4 sites, all present; 4 places written"
    assert "does not say on which model" in said["model"]
    assert "of this configuration" in a_steer(card={"model": graph.identity()}).check(graph)["model"]
    other = {"model": {**graph.identity(), "config_sha256": "0" * 64}}
    assert "another configuration: GPT2LMHeadModel" in a_steer(card=other).check(graph)["model"]


def test_trap_28_strength_zero_is_the_bare_model_to_the_bit_with_no_hook_installed(graph: Any, batch: Any) -> None:
    bare = graph.logits(batch)
    assert torch.equal(graph.logits(batch, a_steer() * 0), bare)
    with (a_steer() * 2).on(graph.model, strength=0):
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in graph.model.modules())
    rows = graph.logits(batch, a_steer() * torch.tensor([0.0, 1.0, 0.0]))
    assert torch.equal(rows[[0, 2]], bare[[0, 2]]) and not torch.equal(rows[1], bare[1])


def test_one_strength_a_row_is_a_run_for_each_strength(graph: Any, batch: Any) -> None:
    strengths = [0.3, -1.0, 2.0]
    together = graph.logits(batch, a_steer() * torch.tensor(strengths))
    for row, strength in enumerate(strengths):
        torch.testing.assert_close(together[row], graph.logits(batch, a_steer() * strength)[row])


def test_a_chain_is_one_steer_after_the_other(graph: Any, batch: Any) -> None:
    v, w = noise(D, seed=1), noise(D, seed=2)
    a, b = Steer({"resid_post.1": Add(v)}), Steer({"resid_post.1": Ablate(w)})
    site = [Site("resid_post", 1)]
    h = graph.capture(batch, site)[site[0]]
    for chained, expected in ((a | b, b_after(h + v, w)), (b | a, b_after(h, w) + v)):
        torch.testing.assert_close(graph.capture(batch, site, steer=chained)[site[0]], expected)


def b_after(h: Tensor, w: Tensor) -> Tensor:
    return h - torch.outer(h @ w, w) / (w @ w)


def test_gradients_reach_vectors_of_several_heads_at_one_place(graph: Any, batch: Any) -> None:
    """Trap 8 on a model, with parameters in training."""
    vectors = {head: torch.zeros(HEAD, requires_grad=True) for head in (0, 3)}
    steer = Steer({f"z.1.{head}": Add(vector) for head, vector in vectors.items()})
    graph.logits(batch, steer)[:, -1].square().sum().backward()
    for head, vector in vectors.items():
        step = 1e-2 * torch.nn.functional.one_hot(torch.tensor(2), HEAD)
        ends = [graph.logits(batch, Steer({f"z.1.{head}": Add(s * step)}))[:, -1].square().sum() for s in (1, -1)]
        assert vector.grad is not None
        torch.testing.assert_close(vector.grad[2], (ends[0] - ends[1]) / 2e-2, rtol=2e-2, atol=1e-1)


def test_sites_to_keep_may_come_from_a_generator() -> None:
    steer = Steer({f"resid_post.{layer}": Add(noise(D)) for layer in range(4)})
    assert [site.layer for site in steer.only(f"resid_post.{layer}" for layer in (1, 3)).sites] == [1, 3]
