"""Edits: what each operator does to a vector, in which precision, and which numbers are refused."""

from __future__ import annotations

from collections.abc import Callable
from math import pi
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from levelhead import operators
from levelhead.edits import Ablate, Add, Affine, Edit, Erase, Rotate, from_params
from levelhead.errors import EditError

D = 6
fast = settings(deadline=None, max_examples=30)
seeds = st.integers(0, 2**31)


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


MAKERS: dict[str, Callable[..., Edit]] = {
    "add": lambda **o: Add(noise(D, **o)),
    "ablate a direction": lambda **o: Ablate(noise(D, **o)),
    "ablate a span to a point": lambda **o: Ablate(noise(3, D, **o), noise(D, **o)),
    "erase": lambda **o: Erase(noise(2, D, **o), 0.1 * noise(3, D, **o)[1:]),
    "erase to a point": lambda **o: Erase(noise(2, D, **o), 0.1 * noise(3, D, **o)[1:], noise(D, **o)),
    "affine": lambda **o: Affine(noise(D, **o), noise(2, D, **o)[1]),
    "affine, scale": lambda **o: Affine(scale=noise(D, **o)),
    "affine, sparse": lambda **o: Affine(noise(2, **o), noise(2, 2, **o)[1], index=torch.tensor([4, 1])),
    "rotate in a plane": lambda **o: Rotate(*noise(1, D, **o), 0.7, source=noise(2, D, **o)[1]),
    "rotate to a direction": lambda **o: Rotate(noise(D, **o), 0.7),
}
each_edit = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def written(h: Tensor, *steps: tuple[Any, ...], now: Any = None) -> Tensor:
    """Run steps given as (edit, strength[, head])."""
    full = [
        (str(n), edit.kind, strength, "all", head[0] if head else None, edit.params, None)
        for n, (edit, strength, *head) in enumerate(steps)
    ]
    return operators.apply(h, full, now, {})


# -- what each does ------------------------------------------------------------------------------------


@each_edit
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_strength_zero_leaves_every_value(make: Callable[..., Edit], dtype: torch.dtype) -> None:
    """Trap 28, where a strength of 0 stands beside others in one batch."""
    h = noise(2, 3, D, seed=1, dtype=dtype)
    assert torch.equal(written(h, (make(), 0.0)), h)
    assert torch.equal(written(h, (make(), torch.tensor([0.0, 1.0])))[0], h[0])


@given(seeds, st.floats(-3, 3))
@fast
def test_each_operator_is_its_formula(seed: int, strength: float) -> None:
    h, v, w = noise(3, 5, D, seed=seed, dtype=torch.float64)
    expected = {
        "add": (Add(v[0]), h + strength * v[0]),
        "ablate": (Ablate(v[0]), h - strength * (h @ v[0] / (v[0] @ v[0]))[:, None] * v[0]),
        "affine": (Affine(v[0], w[0]), h + strength * (v[0] * h + w[0])),
    }
    for edit, result in expected.values():
        torch.testing.assert_close(written(h, (edit, strength)), result)


def test_affine_with_zero_parameters_is_the_identity() -> None:
    h = noise(4, D, seed=1)
    assert torch.equal(written(h, (Affine(torch.zeros(D), torch.zeros(D)), 1.0)), h)


def test_trap_05_the_length_of_an_ablated_direction_does_not_matter() -> None:
    h, v = noise(4, D, seed=1), noise(D, seed=2)
    for factor in (1e-6, 1e-3, 25.0, -3.0):
        torch.testing.assert_close(written(h, (Ablate(factor * v), 1.0)), written(h, (Ablate(v), 1.0)))


