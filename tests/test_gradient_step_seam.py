"""The verb ``gradients``: the same numbers on every graph, and the right ones."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import levelhead as lh
from conftest import graph_of, model_of
from levelhead import Add, Steer
from levelhead.errors import InputError
from levelhead.graph import Differentiable
from levelhead.sites import Site
from tiny import ARCHITECTURES

VISUAL = [name for name, tiny in ARCHITECTURES.items() if tiny.picture is not None]
OTHERS = ("transformer_lens", "nnsight")


def objective(logits: Tensor) -> Tensor:
    """Minus the log-probability of one token at the last position, summed over rows."""
    return -logits[:, -1].log_softmax(-1)[:, 7].sum()


def places(graph, tower: str) -> list[Site]:
    return [s for s in graph.sites() if s.head is None and (s.tower == "language") == (tower == "language")]


def batch_of(name: str, graph) -> dict[str, Tensor]:
    return dict(graph.encode(ARCHITECTURES[name].batch()))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_gradients_are_those_of_adding_a_vector_at_the_last_token(name):
    """Against a path of its own: logits can be differentiated in an edit's vector."""
    graph = graph_of("transformers", name)
    batch = batch_of(name, graph)
    sites = [Site.parse(s) for s in ("resid_pre.0", "attn_out.1", "mlp_out.0", "z.1.2", "resid_post.1")]
    acts, gradients = graph.gradients(batch, sites, objective, last=1)
    clean = graph.capture(batch, sites)
    for site in sites:
        vector = torch.zeros(acts[site].shape[1], requires_grad=True)
        loss = objective(graph.logits(batch, Steer({site: Add(vector)}, scope="last"), last=1))
        (expected,) = torch.autograd.grad(loss, vector)
        torch.testing.assert_close(gradients[site].sum(0), expected, atol=1e-5, rtol=1e-4)
        assert torch.equal(acts[site], clean[site])


@pytest.mark.parametrize("tower", ["language", "vision"])
@pytest.mark.parametrize("other", OTHERS)
def test_every_graph_gives_the_same_bits_on_llava(other, tower):
    at = "last" if tower == "language" else "all"
    found = []
    for adapter in ("transformers", other):
        graph = graph_of(adapter, "llava")
        assert isinstance(graph, Differentiable)
        batch = batch_of("llava", graph)
        batch["pixel_values"] = batch["pixel_values"].clone().requires_grad_()
        acts, gradients = graph.gradients(batch, places(graph, tower), objective, at, last=1)
        found.append((acts, gradients, batch["pixel_values"].grad))
    (acts, gradients, pixels), (acts_too, gradients_too, pixels_too) = found
    assert any(bool(gradient.any()) for gradient in gradients.values())
    for site in gradients:
        assert torch.equal(acts[site], acts_too[site]), site
        assert torch.equal(gradients[site], gradients_too[site]), site
    assert bool(pixels.any())
    assert torch.equal(pixels, pixels_too)


@pytest.mark.parametrize("name", VISUAL)
def test_gradients_flow_through_tower_projector_and_language_model(name):
    """Central differences in float64, in every pixel at once and in all patches of the projector's output."""
    model = ARCHITECTURES[name].model().double()
    model.set_attn_implementation("sdpa")  # eager attention takes its softmax in float32
    graph = lh.graph(model)
    batch = batch_of(name, graph)
    pixels = batch["pixel_values"].double()
    batch["pixel_values"] = pixels.clone().requires_grad_()
    projector = Site.parse("projector")
    acts, gradients = graph.gradients(batch, [projector], objective, "all", last=1)
    generator = torch.Generator().manual_seed(3)
    ahead = torch.randn(pixels.shape, generator=generator, dtype=torch.float64)

    def loss(pixel_values: Tensor, steer: Steer | None = None) -> float:
        with torch.no_grad():
            return float(objective(graph.logits({**batch, "pixel_values": pixel_values}, steer, last=1)))

    slope = slope_of(lambda step: loss(pixels + step * ahead))
    assert slope != 0
    assert float((batch["pixel_values"].grad * ahead).sum()) == pytest.approx(slope, rel=1e-3)

    vector = torch.randn(acts[projector].shape[1], generator=generator, dtype=torch.float64)
    slope = slope_of(lambda step: loss(pixels, Steer({projector: Add(step * vector)})))
    assert float((gradients[projector] @ vector).sum()) == pytest.approx(slope, rel=1e-3, abs=1e-3)


