from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from levelhead.metrics.statistics import (
    area_bound,
    auc_interval,
    bootstrap_weights,
    mean_interval,
    roc_auc,
    upper_quantile,
    wilson,
)


@settings(max_examples=40, deadline=None)
@given(
    scores=st.lists(st.integers(-3, 3), min_size=6, max_size=40),
    seed=st.integers(0, 10_000),
)
def test_roc_auc_agrees_with_scikit_learn_ties_included(scores: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    positive = rng.permutation(np.arange(len(scores)) < len(scores) // 2)
    weights = rng.integers(0, 4, len(scores)) + 0.5
    ours = roc_auc(torch.tensor(scores).double(), torch.from_numpy(positive))
    weighted = roc_auc(
        torch.tensor(scores).double(), torch.from_numpy(positive), weights=torch.from_numpy(weights)[None]
    )
    assert float(ours) == pytest.approx(roc_auc_score(positive, scores))
    assert float(weighted[0]) == pytest.approx(roc_auc_score(positive, scores, sample_weight=weights))


def test_pairs_across_strata_do_not_count() -> None:
    positive = torch.tensor([False, True, False, True])
    strata = torch.tensor([0, 0, 1, 1])
    offset = torch.tensor([100.0, 101.0, 0.0, 1.0])  # in order within each stratum, not across
    assert float(roc_auc(offset, positive, strata)) == 1.0
    assert float(roc_auc(offset, positive)) == 0.75


def test_no_pair_to_compare_is_nan_and_not_a_number_that_looks_fine() -> None:
    assert torch.isnan(roc_auc(torch.tensor([1.0, 2.0]), torch.tensor([False, True]), torch.tensor([0, 1])))


def test_bootstrap_takes_groups_whole() -> None:
    groups = np.array([0, 0, 1, 2, 2, 2])
    weights = bootstrap_weights(groups, 50, np.random.default_rng(0))
    assert torch.equal(weights[:, 0], weights[:, 1]) and torch.equal(weights[:, 3], weights[:, 5])
    assert torch.equal(weights[:, 0] + weights[:, 2] + weights[:, 3], torch.full((50,), 3.0))


def clustered_scores(rows: int, n_groups: int, size: int) -> tuple[torch.Tensor, torch.Tensor, np.ndarray, float]:
    """Scores of positives one unit higher; half of the variance is shared within a group. The true area is known."""
    generator = torch.Generator().manual_seed(3)
    groups = np.repeat(np.arange(n_groups), size)
    positive = torch.from_numpy(groups % 2 == 1)
    shared = torch.randn(rows, n_groups, generator=generator, dtype=torch.float64)[:, groups]
    own = torch.randn(rows, len(groups), generator=generator, dtype=torch.float64)
    true = float(torch.special.ndtr(torch.tensor(1 / np.sqrt(2 * 2))))
    return positive.double() + shared + own, positive, groups, true


def test_intervals_over_groups_cover_the_truth_where_intervals_over_examples_do_not() -> None:
    scores, positive, groups, true = clustered_scores(300, 40, 6)

    def coverage(units: np.ndarray) -> float:
        low, high = auc_interval(scores, positive, units, np.random.default_rng(0), draws=400)
        return float(((low <= true) & (true <= high)).double().mean())

    assert coverage(groups) > 0.89
    assert coverage(np.arange(len(groups))) < 0.8


def test_mean_interval_covers_and_is_wider_for_groups() -> None:
    generator = torch.Generator().manual_seed(0)
    groups = np.repeat(np.arange(30), 5)
    values = (torch.rand(200, 30, generator=generator)[:, groups] < 0.6).double()
    low, high = mean_interval(values, groups, np.random.default_rng(0), draws=400)
    assert float(((low <= 0.6) & (0.6 <= high)).double().mean()) > 0.88
    narrow_low, narrow_high = mean_interval(values, np.arange(150), np.random.default_rng(0), draws=400)
    assert bool((high - low > 1.5 * (narrow_high - narrow_low)).all())


def test_perfect_scores_still_carry_doubt() -> None:
    positive = torch.arange(20) % 2 == 1
    rng = np.random.default_rng(0)
    low, high = auc_interval(positive.double(), positive, np.arange(20), rng)
    assert 0.6 < float(low) < 0.95 and float(high) == 1.0
    low, high = auc_interval(-positive.double(), positive, np.arange(20), rng)
    assert float(low) == 0.0 and 0.05 < float(high) < 0.4
    low, high = mean_interval(torch.ones(20), np.arange(20), rng)
    assert float(low) == pytest.approx(wilson(1.0, 20)[0]) and float(high) == 1.0
    low, high = mean_interval(torch.zeros(20), np.arange(20), rng)
    assert float(high) == pytest.approx(wilson(0.0, 20)[1]) and float(low) == 0.0


def test_mean_interval_leaves_values_that_are_no_shares_alone() -> None:
    low, high = mean_interval(torch.full((10,), 3.0), np.arange(10), np.random.default_rng(0))
    assert float(low) == float(high) == 3.0


def test_wilson_against_published_values() -> None:
    # Newcombe (1998), Statistics in Medicine 17, table I: 81/263 and 0/20.
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0 / 20, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)


def test_area_bound_tightens_with_more_groups() -> None:
    bounds = [area_bound(1.0, m, m) for m in (3, 10, 100)]
    assert bounds == sorted(bounds) and bounds[0] < 0.6 and bounds[-1] > 0.97


def test_upper_quantile_matches_the_permutation_p_value() -> None:
    draws = torch.arange(19).double()
    threshold = float(upper_quantile(draws, 0.95))
    assert threshold == 18.0
    above, at = threshold + 1e-9, threshold
    assert (1 + int((draws >= above).sum())) / 20 <= 0.05 < (1 + int((draws >= at).sum())) / 20
