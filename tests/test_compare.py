"""Where two models differ: planted changes are found where they are, and the difference as a steer brings them about."""

from __future__ import annotations

import copy
import json
import re
from functools import cache
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import torch
from scipy.stats import t as student
from torch import Tensor

import levelhead as lh
import words
from conftest import model_of, target_of
from levelhead import Activations, Add, Affine, ProbeSweep, Steer
from levelhead.compare import Comparison, compare, compare_activations, model_difference
from levelhead.compare.likeness import cka, cka_columns
from levelhead.errors import InputError, SiteError
from levelhead.probes.steered import probe_steered
from tiny import ARCHITECTURES

mpl.use("Agg")

SWEEP = ProbeSweep(controls=("shuffle",), n_controls=3, verbose=False)
QUICK: dict[str, Any] = {"draws": 100, "sweep": SWEEP, "verbose": False}
SAID = [
    (f"the {who} {a} {b} .", who, a)
    for who in ("man", "woman")
    for a in ("smiles", "is", "was", "who", "describe", "no", "yes", "the", "a", "user")
    for b in ("doctor", "nurse")
]
TEXTS, LABELS, GROUPS = (list(each) for each in zip(*SAID, strict=True))


def other(name: str = "llama", seed: int = 5) -> Any:
    """The tiny model again, its weights a little changed from layer 1 on."""
    model = copy.deepcopy(model_of(name))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in model.model.layers[1:]:
            weight = layer.mlp.down_proj.weight
            weight += 0.1 * torch.randn(weight.shape, generator=generator)
    return model


# -- likeness ------------------------------------------------------------------------------------------


def hsic(k: np.ndarray, l: np.ndarray) -> float:  # noqa: E741
    """Song et al. (2012), equation 5, as it is printed."""
    n = len(k)
    k, l = k - np.diag(np.diag(k)), l - np.diag(np.diag(l))  # noqa: E741
    one = np.ones(n)
    found = (
        np.trace(k @ l) + (one @ k @ one) * (one @ l @ one) / ((n - 1) * (n - 2)) - 2 / (n - 2) * (one @ k @ l @ one)
    )
    return found / (n * (n - 3))


def cka_by_hand(x: np.ndarray, y: np.ndarray) -> float:
    k, l = x @ x.T, y @ y.T  # noqa: E741
    return hsic(k, l) / (hsic(k, k) * hsic(l, l)) ** 0.5


def test_cka_is_that_of_the_printed_estimator_and_knows_no_rotation_nor_width(generator: torch.Generator) -> None:
    x = torch.randn(2, 30, 6, generator=generator) + 3
    y = x + torch.randn(2, 30, 6, generator=generator)
    assert cka(x, y).tolist() == pytest.approx(
        [cka_by_hand(a.double().numpy(), b.double().numpy()) for a, b in zip(x, y, strict=True)]
    )
    turn = torch.linalg.qr(torch.randn(6, 6, generator=generator)).Q
    torch.testing.assert_close(cka(x, 5 * x @ turn - 7), torch.ones(2, dtype=torch.float64), rtol=1e-5, atol=1e-5)
    wide = [torch.randn(1, 30, 2000, generator=generator, dtype=torch.float64) for _ in range(2)]
    assert abs(float(cka(*wide))) < 0.05, "the plain estimator gives about 0.97 here"
    assert cka(torch.ones(1, 30, 6), x[:1]).isnan().all(), "constant activations are like nothing"


def test_the_interval_of_cka_is_the_jackknife_over_groups(generator: torch.Generator) -> None:
    x = torch.randn(1, 20, 5, generator=generator).double()
    y = x + torch.randn(1, 20, 5, generator=generator)
    groups = np.repeat(np.arange(10), 2)  # ten groups: each is a block of its own
    found = cka_columns(x, y, groups, np.random.default_rng(0), 0.9)
    out = np.array([cka_by_hand(x[0, groups != g].numpy(), y[0, groups != g].numpy()) for g in range(10)])
    half = student.ppf(0.95, 9) * (9 / 10 * ((out - out.mean()) ** 2).sum()) ** 0.5
    value = cka_by_hand(x[0].numpy(), y[0].numpy())
    assert found["cka"] == pytest.approx([value]) and found["cka_low"] == pytest.approx([value - half])
    assert found["cka_high"] == pytest.approx([min(1.0, value + half)]) and abs(found["cka_shuffled"][0]) < 0.5
    few = cka_columns(x[:, :8], y[:, :8], np.array([0] * 6 + [1] * 2), np.random.default_rng(0), 0.9)
    assert np.isfinite(few["cka"]).all() and np.isnan(few["cka_low"]).all(), "two rows without the large group"


