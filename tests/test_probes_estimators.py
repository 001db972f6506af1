"""Kinds of probes, several classes, strengths, the input as a control, and description length."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from sklearn.base import clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.neighbors import NearestCentroid

from levelhead import Activations, ProbeSweep, Site, Steer, align
from levelhead.edits import Ablate
from levelhead.errors import FallbackWarning, InputError
from levelhead.probes import online
from levelhead.probes.controls import control_tasks, shuffled_labels
from levelhead.probes.crossfit import cross_fit
from levelhead.probes.folds import stratified_folds
from levelhead.probes.linear import fit_logistic
from levelhead.probes.softmax import fit_softmax

mpl.use("Agg")

HERE = Site("resid_post", 0)
ESTIMATORS = ("logistic", "ridge", "lda", "mean_difference")


def clusters(n: int, d: int, k: int, size: float = 0.7, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """`k` classes around means of their own, in anisotropic noise, away from the origin."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % k
    means = size * torch.randn(k, d, generator=generator) / d**0.5
    x = torch.randn(n, d, generator=generator) * torch.logspace(0, -0.7, d) + means[y] + 0.5
    return x.double().numpy(), y.numpy()


def at(x: np.ndarray) -> Activations:
    return Activations({HERE: torch.from_numpy(x)})


def quiet(**params: Any) -> ProbeSweep:
    return ProbeSweep(**{"controls": (), "verbose": False, "cv": 4, **params})


# -- scikit-learn is the oracle --------------------------------------------------------------------------------


def their(estimator: str, C: float, x: np.ndarray, y: np.ndarray) -> Any:
    """scikit-learn's model of the same definition, fitted."""
    if estimator == "ridge":
        return RidgeClassifier(alpha=1 / C).fit(x, y)
    if estimator == "logistic":
        return LogisticRegression(C=C, tol=1e-8, solver="newton-cg", max_iter=1000).fit(x, y)
    if estimator == "mean_difference":
        return NearestCentroid().fit(x, y)
    inside = x - np.stack([x[y == c].mean(axis=0) for c in range(y.max() + 1)])[y]
    a = x.shape[1] / (C * (inside**2).sum())
    return LinearDiscriminantAnalysis(solver="lsqr", shrinkage=a / (1 + a)).fit(x, y)


def their_weights(model: Any, x: np.ndarray, k: int) -> np.ndarray:
    if isinstance(model, NearestCentroid):
        return np.diff(model.centroids_, axis=0) if k == 2 else model.centroids_ - x.mean(axis=0)
    return np.atleast_2d(model.coef_)


