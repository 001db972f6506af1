"""The vector of one gradient step, against a version of a few lines, and what it does to the testbed's model."""

from __future__ import annotations

import math
from functools import cache

import pytest
import torch
from torch import Tensor

import levelhead as lh
from conftest import graph_of, model_of, target_of
from levelhead import testbed
from levelhead.errors import AdapterError, InputError, SiteError
from levelhead.methods.gradient_step import GradientStep
from levelhead.sites import Site
from levelhead.testbed.drawing import draw
from levelhead.testbed.model import prompt
from words import PROCESSORS, tokenizer

WORDS = ["man", "woman"]
RESIDUAL = [f"resid_post.{layer}" for layer in range(5)]


@cache
def bed() -> testbed.Testbed:
    return testbed.load()


def pictures(n: int, seed: int = 11) -> list:
    return [draw(scene) for scene in testbed.sample(n, seed)]


def fitted(words=WORDS, against=None, n: int = 1, text: str = prompt(), **options) -> GradientStep:
    method = GradientStep(**{"sites": RESIDUAL, "answer": "a", **options})
    method.fit(bed().graph, images=pictures(n), prompt=text, words=words, against=against)
    return method


def plain(picture, answer: str) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """The batch, the hidden states before each layer [layer, token, d] and the logits, by transformers alone."""
    batch = dict(bed().processor(images=picture, text=f"{prompt()} {answer}", return_tensors="pt"))
    batch["pixel_values"].requires_grad_()
    states: list[Tensor] = []
    layers = bed().model.model.language_model.layers
    hooks = [layer.register_forward_hook(lambda _, __, out: states.append(out)) for layer in layers]
    try:
        logits = bed().model(**batch).logits[0, -1]
    finally:
        for hook in hooks:
            hook.remove()
    return batch, states, logits


def ids(*words: str) -> Tensor:
    return torch.tensor([bed().processor.tokenizer.convert_tokens_to_ids(word) for word in words])


def assert_same(method: GradientStep, expected: list[Tensor]) -> None:
    for site, vector in zip(RESIDUAL, expected, strict=True):
        torch.testing.assert_close(method.vectors_[Site.parse(site)], vector, atol=1e-5, rtol=1e-3)


# -- against a few lines --------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", ["toward", "away"])
def test_the_image_step_is_the_fast_gradient_sign_method(sign):
    method = fitted(sign=sign)
    batch, before, logits = plain(pictures(1)[0], "a")
    loss = -logits.softmax(-1)[ids(*WORDS)].sum().log()
    (gradient,) = torch.autograd.grad(loss, batch["pixel_values"])
    turn = 1 if sign == "toward" else -1
    # The testbed's processor has mean 0.5 and std 0.25: intensities of 0 and 1 lie at -2 and 2.
    batch["pixel_values"] = (batch["pixel_values"] - turn * 4 / 255 / 0.25 * gradient.sign()).clamp(-2, 2)
    after: list[Tensor] = []
    layers = bed().model.model.language_model.layers
    hooks = [layer.register_forward_hook(lambda _, __, out: after.append(out)) for layer in layers]
    with torch.no_grad():
        bed().model(**batch)
    for hook in hooks:
        hook.remove()
    assert_same(method, [turn * (two - one)[0, -1].detach() for one, two in zip(before[:5], after, strict=False)])
    assert method.loss_ == pytest.approx(loss.item(), rel=1e-4)


@pytest.mark.parametrize("loss", ["sum_prob", "max_logit", "cross_entropy"])
def test_the_residual_step_is_minus_the_gradient_of_the_loss(loss):
    method = fitted(on="residual", loss=loss, against=["person"])
    _, states, logits = plain(pictures(1)[0], "a")
    score = {
        "sum_prob": lambda words: logits.softmax(-1)[words].sum().log(),
        "max_logit": lambda words: logits[words].max(),
        "cross_entropy": lambda words: logits.log_softmax(-1)[words].mean(),
    }[loss]
    near = score(ids(*WORDS)) - score(ids("person"))
    gradients = torch.autograd.grad(near, states[:5])
    assert_same(method, [gradient[0, -1] for gradient in gradients])
    assert method.loss_ == pytest.approx(-near.item(), rel=1e-4, abs=1e-5)