# -- planted changes -----------------------------------------------------------------------------------

N = 120
Y = np.arange(N) % 2 == 1


@cache
def planted() -> Comparison:
    """Layer 0 stays; layer 1 loses the attribute; at layer 2 it turns into another axis; layer 3 is shifted for all."""
    generator = torch.Generator().manual_seed(0)
    y = torch.from_numpy(Y).float()
    before = {f"resid_post.{i}": torch.randn(N, 8, generator=generator) for i in range(4)}
    before |= {f"z.1.{i}": torch.randn(N, 8, generator=generator) for i in range(2)}
    for value in before.values():
        value[:, 0] += 3 * y
    after = {site: value.clone() for site, value in before.items()}
    after["resid_post.1"][:, 0] -= 3 * y
    after["z.1.1"][:, 0] -= 3 * y
    after["resid_post.2"][:, 0] -= 3 * y
    after["resid_post.2"][:, 1] += 3 * y
    after["resid_post.3"][:, 2] += 5
    labels = {"gender": np.where(Y, "woman", "man"), "age": ["young", "grown", "old"] * (N // 3)}
    groups = [i // 4 for i in range(N)]
    return compare_activations(Activations(before), Activations(after), labels, groups=groups, **QUICK)


def test_each_change_is_found_where_it_was_planted() -> None:
    rows = planted().of("gender").set_index("site")
    same, gone, turned, shifted = (rows.loc[f"resid_post.{i}"] for i in range(4))
    assert (same["moved"], same["change"], same["transfer_change"], same["change_p"]) == (0, 0, 0, 1)
    assert same[["cka", "cosine", "length_ratio", "cosine_shuffled_low"]].to_numpy() == pytest.approx(1)
    assert gone["change_high"] < -0.2 and gone["change_p"] < 0.05 and gone["after_low"] < 0.6
    assert gone["length_ratio_high"] < 0.5
    assert abs(turned["change"]) < 0.03 and turned["transfer_change_high"] < -0.2
    assert turned["transfer_change_p"] < 0.05 < turned["change_p"]
    assert turned["cosine_high"] < 0.3 < 0.999 < turned["cosine_shuffled_low"], "other contrasts of these inputs stayed"
    assert shifted["cka"] == pytest.approx(1) and shifted["cosine"] == pytest.approx(1) and shifted["change"] == 0
    assert shifted["moved"] == pytest.approx(shifted["moved_mean"]) and shifted["moved"] > 0.5
    assert rows.loc["z.1.0", "moved"] == 0 and rows.loc["z.1.1", "change_p"] < 0.05


def test_distances_and_vectors_are_as_by_hand() -> None:
    found = planted()
    rows = found.of("gender").set_index("site")
    for site in ("resid_post.1", "resid_post.3"):
        x, y = (acts[site].double().numpy() for acts in (found.before, found.after))
        usual = (x**2).sum(1).mean() ** 0.5
        assert rows.loc[site, "moved"] == pytest.approx(((y - x) ** 2).sum(1).mean() ** 0.5 / usual)
        assert rows.loc[site, "moved_mean"] == pytest.approx(np.linalg.norm((y - x).mean(0)) / usual)
        u, v = (side[Y].mean(0) - side[~Y].mean(0) for side in (x, y))
        assert rows.loc[site, "cosine"] == pytest.approx(u @ v / np.linalg.norm(u) / np.linalg.norm(v))
        assert rows.loc[site, "length_ratio"] == pytest.approx(np.linalg.norm(v) / np.linalg.norm(u))
        for name in ("cosine", "length_ratio", "cka", "before", "after", "change", "transfer"):
            assert rows.loc[site, f"{name}_low"] <= rows.loc[site, name] <= rows.loc[site, f"{name}_high"]


def test_more_than_two_classes_are_each_set_against_the_rest() -> None:
    frame = planted().frame()
    assert [tuple(row) for row in frame[["attribute", "positive", "negative"]].drop_duplicates().to_numpy()] == [
        ("gender", "woman", "man"),
        *(("age", one, "the rest") for one in ("grown", "old", "young")),
    ]
    assert len(frame) == 4 * 6
    with pytest.raises(InputError, match=r"attribute 'race' was not compared; there are gender, age"):
        planted().of("race")
    with pytest.raises(InputError, match=r"'man' is no side of attribute 'gender'; there are woman"):
        planted().of("gender", "man")


def test_the_summary_says_what_was_planted() -> None:
    said = planted().summary().splitlines()
    assert said[0] == "120 inputs in 30 groups, read at 4 sites and 2 heads."
    assert said[1].startswith("Nothing moved before z.1.1. Activations moved most at resid_post.3")
    assert "100% of that is one shift of all inputs" in said[1]
    assert said[2].startswith("gender (woman against man): new probes read it worse at 2 and better at 0 of 6 sites")
    assert "At 1 site it is still there" in said[2] and "most at resid_post.2" in said[2]
    assert "turned most at resid_post.2" in said[2] and "it turned more than they did at 3 sites." in said[2]
    assert re.search(r"Its length changed most at (resid_post.1|z.1.1), to 0\.", said[2]) and len(said) == 6


def test_the_record_is_plain_and_whole() -> None:
    found = json.loads(json.dumps(planted().record(), allow_nan=False))
    assert (found["n"], found["n_groups"], found["confidence"], len(found["rows"])) == (120, 30, 0.95, 24)
    assert found["rows"][0]["site"] == "resid_post.0" and found["rows"][0]["head"] is None


def test_pictures_show_the_numbers_of_the_frame() -> None:
    found = planted()
    rows = found.of("gender")
    whole = rows[rows["component"] == "resid_post"]
    curves = {str(line.get_label()): line.get_ydata() for line in found.plot().lines}
    np.testing.assert_allclose(curves["after, read by the probes from before"], whole["transfer"])
    curves = {str(line.get_label()): line.get_ydata() for line in found.plot(what="likeness").lines}
    np.testing.assert_allclose(curves["CKA of activations"], whole["cka"])
    np.testing.assert_allclose(curves["length of the attribute's direction, by before"], whole["length_ratio"])
    ax = found.plot_heads()
    np.testing.assert_allclose(ax.images[0].get_array()[1], rows[rows["component"] == "z"]["change"])
    np.testing.assert_array_equal(ax.collections[0].get_offsets(), [[1, 1]])  # the head that lost the attribute
    assert found.plot(component="z", attribute="age", positive="old").get_title("left") == "age: old against the rest"
    with pytest.raises(SiteError, match="component 'mlp_out' was asked for, and there are resid_post, z"):
        found.plot(component="mlp_out")
    with pytest.raises(InputError, match="what is one of probes, likeness"):
        found.plot(what="heads")
    with pytest.raises(InputError, match="what is one of change"):
        found.plot_heads(what="p")


# -- models --------------------------------------------------------------------------------------------


def test_a_steer_is_compared_as_probe_steered_does() -> None:
    graph = lh.graph(model_of("llama"), words.tokenizer())
    steer = Steer({"resid_post.0": Affine(torch.linspace(-1, 0.5, 32))})
    sites = ("resid_post.*", "z.1.*")
    found = compare(graph, steer, TEXTS, LABELS, sites=sites, groups=GROUPS, **QUICK)
    known = probe_steered(graph, TEXTS, LABELS, steer, sites, groups=GROUPS, sweep=SWEEP, verbose=False).frame()
    frame = found.frame()
    assert frame["moved"].max() > 0
    for ours, theirs in {"before": "before", "after": "after", "change": "change", "transfer": "old"}.items():
        np.testing.assert_allclose(frame[ours], known[theirs], atol=1e-9)
    assert found.record()["after"]["steer"] == repr(steer)
    again = compare((graph, steer), graph, TEXTS, LABELS, sites="resid_post.1", groups=GROUPS, **QUICK).frame()
    np.testing.assert_allclose(again["change"], -frame["change"][frame["site"] == "resid_post.1"], atol=1e-9)


@pytest.mark.parametrize("kind", ["transformer_lens", "nnsight"])
def test_the_two_sides_may_be_held_by_different_libraries(kind: str) -> None:
    ids = ARCHITECTURES["llama"].batch((9,) * 16)["input_ids"]
    labels = [i % 2 for i in range(16)]
    plain = compare(model_of("llama"), other(), ids, labels, sites="resid_post.*", cv=2, **QUICK).frame()
    mixed = compare(target_of(kind, "llama"), other(), ids, labels, sites="resid_post.*", cv=2, **QUICK).frame()
    np.testing.assert_allclose(mixed[["moved", "cka", "cosine"]], plain[["moved", "cka", "cosine"]], atol=1e-4)
    assert plain["moved"].iloc[0] == 0 < plain["moved"].iloc[1]


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft 0.21 asks transformers 5 so
def test_a_peft_model_is_told_from_the_base_that_it_shares() -> None:
    peft = pytest.importorskip("peft")
    base = copy.deepcopy(model_of("llama"))
    config = peft.LoraConfig(r=2, target_modules=["o_proj"], init_lora_weights=False, lora_dropout=0.9)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tuned = peft.get_peft_model(base, config)
    tuned.train()
    tuned.get_base_model().lm_head.eval()
    ids = ARCHITECTURES["llama"].batch((9,) * 16)["input_ids"]
    labels = [i % 2 for i in range(16)]
    options: dict[str, Any] = {"sites": "resid_post.*", "cv": 2, **QUICK}
    apart = compare(model_of("llama"), tuned, ids, labels, **options)
    shared = compare(base, tuned, ids, labels, **options)
    np.testing.assert_array_equal(shared.frame()["moved"], apart.frame()["moved"])
    assert shared.frame()["moved"].min() > 0, "each layer has an adapter"
    assert shared.record()["before"]["peft"] == "adapter off" and shared.record()["after"]["peft"] == "adapter on"
    back = compare(tuned, base, ids, labels, **options)
    torch.testing.assert_close(back.before["resid_post.2"], shared.after["resid_post.2"])
    modes = {module.training for module in tuned.modules()}
    assert modes == {True, False} and not base.lm_head.training, "left in the modes in which they were"
    merged = tuned.merge_and_unload().eval()
    torch.testing.assert_close(
        lh.capture(merged, ids, "resid_post.2", verbose=False)["resid_post.2"],
        shared.after["resid_post.2"],
        rtol=1e-4,
        atol=1e-4,
    )


# -- the difference as a steer -------------------------------------------------------------------------


def biased(vector: Tensor) -> Any:
    """GPT-2 with a vector added to what layer 1 writes to the residual stream."""
    model = copy.deepcopy(model_of("gpt2"))
    with torch.no_grad():
        model.transformer.h[1].mlp.c_proj.bias += vector
    return model


def test_an_added_bias_is_found_and_brought_about(generator: torch.Generator) -> None:
    vector = torch.randn(32, generator=generator)
    before, after = model_of("gpt2"), biased(vector)
    batch = ARCHITECTURES["gpt2"].batch((9, 6, 7, 8, 5, 9, 4, 3, 7, 8))
    for sites in ("resid_post.1", "resid_post.*", ("resid_post.*", "mlp_out.1")):
        steer = model_difference(before, after, batch, sites, verbose=False)
        (entry,) = steer.entries  # at the later layers nothing is left to do
        torch.testing.assert_close(entry.edit.params["vector"], vector, rtol=1e-4, atol=1e-5)
        with torch.no_grad():
            goal, found = lh.graph(after).logits(batch), lh.graph(before).logits(batch, steer)
        real = batch["attention_mask"].bool()
        torch.testing.assert_close(found[real], goal[real], rtol=1e-4, atol=1e-4)
    assert str(entry.site) == "mlp_out.1" and "resid_post.0" in steer.card["no_difference_at"]
    assert steer.card["method"]["name"] == "model difference" and steer.card["difference"]["after"]["model"]
    steer.check(before)
    labels = [i % 2 for i in range(10)]
    compared = compare(before, after, batch, labels, sites="resid_post.*", cv=2, **QUICK)
    torch.testing.assert_close(
        compared.steer("resid_post.1").entries[0].edit.params["vector"], vector, rtol=1e-4, atol=1e-5
    )


def test_the_means_of_the_steered_model_are_those_of_the_other_at_every_site() -> None:
    batch = ARCHITECTURES["llama"].batch((9,) * 12)
    sites = ("z.1.*", "resid_post.1:3", "mlp_post.2")
    steer = model_difference(model_of("llama"), other(), batch, sites, scope="last", verbose=False)
    goal, found, plain = (
        lh.capture(model, batch, sites, steer=each, verbose=False)
        for model, each in ((other(), None), (model_of("llama"), steer), (model_of("llama"), None))
    )
    for site in goal.sites:
        torch.testing.assert_close(found[site].mean(0), goal[site].mean(0), rtol=1e-4, atol=1e-5)
    assert float((plain["resid_post.2"] - goal["resid_post.2"]).mean(0).norm()) > 0.1
    # What the first model is steered with stays where it is, and counts.
    first = Steer({"resid_post.0": Add(torch.ones(32))})
    rest = model_difference((model_of("llama"), first), other(), batch, "resid_post.2", verbose=False)
    once = lh.capture(model_of("llama"), batch, "resid_post.2", steer=first, verbose=False)["resid_post.2"]
    torch.testing.assert_close(
        rest.entries[0].edit.params["vector"], (goal["resid_post.2"] - once).mean(0), rtol=1e-4, atol=1e-5
    )


def test_a_comparison_gives_the_difference_of_one_group() -> None:
    found = planted()
    steer = found.steer("resid_post.2", of="woman")
    wanted = torch.zeros(8)
    wanted[:2] = torch.tensor([-3.0, 3.0])
    torch.testing.assert_close(steer.entries[0].edit.params["vector"], wanted)
    assert steer.card["difference"]["only"] == {"gender": "woman"}
    assert found.steer("resid_post.3", attribute="age", of="old", scope="text").entries[0].scope == "text"
    with pytest.raises(InputError, match=r"no input has gender 'girl'; there are 'man', 'woman'"):
        found.steer("resid_post.2", of="girl")
    with pytest.raises(InputError, match=r"2 places were asked for, 'resid_post.1' to 'resid_post.2'"):
        found.steer("resid_post.1:3")
    with pytest.raises(InputError, match=r"do not differ at 'resid_post.0'"):
        found.steer("resid_post.0")
    with pytest.raises(InputError, match=r"do not differ at 'resid_post.2'"):
        found.steer("resid_post.2", of="man")


@cache
def bed() -> Any:
    from levelhead import testbed

    return testbed.load()


def test_on_the_testbed_the_difference_moves_answers_towards_a_trained_model() -> None:
    """One step of training towards "no", of low rank as LoRA's are, at two layers; judged on other people."""
    from levelhead import testbed
    from levelhead.testbed import Person, Scene, sample
    from levelhead.testbed.records import wrap

    bed = testbed.load()
    trained = copy.deepcopy(bed.model)
    scenes = [
        Scene((Person(gender=gender, skin=each.people[0].skin, role="subject"),), wall=each.wall, seed=each.seed)
        for each in sample(8, seed=3, held_out=True)
        for gender in ("man", "woman")
    ]
    graph, goal = lh.graph(bed.model, bed.processor), lh.graph(trained, bed.processor)
    batch = graph.encode([wrap("does the label science fit the person?", scene.image()) for scene in scenes])
    seen, unseen = ({name: value[rows] for name, value in batch.items()} for rows in (slice(8), slice(8, None)))
    weights = [layer.mlp.down_proj.weight.requires_grad_() for layer in trained.model.language_model.layers[3:5]]
    no = bed.processor.tokenizer.convert_tokens_to_ids("no")
    steps = torch.autograd.grad(goal.logits(seen, last=1)[:, -1].log_softmax(-1)[:, no].mean(), weights)
    with torch.no_grad():
        for weight, step in zip(weights, steps, strict=True):
            left, sizes, right = torch.linalg.svd(step)
            weight += 0.03 * weight.norm() * (left[:, :2] * sizes[:2] @ right[:2]) / sizes[:2].norm()
        steer = model_difference(graph, goal, seen, "resid_post.*", verbose=False)
        aim = goal.logits(unseen, last=1)[:, -1].log_softmax(-1)
        told = [graph.logits(unseen, each, last=1)[:, -1].log_softmax(-1) for each in (None, steer)]
    assert {str(site) for site in steer.sites} == {"resid_post.3", "resid_post.4", "resid_post.5"}
    plain, steered = (float((aim.exp() * (aim - each)).sum(-1).mean()) for each in told)
    assert plain > 0.05 and steered < 0.5 * plain  # found: 0.096 and 0.029 nats


# -- errors --------------------------------------------------------------------------------------------


def test_what_cannot_be_compared_is_said() -> None:
    model, ids, labels = model_of("llama"), ARCHITECTURES["llama"].batch((9,) * 8)["input_ids"], [0, 1] * 4

    def run(before: Any = model, after: Any = None, **options: Any) -> Any:
        return compare(
            before, other() if after is None else after, ids, **{"labels": labels, "cv": 2, **QUICK, **options}
        )

    for options, message in (
        ({"after": model}, "one and the same model; load the original again"),
        ({"after": model_of("qwen2")}, "one architecture; found LlamaForCausalLM and Qwen2ForCausalLM"),
        ({"after": narrow()}, r"'z.0.0' is 8 wide before and 16 after"),
        ({"after": (model, "steer")}, r"a side is a model or \(model, steer\)"),
        ({"before": Steer({"resid_post.0": Add(torch.ones(32))})}, "before is a steer without a model"),
        ({"labels": [1] * 8}, "labels 'label': two classes are needed, and all are 1"),
        ({"labels": {"age": [0, 1]}}, "labels 'age': 8 inputs and 2 labels"),
        ({"labels": {"age": [0, 1, None, 1] * 2}}, "labels 'age': input 2 has none"),
        ({"labels": {"age": [0, "a"] * 4}}, "labels 'age' must be of one kind"),
        ({"labels": {}}, "labels of at least one attribute"),
        ({"at": "all"}, "at='all' keeps several tokens"),
        ({"draws": 0}, "draws must be at least 1"),
    ):
        with pytest.raises(InputError, match=message):
            run(**options)
    with pytest.raises(InputError, match=r"do not differ at any of 1 sites"):
        model_difference(model, copy.deepcopy(model), ids, "resid_post.2", verbose=False)
    with pytest.raises(InputError, match=r"'z.1' and its heads were both asked for"):
        model_difference(model, other(), ids, ("z.1", "z.1.*"), verbose=False)
    broken = other()
    with torch.no_grad():
        broken.model.layers[2].mlp.down_proj.weight[0, 0] = torch.nan
    with pytest.raises(InputError, match=r"after: activations at 'resid_post.2' have NaN"):
        run(after=broken)
    with pytest.raises(InputError, match=r"activations at 'resid_post.2' have NaN"):
        model_difference(model, broken, ids, "resid_post.2", verbose=False)


def narrow() -> Any:
    import transformers as tf

    from tiny import TEXT

    return tf.LlamaForCausalLM(tf.LlamaConfig(**{**TEXT, "head_dim": 16}))


def test_activations_must_be_of_the_same_inputs_and_sites() -> None:
    zeros = Activations({"resid_post.0": torch.randn(20, 4)})
    for theirs, message in (
        (Activations({"resid_post.0": torch.zeros(19, 4)}), "20 rows before and 19 after"),
        (Activations({"resid_post.1": torch.zeros(20, 4)}), "'resid_post.0' is in one alone"),
        (Activations({"resid_post.0": torch.zeros(20, 5)}), "'resid_post.0' is 4 wide before, 5 after"),
    ):
        with pytest.raises(InputError, match=message):
            compare_activations(zeros, theirs, [0, 1] * 10, **QUICK)
    with pytest.raises(InputError, match="at least eight inputs"):
        compare_activations(zeros.rows(range(6)), zeros.rows(range(6)), [0, 1] * 3, **QUICK)


def test_a_site_without_any_activation_has_no_cosine_and_raises_nothing() -> None:
    still = Activations({"resid_post.0": torch.zeros(20, 4), "resid_post.1": torch.randn(20, 4)})
    row = compare_activations(still, still, [0, 1] * 10, **QUICK).record()["rows"][0]
    assert (row["cosine"], row["cka"], row["moved"], row["change"]) == (None, None, None, 0)
