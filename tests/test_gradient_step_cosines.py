"""Cosines between two steers, layer by layer, alone and beside the probes."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.linalg import subspace_angles

from levelhead import Ablate, Activations, Add, ProbeSweep, Steer
from levelhead.align import align, cosines
from levelhead.errors import EditError, SiteError
from levelhead.sites import Site


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_one_direction_keeps_its_sign_and_spans_have_their_smallest_angle():
    one = Steer(
        {"resid_post.0": Add(noise(6)), "resid_post.1": Ablate(noise(2, 6, seed=1)), "resid_post.2": Add(noise(6))}
    )
    two = Steer(
        {"resid_post.0": Add(-2 * noise(6)), "resid_post.1": Ablate(noise(3, 6, seed=2)), "ln1.2": Add(noise(6))}
    )
    found = cosines(one, two)
    assert [str(site) for site in found] == ["resid_post.0", "resid_post.1"]
    assert found[Site.parse("resid_post.0")] == pytest.approx(-1.0)
    angle = subspace_angles(noise(2, 6, seed=1).T.numpy(), noise(3, 6, seed=2).T.numpy()).min()
    assert found[Site.parse("resid_post.1")] == pytest.approx(math.cos(angle), abs=1e-6)


def test_steers_that_cannot_be_compared_say_so():
    one = Steer({"resid_post.0": Add(noise(6))})
    with pytest.raises(SiteError, match=r"at a common site are needed; found resid_post\.0, and resid_post\.1"):
        cosines(one, Steer({"resid_post.1": Add(noise(6))}))
    with pytest.raises(EditError, match="widths 6 and 5"):
        cosines(one, Steer({"resid_post.0": Add(noise(5))}))


def test_align_has_a_column_for_each_other_steer():
    values = {f"resid_post.{layer}": noise(60, 6, seed=layer) for layer in range(2)}
    labels = [0, 1] * 30
    sweep = ProbeSweep().fit(Activations(values), labels)
    steer = Steer({site: Add(noise(6, seed=3)) for site in values})
    other = Steer({"resid_post.1": Add(noise(6, seed=4))})
    table = align(steer, sweep, n_random=20, others={"data set": other, "itself": steer}).frame()
    assert table["cosine to itself"].tolist() == pytest.approx([1.0, 1.0])
    assert math.isnan(table["cosine to data set"][0])
    expected = torch.cosine_similarity(noise(6, seed=3), noise(6, seed=4), dim=0).item()
    assert table["cosine to data set"][1] == pytest.approx(expected, abs=1e-6)