def test_a_word_of_two_tokens_counts_with_the_probability_of_both():
    """ "old" is no target, "old man" is; the latter takes a row of its own, and all reach the same prompt."""
    method = fitted(["woman", "old man"], on="residual", answer="an")
    _, first, logits = plain(pictures(1)[0], "an")
    one = logits.log_softmax(-1)
    _, second, logits = plain(pictures(1)[0], "an old")
    two = logits.log_softmax(-1)[ids("man")[0]]
    woman, old = one[ids("woman")[0]], one[ids("old")[0]]
    loss = -torch.logsumexp(torch.stack([woman, old + two]), 0)
    here = torch.autograd.grad(loss, first[:5], retain_graph=True)
    there = torch.autograd.grad(loss, second[:5])
    # The prompt's last token stands before last where "old" follows.
    assert_same(method, [-(a[0, -1] + b[0, -2]) for a, b in zip(here, there, strict=True)])
    assert method.loss_ == pytest.approx(loss.item(), rel=1e-4)


def test_two_words_that_begin_differently_share_the_prompt_in_two_rows():
    both = fitted(["old man", "young woman"], on="residual", answer="a", loss="cross_entropy")
    each = [fitted([words], on="residual", answer="a", loss="cross_entropy") for words in ("old man", "young woman")]
    assert both.loss_ == pytest.approx(sum(one.loss_ for one in each) / 2, rel=1e-4)
    assert_same(both, [sum(one.vectors_[Site.parse(s)] for one in each) / 2 for s in RESIDUAL])
    stepped = fitted(["old man", "young woman"], answer="a")
    assert all(bool(vector.any()) for vector in stepped.vectors_.values())


@pytest.mark.parametrize("step", ["sign", "unit"])
def test_the_step_on_the_embeddings_is_measured_in_their_root_mean_square(step):
    method = fitted(on="embeddings", step=step, eps=0.2)
    graph = bed().graph
    batch = dict(bed().processor(images=pictures(1)[0], text=f"{prompt()} a", return_tensors="pt"))
    seen = bed().model.model.get_image_features(batch["pixel_values"], return_dict=True).pooler_output
    seen = torch.cat(list(seen)).detach().requires_grad_()
    words = bed().model.get_input_embeddings()(batch["input_ids"])
    mask = (batch["input_ids"] == bed().model.config.image_token_id)[..., None].expand_as(words)

    def states(picture: Tensor) -> tuple[list[Tensor], Tensor]:
        out = bed().model(
            inputs_embeds=words.masked_scatter(mask, picture),
            attention_mask=batch["attention_mask"],
            output_hidden_states=True,
        )
        return [state[0, -1] for state in out.hidden_states[1:6]], out.logits[0, -1]

    before, logits = states(seen)
    (gradient,) = torch.autograd.grad(-logits.softmax(-1)[ids(*WORDS)].sum().log(), seen)
    ahead = gradient.sign() if step == "sign" else gradient / gradient.square().mean().sqrt()
    after, _ = states(seen - 0.2 * seen.square().mean().sqrt() * ahead)
    assert_same(method, [(two - one).detach() for one, two in zip(before, after, strict=True)])
    assert graph.capture(graph.encode(["a"]), [Site.parse(RESIDUAL[0])])[Site.parse(RESIDUAL[0])].requires_grad is False


# -- averaging ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("on", ["image", "embeddings", "residual"])
def test_several_pictures_and_beginnings_average_whatever_the_batch(on):
    each = []
    for picture in pictures(3):
        method = GradientStep(RESIDUAL, on=on, answer="a")
        method.fit(bed().graph, picture, prompt=prompt(), words=WORDS)
        each.append(method)
    expected = [sum(one.vectors_[Site.parse(site)] for one in each) / 3 for site in RESIDUAL]
    assert_same(fitted(n=3, on=on), expected)
    assert_same(fitted(n=3, on=on, batch_size=2), expected)
    if on == "residual":
        two = [fitted(on=on, answer=answer).vectors_ for answer in ("a", "the picture shows a")]
        both = fitted(on=on, answer=["a", "the picture shows a"])
        assert_same(both, [(two[0][Site.parse(s)] + two[1][Site.parse(s)]) / 2 for s in RESIDUAL])


# -- the edit -------------------------------------------------------------------------------------------


