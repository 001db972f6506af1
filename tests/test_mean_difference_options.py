"""Mean differences: which direction, how long, and where."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from levelhead.capture import Activations, Moments
from levelhead.errors import InputError, SiteError
from levelhead.methods import MeanDifference, ranking
from levelhead.methods.labeling import labeling
from levelhead.sites import Site

SITES = ("resid_post.0", "resid_post.1", "z.1.2")


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


def planted(strengths: tuple[float, ...], classes: int = 2, n: int = 60, d: int = 8) -> tuple[Activations, list[int]]:
    """A layer for each strength: class means as far apart as that, in noise."""
    codes = torch.arange(n) % classes
    centers = noise(classes, d, seed=99)
    return Activations(
        {f"resid_post.{k}": 2 + s * centers[codes] + noise(n, d, seed=k) for k, s in enumerate(strengths)}
    ), codes.tolist()


def test_an_added_vector_is_as_long_as_was_asked() -> None:
    acts, labels = two()
    plain = MeanDifference(edit="add").fit(acts, labels)
    for how in ("unit", "activation"):
        for ours, theirs in zip(MeanDifference(edit="add", normalize=how).fit(acts, labels), plain, strict=True):
            vector, raw = ours.edit.params["vector"], theirs.edit.params["vector"]
            norms = np.linalg.norm(acts[ours.site].numpy().astype(np.float64), axis=1)
            wanted = 1.0 if how == "unit" else norms.mean()
            np.testing.assert_allclose(vector.numpy(), wanted * (raw / raw.norm()).numpy(), rtol=1e-5)


def test_one_direction_for_all_sites_comes_from_one_of_them() -> None:
    acts, labels = planted((0.3, 2.0, 1.0))
    own = MeanDifference(to="mean").fit(acts, labels)
    for shared in ("resid_post.1", Site("resid_post", 1), "best"):
        method = MeanDifference(to="mean", shared=shared)
        steer = method.fit(acts, labels)
        assert steer.sites == acts.sites and steer.card["direction_of"] == "resid_post.1"
        assert (method.ranking_ is not None) == (shared == "best")
        for entry in steer:
            basis = entry.edit.params["basis"]
            assert torch.equal(basis, own.entries[1].edit.params["basis"])
            # What is left in the direction is what each site has there.
            middle = np.mean(list(means_of(acts, entry.site, labels).values()), axis=0)
            np.testing.assert_allclose(entry.edit.params["offset"].numpy(), basis.numpy() @ middle, rtol=1e-4)
    apart = Activations({**acts.values_, "ln1.0": noise(60, 6)})
    with pytest.raises(InputError, match=r"'resid_post.1', where it is taken, has 8, and 'ln1.0' has 6"):
        MeanDifference(["resid_post.*", "ln1.0"], shared="resid_post.1").fit(apart, labels)
    with pytest.raises(SiteError, match=r"resid_post\.7"):
        MeanDifference(shared="resid_post.7").fit(acts, labels)


def test_sites_are_kept_by_what_other_groups_say() -> None:
    # At site 0 a group is known by its own pattern, and so is its label, by heart; at site 1 the label itself is there.
    groups = [k // 6 for k in range(60)]
    labels = ["she" if (g * 7) % 10 < 5 else "he" for g in groups]
    own = 5 * noise(10, 40, seed=5)[torch.tensor(groups)]
    sign = torch.tensor([1.0 if label == "she" else -1.0 for label in labels])
    values = {
        "resid_post.0": own + 0.1 * noise(60, 40, seed=1),
        "resid_post.1": 0.5 * sign[:, None] + noise(60, 40, seed=2),
    }
    acts = Activations(values)
    by_row, by_group = MeanDifference(keep=1), MeanDifference(keep=1)
    assert by_row.fit(acts, labels).sites == [Site("resid_post", 0)]
    steer = by_group.fit(acts, labels, groups=groups)
    assert steer.sites == [Site("resid_post", 1)]
    assert by_group.ranking_ is not None and [str(site) for site, _ in by_group.ranking_] == [
        "resid_post.1",
        "resid_post.0",
    ]
    assert steer.card["ranking"]["sites"] == [[str(site), score] for site, score in by_group.ranking_]
    # The direction is that of all rows: held-out groups choose, and take nothing away.
    assert steer == MeanDifference("resid_post.1").fit(acts, labels)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_ranking_is_that_of_a_few_lines_of_scikit_learn(classes: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    centroid = pytest.importorskip("sklearn.neighbors").NearestCentroid
    acts, labels = planted((0.2, 0.8, 0.4), classes)
    method = MeanDifference(keep=2, cv=3, random_state=4)
    method.fit(acts, labels)
    y = np.array(labels)
    given = labeling(acts, labels)
    folds = ranking._folds(given, np.arange(60), 3, 4).numpy()
    spread = np.array([np.bincount(y[folds == k], minlength=classes) for k in range(3)])
    assert spread.max() - spread.min() <= 1
    expected = {}
    for site in acts.sites:
        x, guess, areas = acts[site].numpy().astype(np.float64), np.empty(60), []
        for k in range(3):
            train, test = folds != k, folds == k
            means = np.stack([x[train & (y == c)].mean(axis=0) for c in range(classes)])
            axes = np.linalg.svd(means - means.mean(axis=0))[2][: classes - 1]
            fitted = centroid().fit(x[train] @ axes.T, y[train])
            guess[test] = fitted.predict(x[test] @ axes.T)
            areas.append(metrics.roc_auc_score(y[test] == 1, x[test] @ (means[1] - means[0])))
        expected[site] = np.mean(areas) if classes == 2 else metrics.balanced_accuracy_score(y, guess)
    assert method.ranking_ is not None
    assert dict(method.ranking_) == pytest.approx(expected)
    assert [site for site, _ in method.ranking_] == sorted(expected, key=lambda site: -expected[site])


def test_of_equally_good_sites_the_earlier_is_kept() -> None:
    acts, labels = planted((9.0, 9.0, 9.0))
    method = MeanDifference(keep=2)
    assert [str(site) for site in method.fit(acts, labels).sites] == ["resid_post.0", "resid_post.1"]
    assert method.ranking_ is not None and {score for _, score in method.ranking_} == {1.0}


def test_leading_directions_have_the_most_variance_between_groups() -> None:
    acts, labels = planted((1.0,), classes=4)
    means = np.stack(list(means_of(acts, "resid_post.0", labels).values()))
    axes = np.linalg.svd(means - means.mean(axis=0))[2]
    for rank in (1, 2, 3, None):
        basis = MeanDifference(rank=rank).fit(acts, labels).entries[0].edit.params["basis"].numpy()
        wanted = axes[: rank or 3]
        np.testing.assert_allclose(basis.T @ basis, wanted.T @ wanted, atol=1e-5)
    # A million times smaller than the largest is rounding; a thousand times is not.
    for size, dimensions in ((1e-3, 2), (1e-8, 1)):
        three = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 1.0], [0.5, size, 1.0]], dtype=torch.float64)
        steer = MeanDifference().fit(Activations({"resid_post.0": three}), ["a", "b", "c"])
        assert len(steer.entries[0].edit.params["basis"]) == dimensions


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"normalize": "unit"}, "ablation has none; set edit='add'"),
        ({"normalize": "long"}, "normalize must be one of 'none', 'unit', 'activation'; found 'long'"),
        ({"edit": "move"}, "edit must be one of 'ablate', 'add'; found 'move'"),
        ({"keep": 0}, "keep must be at least 1; found 0"),
        ({"keep": 4}, "keep=4 sites were asked for, and 3 were captured that match"),
        ({"keep": 1, "cv": 1}, "cv must be at least 2; found 1"),
        ({"keep": 1, "cv": 99}, "99 folds were asked for"),
        ({"rank": 2}, "rank=2 was asked for, and 2 groups differ in at most 1"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: Any, says: str) -> None:
    acts, labels = planted((0.3, 2.0, 1.0))
    with pytest.raises(InputError, match=says):
        MeanDifference().set_params(**options).fit(acts, labels)


def test_what_moments_or_groups_cannot_give_is_refused() -> None:
    acts, labels = planted((1.0,), classes=3)
    moments = Moments([0, 1], torch.tensor([4, 0]), {Site("ln1", 0): noise(2, 2).double()})
    with pytest.raises(InputError, match="class 1 has no examples, and so no mean"):
        MeanDifference("ln1.0").fit(moments)
    with pytest.raises(InputError, match="capture without reduce"):
        MeanDifference("ln1.0", keep=1).fit(moments)
    with pytest.raises(InputError, match="5 folds were asked for, and there are 3 groups"):
        MeanDifference(keep=1).fit(acts, labels, groups=labels)
    with pytest.raises(InputError, match="all rows of class 0 are in one"):
        MeanDifference(keep=1, cv=3).fit(acts, labels, groups=labels)
    with pytest.raises(InputError, match="60 rows of activations and 3 groups were given"):
        MeanDifference(keep=1).fit(acts, labels, groups=[0, 1, 2])
    line = torch.tensor([0.0, 1.0, 3.0])[:, None] * noise(12)
    with pytest.raises(InputError, match="rank=2 was asked for, and the means of 3 classes differ in 1"):
        MeanDifference(rank=2).fit(Activations({"resid_post.0": line}), ["a", "b", "c"])


def test_rows_that_are_tokens_take_the_labels_of_their_examples() -> None:
    example = torch.tensor([0, 0, 1, 2, 2, 2, 3, 3])
    acts = Activations({"resid_post.0": noise(8, 5)}, at="all:image", example=example)
    of_examples, of_rows = ["he", "she", "he", "she"], ["he", "he", "she", "he", "he", "he", "she", "she"]
    method = MeanDifference(edit="add")
    assert method.fit(acts, of_examples) == method.fit(acts, of_rows)
    with pytest.raises(
        InputError, match=r"8 rows of activations and 3 labels were given; .*one for each of the 4 examples"
    ):
        method.fit(acts, of_examples[:3])
    single = Activations({"resid_post.0": noise(4, 5)}, example=torch.tensor([0, 1, 2, 5]))
    with pytest.raises(InputError, match=r"4 rows of activations and 6 labels were given; one label a row is needed$"):
        method.fit(single, ["he", "she"] * 3)
