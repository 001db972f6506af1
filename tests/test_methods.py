"""Mean differences against a few lines of numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import levelhead as lh
import tiny
from levelhead import operators
from levelhead.capture import Activations, Moments
from levelhead.edits import Edit
from levelhead.errors import InputError, SiteError
from levelhead.methods import MeanDifference
from levelhead.sites import Site

SITES = ("resid_post.0", "resid_post.1", "z.1.2")
LABELS = ["he", "she", "she", "he", "they", "she", "he"]
fast = settings(deadline=None, max_examples=25)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def acts_of(n: int, seed: int = 0, d: int = 12, **options: Any) -> Activations:
    return Activations({site: 3 + noise(n, d, seed=seed + k) for k, site in enumerate(SITES)}, **options)


def two(n: int = 10, seed: int = 0) -> tuple[Activations, list[str]]:
    return acts_of(n, seed), ["she" if k % 3 else "he" for k in range(n)]


def means_of(acts: Activations, site: Any, labels: Any) -> dict[Any, Any]:
    """The reference: class means in numpy."""
    values, given = acts[site].numpy().astype(np.float64), np.array(labels)
    return {label: values[given == label].mean(axis=0) for label in sorted(set(labels))}


def through(edit: Edit, h: Tensor, strength: float = 1.0) -> Tensor:
    return operators.apply(h, [("0", edit.kind, strength, "all", None, edit.params, None)], None, {})


# -- mean differences ----------------------------------------------------------------------------------


@given(st.integers(0, 10**6), st.integers(4, 30))
@fast
def test_add_is_the_other_mean_minus_the_positive_mean(seed: int, n: int) -> None:
    acts, labels = two(n, seed)
    steer = MeanDifference(["resid_post.*", "z.1.*"], edit="add", scope="last").fit(acts, labels)
    assert steer.sites == acts.sites and {entry.scope for entry in steer} == {"last"}
    for entry in steer:
        means = means_of(acts, entry.site, labels)
        np.testing.assert_allclose(entry.edit.params["vector"].numpy(), means["he"] - means["she"], atol=1e-5)


def test_trap_04_positive_settles_the_sign_and_not_the_order_of_the_data() -> None:
    acts, labels = two()
    backwards = acts.rows(torch.arange(acts.n - 1, -1, -1))
    for positive in ("he", "she"):
        method = MeanDifference(edit="add", positive=positive)
        for data, their in ((acts, labels), (backwards, labels[::-1])):
            edit = method.fit(data, their).only("resid_post.1").entries[0].edit
            moved = means_of(data, "resid_post.1", their)
            target = moved["she" if positive == "he" else "he"]
            # At strength 1 the positive class comes to lie on the other, at -1 the other way round.
            start = torch.tensor(moved[positive], dtype=torch.float32)
            np.testing.assert_allclose(through(edit, start).numpy(), target, atol=1e-5)
            back = through(edit, torch.tensor(target, dtype=torch.float32), -1.0)
            np.testing.assert_allclose(back.numpy(), moved[positive], atol=1e-5)
    last = MeanDifference(edit="add").fit(acts, labels)
    assert last == MeanDifference(edit="add", positive="she").fit(acts, labels)


@given(st.integers(0, 10**6), st.booleans())
@fast
def test_after_ablation_every_group_has_the_mean_of_every_other(seed: int, to_mean: bool) -> None:
    acts = acts_of(len(LABELS), seed)
    steer = MeanDifference(SITES, to="mean" if to_mean else "zero").fit(acts, LABELS)
    for site, edit in ((entry.site, entry.edit) for entry in steer):
        assert edit.params["basis"].shape == (2, 12)
        after = Activations({site: through(edit, acts[site])})
        groups = np.stack(list(means_of(after, site, LABELS).values()))
        np.testing.assert_allclose(groups, groups[[1, 2, 0]], atol=1e-4)
        before = np.stack(list(means_of(acts, site, LABELS).values())).mean(axis=0)
        inside = edit.params["basis"].numpy() @ groups.mean(axis=0)
        np.testing.assert_allclose(inside, edit.params["basis"].numpy() @ before if to_mean else 0, atol=1e-4)


def test_groups_whose_means_lie_on_a_line_give_one_direction() -> None:
    line = torch.tensor([0.0, 1.0, 3.0])[:, None] * noise(12)
    steer = MeanDifference("ln1.0").fit(Activations({"ln1.0": line}), ["a", "b", "c"])
    assert steer.entries[0].edit.params["basis"].shape == (1, 12)


@pytest.mark.parametrize(
    "given", [np.array([0, 1, 1, 0, 1]), torch.tensor([0, 1, 1, 0, 1]), (False, True, True, False, True)]
)
def test_labels_of_any_kind_are_the_same_labels(given: Any) -> None:
    acts = acts_of(5)
    expected, found = (MeanDifference().fit(acts, labels) for labels in ([0, 1, 1, 0, 1], given))
    assert found == expected
    if not isinstance(given, tuple):
        assert found.card["data"] == expected.card["data"]


def test_the_card_says_how_it_was_made_and_the_steer_outlives_the_file_system(tmp_path: Path) -> None:
    source = {"model": {"id": "tiny", "class": "X"}, "basis": "hf", "at": "last"}
    acts, method = acts_of(7, source=source), MeanDifference([Site("ln1", 0), "resid_post.*"], to="mean")
    with pytest.raises(SiteError, match=r"'ln1.0': this model has no 'ln1'.*it has resid_post|z"):
        method.fit(acts, LABELS)
    steer = method.set_params(sites="resid_post.*", positive="she").fit(acts, LABELS)
    assert steer is method.steer_
    assert steer.card["method"] == {"name": "MeanDifference", "params": method.get_params()}
    assert steer.card["model"] == source["model"]
    assert steer.card["data"]["classes"] == {"he": 3, "she": 3, "they": 1} and steer.card["data"]["at"] == "last"
    assert steer.card["versions"]["levelhead"] == lh.__version__
    others = [MeanDifference().fit(acts, LABELS[::-1]), MeanDifference().fit(acts_of(7, seed=1), LABELS)]
    assert len({other.card["data"]["sha256"] for other in (steer, *others)}) == 3
    steer.save(tmp_path)
    assert lh.load(tmp_path) == steer and lh.load(tmp_path).card == steer.card


# -- moments and models --------------------------------------------------------------------------------


def test_moments_of_a_capture_give_the_steer_that_its_examples_give() -> None:
    graph = lh.graph(tiny.ARCHITECTURES["llama"].model())
    ids = torch.randint(3, 50, (11, 6), generator=torch.Generator().manual_seed(0))
    labels = ["he" if k % 2 else "she" for k in range(11)]
    options = {"sites": ["resid_post.*", "z.1.*"], "batch_size": 4, "verbose": False}
    acts = lh.capture(graph, ids, **options)
    moments = lh.capture(graph, ids, reduce="moments", labels=labels, **options)
    for settings_ in ({"edit": "add"}, {"to": "mean"}):
        method = MeanDifference("resid_post.*", **settings_)
        kept, summed = method.fit(acts, labels), method.fit(moments)
        assert kept.sites == summed.sites
        for old, new in zip(kept, summed, strict=True):
            for name, value in old.edit.params.items():
                torch.testing.assert_close(new.edit.params[name], value)
    assert summed.card["data"]["classes"] == {"he": 5, "she": 6} and summed.card["model"] == kept.card["model"]
    # On the model itself: added at strength 1, the women's mean is where the men's was.
    steer = MeanDifference("resid_post.1", edit="add").fit(acts, labels)
    steered = lh.capture(graph, ids, "resid_post.1", steer=steer, verbose=False)
    moved, before = means_of(steered, "resid_post.1", labels), means_of(acts, "resid_post.1", labels)
    np.testing.assert_allclose(moved["she"], before["he"], atol=1e-4)


def with_nan() -> Activations:
    values = noise(4, 3)
    values[2, 1] = float("nan")
    return Activations({"resid_post.0": values})


EQUAL = Activations({"resid_post.3": torch.ones(4, 3)})


@pytest.mark.parametrize(
    ("acts", "labels", "options", "says"),
    [
        (acts_of(3), ["a"] * 3, {}, "labels of at least two classes are needed, and all labels are 'a'"),
        (acts_of(3), None, {}, "labels are needed, one for each of the 3 rows"),
        (acts_of(3), ["a", "b"], {}, "3 rows of activations and 2 labels were given; one label a row"),
        (acts_of(7), LABELS, {"edit": "add"}, r"needs two classes; found 3: \['he', 'she', 'they'\]"),
        (acts_of(2), ["a", "b"], {"positive": "c"}, r"positive='c' is not among the labels \['a', 'b'\]"),
        (with_nan(), ["a", "b"] * 2, {}, "activations at 'resid_post.0' have NaN or infinite entries, first in row 2"),
        (EQUAL, ["a", "b"] * 2, {}, "means at 'resid_post.3'"),
        (EQUAL, ["a", "b"] * 2, {"edit": "add"}, "means at 'resid_post.3'"),
        (
            Moments(["a"], torch.tensor([3]), {Site("ln1", 0): torch.ones(1, 2).double()}),
            None,
            {"sites": "ln1.0"},
            "'a'",
        ),
        (Moments([1, 2], torch.ones(2).long(), {Site("ln1", 0): noise(2, 2).double()}), [1, 2], {}, "leave labels out"),
    ],
)
def test_data_that_give_no_direction_are_refused_with_the_reason(
    acts: Any, labels: Any, options: Any, says: str
) -> None:
    first = str(next(iter(acts.sites)))
    with pytest.raises(InputError, match=says):
        MeanDifference(**{"sites": first, **options}).fit(acts, labels)


def test_hyper_parameters_follow_scikit_learn() -> None:
    clone = pytest.importorskip("sklearn.base").clone
    method = MeanDifference("resid_post.*", edit="add", positive="she")
    assert clone(method).get_params() == method.get_params()
    assert repr(method).startswith("MeanDifference(sites='resid_post.*', edit='add', to='zero', positive='she', scope=")
    with pytest.raises(InputError, match="MeanDifference has no parameter 'edits'; it has sites, edit, to, positive"):
        method.set_params(edits="add")


def test_a_reference_says_what_is_put_in_place() -> None:
    generator = torch.Generator().manual_seed(3)
    acts = Activations({"resid_post.2": torch.randn(40, 6, generator=generator)})
    reference = Activations({"resid_post.2": torch.randn(9, 6, generator=generator)})
    labels = ["she"] * 20 + ["he"] * 20
    zero = MeanDifference("resid_post.2").fit(acts, labels)
    steer = MeanDifference("resid_post.2", to="mean").fit(acts, labels, reference=reference)
    params = steer.entries[0].edit.params
    assert torch.equal(params["basis"], zero.entries[0].edit.params["basis"])
    torch.testing.assert_close(params["offset"], params["basis"] @ reference["resid_post.2"].mean(0))
    assert steer.card["data"]["reference_rows"] == 9
    with pytest.raises(InputError, match="set edit='ablate', to='mean'"):
        MeanDifference("resid_post.2").fit(acts, labels, reference=reference)