def test_edits_remove_the_direction_or_add_its_negative():
    site = Site.parse(RESIDUAL[2])
    vector = fitted().vectors_[site]
    unit = vector / vector.norm()
    torch.testing.assert_close(fitted().steer_.directions()[site][0], unit)
    graph = bed().graph
    here = graph.capture(graph.encode([(pictures(1)[0], f"{prompt()} a")]), [site])[site][0]
    mean = fitted(to="mean").steer_.entries[2].edit.params
    assert float(mean["offset"]) == pytest.approx(float(here @ unit), rel=1e-3)
    others = lh.Activations({site: torch.ones(2, len(vector)) for site in map(Site.parse, RESIDUAL)})
    given = GradientStep(RESIDUAL, on="residual", answer="a", to="mean")
    steer = given.fit(graph, pictures(1)[0], prompt=prompt(), words=WORDS, reference=others)
    along = given.vectors_[site] / given.vectors_[site].norm()
    assert float(steer.entries[2].edit.params["offset"]) == pytest.approx(float(along.sum()), rel=1e-4)
    with pytest.raises(InputError, match="a reference is the mean that ablation puts in place"):
        GradientStep(RESIDUAL).fit(graph, pictures(1)[0], prompt=prompt(), words=WORDS, reference=others)
    added = fitted(edit="add", size=0.5).steer_.entries[2].edit.params["vector"]
    torch.testing.assert_close(added, -0.5 * here.norm() * unit, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(fitted(edit="add", scale="none").steer_.entries[2].edit.params["vector"], -vector)


@pytest.mark.parametrize("on", ["image", "embeddings", "residual"])
def test_the_vector_points_towards_naming_gender_on_pictures_it_never_saw(on):
    graph = bed().graph
    steer = fitted(on=on, edit="add", n=2, sites="resid_post.3").steer_
    asked = lh.likelihood.Continuations(
        graph, [(p, f"{prompt()} a") for p in pictures(6, seed=5)], [[" man", " woman"]] * 6
    )
    mass = asked(steer, [-1.0, 0.0, 1.0]).logprobs.logsumexp(2).mean(1).tolist()
    assert mass[0] - 0.02 > mass[1] > mass[2] + 0.02


def test_the_card_says_what_was_done(tmp_path):
    steer = fitted(against=["person"], n=2).steer_
    assert steer.card["method"]["name"] == "GradientStep"
    assert steer.card["data"]["words"] == WORDS
    assert steer.card["data"]["against"] == ["person"]
    assert steer.card["data"]["settled"] == {"on": "image", "direction": "difference", "eps": 4 / 255}
    steer.save(tmp_path / "step")
    assert lh.load(tmp_path / "step").entries == steer.entries


# -- every graph, every architecture ----------------------------------------------------------------------


@pytest.mark.parametrize("on", ["image", "embeddings"])
@pytest.mark.parametrize(
    ("name", "adapter"), [("idefics3", "transformers"), ("llava", "transformer_lens"), ("llava", "nnsight")]
)
def test_pictures_can_be_stepped_on_on_every_graph(name, on, adapter):
    graph = lh.graph(target_of(adapter, name), PROCESSORS[name]())
    text = "describe the person"
    method = GradientStep(["resid_post.0", "resid_post.2"], on=on)
    method.fit(graph, pictures(1)[0], prompt=text, words=["man", "doctor"])
    assert all(bool(vector.any()) for vector in method.vectors_.values())
    if adapter != "transformers":
        again = GradientStep(["resid_post.0", "resid_post.2"], on=on)
        again.fit(lh.graph(model_of(name), PROCESSORS[name]()), pictures(1)[0], prompt=text, words=["man", "doctor"])
        for site, vector in method.vectors_.items():
            assert torch.equal(vector, again.vectors_[site])


def test_text_alone_and_checkpoints_give_the_same_numbers_on_every_graph(adapter):
    found = []
    for checkpoint in (False, True):
        graph = lh.graph(target_of(adapter, "llama"), tokenizer())
        method = GradientStep("resid_post.*", checkpoint=checkpoint, to="mean")
        method.fit(graph, prompt=["the doctor is a", "the nurse is the"], words=["man"], against=["woman"])
        found.append(method.vectors_)
    for site, vector in found[0].items():
        assert torch.equal(vector, found[1][site])
    plainly = GradientStep("resid_post.*", batch_size=2)
    plainly.fit(
        model_of("llama"),
        prompt=["the doctor is a", "the nurse is the"],
        words=["man"],
        against=["woman"],
        processor=tokenizer(),
    )
    for site, vector in found[0].items():
        torch.testing.assert_close(vector, plainly.vectors_[site], atol=1e-5, rtol=1e-4)


def test_half_precision_gives_a_float32_vector_close_to_the_full_one():
    full = fitted(on="residual").vectors_
    import copy

    half = lh.graph(copy.deepcopy(bed().model).bfloat16(), bed().processor)
    method = GradientStep(RESIDUAL, on="residual", answer="a")
    method.fit(half, pictures(1)[0], prompt=prompt(), words=WORDS)
    for site, vector in method.vectors_.items():
        assert vector.dtype == torch.float32
        assert float(torch.cosine_similarity(vector, full[site], dim=0)) > 0.95
    stepped = GradientStep(RESIDUAL, answer="a")
    stepped.fit(half, pictures(1)[0], prompt=prompt(), words=WORDS)
    assert all(math.isfinite(float(vector.norm())) for vector in stepped.vectors_.values())


# -- the model afterwards -------------------------------------------------------------------------------


@pytest.mark.parametrize("checkpoint", [False, True])
@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_afterwards_as_it_was(fails, checkpoint, monkeypatch):
    from tiny import ARCHITECTURES

    model = ARCHITECTURES["llava"].model()
    model.train()
    model.model.vision_tower.eval()
    ready = ARCHITECTURES["llava"].batch()
    model(**ready)  # transformers puts hooks of its own in with the first pass
    some = list(model.parameters())
    some[3].requires_grad_(False)
    some[5].grad = torch.ones_like(some[5])

    def state() -> list:
        modules = [
            (m.training, len(m._forward_hooks), len(m._forward_pre_hooks), vars(m).get("gradient_checkpointing"))
            for m in model.modules()
        ]
        return [modules, [p.requires_grad for p in some], [None if p.grad is None else p.grad.sum() for p in some]]

    before, values = state(), [p.detach().clone() for p in some]
    graph = lh.graph(model, PROCESSORS["llava"]())
    if fails:
        monkeypatch.setattr(graph, "capture", lambda *_: 1 / 0)
    method = GradientStep("resid_post.*", checkpoint=checkpoint)
    try:
        method.fit(graph, pictures(1)[0], prompt="<image> describe the", words=["man"])
    except ZeroDivisionError:
        assert fails
    else:
        assert not fails
    assert state() == before
    assert all(torch.equal(one, two) for one, two in zip(values, some, strict=True))


# -- what cannot be done --------------------------------------------------------------------------------


def test_options_that_do_not_go_together_are_refused():
    text = lh.graph(model_of("llama"), tokenizer())
    picture, say = pictures(1)[0], {"prompt": "the doctor is a", "words": ["man"]}
    cases = [
        ({"on": "image"}, {}, "LlamaForCausalLM has no vision tower; use on='residual'"),
        ({"on": "residual", "direction": "difference"}, {}, "use direction='gradient'"),
        ({"direction": "difference"}, {}, "needs a picture to step on"),
        ({"step": "unit"}, {}, "step='unit' is for on='embeddings'"),
        ({"eps": 0.0}, {}, "eps must be above 0"),
        ({"answer": []}, {}, "found an empty list"),
        ({"at": "all"}, {}, "reads several vectors a row"),
        ({}, {"image": picture}, "no vision tower"),
        ({}, {"image": picture, "images": [picture]}, "both given"),
        ({}, {"images": []}, "images is empty"),
        ({}, {"images": [picture] * 3, "prompt": ["a", "b"]}, "3 pictures and 2 prompts"),
        ({}, {"prompt": [(picture, "a")]}, "pictures go into image= or images="),
    ]
    for options, changes, message in cases:
        with pytest.raises(InputError, match=message):
            GradientStep(**options).fit(text, **{**say, **changes})
    with pytest.raises(SiteError):
        GradientStep("resid_post.9").fit(text, **say)
    with pytest.raises(InputError, match="without a picture"):
        GradientStep(on="image").fit(bed().graph, prompt="describe", words=WORDS)
    with pytest.raises(InputError, match=r"'resid_pre.0', where the difference would be the step"):
        fitted(on="embeddings", sites="resid_pre.*", at="mean")


def test_a_gradient_of_zero_says_where_and_why():
    with pytest.raises(InputError, match=r"zero at 1 of 2 sites \(resid_pre.0\): nothing that passes there, at"):
        fitted(sites=["resid_pre.0", "resid_post.0"])
    model = lh.graph(target_of("transformers", "llava"), PROCESSORS["llava"]())
    with pytest.raises(InputError, match=r"zero at 1 of 1 sites \(vision/resid_post.2\)"):
        GradientStep("vision/resid_post.2", on="residual", at="mean", scope="image").fit(
            model, pictures(1)[0], prompt="<image> describe the", words=["man"]
        )


def test_a_graph_without_the_verb_is_told_apart(monkeypatch):
    from levelhead_transformers.hooks import HookGraph

    monkeypatch.delattr(HookGraph, "gradients")
    with pytest.raises(AdapterError, match="has no verb 'gradients'"):
        GradientStep().fit(graph_of("transformers", "llama"), prompt="the", words=["man"])
