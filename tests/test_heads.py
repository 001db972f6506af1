"""Heads that carry a bias: found where they were planted, measured as a pass of their own would, removed by few."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor

import levelhead as lh
import tiny
import words
from conftest import model_of, target_of
from levelhead import testbed
from levelhead.data.records import ChoiceRecord
from levelhead.errors import InputError
from levelhead.graph import Graph
from levelhead.heads import Localization, localize
from levelhead.likelihood import Continuations
from levelhead.metrics.measures.protocol import Reading
from levelhead.metrics.statistics import mean_of
from levelhead.plots.heads import effect_map
from levelhead.testbed.records import choices, wrap

PAIR = (" man", " woman")
PEOPLE = "the a man woman person doctor nurse who yes no".split()
PROMPTS = [
    f"{one} {other} was the {third} is"
    for one, other, third in zip(PEOPLE, PEOPLE[3:] + PEOPLE[:3], PEOPLE[5:] + PEOPLE[:5], strict=True)
]
QUIET: dict[str, Any] = {"verbose": False, "draws": 99}


def planted(*heads: tuple[int, int], seed: int = 3) -> Graph:
    """A model in which nothing but some heads of the given (layer, number) tells 'man' from 'woman' at the end."""
    model = tiny.ARCHITECTURES["llama"].model()
    core, generator = model.model, torch.Generator().manual_seed(seed)
    man, woman, last = words.ids_of("man woman is")
    with torch.no_grad():
        apart = torch.randn(32, generator=generator)
        end = core.embed_tokens.weight[last]
        apart -= (apart @ end) / (end @ end) * end
        core.norm.weight.fill_(1.0)
        model.lm_head.weight[man] = model.lm_head.weight[woman] + apart
        for layer in core.layers:
            layer.mlp.down_proj.weight.mul_(0.001)
            layer.self_attn.o_proj.weight.mul_(0.001)
        for layer, head in heads:
            read = torch.randn(8, generator=generator)
            core.layers[layer].self_attn.o_proj.weight[:, 8 * head : 8 * head + 8] += apart[:, None] * read / 16
    return lh.graph(model, words.tokenizer())


@pytest.fixture(scope="module")
def one_head() -> Localization:
    return localize(
        planted((1, 2)), PROMPTS, PAIR, ablation="zero", sites=["z.*.*", "mlp_out.*", "attn_out.*"], **QUIET
    )


def test_the_planted_head_is_first_by_ablation_by_gradient_and_on_the_direct_path(one_head: Localization) -> None:
    frame = one_head.frame()
    heads = frame[frame["component"] == "z"].set_index("site")
    assert heads.index[0] == "z.1.2"
    assert heads["bias_change"].iloc[0] < -0.9 * one_head.bias
    assert heads["bias_change_high"].iloc[0] < 0 < one_head.bias
    for column in ("gradient_bias", "gradient", "direct", "difference_change"):
        assert heads[column].abs().idxmax() == "z.1.2", column
    assert [str(site) for site in one_head.best(2)] in (["z.1.2", "attn_out.1"], ["attn_out.1", "z.1.2"])
    assert "without z.1.2: bias" in str(one_head)
    assert one_head.notes == ()


def test_one_head_is_enough_and_is_judged_on_sets_that_did_not_choose_it(one_head: Localization) -> None:
    found = one_head.minimal(0.8, verbose=False)
    assert [str(site) for site in found.sites] == ["z.1.2"] and found.reached
    assert found.removed.value > 0.9 > 0.5 > np.median(found.random)
    assert found.before.n == len(PROMPTS) // 2
    asked = Continuations(one_head.asking.graph, PROMPTS, [PAIR] * len(PROMPTS))
    steered = asked(found.steer).logprobs[0]
    whole = float((steered[:, 0] - steered[:, 1]).abs().mean())
    assert whole < 0.1 * one_head.bias
    assert found.steer.card["method"]["name"] == "head ablation"
    assert "1 heads: z.1.2" in str(found) and list(found.frame()["turn"]) == ["in"]


class Skill:
    """A capability that some head carries."""

    name, better, bounds, chance, records = "skill", "higher", (0.0, 1.0), 0.0, ("item",)

    def __init__(self, site: str) -> None:
        self.site = lh.Site.parse(site)

    def clusters(self) -> list[str]:
        return ["item"]

    def part(self, keep: Any) -> Skill:
        return self

    def on(self, graph: Graph, prefix: str = "") -> Any:
        def run(steer: Any = None, strengths: Any = None, *, verbose: bool = False) -> list[Reading]:
            lost = steer is not None and self.site in steer.sites
            return [Reading(mean_of(np.array([0.0 if lost else 1.0])), 1)]

        return run


def test_of_two_heads_that_carry_the_bias_the_one_that_costs_no_capability_goes_first() -> None:
    found = localize(planted((1, 2), (2, 1)), PROMPTS, PAIR, ablation="zero", **QUIET)
    free = found.minimal(0.2, verbose=False)
    first = str(free.sites[0])
    (other,) = {"z.1.2", "z.2.1"} - {first}
    spared = found.minimal(0.2, Skill(first), verbose=False)
    assert str(spared.steps[0]["site"]) == other
    assert spared.capability == ((1.0, 1.0) if first not in map(str, spared.sites) else (1.0, 0.0))


@pytest.mark.parametrize("scope", ["all", "last"])
def test_ablations_in_one_batch_are_those_of_a_pass_for_each_head(adapter: str, scope: str) -> None:
    graph = lh.graph(target_of(adapter, "llama"), words.tokenizer())
    prompts, pairs = PROMPTS[:3], [(" man is", " woman"), (" man is", " woman was"), PAIR]
    found = localize(graph, prompts, pairs, sites=["z.1.*", "z.2.3"], scope=scope, batch_size=5, **QUIET)
    modules = [model_of("llama").model.layers[layer].self_attn.o_proj for layer in range(3)]
    seen = [by_hand(modules, prompt) for prompt in prompts]
    assert found.base == pytest.approx([difference(p, pair) for p, pair in zip(prompts, pairs, strict=True)], abs=1e-4)
    for number, site in enumerate(found.sites):
        layer, head = site.layer or 0, site.head or 0
        here = slice(8 * head, 8 * head + 8)
        tokens = torch.cat([each[layer][-1:, here] if scope == "last" else each[layer][:, here] for each in seen])
        mean = tokens.mean(0)
        for i, (prompt, pair) in enumerate(zip(prompts, pairs, strict=True)):
            place = len(words.ids_of(prompt)) - 1 if scope == "last" else None
            with put(modules[layer], here, mean, place):
                assert found.ablated[number, i] == pytest.approx(difference(prompt, pair), abs=1e-4), (site, prompt)


def difference(prompt: str, pair: tuple[str, str]) -> float:
    scores = []
    for word in pair:
        own, context = words.ids_of(word), words.ids_of(prompt)
        with torch.no_grad():
            logits = model_of("llama")(torch.tensor([context + own])).logits[0].log_softmax(-1)
        scores.append(sum(float(logits[len(context) - 1 + i, token]) for i, token in enumerate(own)))
    return scores[0] - scores[1]


def by_hand(modules: list[Any], prompt: str) -> list[Tensor]:
    found: list[Tensor] = []
    handles = [module.register_forward_pre_hook(lambda _, args: found.append(args[0][0])) for module in modules]
    with torch.no_grad():
        model_of("llama")(torch.tensor([words.ids_of(prompt)]))
    for handle in handles:
        handle.remove()
    return found


def put(module: Any, here: slice, value: Tensor, place: int | None) -> Any:
    def hook(_: Any, args: tuple[Tensor, ...]) -> tuple[Tensor]:
        z = args[0].clone()
        z[:, slice(None) if place is None else slice(place, place + 1), here] = value
        return (z,)

    return module.register_forward_pre_hook(hook)


@pytest.mark.parametrize("scope", ["all", "last"])
def test_the_gradient_is_the_slope_of_the_ablation_and_many_steps_make_it_the_ablation(scope: str) -> None:
    graph = lh.graph(tiny.ARCHITECTURES["gpt2"].model().double(), words.tokenizer())
    given: dict[str, Any] = {"sites": ["z.0.1", "z.2.*", "mlp_out.1"], "scope": scope, **QUIET}
    prompts, pairs = PROMPTS[:2], [PAIR, (" man is", " woman")]
    found = localize(graph, prompts, pairs, **given)
    assert found.gradient is not None
    asked = Continuations(graph, prompts, pairs)
    for number, site in enumerate(found.sites):
        low, high = asked(found.steer([site]), [-0.01, 0.01]).logprobs
        slope = ((high - low)[:, 0] - (high - low)[:, 1]) / 0.02
        assert found.gradient[number] == pytest.approx(slope.numpy(), rel=0.02, abs=2e-3), site
    many = localize(graph, prompts, pairs, steps=12, **given)
    assert many.gradient == pytest.approx(found.ablated - found.base, rel=0.02, abs=2e-3)
    assert not np.allclose(found.gradient, found.ablated - found.base, rtol=0.02, atol=2e-3)


def test_the_direct_path_by_hand_and_where_there_is_none() -> None:
    for name, out, norm in (("llama", "self_attn.o_proj", "model.norm"), ("gpt2", "attn.c_proj", "transformer.ln_f")):
        graph = lh.graph(model_of(name), words.tokenizer())
        found = localize(graph, PROMPTS[:2], PAIR, sites="z.1.2", gradient=False, **QUIET)
        assert found.direct is not None and found.gradient is None
        acts = lh.capture(graph, PROMPTS[:2], ["z.1.2", "resid_post.2"], verbose=False)
        blocks = graph.model.model.layers if name == "llama" else graph.model.transformer.h
        weight = blocks[1].get_submodule(out).weight.detach()
        rows = weight[:, 16:24].T if name == "llama" else weight[16:24]
        part, stream = acts["z.1.2"] @ rows, acts["resid_post.2"]
        if name == "gpt2":
            part, stream = (each - each.mean(-1, keepdim=True) for each in (part, stream))
        ids = words.ids_of("man woman")
        apart = graph.model.lm_head.weight[ids[0]] - graph.model.lm_head.weight[ids[1]]
        scaled = part / stream.square().mean(-1, keepdim=True).sqrt() * graph.model.get_submodule(norm).weight
        assert found.direct[0] == pytest.approx((scaled @ apart).detach().numpy(), rel=1e-3, abs=1e-5)
    gemma = localize(lh.graph(model_of("gemma2"), words.tokenizer()), PROMPTS[:2], PAIR, sites="z.1.2", **QUIET)
    assert gemma.direct is None and "a norm stands between" in gemma.notes[0] and gemma.notes[0] in str(gemma)
    same = localize(planted(), PROMPTS[:2], (" man is", " man was"), sites="z.1.2", **QUIET)
    assert "begin with the same token" in same.notes[0]


def twins() -> list[ChoiceRecord]:
    return [
        ChoiceRecord(
            id=f"{i}{group}",
            prompt=f"the {group} was the {job} , {{0}} or {{1}} is",
            options=("doctor", "nurse"),
            pro=pro,
            target=job,
            group=group,
            set_id=f"set {i}",
        )
        for i, job in enumerate(("person", "who"))
        for pro, group in enumerate(("man", "woman"))
    ]


def test_a_counterfactual_partner_stands_in_at_the_last_token() -> None:
    graph = lh.graph(model_of("llama"), words.tokenizer())
    records = twins()
    found = localize(graph, records, sites="z.1.1", ablation="partner", scope="last", **QUIET)
    for i, record in enumerate(records):
        other = records[i ^ 1]
        sides = []
        for order in ((0, 1), (1, 0)):
            said = [each.prompt.format(*(each.options[j] for j in order)) for each in (record, other)]
            theirs = lh.capture(graph, [said[1]], "z.1.1", verbose=False)["z.1.1"][0]
            steer = lh.Steer({"z.1.1": lh.Affine(-torch.ones(8), theirs)}, scope="last")
            pro, anti = record.options[record.pro or 0], record.options[1 - (record.pro or 0)]
            scores = Continuations(graph, [said[0]], [[f" {pro}", f" {anti}"]])(steer).logprobs[0, 0]
            sides.append(float(scores[0] - scores[1]))
        assert found.ablated[0, i] == pytest.approx(np.mean(sides), abs=1e-4)
    # The bias is that of targets: a lean that turns round with the group of its target's items is none.
    expected = np.mean([abs(found.base[[0, 1]].mean()), abs(found.base[[2, 3]].mean())])
    assert found.bias == pytest.approx(expected)
    with pytest.raises(InputError, match="line up at their ends alone: give scope='last'"):
        localize(graph, records, ablation="partner", **QUIET)
    alone = [replace(record, set_id=record.id) for record in records]
    with pytest.raises(InputError, match="8 of 8 prompts have no other one of the same set_id"):
        localize(graph, alone, ablation="partner", scope="last", **QUIET)


def test_on_the_testbed_gradients_rank_heads_as_exhaustive_ablation_does() -> None:
    bed = testbed.load()
    records = [each for each in choices(testbed.sample(40, 2), "job_choice", "concept") if each.pro is not None]
    found = localize(lh.graph(bed.model, bed.processor), records, wrap=wrap, scope="last", **QUIET)
    assert found.gradient is not None and len(found.sites) == 48
    changes = (found.ablated - found.base).mean(1)
    measured = found.agreement()
    assert measured.value == pytest.approx(spearmanr(changes, found.gradient.mean(1)).statistic)
    assert measured.value >= 0.9
    assert found.agreement("bias").value >= 0.8
    assert found.difference > 0.5, "the model leans as it was taught"


def test_the_map_names_what_it_shows(one_head: Localization) -> None:
    ax = one_head.plot()
    assert ax.get_title(loc="left").startswith("bias falls most without ")
    shown = [label.get_text() for label in ax.get_xticklabels()]
    assert shown == ["0", "1", "2", "3", "attn_out", "mlp_out"]
    drawn = np.asarray(ax.images[0].get_array())
    frame = one_head.frame().set_index("site")
    assert drawn[1, 2] == frame["bias_change"]["z.1.2"] and drawn[2, 6] == frame["bias_change"]["mlp_out.2"]
    with pytest.raises(InputError, match=r"what is one of bias_change, .*; found 'auc'"):
        effect_map(one_head, what="auc")


@pytest.mark.parametrize(
    ("data", "given", "told"),
    [
        ([], {}, "the data are empty"),
        (PROMPTS, {}, "prompts without words="),
        ([*twins(), "the man"], {}, "found 4 records among 5"),
        (twins(), {"words": PAIR}, "leave out words= and groups="),
        ([replace(twins()[0], pro=None)], {}, "needs one option that follows the stereotype"),
        (PROMPTS, {"words": [PAIR]}, "found 1 pairs for 10 prompts"),
        (PROMPTS, {"words": (" man", " man")}, "nothing sets them apart"),
        (PROMPTS, {"words": PAIR, "groups": ["a"]}, "found 1 for 10 prompts"),
        (PROMPTS, {"words": PAIR, "sites": "resid_post.1"}, "'resid_post.1' was asked for; heads"),
        (PROMPTS, {"words": PAIR, "steps": 0}, "steps and batch_size are 1 at least"),
    ],
)
def test_what_cannot_be_asked_is_said(data: list[Any], given: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        localize(lh.graph(model_of("llama"), words.tokenizer()), data, **given)


def test_a_set_needs_sets_to_be_judged_on_and_agreement_needs_gradients() -> None:
    found = localize(planted((1, 2)), PROMPTS[:3], PAIR, sites="z.1.*", gradient=False, **QUIET)
    with pytest.raises(InputError, match="3 sets were found, and four are the least"):
        found.minimal(verbose=False)
    with pytest.raises(InputError, match="share <= 1"):
        found.minimal(1.5, verbose=False)
    with pytest.raises(InputError, match="no gradients"):
        found.agreement()