@given(seeds, st.integers(1, D), st.booleans(), st.sampled_from([torch.float32, torch.float64]))
@fast
def test_ablation_empties_the_span_of_any_directions_and_does_it_once(
    seed: int, k: int, to_a_point: bool, dtype: torch.dtype
) -> None:
    """Trap 5: directions that are neither unit vectors nor orthogonal."""
    directions = noise(k, D, seed=seed, dtype=dtype) * torch.logspace(-2, 2, k, dtype=dtype)[:, None]
    unit = directions / directions.norm(dim=1, keepdim=True)
    assume(float(torch.linalg.svdvals(unit)[-1]) > 0.05)
    point = noise(D, seed=seed + 1, dtype=dtype) if to_a_point else torch.zeros(D, dtype=dtype)
    edit = Ablate(directions, point if to_a_point else None)
    h = noise(7, D, seed=seed + 2, dtype=dtype)
    once = written(h, (edit, 1.0))
    close = {"rtol": 0.0, "atol": 1e-4 if dtype == torch.float32 else 1e-9}
    torch.testing.assert_close(once @ unit.T, (point @ unit.T).expand(7, k), **close)
    torch.testing.assert_close(written(once, (edit, 1.0)), once, **close)
    # Nothing else moves: what is left of the change is in the span.
    change = (once - h).T
    torch.testing.assert_close(unit.T @ torch.linalg.lstsq(unit.T, change).solution, change, **close)


def test_ablation_of_half_precision_directions_is_as_exact_as_of_others() -> None:
    directions, h = noise(2, 64, dtype=torch.bfloat16), noise(5, 64, seed=1)
    left = written(h, (Ablate(directions), 1.0)) @ directions.float().T
    assert float(left.abs().max()) < 1e-4


