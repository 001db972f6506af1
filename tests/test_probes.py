from __future__ import annotations

from collections.abc import Callable

import matplotlib as mpl
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import PredefinedSplit, cross_val_predict, cross_val_score
from threadpoolctl import threadpool_limits

import levelhead as lh
from levelhead import Activations, ProbeSweep, Site
from levelhead.errors import FallbackWarning, InputError, NotFittedError, SiteError
from levelhead.probes import linear
from levelhead.probes.controls import control_tasks, shuffled_labels
from levelhead.probes.folds import stratified_folds
from levelhead.probes.linear import fit_logistic

mpl.use("Agg")


def planted(
    n: int = 120, d: int = 12, layers: int = 4, at: int = 2, size: float = 4.0
) -> tuple[Activations, list[int]]:
    """Noise at each layer, and at one of them a difference between classes along the first axis."""
    generator = torch.Generator().manual_seed(0)
    labels = [i % 2 for i in range(n)]
    values = {f"resid_post.{layer}": torch.randn(n, d, generator=generator) for layer in range(layers)}
    values[f"resid_post.{at}"][:, 0] += size * torch.tensor(labels)
    return Activations(values), labels


def quiet(**params: object) -> ProbeSweep:
    return ProbeSweep(**{"controls": (), "verbose": False, **params})


# -- scikit-learn is the oracle --------------------------------------------------------------------------------


def grid_of_sites(sites: int, n: int, d: int) -> tuple[Activations, np.ndarray]:
    generator = torch.Generator().manual_seed(1)
    y = torch.arange(n) % 2
    values: dict[str, torch.Tensor] = {}
    for i in range(sites):
        direction = torch.randn(d, generator=generator) / d**0.5
        spread = torch.logspace(0, -(i % 4) / 2, d)  # from isotropic to strongly anisotropic
        x = torch.randn(n, d, generator=generator) * spread
        values[f"z.{i // 16}.{i % 16}"] = x + (i % 5) * 0.5 * (y - 0.5)[:, None] * direction + 0.3
    return Activations(values), y.numpy()


def test_256_sites_agree_with_scikit_learn() -> None:
    # Thousands of small solves: threads that wait for each other would take most of the time.
    with threadpool_limits(1):
        compare_with_scikit_learn()


def compare_with_scikit_learn() -> None:
    acts, y = grid_of_sites(256, 400, 64)
    sweep = quiet().fit(acts, y)
    frame = sweep.frame().set_index("site")
    split = PredefinedSplit(sweep.folds_)
    cosines, gaps, areas = [], [], []
    for i, site in enumerate(sweep.sites_):
        x = acts[site].double().numpy()
        oracle = LogisticRegression(C=1.0, solver="newton-cholesky", tol=1e-8)
        fitted = oracle.fit(x, y)
        w, b = sweep.coef(site).numpy(), sweep.intercept(site)
        cosines.append(w @ fitted.coef_[0] / np.linalg.norm(w) / np.linalg.norm(fitted.coef_[0]))
        gaps.append(max(np.abs(w - fitted.coef_[0]).max(), abs(b - fitted.intercept_[0])))
        full = roc_auc_score(y, x @ w + b) - roc_auc_score(y, fitted.decision_function(x))
        areas.append(abs(full))
        if i % 16 == 0:  # out of fold too, on some
            theirs = cross_val_score(oracle, x, y, cv=split, scoring="roc_auc").mean()
            assert frame.loc[str(site), "auc"] == pytest.approx(theirs, abs=1e-3)
            decisions = cross_val_predict(oracle, x, y, cv=split, method="decision_function")
            assert np.corrcoef(decisions, sweep.scores(site).numpy())[0, 1] > 0.9999
            assert frame.loc[str(site), "accuracy"] == pytest.approx(((decisions > 0) == y).mean(), abs=0.006)
    assert min(cosines) >= 0.9999
    assert max(areas) <= 1e-3
    assert max(gaps) < 1e-3


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(8, 40),
    d=st.integers(1, 90),
    C=st.sampled_from([0.01, 1.0, 100.0]),
    seed=st.integers(0, 10_000),
    scale=st.sampled_from([0.01, 1.0, 30.0]),
)
def test_any_shape_gives_the_minimum_of_the_objective(n: int, d: int, C: float, seed: int, scale: float) -> None:
    """The gradient of scikit-learn's objective vanishes, with more features than examples as well as with fewer."""
    generator = torch.Generator().manual_seed(seed)
    x = scale * torch.randn(2, n, d, generator=generator, dtype=torch.float64) + 5
    labels = (torch.arange(n) % 2 == 1)[None].repeat(3, 1)
    labels[1] = labels[1][torch.randperm(n, generator=generator)]
    train = torch.ones(3, n, dtype=torch.bool)
    train[2, :3] = False
    fits = fit_logistic(x, labels, train, C=C, tol=1e-12)
    margins = torch.einsum("snd,spd->spn", x, fits.coef) + fits.intercept[..., None]
    assert torch.allclose(margins, fits.margins, atol=1e-6)
    residual = train * (torch.sigmoid(margins) - labels.double())
    gradient = torch.einsum("spn,snd->spd", residual, x) + fits.coef / C
    start = torch.einsum("pn,snd->spd", train * (0.5 - labels.double()), x).abs().amax()
    assert float(gradient.abs().amax()) < 1e-5 * float(start) + 1e-9
    assert float(residual.sum(dim=2).abs().max()) < 1e-5 * n


