"""Random controls that differ from a steer in direction alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from levelhead.capture import Activations
from levelhead.edits import Ablate, Add, Affine, Erase, Rotate
from levelhead.errors import EditError, SiteError
from levelhead.gates import Gate
from levelhead.methods import RandomDirection
from levelhead.sites import Site
from levelhead.steer import Entry, Steer

SITES = ("resid_post.0", "resid_post.1", "z.1.2")


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def acts_of(n: int, seed: int = 0, d: int = 12, **options: Any) -> Activations:
    return Activations({site: 3 + noise(n, d, seed=seed + k) for k, site in enumerate(SITES)}, **options)


def a_steer() -> Steer:
    entries = [
        Entry(Site("resid_post", 0), Add(5 * noise(12)), 0.5, "last"),
        Entry(Site("resid_post", 1), Add(2 * noise(12, seed=1))),
        Entry(Site("z", 1, 2), Ablate(noise(3, 12, seed=2), noise(12))),
    ]
    return Steer(entries, strength=0.7, card={"model": {"id": "tiny"}, "basis": "hf"})


def test_a_random_control_differs_in_direction_alone() -> None:
    acts, steer = acts_of(6), a_steer()
    before = torch.get_rng_state()
    control = RandomDirection(3).fit(steer, acts)
    assert torch.equal(torch.get_rng_state(), before)
    assert control == RandomDirection(3).fit(steer, acts) != RandomDirection(4).fit(steer, acts)
    assert control.strength == 0.7 and control.card["model"] == {"id": "tiny"}
    assert control.card["method"] == {"name": "RandomDirection", "params": {"random_state": 3, "shared": False}}
    for ours, theirs in zip(control, steer, strict=True):
        assert (ours.site, ours.strength, ours.scope) == (theirs.site, theirs.strength, theirs.scope)
        assert ours.edit.kind == theirs.edit.kind and ours.edit != theirs.edit
        if ours.edit.kind == "add":
            lengths = [entry.edit.params["vector"].norm() for entry in (ours, theirs)]
            torch.testing.assert_close(*lengths)
    basis, offset = (control.entries[2].edit.params[name] for name in ("basis", "offset"))
    assert basis.shape == (3, 12)
    torch.testing.assert_close(offset, basis @ acts["z.1.2"].mean(dim=0))


def test_random_directions_are_new_at_each_site_unless_shared_and_uniform_on_the_sphere() -> None:
    steer = Steer({site: Add(noise(12)) for site in SITES[:2]})
    for shared in (False, True):
        first, second = RandomDirection(shared=shared).fit(steer).directions().values()
        assert torch.equal(first, second) == shared
    high = Steer({site: Ablate(noise(10, 12)) for site in SITES[:2]})
    first, second = RandomDirection(shared=True).fit(high).directions().values()
    assert first.shape == (10, 12) and torch.equal(first, second)
    cosines = [
        float(RandomDirection(seed).fit(steer).entries[0].edit.directions() @ noise(12) / noise(12).norm())
        for seed in range(300)
    ]
    # Mean 0 and variance 1/d, four standard errors wide.
    assert abs(np.mean(cosines)) < 4 * (1 / 12 / 300) ** 0.5
    assert abs(np.var(cosines) * 12 - 1) < 4 * (2 / 300) ** 0.5


def test_a_control_needs_the_point_that_ablation_leaves() -> None:
    with pytest.raises(EditError, match="give the activations whose mean its control should put in place"):
        RandomDirection().fit(a_steer())
    with pytest.raises(SiteError, match=r"'z.1.2' was not captured; there are resid_post.0"):
        RandomDirection().fit(a_steer(), acts_of(6).select("resid_post.*"))


def test_the_control_of_an_erasure_keeps_singular_values_and_angles() -> None:
    read, write = noise(2, 12), noise(2, 12, seed=1)
    acts = acts_of(6)
    steer = Steer({"resid_post.0": Erase(read, write, noise(12)), "resid_post.1": Erase(read, write)})
    with pytest.raises(EditError, match="this steer erases to a point; give the activations"):
        RandomDirection().fit(steer)
    control = RandomDirection(1).fit(steer, acts)

    def geometry(params: dict[str, Tensor]) -> list[Any]:
        r, w = params["read"].numpy().astype(np.float64), params["write"].numpy().astype(np.float64)
        return [np.linalg.svd(w.T @ r, compute_uv=False)[:3], r @ r.T, w @ w.T, r @ w.T]

    for entry in control:
        params = entry.edit.params
        for ours, theirs in zip(geometry(params), geometry({"read": read, "write": write}), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-4)
        # In 12 dimensions, what is left of the old span is small.
        assert torch.linalg.svdvals(params["read"] @ torch.linalg.qr(torch.cat([read, write]).T)[0])[0] < 4
        assert not torch.allclose(params["read"], read, atol=0.1)
    offset = control.entries[0].edit.params["offset"]
    torch.testing.assert_close(offset, control.entries[0].edit.params["read"] @ acts["resid_post.0"].mean(dim=0))
    assert "offset" not in control.entries[1].edit.params
    wide = Steer({"ln1.0": Erase(noise(3, 4), noise(3, 4, seed=1))})  # more directions than an even split has room for
    singular = [torch.linalg.svdvals(s.entries[0].edit.params["read"]) for s in (wide, RandomDirection().fit(wide))]
    torch.testing.assert_close(*singular)


def test_the_control_of_an_affine_edit_has_its_numbers_elsewhere() -> None:
    scale, shift, index = noise(9), 10 + noise(9, seed=1), torch.tensor([0, 2, 3, 5, 7, 8, 9, 10, 11])
    for edit in (Affine(scale, shift, index), Affine(scale=scale), Affine(shift=shift)):
        found = RandomDirection(2).fit(Steer({"ln1.0": edit})).entries[0].edit
        assert found.params.keys() == edit.params.keys()
        for name, value in edit.params.items():
            ours = found.params[name]
            if name == "index":
                assert torch.equal(ours, value)
                continue
            assert torch.equal(ours.abs().sort().values, value.abs().sort().values)
            assert not torch.equal(ours.abs(), value.abs()) and bool((ours < 0).any()) and bool((ours > 0).any())


def test_the_control_of_a_rotation_turns_as_far() -> None:
    for edit in (Rotate(noise(12), 0.3), Rotate(noise(12), 0.3, source=noise(12, seed=1))):
        found = RandomDirection(2).fit(Steer({"ln1.0": edit})).entries[0].edit
        assert isinstance(found, Rotate) and found != edit and found.params.keys() == edit.params.keys()
        assert torch.equal(found.params["angle"], edit.params["angle"])


def test_a_control_stands_behind_the_same_gate() -> None:
    gate = Gate("resid_post.0", noise(12))
    steer = Steer({"resid_post.1": Add(noise(12))}, scope="generated").gated(gate)
    (entry,) = RandomDirection().fit(steer)
    assert entry.gate == gate and entry.scope == "generated"
