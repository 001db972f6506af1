"""Baselines against independent few-line versions, against concept-erasure, and against what they promise."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from levelhead import operators
from levelhead.capture import Activations
from levelhead.edits import Edit
from levelhead.errors import InputError
from levelhead.methods import (
    CAA,
    INLP,
    ITI,
    LEACE,
    MeanDifference,
    MeanProjection,
)
from levelhead.probes.folds import stratified_folds
from levelhead.steer import Steer


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def correlated(n: int, d: int, classes: int, seed: int = 0, apart: float = 1.0) -> tuple[Tensor, list[str]]:
    """Classes in noise whose coordinates are anything but independent."""
    codes = torch.arange(n) % classes
    mixing = noise(d, d, seed=seed + 1) + torch.diag(torch.linspace(0.2, 3, d))
    x = (noise(n, d, seed=seed + 2) + apart * noise(classes, d, seed=seed + 3)[codes]) @ mixing + 4
    return x, [f"class {code}" for code in codes.tolist()]


def only(steer: Steer) -> Edit:
    (entry,) = steer.entries
    return entry.edit


def through(edit: Edit, h: Tensor) -> Tensor:
    return operators.apply(h, [("0", edit.kind, 1.0, "all", None, edit.params, None)], None, {})


# -- LEACE ---------------------------------------------------------------------------------------------


def reference_eraser(x: Tensor, labels: list[str], **options: Any) -> Any:
    """The authors' package on float64 and one-hot labels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it compiles a function by a way that torch leaves behind
        from concept_erasure import LeaceEraser
    codes = torch.tensor([sorted(set(labels)).index(label) for label in labels])
    return LeaceEraser.fit(x.double(), torch.nn.functional.one_hot(codes).double(), **options)