def their_scores(model: Any, train: np.ndarray, x: np.ndarray, k: int) -> np.ndarray:
    """A column a class; log-odds against the rest where there are probabilities."""
    if isinstance(model, NearestCentroid):
        middle = train.mean(axis=0)
        scores = (x - middle) @ (model.centroids_ - middle).T
        return scores if k > 2 else np.diff(scores, axis=1) * [-1, 1]
    scores = model.decision_function(x)
    if k == 2:
        return np.stack([-scores, scores], axis=1)
    if isinstance(model, RidgeClassifier):
        return scores
    return np.stack([scores[:, c] - logsumexp(np.delete(scores, c, axis=1), axis=1) for c in range(k)], axis=1)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize(
    ("n", "d", "k", "C"), [(240, 20, 2, 1.0), (120, 200, 2, 0.1), (240, 20, 3, 0.1), (120, 150, 5, 1.0)]
)
def test_every_estimator_agrees_with_scikit_learn(estimator: str, n: int, d: int, k: int, C: float) -> None:
    x, y = clusters(n, d, k)
    sweep = quiet(estimator=estimator, C=C).fit(at(x), y)
    model = their(estimator, C, x, y)
    ours, theirs = np.atleast_2d(sweep.coef(HERE).numpy()), their_weights(model, x, k)
    if k > 2:  # what is added to the weights of all classes alike changes no decision
        ours, theirs = ours - ours.mean(axis=0), theirs - theirs.mean(axis=0)
    cosine = (ours * theirs).sum(axis=1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
    assert cosine.min() > 0.9999
    assert sweep.predict(at(x))[HERE] == model.predict(x).tolist()
    areas, decided = [], np.empty(n, dtype=int)
    for fold in range(4):
        train, test = sweep.folds_ != fold, sweep.folds_ == fold
        model = their(estimator, C, x[train], y[train])
        scores = their_scores(model, x[train], x[test], k)
        areas.append([roc_auc_score(y[test] == c, scores[:, c]) for c in range(k)])
        decided[test] = model.predict(x[test])
    row = sweep.frame().iloc[0]
    assert row["auc"] == pytest.approx(np.mean(areas), abs=1e-3)
    right = balanced_accuracy_score(y, decided)  # of classes of one size, accuracy
    assert row["accuracy" if k == 2 else "balanced_accuracy"] == pytest.approx(right, abs=1e-9)
    assert row["auc_low"] <= row["auc"] <= row["auc_high"]


def test_of_two_classes_ridge_and_lda_are_one_direction() -> None:
    """By Sherman and Morrison: the scatter between classes only rescales the solution."""
    x, y = clusters(90, 40, 2)
    first, second = (quiet(estimator=name, C=0.3).fit(at(x), y) for name in ("ridge", "lda"))
    assert float(torch.cosine_similarity(first.coef(HERE), second.coef(HERE), dim=0)) > 1 - 1e-9
    assert first.frame().auc[0] == pytest.approx(second.frame().auc[0])


def test_the_multinomial_fit_is_the_minimum_of_the_objective() -> None:
    generator = torch.Generator().manual_seed(0)
    for d in (5, 60):
        x = 3 * torch.randn(2, 40, d, generator=generator, dtype=torch.float64) + 5
        labels = torch.stack([torch.arange(40) % 3, torch.randint(3, (40,), generator=generator)])
        train = torch.ones(2, 40, dtype=torch.bool)
        train[1, :6] = False
        fits = fit_softmax(x, labels, train, 3, C=0.5, tol=1e-13)
        margins = torch.einsum("snd,spcd->spcn", x, fits.coef) + fits.intercept[..., None]
        assert torch.allclose(margins, fits.margins, atol=1e-7)
        hot = torch.stack([labels == c for c in range(3)], dim=1)
        residual = (margins.softmax(dim=2) - hot.double()) * train[:, None]
        assert float((torch.einsum("spcn,snd->spcd", residual, x) + fits.coef / 0.5).abs().max()) < 1e-4
        assert float(residual.sum(dim=3).abs().max()) < 1e-5


def test_of_two_classes_the_multinomial_probe_is_the_binary_one() -> None:
    x, y = clusters(60, 8, 2)
    given, train = torch.from_numpy(x)[None], torch.ones(1, 60, dtype=torch.bool)
    binary = fit_logistic(given, torch.from_numpy(y == 1)[None], train, C=1.0, tol=1e-12)
    # Two opposite vectors, each half as long, have half of the penalty at the same strength.
    both = fit_softmax(given, torch.from_numpy(y)[None], train, 2, C=0.5, tol=1e-12)
    assert torch.allclose(both.coef.diff(dim=2)[:, :, 0], binary.coef, atol=1e-6)


def test_separable_classes_converge_and_running_out_of_steps_warns() -> None:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(60) % 3
    x = torch.randn(1, 60, 20, generator=generator, dtype=torch.float64)
    x[0, :, 0] += 50.0 * y
    x[..., 1] *= 1e4  # one massive coordinate, as in the residual streams of real models
    train = torch.ones(1, 60, dtype=torch.bool)
    fits = fit_softmax(x, y[None], train, 3, C=1e4)
    assert bool((fits.margins[0, 0].argmax(dim=0) == y).all())
    with pytest.warns(FallbackWarning, match="1 of 1 probes at 1 sites had not converged after 1 Newton steps"):
        fit_softmax(x, y[None], train, 3, max_steps=1)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_site_where_nothing_varies_reads_chance(estimator: str) -> None:
    for k in (2, 3):
        frame = quiet(estimator=estimator).fit(at(np.ones((60, 7))), np.arange(60) % k).frame()
        assert frame.auc[0] == 0.5


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_standardizing_is_a_fit_on_standardized_activations(estimator: str, k: int) -> None:
    x, y = clusters(90, 6, k)
    x = x * np.logspace(0, 2, 6)
    ours = quiet(estimator=estimator, standardize=True).fit(at(x), y)
    scaled = quiet(estimator=estimator).fit(at(x / x.std(axis=0)), y)
    assert np.allclose(ours.coef(HERE).numpy() * x.std(axis=0), scaled.coef(HERE).numpy(), atol=1e-7)
    assert np.allclose(ours.scores(HERE), scaled.scores(HERE), atol=1e-7)
    for one, other in zip(ours.predict(at(x)).values(), scaled.predict(at(x / x.std(axis=0))).values(), strict=True):
        assert one == other


# -- what a sweep finds, of several classes ----------------------------------------------------------------------


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_three_planted_classes_are_found_and_noise_is_not(estimator: str) -> None:
    generator = torch.Generator().manual_seed(0)
    labels = [("her", "him", "them")[i % 3] for i in range(120)]
    values = {f"resid_post.{layer}": torch.randn(120, 8, generator=generator) for layer in range(3)}
    values["resid_post.1"] += 3 * torch.eye(8)[torch.arange(120) % 3]
    groups = [i // 6 * 3 + i % 3 for i in range(120)]
    sweep = ProbeSweep(estimator=estimator, verbose=False, n_controls=19).fit(Activations(values), labels, groups)
    frame = sweep.frame().set_index("site")
    there, noise = frame.loc["resid_post.1"], frame.drop("resid_post.1")
    assert sweep.best(1) == [Site("resid_post", 1)] and sweep.classes_ == ["her", "him", "them"]
    assert there.auc > 0.95 and there.p_value == 0.05 and there.selectivity > 0.3 and there.balanced_accuracy > 0.8
    assert (noise.auc < sweep.threshold_).all() and (noise.p_value > 0.05).all()
    assert (abs(frame.shuffle_mean - 0.5) < 0.05).all()
    assert there.majority == pytest.approx(1 / 3) and sweep.counts_ == {"her": 40, "him": 40, "them": 40}
    assert sweep.coef("resid_post.1").shape == (3, 8) and sweep.scores("resid_post.1").shape == (120, 3)
    assert sweep.score(Activations(values), labels)[Site("resid_post", 1)] > 0.95
    assert "accuracy" not in frame


def test_more_than_two_classes_are_refused_where_a_direction_must_have_a_sign() -> None:
    x, y = clusters(60, 8, 3)
    sweep = quiet().fit(at(x), y)
    with pytest.raises(
        InputError, match=r"two classes are needed here, and the labels have 3: 0, 1, 2; give one against"
    ):
        align(Steer({HERE: Ablate(torch.eye(8)[0])}), sweep)


def test_folds_and_draws_of_several_classes() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), 4)
    y = (np.arange(30) % 3)[groups]
    folds = stratified_folds(y, groups, 5, rng)
    assert all(len(set(folds[groups == g])) == 1 for g in range(30))
    assert all((np.bincount(folds[y == c], minlength=5) == 8).all() for c in range(3))
    draws = shuffled_labels(y, groups, folds, 5, 10, rng)
    assert all(len(set(draw[groups == g])) == 1 for draw in draws for g in range(30))
    assert all((np.bincount(draw) == 40).all() for draw in draws)
    tasks, _ = control_tasks(groups, 5, 10, rng, 3)
    assert all(len(set(draw[groups == g])) == 1 for draw in tasks for g in range(30))
    assert all((np.bincount(draw) == 40).all() for draw in tasks)