@given(seeds, st.floats(-7, 7))
@fast
def test_rotation_keeps_length_and_a_fixed_plane_can_be_undone(seed: int, strength: float) -> None:
    h = noise(8, D, seed=seed, dtype=torch.float64)
    plane, circle = (MAKERS[f"rotate {name}"](seed=seed + 1) for name in ("in a plane", "to a direction"))
    for edit in (plane, circle):
        torch.testing.assert_close(written(h, (edit, strength)).norm(dim=-1), h.norm(dim=-1), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(written(h, (plane, strength), (plane, -strength)), h, atol=1e-6, rtol=1e-6)


def test_rotation_turns_source_into_target_and_stops_at_the_target() -> None:
    x, y = torch.eye(3)[:2]
    torch.testing.assert_close(written(2 * x, (Rotate(5 * y, pi / 2, source=x), 1.0)), 2 * y, atol=1e-6, rtol=0)
    torch.testing.assert_close(written(2 * x, (Rotate(5 * y, pi / 6), 3.0)), 2 * y, atol=1e-6, rtol=0)
    torch.testing.assert_close(written(2 * x, (Rotate(5 * y, pi / 6), 50.0)), 2 * y, atol=1e-6, rtol=0)
    halfway = written(x, (Rotate(y, pi / 2), 0.5))
    torch.testing.assert_close(halfway, (x + y) / 2**0.5, atol=1e-6, rtol=0)


def test_rotation_leaves_a_vector_that_has_no_great_circle() -> None:
    y = torch.eye(3)[1]
    lone = torch.stack([3 * y, -3 * y, 0 * y])
    torch.testing.assert_close(written(lone, (Rotate(y, 1.0), 1.0)), lone)


def test_a_sparse_affine_edit_is_the_dense_one_with_zeros() -> None:
    dense = Affine(torch.tensor([0.0, 2, 0, 0, -1, 0]), torch.tensor([0.0, 0, 0, 3, 0, 0]))
    sparse = dense.sparse()
    assert sparse.params["index"].tolist() == [1, 3, 4]
    assert (sparse.width, sparse.min_width, dense.width) == (None, 5, D)
    h = noise(2, 3, D, seed=3)
    for strength in (0.3, 1.0, torch.tensor([2.0, -1.0])):
        assert torch.equal(written(h, (sparse, strength)), written(h, (dense, strength)))


# -- where and in which precision ----------------------------------------------------------------------


@each_edit
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_trap_02_a_half_precision_stream_stays_so_and_is_rounded_once(make: Any, dtype: torch.dtype) -> None:
    h = noise(2, 3, D, seed=1, dtype=dtype)
    for precision in (torch.float32, torch.float64):
        edit = make(dtype=precision)
        found = written(h, (edit, 0.6))
        assert found.dtype == dtype
        assert torch.equal(found, written(h.float(), (edit, 0.6)).to(dtype))


@each_edit
def test_one_strength_a_row_is_each_row_at_its_strength(make: Callable[..., Edit]) -> None:
    h, strengths = noise(3, 4, D, seed=1), torch.tensor([0.5, -1.0, 2.0])
    together = written(h, (make(), strengths))
    for row, strength in enumerate(strengths.tolist()):
        torch.testing.assert_close(together[row], written(h[row : row + 1], (make(), strength))[0])


def test_strengths_for_other_rows_than_there_are_say_so() -> None:
    with pytest.raises(ValueError, match=r"one strength a row: 2 strengths were given for .* shape \(3, 4, 6\)"):
        written(noise(3, 4, D), (Add(noise(D)), torch.ones(2)))


@each_edit
def test_heads_are_written_apart_and_in_the_order_given(make: Callable[..., Edit]) -> None:
    h, whole = noise(2, 3, 4 * D, seed=1), Add(noise(4 * D, seed=2))
    twice = [(make(), 1.0, (1, 4)), (make(), 0.5, (3, 4)), (make(), 0.3, (1, 4))]
    found = written(h, *twice, (whole, 1.0), (make(), 1.0, (0, 4)))
    heads = list((h.unflatten(-1, (4, D))).unbind(dim=-2))
    heads[1], heads[3] = written(heads[1], (make(), 1.0), (make(), 0.3)), written(heads[3], (make(), 0.5))
    heads = list((torch.cat(heads, dim=-1) + whole.params["vector"]).unflatten(-1, (4, D)).unbind(dim=-2))
    heads[0] = written(heads[0], (make(), 1.0))
    torch.testing.assert_close(found, torch.cat(heads, dim=-1))


def test_a_mask_leaves_other_tokens_to_the_bit_and_the_tally_counts_vectors() -> None:
    ids = torch.tensor([[0, 5, 6], [7, 8, 9]])
    now = operators.open_pass({"input_ids": ids, "attention_mask": (ids > 0).long()}, operators.new_run())
    h, tally = noise(2, 3, D, seed=1), {}
    h[0, 0] = float("nan")
    steps = [
        (scope, "add", 1.0, scope, None, Add(torch.ones(D)).params, None) for scope in ("all", "last", "continuation")
    ]
    found = operators.apply(h, steps, now, tally)
    assert {key: int(count) for key, count in tally.items()} == {"all": 5, "last": 2}
    torch.testing.assert_close(found[:, 1:] - h[:, 1:], torch.tensor([[1.0, 2], [1, 2]])[..., None].expand(2, 2, D))
    assert bool(found[0, 0].isnan().all())


@each_edit
@pytest.mark.parametrize("head", [None, (1, 2)])
def test_trap_08_gradients_flow_into_the_stream_and_the_parameters(make: Any, head: tuple[int, int] | None) -> None:
    params = make(dtype=torch.float64).params
    names = [name for name in params if params[name].is_floating_point()]
    kind = make().kind

    def run(stream: Tensor, *values: Tensor) -> Tensor:
        given = {**params, **dict(zip(names, values, strict=True))}
        # Twice at one place, on a tensor that autograd needs: an in-place write would be caught.
        steps = [("0", kind, 0.7, "all", head, given, None), ("1", kind, -0.4, "all", head, given, None)]
        return operators.apply(stream.sin(), steps, None, {})

    stream = noise(2, 2 * D if head else D, seed=1, dtype=torch.float64).requires_grad_()
    leaves = [params[name].clone().requires_grad_() for name in names]
    assert torch.autograd.gradcheck(run, (stream, *leaves), atol=1e-4)


def test_a_parameter_in_training_stays_the_same_tensor() -> None:
    vector = torch.zeros(D, requires_grad=True)
    written(noise(2, D), (Add(vector), 1.0)).sum().backward()
    assert vector.grad is not None and vector.grad.tolist() == [2.0] * D


# -- what is refused -----------------------------------------------------------------------------------

NAN = torch.tensor([1.0, float("nan"), float("inf")])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Add(NAN), r"Add: 'vector' of shape \(3,\) has 2 entries that are NaN or infinite; look for"),
        (lambda: Add(torch.ones(2, 3)), r"Add: 'vector' must be a vector \[d\].*found shape \(2, 3\), dtype float32"),
        (lambda: Add(torch.ones(3, dtype=torch.long)), r"floating point numbers; found shape \(3,\), dtype int64"),
        (lambda: Add(torch.ones(0)), r"found shape \(0,\)"),
        (lambda: Ablate(torch.stack([torch.ones(3), torch.zeros(3)])), "direction 1 is zero"),
        (lambda: Ablate(NAN), "directions have entries that are NaN or infinite"),
        (lambda: Ablate(torch.eye(3)[:2] @ torch.ones(3, 3)), "the 2 directions are linearly dependent"),
        (lambda: Ablate(noise(4, 3)), "the 4 directions are linearly dependent"),
        (lambda: Ablate(torch.ones(3), torch.ones(4)), "directions have width 3, the offset has 4"),
        (lambda: Ablate(torch.ones(1, 1, 3)), r"\[d\] or \[k, d\] are needed; found shape \(1, 1, 3\)"),
        (lambda: Affine(), r"neither scale nor shift was given; give at least one, of shape \[d\]"),
        (lambda: Affine(torch.ones(3), torch.ones(4)), r"of one size; found sizes \[3, 4\]"),
        (lambda: Affine(torch.ones(2), index=torch.tensor([1, 1])), "different coordinates from 0"),
        (lambda: Affine(torch.ones(2), index=torch.tensor([-1, 1])), "different coordinates from 0"),
        (lambda: Rotate(torch.ones(3), 1.0, source=torch.ones(4)), "target has width 3, source has 4"),
        (lambda: Rotate(torch.ones(3), 1.0, source=-torch.ones(3)), "linearly dependent"),
        (lambda: Rotate(torch.ones(3), float("nan")), "'angle'.*NaN or infinite"),
        (lambda: from_params("turn", {}), "unknown kind of edit 'turn'; kinds are ablate, add, affine, erase, rotate"),
        (lambda: from_params("add", {"basis": torch.eye(2)}), r"'add' cannot be made from basis\[2, 2\]"),
        (lambda: from_params("ablate", {"basis": torch.ones(2, 3)}), "the basis is not orthonormal"),
        (lambda: from_params("ablate", {"basis": torch.eye(3), "offset": torch.ones(2)}), "offset.*2.*3 directions"),
        (lambda: from_params("ablate", {"basis": torch.eye(2, dtype=torch.long)}), "floating point"),
        (lambda: from_params("rotate", {"plane": torch.eye(3), "angle": torch.tensor(1.0)}), "plane.*two"),
        (lambda: from_params("rotate", {"plane": torch.ones(2, 3), "angle": torch.tensor(1.0)}), "not orthonormal"),
        (lambda: from_params("rotate", {"target": torch.ones(3), "angle": torch.tensor(1.0)}), "not a unit vector"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_numbers_that_make_no_edit_are_refused_with_the_reason(make: Callable[[], Edit], says: str) -> None:
    with pytest.raises(EditError, match=says):
        make()


# -- what it is ----------------------------------------------------------------------------------------


@each_edit
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_an_edit_is_its_kind_and_its_numbers_to_the_bit(make: Callable[..., Edit], dtype: torch.dtype) -> None:
    edit = make(dtype=dtype)
    again = from_params(edit.kind, edit.params)
    assert again == edit and len({again, edit}) == 1
    assert (again.width, again.min_width, repr(again)) == (edit.width, edit.min_width, repr(edit))
    assert edit != Add(torch.ones(D)) and edit != "edit"


def test_an_edit_is_frozen_and_keeps_its_numbers_to_itself() -> None:
    many = noise(1000, D)
    edit, expected = Add(many[3]), many[3].clone()
    with pytest.raises(AttributeError, match="Add is frozen; make a new one instead of setting 'vector'"):
        edit.vector = torch.zeros(D)
    edit.params["vector"] = torch.zeros(D)
    many.zero_()
    assert torch.equal(edit.params["vector"], expected)
    assert edit.params["vector"].untyped_storage().nbytes() == D * 4, "trap 9: a row keeps the matrix alive"


def test_directions_are_unit_vectors_and_those_without_say_none() -> None:
    v = noise(D)
    torch.testing.assert_close(Add(7 * v).directions(), (v / v.norm())[None])
    rows = Ablate(noise(3, D)).directions()
    torch.testing.assert_close(rows @ rows.T, torch.eye(3))
    assert bool(((rows * noise(3, D)).sum(dim=1) > 0).all()), "trap 4: a direction was turned round"
    torch.testing.assert_close(Ablate(3 * v).directions(), (v / v.norm())[None])
    assert Affine(v).directions() is None and Rotate(v, 1.0).directions() is None
