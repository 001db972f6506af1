from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
import torch
from scipy.stats import beta

import levelhead as lh
from levelhead import Ablate, Activations, Add, Affine, MeanDifference, ProbeSweep, RandomDirection, Site, Steer
from levelhead.align import IN_PART, IS_PROBE, NOTHING, RANDOM, UNSETTLED, Alignment
from levelhead.errors import EditError, InputError, NotFittedError, SiteError

mpl.use("Agg")

D = 24


def planted(n: int = 240, seed: int = 0, spread: torch.Tensor | None = None) -> tuple[Activations, list[int]]:
    """At layer 1 the classes differ along axis 0, at layer 2 along axes 0 and 1 alike, at layer 0 not at all."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 2
    values = {f"resid_post.{layer}": torch.randn(n, D, generator=generator) for layer in range(3)}
    for value in values.values():
        value *= torch.ones(D) if spread is None else spread
    values["resid_post.1"][:, 0] += 3.0 * y
    values["resid_post.2"][:, :2] += 3.0 * y[:, None]
    return Activations(values), y.tolist()


def fitted(acts: Activations, labels: list[int], **params: object) -> ProbeSweep:
    return ProbeSweep(**{"controls": (), "verbose": False, **params}).fit(acts, labels)


def axis(*which: int) -> torch.Tensor:
    return torch.eye(D)[list(which)]


def rows(alignment: Alignment) -> dict[str, dict[str, object]]:
    return alignment.frame().set_index("site").to_dict("index")


def test_the_planted_direction_is_the_probes_and_without_it_nothing_is_left() -> None:
    acts, labels = planted()
    sweep = fitted(acts, labels)
    row = rows(lh.align(Steer({"resid_post.1": Add(axis(0)[0])}), sweep))["resid_post.1"]
    assert row["cosine"] > 0.9 and row["cosine_mean"] > 0.9 and row["p_value"] < 0.01
    assert row["auc"] > 0.95 and row["auc_along"] > 0.95
    assert row["auc_after_low"] < 0.5 < row["auc_after_high"]
    assert row["verdict"] == IS_PROBE == "the probe's direction"


def test_half_of_the_place_is_not_the_only_place_and_the_span_is() -> None:
    acts, labels = planted()
    sweep = fitted(acts, labels)
    half = rows(lh.align(Steer({"resid_post.2": Ablate(axis(0))}), sweep))["resid_post.2"]
    both = rows(lh.align(Steer({"resid_post.2": Ablate(axis(0, 1))}), sweep))["resid_post.2"]
    assert half["verdict"] == IN_PART == "reads the attribute, is not the only place"
    assert half["auc_after"] > 0.95 and 0.6 < abs(half["cosine"]) < 0.8
    assert both["verdict"] == IS_PROBE and both["k"] == 2
    assert both["cosine"] > 0.9 and both["auc_along"] > half["auc_along"] and both["auc_after_low"] < 0.5


def test_a_random_direction_is_called_one() -> None:
    acts, labels = planted()
    sweep = fitted(acts, labels)
    steer = Steer({"resid_post.1": Ablate(axis(0)), "resid_post.2": Ablate(axis(0))})
    verdicts = [
        row["verdict"]
        for seed in range(15)
        for row in rows(lh.align(RandomDirection(random_state=seed).fit(steer), sweep, n_random=200)).values()
    ]
    assert verdicts.count(RANDOM) >= 22  # of 30; each of the two tests errs in 5 %
    assert IS_PROBE not in verdicts


def test_where_the_probe_reads_nothing_no_direction_is_praised() -> None:
    acts, labels = planted()
    steer = MeanDifference("resid_post.0").fit(acts, labels)
    row = rows(lh.align(steer, fitted(acts, labels)))["resid_post.0"]
    assert row["verdict"] == NOTHING
    assert abs(row["cosine"]) > row["null_isotropic"]  # the same noise in both: the angle alone would deceive


def test_examples_that_the_steer_was_fitted_on_settle_nothing_and_others_do() -> None:
    acts, labels = planted(480)
    train, test = torch.arange(240), torch.arange(240, 480)
    steer = MeanDifference("resid_post.1").fit(acts.rows(train), labels[:240])
    sweep = fitted(acts.rows(train), labels[:240])
    same = rows(lh.align(steer, sweep))["resid_post.1"]
    other = rows(lh.align(steer, sweep, acts.rows(test), labels[240:]))["resid_post.1"]
    assert same["verdict"] == UNSETTLED and same["auc_after"] < 0.45 and same["cosine_mean"] == pytest.approx(1)
    assert other["verdict"] in (IS_PROBE, IN_PART) and other["auc_after_high"] > 0.5
    assert other["cosine_mean"] < 1


def test_few_examples_are_no_proof_that_nothing_is_left() -> None:
    """What is left cannot be told from chance with 40 examples, and must not be called nothing."""
    verdicts = []
    for seed in range(3):
        acts, labels = planted(40, seed=seed)
        acts["resid_post.2"][:, 1] -= 2.0 * torch.tensor(labels)  # 1 of the 3 remains along the second axis
        steer = Steer({"resid_post.2": Ablate(axis(0))})
        row = rows(lh.align(steer, fitted(acts, labels, cv=4), n_random=200))["resid_post.2"]
        verdicts.append((row["auc_after_low"] <= 0.5, row["verdict"]))
    assert set(verdicts) == {(True, UNSETTLED), (False, IN_PART)}


def test_signs_point_towards_the_positive_class() -> None:
    acts, labels = planted()
    sweep = fitted(acts, labels)
    steer = Steer({"resid_post.1": Add(-axis(0)[0])})
    row = rows(lh.align(steer, sweep))["resid_post.1"]
    assert row["cosine"] < -0.9 and row["cosine_mean"] < -0.9
    assert row["auc_along"] > 0.95 and row["verdict"] == IS_PROBE  # a probe along it finds the sign


def test_the_isotropic_band_is_the_exact_one_and_agrees_with_draws() -> None:
    acts, labels = planted(800)
    sweep = fitted(acts, labels)
    for k in (1, 2):
        row = rows(lh.align(Steer({"resid_post.0": Ablate(axis(*range(k)))}), sweep, n_random=2000))["resid_post.0"]
        assert row["null_isotropic"] == pytest.approx(np.sqrt(beta.ppf(0.95, k / 2, (D - k) / 2)))
        # These activations are isotropic, so that drawing from their covariance gives the same band.
        assert row["null_covariance"] == pytest.approx(row["null_isotropic"], rel=0.08)


def test_the_band_accounts_for_anisotropy() -> None:
    """With variance in few directions, random directions of that covariance agree by chance far more often."""
    spread = torch.ones(D)
    spread[0] = 12.0
    acts, labels = planted(spread=spread)
    values = {site: acts[site].clone() for site in acts.sites}
    values[Site.parse("resid_post.0")][:, 0] += 12.0 * torch.tensor(labels)  # along the axis of most variance
    acts = Activations(values)
    steer = Steer({"resid_post.0": Ablate(axis(0))})
    row = rows(lh.align(steer, fitted(acts, labels)))["resid_post.0"]
    assert row["null_mean"] > 0.9 > 0.5 > row["null_isotropic"]
    assert row["random_along"] > 0.6


def test_a_whole_space_removes_everything_and_is_no_evidence() -> None:
    acts, labels = planted()
    row = rows(lh.align(Steer({"resid_post.1": Ablate(torch.eye(D))}), fitted(acts, labels)))["resid_post.1"]
    assert row["null_isotropic"] == 1.0 and row["p_value"] == 1.0 and row["cosine"] == pytest.approx(1)
    assert row["auc_after"] == pytest.approx(0.5, abs=0.1)
    assert row["verdict"] not in (IS_PROBE, IN_PART)


def test_same_seed_same_numbers_and_sites_do_not_disturb_each_other() -> None:
    acts, labels = planted()
    sweep = fitted(acts, labels)
    steer = Steer({"resid_post.1": Ablate(axis(0)), "resid_post.2": Ablate(axis(1))})
    first, again = (lh.align(steer, sweep, n_random=50).frame() for _ in range(2))
    other = lh.align(steer, sweep, n_random=50, random_state=1).frame()
    alone = lh.align(steer.only("resid_post.2"), sweep, n_random=50).frame()
    assert first.equals(again)
    assert not first.null_covariance.equals(other.null_covariance)
    assert first[first.site == "resid_post.2"].reset_index(drop=True).equals(alone)


def test_groups_of_other_examples_stay_whole() -> None:
    acts, labels = planted()
    sweep = fitted(acts, labels)
    steer = Steer({"resid_post.1": Ablate(axis(0))})
    groups = [i // 4 for i in range(240)]
    row = rows(lh.align(steer, sweep, acts, labels, groups=groups))["resid_post.1"]
    assert row["auc"] > 0.95
    with pytest.raises(InputError, match=r"5 folds were asked for, and there are 4 groups"):
        lh.align(steer, sweep, acts, labels, groups=[i % 4 for i in range(240)])


def test_anything_with_directions_will_do() -> None:
    class Vector:
        def directions(self) -> dict[Site, torch.Tensor]:
            return {Site.parse("resid_post.1"): 7 * axis(0)}

    acts, labels = planted()
    sweep = fitted(acts, labels)
    assert rows(lh.align(Vector(), sweep))["resid_post.1"]["verdict"] == IS_PROBE


def test_dependent_directions_count_once() -> None:
    acts, labels = planted()
    steer = Steer({"resid_post.1": Add(axis(0)[0])}) | Steer({"resid_post.1": Ablate(axis(0))})
    assert rows(lh.align(steer, fitted(acts, labels)))["resid_post.1"]["k"] == 1


def test_errors_say_what_is_common() -> None:
    acts, labels = planted()
    sweep = fitted(acts, labels)
    with pytest.raises(
        SiteError, match=r"writes at resid_post.7, which .*common to both: resid_post.1; align steer.only"
    ):
        lh.align(Steer({"resid_post.1": Ablate(axis(0)), "resid_post.7": Ablate(axis(0))}), sweep)
    with pytest.raises(
        SiteError, match=r"nothing is common to both; the sweep has resid_post.0, resid_post.1, resid_post.2"
    ):
        lh.align(Steer({"mlp_out.1": Ablate(axis(0))}), sweep)
    with pytest.raises(SiteError, match=r"no fixed direction at any site"):
        lh.align(Steer({"resid_post.1": Affine(torch.zeros(D))}), sweep)
    with pytest.raises(EditError, match=r"directions at 'resid_post.1' have width 5, and activations there have 24"):
        lh.align(Steer({"resid_post.1": Ablate(torch.eye(5)[0])}), sweep)
    with pytest.raises(NotFittedError, match=r"fit\(acts, labels\) first"):
        lh.align(Steer({"resid_post.1": Ablate(axis(0))}), ProbeSweep())


def test_errors_about_examples() -> None:
    acts, labels = planted()
    sweep = fitted(acts, labels)
    steer = Steer({"resid_post.1": Ablate(axis(0))})
    with pytest.raises(InputError, match=r"acts were given without labels; give one label for each of the 240 rows"):
        lh.align(steer, sweep, acts)
    with pytest.raises(InputError, match=r"labels or groups were given without acts"):
        lh.align(steer, sweep, labels=labels)
    with pytest.raises(InputError, match=r"this sweep separates \[0, 1\], and the labels have \[1, 2\]"):
        lh.align(steer, sweep, acts, [label + 1 for label in labels])
    with pytest.raises(InputError, match=r"n_random must be at least 1; found 0"):
        lh.align(steer, sweep, n_random=0)
    broken = Activations({site: acts[site].clone() for site in acts.sites})
    broken["resid_post.1"][3, 3] = float("nan")
    with pytest.raises(InputError, match=r"activations at 'resid_post.1' have NaN or infinite entries, first in row 3"):
        lh.align(steer, sweep, broken, labels)


def test_plots_show_the_frame() -> None:
    import matplotlib.pyplot as plt

    acts, labels = planted()
    steer = Steer({"resid_post.1": Ablate(axis(0)), "resid_post.2": Ablate(axis(0))})
    alignment = lh.align(steer, fitted(acts, labels), n_random=50)
    try:
        reading, cosines = alignment.plot(), alignment.plot_cosines()
        for ax in (reading, cosines):
            assert "n = 240" in ax.get_title(loc="left")
            assert [tick.get_text() for tick in ax.get_xticklabels()] == ["resid_post.1", "resid_post.2"]
            assert any("random directions" in text.get_text() for text in ax.get_legend().get_texts())
        drawn = {line.get_label(): line for line in reading.get_lines()}
        assert np.allclose(drawn["along the steer alone"].get_ydata(), alignment.frame().auc_along)
        _, given = plt.subplots()
        assert alignment.plot(given) is given
    finally:
        plt.close("all")