def test_the_interval_of_several_classes_covers_the_truth() -> None:
    """Three clouds in a plane; the truth is what the true means score on very many examples."""
    rng = np.random.default_rng(0)

    def draw(n: int) -> tuple[np.ndarray, np.ndarray]:
        y = np.arange(n) % 3
        return rng.standard_normal((n, 2)) + 1.2 * np.eye(3)[y][:, :2], y

    x, y = draw(60_000)
    gaps = np.eye(3)[:, :2] - np.eye(3)[:, :2].mean(axis=0)
    truth = np.mean([roc_auc_score(y == c, x @ gaps[c]) for c in range(3)])
    inside = 0
    for _ in range(40):
        frame = quiet(estimator="mean_difference", cv=3).fit(at(draw(150)[0]), np.arange(150) % 3).frame()
        inside += int(frame.auc_low[0] <= truth <= frame.auc_high[0])
    assert (
        inside >= 33
    )  # 38 expected of a perfect interval; probes fitted on 100 examples are a little worse than the truth


def test_pictures_name_the_classes() -> None:
    import matplotlib.pyplot as plt

    x, y = clusters(60, 8, 3)
    sweep = quiet(estimator="ridge").fit(Activations({f"z.0.{h}": torch.from_numpy(x) for h in range(2)}), y)
    try:
        ax = sweep.plot()
        assert "0, 1, 2" in ax.get_title(loc="left") and "mean over classes" in ax.get_ylabel()
        assert "0, 1, 2" in sweep.plot_heads().get_title(loc="left")
    finally:
        plt.close("all")