def test_more_features_than_examples_equals_the_solve_in_full_space() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 30, 80, generator=generator, dtype=torch.float64)
    y = torch.arange(30) % 2 == 1
    ours = fit_logistic(x, y[None], torch.ones(1, 30, dtype=torch.bool), tol=1e-12)
    full = LogisticRegression(C=1.0, solver="newton-cholesky", tol=1e-10).fit(x[0].numpy(), y.numpy())
    assert np.allclose(ours.coef[0, 0].numpy(), full.coef_[0], atol=1e-6)
    assert float(ours.intercept[0, 0]) == pytest.approx(full.intercept_[0], abs=1e-6)


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_separable_and_badly_scaled_data_converge(scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(60) % 2 == 1
    x = torch.randn(1, 60, 20, generator=generator, dtype=torch.float64)
    x[..., 0] += 50 * y
    x[..., 1] *= scale  # one massive coordinate, as in the residual streams of real models
    x[..., 2] = 7.0  # and one that is constant
    fits = fit_logistic(x, y[None], torch.ones(1, 60, dtype=torch.bool), C=1e4)
    assert bool(((fits.margins[0, 0] > 0) == y).all())
    assert float(fits.coef[0, 0, 2]) == pytest.approx(0, abs=1e-9)


def test_running_out_of_steps_warns() -> None:
    x = torch.randn(1, 20, 3, generator=torch.Generator().manual_seed(0))
    with pytest.warns(FallbackWarning, match="some of 1 probes at 1 sites had not converged after 1 Newton"):
        fit_logistic(x, torch.arange(20)[None] % 2 == 1, torch.ones(1, 20, dtype=torch.bool), max_steps=1)


def test_splitting_for_memory_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    acts, labels = planted()
    whole = ProbeSweep(verbose=False, n_controls=3).fit(acts, labels)
    monkeypatch.setattr(linear, "MEMORY", 1)
    assert linear.block_sizes(120, 12, 15) == (1, 1)
    split = ProbeSweep(verbose=False, n_controls=3).fit(acts, labels)
    for column in ("auc", "accuracy", "shuffle_mean", "control_task"):
        assert np.allclose(whole.frame()[column], split.frame()[column], atol=1e-9)
    assert torch.allclose(whole.coef("resid_post.2"), split.coef("resid_post.2"), atol=1e-5)


def test_standardize_is_a_fit_on_standardized_activations() -> None:
    acts, labels = planted(d=6)
    x = acts["resid_post.2"].double().numpy() * np.logspace(0, 3, 6)
    sweep = quiet(standardize=True).fit(Activations({"resid_post.2": torch.from_numpy(x)}), labels)
    spread = x.std(axis=0)
    oracle = LogisticRegression(tol=1e-9, max_iter=1000).fit(x / spread, labels)
    assert np.allclose(sweep.coef("resid_post.2").numpy() * spread, oracle.coef_[0], atol=1e-4)


# -- what a sweep finds ------------------------------------------------------------------------------------------


def test_a_planted_direction_is_found_and_noise_is_not() -> None:
    acts, labels = planted()
    sweep = ProbeSweep(verbose=False).fit(acts, labels)
    frame = sweep.frame().set_index("site")
    assert sweep.best(1) == [Site("resid_post", 2)]
    there, noise = frame.loc["resid_post.2"], frame.drop("resid_post.2")
    assert there.auc > 0.98 and there.selectivity > 0.35 and there.p_value < 0.05 and there.auc > sweep.threshold_
    assert (noise.auc < sweep.threshold_).all() and (noise.p_value > 0.05).all()
    assert (noise.auc_low < 0.5).all()
    weights = sweep.coef("resid_post.2")
    assert float(weights[0] / weights.norm()) > 0.9  # towards the second class, whatever the order of rows


def test_projecting_the_planted_direction_out_leaves_chance() -> None:
    acts, labels = planted()
    value = acts["resid_post.2"].clone()
    value[:, 0] = 0
    sweep = ProbeSweep(controls="shuffle", verbose=False).fit(Activations({"resid_post.2": value}), labels)
    assert sweep.frame().auc[0] < sweep.threshold_ < 0.75


def test_scores_on_new_data() -> None:
    acts, labels = planted(240)
    sweep = quiet().fit(acts.rows(torch.arange(120)), labels[:120])
    new = sweep.score(acts.rows(torch.arange(120, 240)), labels[120:])
    assert new[Site.parse("resid_post.2")] > 0.98
    assert max(new[site] for site in new if site.layer != 2) < 0.7


def test_folds_by_group_stop_a_probe_that_knows_the_groups() -> None:
    """Groups are recognizable, and labels are a property of the group alone: only a leak can score."""
    generator = torch.Generator().manual_seed(0)
    groups = [i // 8 for i in range(240)]
    labels = [g % 2 for g in groups]
    identity = torch.randn(30, 60, generator=generator)
    acts = Activations({"resid_post.0": identity[groups] + 0.1 * torch.randn(240, 60, generator=generator)})
    grouped = ProbeSweep(verbose=False, controls="control_task").fit(acts, labels, groups=groups).frame()
    leaking = quiet().fit(acts, labels).frame()
    assert leaking.auc[0] > 0.99
    assert grouped.auc_low[0] < 0.5 < grouped.auc_high[0]
    # The control task sees the leak that grouped folds close.
    assert grouped.control_task[0] > 0.99 and grouped.selectivity[0] < -0.2


def test_intervals_are_wider_when_groups_are_few() -> None:
    acts, labels = planted(size=1.0)
    labels = [int(i >= 60) for i in range(120)]
    acts["resid_post.2"][60:, 0] += 1.0
    examples = quiet().fit(acts, labels).frame().set_index("site").loc["resid_post.2"]
    groups = (
        quiet().fit(acts, labels, groups=[i // 6 for i in range(120)]).frame().set_index("site").loc["resid_post.2"]
    )
    assert groups.n_groups == 20 and examples.n_groups == 120
    assert groups.auc_low <= groups.auc <= groups.auc_high


def test_the_band_of_shuffled_labels_covers_chance() -> None:
    acts, labels = planted(layers=6, at=3)
    sweep = ProbeSweep(controls=("shuffle",), n_controls=40, verbose=False).fit(acts, labels)
    frame = sweep.frame()
    assert ((frame.shuffle_low < 0.5) & (frame.shuffle_high > 0.5)).all()
    assert (abs(frame.shuffle_mean - 0.5) < 0.04).all()
    assert (frame.shuffle_high <= sweep.threshold_).all()  # the best of all sites reaches further than each
    assert frame.control_task.isna().all() and frame.selectivity.isna().all()
    assert frame.p_value.min() == pytest.approx(1 / 41)


def test_without_controls_their_columns_are_nan() -> None:
    acts, labels = planted()
    sweep = quiet().fit(acts, labels)
    assert sweep.frame()[["shuffle_mean", "control_task", "selectivity", "p_value"]].isna().all(axis=None)
    assert np.isnan(sweep.threshold_)


def test_family_wise_p_values_hold_their_level() -> None:
    """On pure noise, at most about 5 % of sweeps may call their best site significant."""
    generator = torch.Generator().manual_seed(0)
    labels = [i % 2 for i in range(40)]
    hits = 0
    for seed in range(40):
        acts = Activations({f"z.0.{h}": torch.randn(40, 3, generator=generator) for h in range(5)})
        # Ridge, because it is quick; the correction knows nothing of the estimator.
        sweep = quiet(estimator="ridge", cv=2, controls="shuffle", n_controls=19, random_state=seed).fit(acts, labels)
        hits += int((sweep.frame().p_value <= 0.05).any())
    assert hits <= 6  # 2 expected; 7 or more has probability 0.003


# -- folds and controls ------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), k=st.integers(2, 6), n_groups=st.integers(12, 40))
def test_folds_keep_groups_whole_and_classes_even(seed: int, k: int, n_groups: int) -> None:
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_groups), 4)
    labels = (np.arange(n_groups) % 2 == 1)[groups]
    folds = stratified_folds(labels, groups, k, rng)
    for group in range(n_groups):
        assert len(set(folds[groups == group])) == 1
    for side in (True, False):
        counts = np.bincount(folds[labels == side], minlength=k)
        assert counts.max() - counts.min() <= 4  # one group


def test_folds_of_single_examples_are_stratified() -> None:
    labels = np.arange(103) < 41
    folds = stratified_folds(labels, np.arange(103), 5, np.random.default_rng(0))
    for side in (True, False):
        counts = np.bincount(folds[labels == side], minlength=5)
        assert counts.max() - counts.min() <= 1
    assert np.bincount(folds).max() - np.bincount(folds).min() <= 1


def test_shuffling_trades_labels_between_groups_of_one_label_and_within_the_others() -> None:
    groups = np.array([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 4, 4])
    labels = np.array([1, 1, 0, 0, 1, 1, 0, 0, 1, 0, 0, 0], dtype=bool)
    folds = np.array([0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    draws = shuffled_labels(labels, groups, folds, 2, 30, np.random.default_rng(0))
    for group in range(4):
        assert all(len(set(draw[groups == group])) == 1 for draw in draws)
    assert (draws[:, groups < 4].sum(axis=1) == 4).all()
    assert (draws[:, groups == 4].sum(axis=1) == 1).all()
    assert len({tuple(draw) for draw in draws}) > 5


def test_control_tasks_give_a_label_to_each_type_and_split_types() -> None:
    types = np.repeat(np.arange(10), 6)
    labels, folds = control_tasks(types, 5, 8, np.random.default_rng(0))
    for draw, fold in zip(labels, folds, strict=True):
        assert all(len(set(draw[types == t])) == 1 for t in range(10))
        assert draw.sum() == 30
        assert all(len(set(fold[types == t])) > 1 for t in range(10))


def test_types_of_the_control_task_can_be_given() -> None:
    generator = torch.Generator().manual_seed(0)
    types = [i % 12 for i in range(120)]
    labels = [int(i >= 60) for i in range(120)]
    acts = Activations({"resid_post.0": 5 * torch.eye(12)[types] + 0.1 * torch.randn(120, 12, generator=generator)})
    groups = [i // 4 for i in range(120)]
    by_type = ProbeSweep(controls="control_task", verbose=False).fit(acts, labels, groups, types=types).frame()
    by_group = ProbeSweep(controls="control_task", verbose=False).fit(acts, labels, groups).frame()
    assert by_type.control_task[0] > 0.99 > 0.9 > by_group.control_task[0]


# -- the estimator -----------------------------------------------------------------------------------------------


def test_same_seed_same_numbers_and_other_seed_others() -> None:
    acts, labels = planted()
    groups = [i // 4 for i in range(120)]
    first, again, other = (
        ProbeSweep(random_state=seed, n_controls=3, verbose=False).fit(acts, labels, groups).frame()
        for seed in (0, 0, 1)
    )
    assert first.equals(again)
    assert not first.auc.equals(other.auc)


def test_global_random_state_is_left_alone() -> None:
    acts, labels = planted()
    torch.manual_seed(0)
    before, numpy_before = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    ProbeSweep(n_controls=2, verbose=False).fit(acts, labels)
    assert torch.equal(before, torch.random.get_rng_state())
    assert (numpy_before == np.random.get_state()[1]).all()  # noqa: NPY002


def test_a_site_scores_the_same_whichever_sites_are_beside_it() -> None:
    acts, labels = planted()
    alone = Activations({"resid_post.2": acts["resid_post.2"]})
    mixed = Activations({"mlp_out.0": torch.randn(120, 200), **{site: acts[site] for site in reversed(acts.sites)}})
    columns = ["auc", "auc_low", "accuracy", "shuffle_mean", "shuffle_high", "control_task"]
    rows = [
        ProbeSweep(n_controls=3, verbose=False).fit(a, labels).frame().set_index("site").loc["resid_post.2", columns]
        for a in (acts, alone, mixed)
    ]
    for row in rows[1:]:
        assert np.allclose(rows[0].astype(float), row.astype(float), atol=1e-9)


def test_scikit_learn_conventions() -> None:
    sweep = ProbeSweep(cv=3, C=0.1, verbose=False)
    copy = clone(sweep)
    assert copy is not sweep and copy.get_params() == sweep.get_params()
    assert copy.set_params(C=2.0).C == 2.0
    assert "cv=3" in repr(sweep)
    acts, labels = planted()
    assert sweep.fit(acts, labels) is sweep
    assert sweep.sites_ == acts.sites and sweep.classes_ == [0, 1] and sweep.acts_ is acts


@pytest.mark.parametrize(
    "convert",
    [
        lambda labels: np.array(labels),
        lambda labels: torch.tensor(labels),
        lambda labels: ["she" if label else "he" for label in labels],
        lambda labels: [bool(label) for label in labels],
    ],
    ids=["numpy", "torch", "str", "bool"],
)
def test_labels_of_any_kind(convert: Callable[[list[int]], object]) -> None:
    acts, labels = planted()
    sweep = quiet().fit(acts, convert(labels))
    assert sweep.frame().auc.equals(quiet().fit(acts, labels).frame().auc)
    assert len(sweep.classes_) == 2


def test_best_by_component_and_the_frame() -> None:
    acts, labels = planted()
    generator = torch.Generator().manual_seed(5)
    heads = {f"z.1.{h}": torch.randn(120, 4, generator=generator) for h in range(3)}
    heads["z.1.1"][:, 0] += 3.0 * torch.tensor(labels)
    both = Activations({**{site: acts[site] for site in acts.sites}, **heads, "ln_final": acts["resid_post.2"]})
    sweep = quiet().fit(both, labels)
    assert sweep.best(2, component="z")[0] == Site("z", 1, 1) and len(sweep.best(99)) == len(both)
    frame = sweep.frame()
    assert (
        list(frame.columns)
        == (
            "site tower component layer head auc auc_low auc_high accuracy accuracy_low accuracy_high "
            "shuffle_mean shuffle_low shuffle_high control_task selectivity n n_groups p_value majority"
        ).split()
    )
    row = frame.set_index("site").loc["z.1.1"]
    assert (row.component, row.layer, row["head"], row.n, row.n_groups) == ("z", 1, 1, 120, 120)
    assert frame.set_index("site").layer.isna()["ln_final"]
    with pytest.raises(
        InputError, match=r"component 'attn_out' was asked for, and this sweep has ln_final, resid_post, z"
    ):
        sweep.best(1, component="attn_out")


def test_rows_of_one_example_stay_together_when_every_token_is_kept() -> None:
    acts, _ = planted()
    tokens = Activations({site: acts[site] for site in acts.sites}, at="all", example=torch.arange(120) // 4)
    sweep = quiet().fit(tokens, [int(i % 8 >= 4) for i in range(120)])
    assert sweep.n_groups_ == 30


# -- errors ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [1] * 120}, r"labels of two classes are needed, and all are 1"),
        ({"labels": []}, r"120 rows of activations and 0 labels were given; one label for each row is needed"),
        ({"labels": list(range(120))}, r"the labels have 120 classes for 120 examples, .* bin a quantity first"),
        ({"labels": [1, "a"] * 60}, r"labels must be of one kind, and these mix int, str"),
        ({"groups": [0] * 119}, r"120 rows of activations and 119 groups were given"),
        ({"types": [0] * 3}, r"120 rows of activations and 3 types were given"),
        ({"groups": [i % 4 for i in range(120)]}, r"5 folds were asked for, and there are 4 groups; .*cv=4 or fewer"),
        ({"cv": 121}, r"cv=121 folds were asked for, and there are 120 examples"),
        ({"cv": 1}, r"cv must be at least 2; found 1"),
        ({"C": 0.0}, r"C must be above 0; found 0.0"),
        ({"C": (1.0, -1.0)}, r"C must be above 0; found \(1.0, -1.0\)"),
        ({"C": (1.0, 0.1), "cv": 2}, r"several values of C are compared on the other folds, so cv must be at least 3"),
        ({"estimator": "svm"}, r"unknown estimator 'svm'; there are logistic, ridge, mean_difference, lda"),
        ({"estimator": "ridge", "mdl": True}, r"mdl=True needs probabilities, and estimator='ridge' has none"),
        ({"controls": "input"}, r"the activations do not have it; capture 'resid_pre.0'"),
        ({"controls": ("shufle",)}, r"unknown control 'shufle'; there are shuffle, control_task"),
        ({"confidence": 95.0}, r"confidence must be between 0 and 1; found 95.0"),
    ],
)
def test_bad_input_says_what_was_asked_found_and_to_do(change: dict[str, object], message: str) -> None:
    acts, labels = planted()
    given = {"labels": labels, "groups": None, "types": None, **change}
    params = {name: value for name, value in change.items() if name not in ("labels", "groups", "types")}
    with pytest.raises(InputError, match=message):
        quiet(**params).fit(acts, given["labels"], given["groups"], given["types"])


def test_classes_in_too_few_groups() -> None:
    acts, _ = planted()
    groups = [i // 24 for i in range(120)]
    with pytest.raises(InputError, match=r"5 folds cannot be scored: .* lives in 2 of 5 groups; give fewer folds"):
        quiet().fit(acts, [int(g >= 3) for g in groups], groups=groups)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_activations_that_are_not_finite_name_the_site(bad: float) -> None:
    acts, labels = planted()
    acts["resid_post.3"][7, 2] = bad
    with pytest.raises(InputError, match=r"activations at 'resid_post.3' have NaN or infinite entries, first in row 7"):
        quiet().fit(acts, labels)


def test_sites_with_other_rows_are_refused() -> None:
    acts = Activations({"resid_post.0": torch.randn(20, 3), "vision/resid_post.0": torch.randn(30, 3)})
    with pytest.raises(InputError, match=r"'resid_post.0' have 20 rows where other sites have 30; sweep them apart"):
        quiet().fit(acts, [i % 2 for i in range(30)])


def test_results_before_fit() -> None:
    for ask in (
        lambda s: s.frame(),
        lambda s: s.best(1),
        lambda s: s.coef("resid_post.0"),
        lambda s: s.plot(),
        lambda s: s.sites_,
        lambda s: s.threshold_,
    ):
        with pytest.raises(NotFittedError, match=r"fit\(acts, labels\) first"):
            ask(ProbeSweep())
    assert not hasattr(ProbeSweep(), "sites_") and not hasattr(ProbeSweep(), "nonsense")


def test_sites_and_data_that_the_sweep_does_not_know() -> None:
    acts, labels = planted()
    sweep = quiet().fit(acts, labels)
    for ask in (sweep.coef, sweep.intercept, sweep.scores):
        with pytest.raises(SiteError, match=r"'resid_post.9' was not swept; there are resid_post.0, resid_post.1"):
            ask("resid_post.9")
    with pytest.raises(SiteError, match=r"'mlp_out.0' was not swept"):
        sweep.score(Activations({"mlp_out.0": torch.randn(120, 12)}), labels)
    with pytest.raises(InputError, match=r"this sweep separates \[0, 1\], and the labels have \['he', 'she'\]"):
        sweep.score(acts, ["she" if label else "he" for label in labels])
    with pytest.raises(InputError, match=r"activations at 'resid_post.0' have width 5; its probe has 12"):
        sweep.score(Activations({"resid_post.0": torch.randn(120, 5)}), labels)


def test_a_control_that_cannot_be_drawn_says_so() -> None:
    types = np.repeat([0, 1], [1, 9])
    with pytest.raises(InputError, match=r"control 'control task': only 0 of .* there are too few groups"):
        control_tasks(types, 2, 1, np.random.default_rng(0))


# -- pictures ----------------------------------------------------------------------------------------------------


def test_plots_say_what_they_show() -> None:
    import matplotlib.pyplot as plt

    acts, labels = planted()
    generator = torch.Generator().manual_seed(5)
    values = {site: acts[site] for site in acts.sites}
    values |= {Site("z", layer, h): torch.randn(120, 4, generator=generator) for layer in range(4) for h in range(3)}
    values[Site("ln_final")] = acts["resid_post.2"]
    sweep = ProbeSweep(n_controls=20, verbose=False).fit(Activations(values), labels)
    try:
        ax = sweep.plot()
        names = [text.get_text() for text in ax.get_legend().get_texts()]
        assert {"chance", "resid_post", "z, best head of the layer", "ln_final"} <= set(names)
        assert any(name.startswith("shuffled labels, best of 17 sites") for name in names)
        assert "n = 120" in ax.get_title(loc="left") and "AUC" in ax.get_ylabel()
        line = next(line for line in ax.get_lines() if line.get_label() == "resid_post")
        assert np.allclose(line.get_ydata(), sweep.frame().query("component == 'resid_post'").auc)
        heads = sweep.plot_heads()
        assert heads.get_images()[0].get_array().shape == (4, 3)
        _, given = plt.subplots()
        assert sweep.plot(given) is given
        with pytest.raises(InputError, match=r"this sweep has no heads; capture 'z.\*.\*'"):
            quiet().fit(acts, labels).plot_heads()
        assert lh.ProbeSweep is ProbeSweep
    finally:
        plt.close("all")