def slope_of(curve: Callable[[float], float], step: float = 3e-3) -> float:
    """Slope at 0 from five points; norms round to float32 whatever the model's type, so the step can't be much smaller."""
    return (8 * (curve(step) - curve(-step)) - (curve(2 * step) - curve(-2 * step))) / (12 * step)


def test_the_projected_picture_is_what_enters_the_language_model():
    graph = graph_of("transformers", "llava")
    batch = batch_of("llava", graph)
    sites = [Site.parse("projector"), Site.parse("resid_pre.0")]
    at = {sites[0]: "all", sites[1]: "all:image"}
    acts, gradients = graph.gradients(batch, sites, objective, at, last=1)
    assert torch.equal(acts[sites[0]], acts[sites[1]])
    torch.testing.assert_close(gradients[sites[0]], gradients[sites[1]])


def test_readers_see_the_prompt_and_not_what_stands_behind_it():
    graph = graph_of("transformers", "llama")
    ids = torch.randint(3, 50, (2, 9), generator=torch.Generator().manual_seed(0))
    batch, site = dict(graph.encode(ids)), Site.parse("resid_post.0")
    every, slopes = graph.gradients(batch, [site], objective, lambda layout: layout.real, last=1)
    for at, expected in (("last", 5), (0, 0), (-2, 4)):
        acts, gradients = graph.gradients(batch, [site], objective, at, prompt_length=6, last=1)
        assert torch.equal(acts[site], every[site].view(2, 9, -1)[:, expected])
        assert torch.equal(gradients[site], slopes[site].view(2, 9, -1)[:, expected])
    _, gradients = graph.gradients(batch, [site], objective, "mean", prompt_length=6, last=1)
    torch.testing.assert_close(gradients[site], slopes[site].view(2, 9, -1)[:, :6].mean(1))


@pytest.mark.parametrize("adapter", ["transformers", *OTHERS])
def test_a_steered_model_is_differentiated_as_it_is_steered(adapter):
    graph = graph_of(adapter, "llama")
    batch, site = batch_of("llama", graph), Site.parse("resid_post.1")
    steer = Steer({"resid_post.0": Add(torch.linspace(-1, 1, 32)), site: Add(torch.linspace(1, -1, 32))})
    acts, gradients = graph.gradients(batch, [site], objective, steer=steer, last=1)
    assert torch.equal(acts[site], graph.capture(batch, [site], steer=steer)[site])
    vector = torch.zeros(32, requires_grad=True)
    loss = objective(graph.logits(batch, steer | Steer({site: Add(vector)}, scope="last"), last=1))
    torch.testing.assert_close(gradients[site].sum(0), torch.autograd.grad(loss, vector)[0], atol=1e-5, rtol=1e-4)


def test_what_the_words_do_not_depend_on_has_gradient_zero():
    graph = graph_of("transformers", "llava")
    batch, last = batch_of("llava", graph), Site.parse("vision/resid_post.2")
    _, gradients = graph.gradients(batch, [last], objective, "mean", last=1)
    assert not bool(gradients[last].any()), "LLaVA reads the block before the last one"


def test_an_objective_that_is_no_number_is_refused():
    graph = graph_of("transformers", "llama")
    batch, site = batch_of("llama", graph), Site.parse("resid_post.0")
    for wrong in (lambda logits: logits[:, -1], lambda logits: logits.detach().sum()):
        with pytest.raises(InputError, match="an objective makes one number out of the logits"):
            graph.gradients(batch, [site], wrong)


def test_no_gradient_and_no_hook_stays_behind():
    graph, model = graph_of("transformers", "llava"), model_of("llava")
    hooks = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]
    graph.gradients(batch_of("llava", graph), places(graph, "language"), objective)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert hooks == [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]