# -- strengths ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", ["ridge", "logistic"])
@pytest.mark.parametrize("k", [2, 3])
def test_each_fold_takes_the_strength_that_is_best_on_the_others(estimator: str, k: int) -> None:
    x, y = clusters(72, 60, k, seed=3)
    strengths = (10.0, 0.001, 0.1)
    sweep = quiet(estimator=estimator, C=strengths).fit(at(x), y)
    single = {C: quiet(estimator=estimator, C=C).fit(at(x), y) for C in sorted(strengths)}
    columns = {C: each.scores(HERE).reshape(72, -1).numpy() for C, each in single.items()}

    def score(C: float, without: int | None) -> float:
        total, pairs = 0.0, 0.0
        for c in range(k):
            sums = np.zeros(2)
            for fold in set(range(4)) - {without}:
                here = sweep.folds_ == fold
                values = columns[C][here, c if k > 2 else 0] * (1 if k > 2 or c else -1)
                weight = (y[here] == c).sum() * (y[here] != c).sum()
                sums += weight * np.array([roc_auc_score(y[here] == c, values), 1.0])
            total, pairs = total + sums[0] / sums[1], pairs + 1
        return total / pairs

    for fold in range(4):
        best = max(sorted(strengths), key=lambda C: round(score(C, fold), 9))
        here = sweep.folds_ == fold
        assert np.allclose(sweep.scores(HERE).reshape(72, -1).numpy()[here], columns[best][here])
    best = max(sorted(strengths), key=lambda C: round(score(C, None), 9))
    assert sweep.C_ == {HERE: best}
    assert torch.allclose(sweep.coef(HERE), single[best].coef(HERE))


def test_a_choice_of_strengths_does_not_make_noise_look_good() -> None:
    generator = torch.Generator().manual_seed(0)
    y = [i % 2 for i in range(60)]
    acts = Activations({f"z.0.{h}": torch.randn(60, 20, generator=generator) for h in range(50)})
    strengths = (1e-4, 1e-2, 0.1, 1.0)
    single = np.stack([quiet(estimator="ridge", C=C).fit(acts, y).frame().auc for C in strengths])
    best, usual = single.max(axis=0).mean(), single.mean()
    assert best > usual + 0.02
    assert quiet(estimator="ridge", C=strengths).fit(acts, y).frame().auc.mean() < usual + 0.5 * (best - usual)


def test_one_strength_is_asked_for_where_nothing_chooses() -> None:
    x, y = clusters(20, 3, 2)
    with pytest.raises(InputError, match=r"one strength C is needed here, and several were given: \[1.0, 2.0\]"):
        fit_logistic(
            torch.from_numpy(x)[None], torch.from_numpy(y == 1)[None], torch.ones(1, 20, dtype=torch.bool), C=[1.0, 2.0]
        )


def test_parameters_survive_cloning() -> None:
    sweep = ProbeSweep(estimator="lda", C=(0.1, 1.0), mdl=True, controls=("input",))
    assert clone(sweep).get_params() == sweep.get_params()
    assert sweep.get_params()["estimator"] == "lda" and "C=(0.1, 1.0)" in repr(sweep)


def test_cross_fit_of_truth_values_has_no_axis_for_classes() -> None:
    x, y = clusters(40, 5, 2)
    folds = np.arange(40)[None] // 2 % 4
    for estimator in ESTIMATORS:
        found = cross_fit(torch.from_numpy(x)[None], (y == 1)[None], folds, 4, full=True, estimator=estimator)
        assert found.scores.shape == (1, 1, 40) and found.coef is not None and found.coef.shape == (1, 1, 5)