@pytest.mark.parametrize("shrinkage", [True, False])
@pytest.mark.parametrize(("n", "d", "classes"), [(200, 12, 2), (200, 12, 4), (30, 40, 3), (6, 5, 2)])
def test_leace_is_that_of_the_authors_package(n: int, d: int, classes: int, shrinkage: bool) -> None:
    x, labels = correlated(n, d, classes, seed=n)
    edit = only(LEACE(shrinkage=shrinkage).fit(Activations({"resid_post.0": x}), labels))
    assert edit.params["read"].shape == (classes - 1, d)
    theirs = reference_eraser(x, labels, shrinkage=shrinkage)
    if not shrinkage and n <= d:
        # Without shrinkage nothing is known of directions that the data do not have; compare where they are.
        other = x
    else:
        other = torch.cat([x, 4 + 5 * noise(20, d, seed=9)])
    torch.testing.assert_close(through(edit, other), theirs(other.double()).float(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("classes", [2, 3])
def test_after_leace_no_linear_probe_beats_a_constant(classes: int) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, labels = correlated(180, 16, classes, apart=1.5)
    y = np.array(labels)

    def probe(h: Tensor) -> Any:
        return linear_model.LogisticRegression(C=1e3, max_iter=5000).fit(h.double().numpy(), y)

    assert probe(x).score(x.double().numpy(), y) > 0.95, "before, the classes can be told apart"
    edit = only(LEACE("ln1.0").fit(Activations({"ln1.0": x}), labels))
    after = through(edit, x)
    means = torch.stack([after[torch.from_numpy(y == label)].mean(dim=0) for label in sorted(set(labels))])
    torch.testing.assert_close(means, x.mean(dim=0).expand_as(means), atol=1e-4, rtol=0)
    # The best that any probe can say is how frequent the classes are.
    said = probe(after).predict_proba(after.double().numpy())
    np.testing.assert_allclose(said, 1 / classes, atol=1e-3)
    if classes == 2:
        crude = through(only(MeanProjection("ln1.0", to="mean").fit(Activations({"ln1.0": x}), labels)), x)
        assert (crude - x).norm() > (after - x).norm(), "of maps with equal class means, LEACE changes least"


def test_a_weak_relation_is_left_where_tol_says_so() -> None:
    x, labels = correlated(200, 8, 3)
    # Independently: singular values of whitened activations against one-hot classes.
    white = np.linalg.qr(x.double().numpy() - x.double().numpy().mean(axis=0))[0] * 199**0.5
    hot = np.array([[label == c for c in sorted(set(labels))] for label in labels], dtype=float)
    strong, weak, none = np.linalg.svd(white.T @ (hot - hot.mean(axis=0)) / 199, compute_uv=False)
    assert none < 1e-12
    for tol, rank in ((weak / 2, 2), ((weak + strong) / 2, 1)):
        edit = only(LEACE(shrinkage=False, tol=float(tol)).fit(Activations({"resid_post.0": x}), labels))
        assert len(edit.params["read"]) == rank
    with pytest.raises(InputError, match="correlates with the classes by more than tol"):
        LEACE(shrinkage=False, tol=float(1.01 * strong)).fit(Activations({"resid_post.0": x}), labels)


# -- INLP ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 3])
def test_inlp_is_that_of_a_few_lines(classes: int) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, labels = correlated(120, 10, classes, apart=2.0)
    method = INLP(rounds=3)
    basis = only(method.fit(Activations({"resid_post.0": x}), labels)).params["basis"].double().numpy()
    # The reference keeps a projection matrix, and takes a round's weights out of it by their pseudo-inverse.
    centered, keep = x.double().numpy() - x.double().numpy().mean(axis=0), np.eye(10)
    accuracies = []
    for _ in range(3):
        h = centered @ keep
        model = linear_model.LogisticRegression(C=1.0, max_iter=1000).fit(h, labels)
        accuracies.append(model.score(h, labels))
        weights = model.coef_ @ keep
        keep = keep @ (np.eye(10) - np.linalg.pinv(weights, rcond=1e-6) @ weights)
    (found,) = method.accuracies_.values()
    assert found == pytest.approx(accuracies) and found[0] > found[-1]
    assert len(basis) == 3 * (classes - 1)
    np.testing.assert_allclose(np.eye(10) - basis.T @ basis, keep, atol=1e-3)


def test_inlp_ends_when_nothing_is_better_than_chance() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, labels = correlated(300, 4, 2, apart=2.0)
    x[:, 1:] = noise(300, 3, seed=5)  # one coordinate tells
    labels = ["she" if value > x[:, 0].median() else "he" for value in x[:, 0].tolist()]
    method = INLP(rounds=10, tol=0.08)
    edit = only(method.fit(Activations({"resid_post.0": x}), labels))
    (found,) = method.accuracies_.values()
    assert len(edit.params["basis"]) == len(found) - 1 < 4
    assert found[-1] - 0.5 <= 0.08 < min(found[:-1]) - 0.5
    after = through(edit, x).numpy()
    assert linear_model.LogisticRegression().fit(after, labels).score(after, labels) - 0.5 <= 0.1
    # Every direction can be taken, and that ends it as well.
    one = Activations({"resid_post.0": noise(12, 2)})
    assert len(only(INLP(tol=-1.0).fit(one, ["he", "she"] * 6)).params["basis"]) == 2


# -- mean projection -------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", ["zero", "mean"])
def test_mean_projection_is_one_orthogonal_projection(to: Any) -> None:
    x, labels = correlated(50, 6, 2)
    acts = Activations({"resid_post.0": x})
    steer = MeanProjection(to=to).fit(acts, labels)
    assert steer == MeanDifference(to=to).fit(acts, labels)
    h, y = x.double().numpy(), np.array(labels)
    one, two = (h[y == label].mean(axis=0) for label in sorted(set(labels)))
    unit = (one - two) / np.linalg.norm(one - two)
    point = np.zeros(6) if to == "zero" else (one + two) / 2
    np.testing.assert_allclose(through(only(steer), x).numpy(), h - np.outer((h - point) @ unit, unit), atol=1e-4)


# -- ITI -----------------------------------------------------------------------------------------------


def heads(groups: list[int]) -> tuple[Activations, list[int]]:
    """Six heads: one knows each group by heart, one the label; the others next to nothing."""
    n = len(groups)
    labels = [(7 * group) % 10 // 5 for group in groups]
    sign = 2 * torch.tensor(labels)[:, None] - 1.0
    values = {f"z.{layer}.{head}": noise(n, 12, seed=10 * layer + head) for layer in range(2) for head in range(3)}
    values["z.0.1"] = 6 * torch.eye(12)[torch.tensor(groups)] + 0.1 * values["z.0.1"]
    values["z.1.2"] = values["z.1.2"] + 1.2 * sign
    return Activations(values), labels


@pytest.mark.parametrize("direction", ["mean", "probe"])
@pytest.mark.parametrize("toward", [None, 0])
def test_iti_is_that_of_a_few_lines_of_scikit_learn(direction: Any, toward: Any) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    groups = [k // 6 for k in range(60)]
    acts, labels = heads(groups)
    method = ITI(heads=2, alpha=5, direction=direction, toward=toward, random_state=3)
    steer = method.fit(acts, labels, groups=groups)
    y = np.array(labels)
    folds = stratified_folds(y == 1, np.array(groups), 2, np.random.default_rng(3))
    expected = {}
    for site, value in acts.items():
        x, right = value.double().numpy(), np.empty(60)
        for k in (0, 1):
            model = linear_model.LogisticRegression(tol=1e-8, max_iter=5000).fit(x[folds != k], y[folds != k])
            right[folds == k] = model.predict(x[folds == k]) == y[folds == k]
        expected[site] = right.mean()
    assert dict(method.ranking_) == pytest.approx(expected)
    best = sorted(expected, key=lambda site: (-expected[site], site.order))[:2]
    assert steer.sites == sorted(best) and {entry.scope for entry in steer} == {"generated"}
    assert str(method.ranking_[0][0]) == "z.1.2"
    for entry in steer:
        x = acts[entry.site].double().numpy()
        way = x[y == 1].mean(axis=0) - x[y == 0].mean(axis=0)
        if direction == "probe":
            way = linear_model.LogisticRegression(tol=1e-8, max_iter=5000).fit(x, y).coef_[0]
        way = way / np.linalg.norm(way) * (1 if toward is None else -1)
        np.testing.assert_allclose(entry.edit.params["vector"].numpy(), 5 * np.std(x @ way) * way, rtol=2e-3, atol=2e-3)


def test_iti_ranks_heads_by_groups_that_their_probes_did_not_see() -> None:
    groups = [k // 6 for k in range(60)]
    acts, labels = heads(groups)
    by_row, by_group = ITI(heads=1), ITI(heads=1)
    by_row.fit(acts, labels)
    by_group.fit(acts, labels, groups=groups)
    learned = {str(site): score for site, score in by_row.ranking_}
    assert learned["z.0.1"] > 0.95, "a head that knows each group by heart"
    unseen = {str(site): score for site, score in by_group.ranking_}
    assert unseen["z.0.1"] < 0.8 < unseen["z.1.2"]
    assert [str(site) for site in by_group.steer_.sites] == ["z.1.2"]


# -- CAA -----------------------------------------------------------------------------------------------


def test_caa_is_the_mean_over_pairs() -> None:
    yes, no = noise(9, 5), noise(9, 5, seed=1)
    for multiplier in (1.0, -2.5):
        steer = CAA("resid_post.3", multiplier).fit(
            Activations({"resid_post.3": yes, "ln1.0": yes}), Activations({"resid_post.3": no})
        )
        wanted = multiplier * np.mean([a - b for a, b in zip(yes.numpy(), no.numpy(), strict=True)], axis=0)
        np.testing.assert_allclose(only(steer).params["vector"].numpy(), wanted, atol=1e-6)
        assert steer.entries[0].scope == "generated" and steer.card["data"]["pairs"] == 9
    short = Activations({"resid_post.3": no[:8]})
    with pytest.raises(InputError, match="found 9 rows with the positive and 8 with the negative answer"):
        CAA("resid_post.3").fit(Activations({"resid_post.3": yes}), short)
    same = Activations({"resid_post.3": yes})
    with pytest.raises(InputError, match=r"the pairs are equal on average at 'resid_post\.3'"):
        CAA("resid_post.3").fit(same, same)
