"""Bias-aware sampling: its distribution, item by item, and that it goes on where it was."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from itertools import islice, pairwise
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, chisquare
from torch.utils.data import DataLoader

from levelhead.errors import InputError
from levelhead.training.frequency import frequency
from levelhead.training.loss import weights
from levelhead.training.sampler import BiasAwareSampler

EPOCHS = 1000


def plausible(hits: int, rate: float, n: int = EPOCHS) -> bool:
    """Whether a count is one of so many coin tosses; false alarms once in 100 000."""
    return bool(binomtest(hits, n, rate).pvalue > 1e-5)


def test_the_worked_table_of_the_paper() -> None:
    skews = [1.48, 0.40, 0.0, -0.50, -1.00, -2.06, -2.88]
    often = frequency(skews)
    assert often == pytest.approx([0.40, 0.71, 1, 1.5, 2, 3.06, 3.88], abs=0.006)
    assert often * weights(skews).numpy() == pytest.approx([0.09, 0.48, 1, 2.47, 5.44, 24.0, 69.1], rel=0.03)
    drawn = Counter(i for sampler in [BiasAwareSampler(skews, keys=range(7))] for _ in range(EPOCHS) for i in sampler)
    assert [drawn[i] / EPOCHS for i in range(7)] == pytest.approx(often, abs=0.04)


def test_an_over_predicted_sample_is_kept_by_its_own_coin() -> None:
    """Each at the rate of the paper, and independently; rates that are nearly right would be found out."""
    tau1 = 0.7
    skews = [0.05, 0.3, 1.0, 2.5, -1.0, 0.0]
    sampler = BiasAwareSampler(skews, tau1=tau1, tau2=10.0)
    kept = np.array([[i in drawn for i in range(6)] for drawn in (set(sampler) for _ in range(EPOCHS))])
    hits = kept.sum(axis=0).tolist()
    wrong: list[Callable[[float], float]] = [
        lambda s: s / (s + tau1),
        lambda s: 1 / (s + 1),
        lambda s: float(np.exp(-s)),
        lambda s: float(np.exp(-s / tau1)),
    ]
    for i, skew in enumerate(skews[:4]):
        rate = 1 - skew / (skew + tau1)
        assert plausible(hits[i], rate), (skew, hits[i])
        for j in range(i):
            together = int((kept[:, i] & kept[:, j]).sum())
            assert plausible(together, rate * (1 - skews[j] / (skews[j] + tau1)))
    for formula in wrong:
        assert not all(plausible(hits[i], formula(skew)) for i, skew in enumerate(skews[:4]))
    assert hits[4:] == [EPOCHS, EPOCHS], "what is not over-predicted is never dropped"


def test_copies_are_what_a_key_has_accumulated() -> None:
    """To the single copy, over many epochs; numbers that binary fractions hold exactly."""
    skews = [-0.25, -0.75, 0.5, -0.125, 0.0, -1.5]
    keys = ["a", "b", "a", "a", "b", ("c", 1)]
    for shuffle in (True, False):
        sampler = BiasAwareSampler(skews, tau1=1e9, tau2=0.5, keys=keys, shuffle=shuffle)
        drawn: Counter[Any] = Counter()
        for epochs in range(1, 40):
            drawn.update(keys[i] for i in sampler)
            for key in set(keys):
                own = [skew for skew, other in zip(skews, keys, strict=True) if other == key]
                owed = sum(-skew for skew in own if skew < 0) * epochs / 0.5
                assert drawn[key] == epochs * len(own) + int(owed), (key, epochs)


def test_in_order_a_copy_follows_the_sample_that_filled_the_counter() -> None:
    sampler = BiasAwareSampler([-0.5, -0.5, 0.0, -2.5], shuffle=False)
    assert list(sampler) == [0, 1, 1, 2, 3, 3, 3]
    assert list(sampler) == [0, 0, 1, 2, 3, 3, 3, 3], "what was left over counts in the next epoch"
    apart = BiasAwareSampler([-0.5, -0.5, 0.0, -2.5], shuffle=False, keys=["a", "b", "a", "c"])
    assert list(apart) == [0, 1, 2, 3, 3, 3] and apart.counts == {"kept": 4, "dropped": 0, "copies": 2}


def test_shuffling_favors_nobody() -> None:
    sampler = BiasAwareSampler([-0.25] * 4)
    orders = [list(sampler) for _ in range(EPOCHS)]
    copies = Counter(i for order in orders for i, n in Counter(order).items() for _ in range(n - 1))
    assert sum(copies.values()) == EPOCHS and chisquare([copies[i] for i in range(4)]).pvalue > 1e-5
    first = Counter(order[0] for order in orders)
    assert chisquare([first[i] for i in range(4)]).pvalue > 1e-5
    apart = sum(next(b != a for a, b in pairwise(o) if o.count(a) > 1) for o in orders if len(o) > 4)
    assert apart > EPOCHS / 2, "copies do not lie side by side"


@pytest.mark.parametrize("length", [None, 9, 4])
def test_it_goes_on_from_any_moment(length: int | None) -> None:
    skews, later = [0.8, -0.6, 0.0, -4.7, 2.0, -0.3], [-0.2, 0.9, -1.1, 0.0, -0.4, 0.6]
    keys = [("chef", "gender", "man"), None, "b", "b", None, ("chef", "gender", "man")]

    def made() -> BiasAwareSampler:
        return BiasAwareSampler(skews, keys=keys, length=length, tau2=0.5, random_state=3)

    def rest(sampler: BiasAwareSampler) -> list[int]:
        found = list(sampler)
        sampler.set_skews(later)
        return found + list(sampler) + list(sampler)

    whole = made()
    expected = [list(whole)]
    total = len(expected[0])
    whole.set_skews(later)
    expected += [list(whole), list(whole)]
    straight = [i for epoch in expected for i in epoch]
    for seen in range(total + 1):
        sampler = made()
        # A sampler that has handed out everything stands at the start of the next epoch.
        assert list(islice(sampler, seen)) == straight[:seen]
        if seen == total:
            sampler.set_skews(later)
        state = json.loads(json.dumps(sampler.state_dict()))
        other = BiasAwareSampler([0.0] * 6, length=length, tau2=0.5, random_state=3)
        other.load_state_dict(state)
        assert other.epoch == int(seen == total)
        # Skews that are set now are for the next epoch: this one began before the state was saved.
        if 0 < seen < total:
            other.set_skews([0.0] * 6)
            assert other.skews.tolist() == skews and len(other) == total
        assert (list(other) + list(other) if seen == total else rest(other)) == straight[seen:]


def test_what_was_fetched_and_not_learned_from_comes_again() -> None:
    sampler = BiasAwareSampler([-0.5, 0.5] * 8, random_state=1)
    every = list(BiasAwareSampler([-0.5, 0.5] * 8, random_state=1))
    loader = iter(DataLoader(range(16), batch_size=2, sampler=sampler))
    seen = [int(i) for _ in range(3) for i in next(loader)]
    assert seen == every[:6]
    sampler.load_state_dict(sampler.state_dict(position=4))
    assert list(sampler) == every[4:]
    anew = BiasAwareSampler([0.0] * 16, random_state=1)
    next(iter(sampler))
    anew.load_state_dict(sampler.state_dict(position=0))
    assert anew.epoch == 1 and len(list(anew)) == len(sampler)
    with pytest.raises(InputError, match="1 samples of this epoch were handed out; found position=2"):
        sampler.state_dict(position=2)


def test_an_epoch_of_given_length_is_as_long_and_as_skewed() -> None:
    skews = [1.0, -1.0, 0.0, 0.25]
    sampler = BiasAwareSampler(skews, length=10)
    assert len(sampler) == 10 == len(DataLoader(range(4), sampler=sampler))
    epochs = [list(sampler) for _ in range(EPOCHS)]
    assert {len(epoch) for epoch in epochs} == {10}
    shares = np.bincount([i for epoch in epochs for i in epoch], minlength=4) / (10 * EPOCHS)
    # What a cut leaves of a pass comes first in the next epoch; if it were lost, copies would gain a hundredth.
    assert shares == pytest.approx(frequency(skews) / frequency(skews).sum(), abs=0.004)
    copies = BiasAwareSampler([-2.75, 0.0], length=2, shuffle=False)
    assert [list(copies) for _ in range(5)] == [[0, 0], [0, 1], [0, 0], [0, 0], [1, 0]]
    assert copies.counts == {"kept": 2, "dropped": 0, "copies": 0}


def test_its_length_is_told_before_it_is_drawn() -> None:
    sampler = BiasAwareSampler([1.0, -1.0] * 10)
    for _ in range(5):
        told = len(sampler)
        assert told == len(list(sampler)) == sum(sampler.counts[name] for name in ("kept", "copies"))
        assert sampler.counts["kept"] + sampler.counts["dropped"] == 20
    before = len(sampler)
    sampler.set_skews([-1.0] * 20)
    assert len(sampler) == 40 != before


def test_the_same_seed_gives_the_same_and_nobody_elses_numbers_are_used() -> None:
    before = torch.get_rng_state()
    skews = np.random.default_rng(0).normal(size=50)
    one, same, other = (BiasAwareSampler(skews, random_state=seed) for seed in (5, 5, 6))
    assert [list(one), list(one)] == [list(same), list(same)] and list(one) != list(other)
    assert torch.equal(torch.get_rng_state(), before)
    broken_off = BiasAwareSampler(skews, random_state=5)
    next(iter(broken_off))
    assert broken_off.epoch == 0 and [*broken_off] and broken_off.epoch == 2


def test_bad_input_is_said() -> None:
    with pytest.raises(InputError, match="the Skew of sample 1 is inf; estimate Skews with smoothing"):
        BiasAwareSampler([0.0, np.inf])
    with pytest.raises(InputError, match="no samples to draw from"):
        BiasAwareSampler([])
    for name in ("tau1", "tau2"):
        with pytest.raises(InputError, match=f"{name} must be above 0 and finite; found 0"):
            BiasAwareSampler([0.0], **{name: 0.0})
    with pytest.raises(InputError, match="length is the number of samples of an epoch, at least 1; found 0"):
        BiasAwareSampler([0.0], length=0)
    with pytest.raises(InputError, match="the sampler has 2 samples; found 1 keys"):
        BiasAwareSampler([0.0, 1.0], keys=["a"])
    sampler = BiasAwareSampler([0.0, 1.0])
    with pytest.raises(InputError, match="the sampler has 2 samples; found 3 skews"):
        sampler.set_skews([0.0] * 3)
    with pytest.raises(InputError, match=r"one number a sample; found shape \(2, 1\)"):
        sampler.set_skews(torch.zeros(2, 1))
    with pytest.raises(InputError, match=r"samples 3 \(here 2\); make it with the same arguments"):
        sampler.load_state_dict(BiasAwareSampler([0.0] * 3).state_dict())
    with pytest.raises(InputError, match="no state of a BiasAwareSampler: it has no accumulated"):
        sampler.load_state_dict({})
    with pytest.raises(InputError, match="all 2 samples were dropped"):
        list(BiasAwareSampler([1e12, 1e12]))
    with pytest.raises(InputError, match="more than 1000 passes: nearly all is dropped"):
        list(BiasAwareSampler([1e12, 1e12], length=2))