# -- the input as a control --------------------------------------------------------------------------------------


def test_what_the_input_gives_away_is_subtracted() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(160) % 2
    start = torch.randn(160, 6, generator=generator)
    start[:, 0] += 1.0 * labels  # the word itself tells some of it
    later = start + 0.3 * torch.randn(160, 6, generator=generator)
    later[:, 1] += 2.5 * labels  # and the context more
    values = {
        "resid_pre.0": start,
        "resid_post.0": start + 0.0,
        "resid_post.3": later,
        "vision/resid_post.0": later + 0.0,
    }
    sweep = quiet(controls="input").fit(Activations(values), labels)
    frame = sweep.frame().set_index("site")
    assert frame["input"]["resid_post.3"] == frame.auc["resid_pre.0"]
    assert frame.over_input["resid_post.3"] == pytest.approx(frame.auc["resid_post.3"] - frame.auc["resid_pre.0"])
    assert (
        0
        < frame.over_input_low["resid_post.3"]
        < frame.over_input["resid_post.3"]
        < frame.over_input_high["resid_post.3"]
    )
    # A copy of the input has nothing over it, though its probe scores well.
    assert frame.auc_low["resid_post.0"] > 0.5
    assert abs(frame.over_input["resid_post.0"]) < 1e-12 and abs(frame.over_input_high["resid_post.0"]) < 1e-12
    assert frame.loc["vision/resid_post.0", ["input", "over_input", "over_input_low"]].isna().all()


# -- description length ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("k", "estimator"), [(2, "logistic"), (3, "logistic"), (2, "lda"), (3, "lda")])
def test_description_length_is_the_sum_of_what_each_block_costs(k: int, estimator: str) -> None:
    x, y = clusters(240, 10, k, size=2.0)
    groups = np.arange(240) // 3
    block = online.blocks(y, groups, k, np.random.default_rng(0))
    assert all(len(set(block[groups == g])) == 1 for g in range(80))
    sizes = np.cumsum(np.bincount(block))
    assert len(sizes) >= 4 and abs(sizes[-2] - 120) <= 3 and abs(sizes[-3] - 60) <= 3
    bits = (block == 0).sum() * np.log2(k)
    for b in range(1, block.max() + 1):
        model = their(estimator, 1.0, x[block < b], y[block < b])
        odds = their_scores(model, x[block < b], x[block == b], k)
        bits += np.logaddexp(0, -odds[np.arange(len(odds)), y[block == b]]).sum() / np.log(2)
    labels = (y == 1)[None] if k == 2 else y[None]
    options = {"estimator": estimator, "n_classes": k}
    ours = online.online_bits(torch.from_numpy(x)[None], labels, block, strengths=[1.0], **options)
    assert float(ours[0]) == pytest.approx(bits, rel=1e-3)
    several = online.online_bits(torch.from_numpy(x)[None], labels, block, strengths=[0.01, 1.0], **options)
    each = [online.online_bits(torch.from_numpy(x)[None], labels, block, strengths=[C], **options) for C in (0.01, 1.0)]
    assert float(several[0]) == pytest.approx(float(min(each)[0]) + 1)  # one bit says which of the two


def test_a_site_that_encodes_the_labels_compresses_them() -> None:
    x, y = clusters(200, 6, 2, size=4.0)
    noise = np.random.default_rng(0).standard_normal((200, 6))
    acts = Activations({HERE: torch.from_numpy(x), "resid_post.1": torch.from_numpy(noise)})
    frame = quiet(mdl=True, C=0.1).fit(acts, y).frame()
    assert frame.compression[0] > 2 > 1.05 > frame.compression[1]
    assert frame.mdl[0] == pytest.approx(1 / frame.compression[0])


def test_labels_that_come_in_too_few_groups_cannot_be_sent() -> None:
    target = np.array([0] * 30 + [1] * 30)
    with pytest.raises(
        InputError, match=r"half of the groups, in random order, have fewer than two examples of a class"
    ):
        online.blocks(target, target, 2, np.random.default_rng(0))
