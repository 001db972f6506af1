"""Edits: what a steer does to the vectors at one site, on tensors of any shape [..., d].

An edit holds tensors and a kind; `levelhead.operators` does the arithmetic. Strength 0 is the identity
for every kind, and strength 1 the edit as it was fitted.
"""

from __future__ import annotations

from typing import Any, NoReturn

import torch
from jaxtyping import Float
from torch import Tensor

from levelhead.errors import EditError


class Edit:
    """An operator at a site; frozen. Subclasses are `Add`, `Ablate`, `Erase`, `Affine`, `Rotate`.

    Attributes
    ----------
    kind : str
        Name of the operator in `levelhead.operators.OPERATORS`.
    params : dict of str to Tensor
        The numbers; a fresh dictionary at each access. Tensors that require grad keep doing so.
    """

    kind: str = ""
    _params: dict[str, Tensor]
    _width: int | None

    def _freeze(self, params: dict[str, Tensor], width: int | None) -> None:
        for name, value in params.items():
            if value.is_floating_point() and not bool(torch.isfinite(value).all()):
                bad = int((~torch.isfinite(value)).sum())
                raise EditError(
                    f"{type(self).__name__}: '{name}' of shape {tuple(value.shape)} has {bad} entries that are "
                    "NaN or infinite; look for an empty class mean or an overflow where it was fitted"
                )
        # Copies, so that neither a later write to the given tensors nor a large one they are views of lives on here.
        own = {name: value if value.requires_grad else _copy(value) for name, value in params.items()}
        object.__setattr__(self, "_params", own)
        object.__setattr__(self, "_width", width)

    @property
    def params(self) -> dict[str, Tensor]:
        """The numbers, by name."""
        return dict(self._params)

    @property
    def width(self) -> int | None:
        """Size d of the vectors that this edit acts on; None for a sparse `Affine`, which fits any d that is large enough."""
        return self._width

    @property
    def min_width(self) -> int:
        """Smallest d that this edit can act on."""
        return self._width if self._width is not None else int(self._params["index"].max()) + 1

    def directions(self) -> Float[Tensor, "k d"] | None:
        """Unit directions that the edit writes along, or None where it has no fixed ones."""
        return None

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is frozen; make a new one instead of setting '{name}'")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Edit) or self.kind != other.kind or self._params.keys() != other._params.keys():
            return False
        theirs = other._params
        return all(v.dtype == theirs[name].dtype and torch.equal(v, theirs[name]) for name, v in self._params.items())

    def __hash__(self) -> int:
        return hash((self.kind, *((name, value.shape) for name, value in sorted(self._params.items()))))

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}{list(value.shape)}" for name, value in self._params.items())
        return f"{type(self).__name__}({inside})"


class Add(Edit):
    """``h + strength * vector``.

    Parameters
    ----------
    vector : Float[Tensor, "d"]
        In the units of the activations; its length is kept.
    """

    kind = "add"

    def __init__(self, vector: Tensor) -> None:
        vector = _vector(vector, "Add", "vector")
        self._freeze({"vector": vector}, vector.shape[0])

    def directions(self) -> Float[Tensor, "k d"]:
        """Unit directions that the edit writes along."""
        vector = self._params["vector"].detach()
        return (vector / vector.norm().clamp_min(torch.finfo(vector.dtype).tiny))[None]


class Ablate(Edit):
    """Remove the part of h that lies in the span of some directions, or set it to that of a given point.

    ``h - strength * B'(B h - B offset)`` with B the orthonormalized directions. Without an offset this is
    directional ablation (Arditi et al. 2024, arXiv 2406.11717); with the mean of the activations as
    offset it is mean ablation.

    Parameters
    ----------
    directions : Float[Tensor, "d"] or Float[Tensor, "k d"]
        Need not be of unit length nor orthogonal; must be linearly independent.
    offset : Float[Tensor, "d"], optional
        The point whose coordinates along the directions are put in place.

    Raises
    ------
    EditError
        For directions that are zero or linearly dependent, non-finite numbers, widths that differ.
    """

    kind = "ablate"

    def __init__(self, directions: Tensor, offset: Tensor | None = None) -> None:
        if directions.dim() == 1:
            directions = directions[None]
        if directions.dim() != 2 or 0 in directions.shape or not directions.is_floating_point():
            raise EditError(f"Ablate: directions of shape [d] or [k, d] are needed; found {_describe(directions)}")
        basis = _orthonormal(directions)
        params = {"basis": basis}
        if offset is not None:
            offset = _vector(offset, "Ablate", "offset")
            if offset.shape[0] != basis.shape[1]:
                raise EditError(f"Ablate: directions have width {basis.shape[1]}, the offset has {offset.shape[0]}")
            params["offset"] = basis @ offset.to(basis)
        self._freeze(params, basis.shape[1])

    @classmethod
    def restore(cls, params: dict[str, Tensor]) -> Ablate:
        """Build from `params`, to the bit."""
        # A saved basis is orthonormal already; running it through QR again would change its last bits.
        edit = object.__new__(cls)
        basis, offset = params["basis"], params.get("offset")
        _check_orthonormal(basis, "Ablate: the basis is not orthonormal")
        if offset is not None and (len(offset) != len(basis) or not offset.is_floating_point()):
            raise EditError(f"Ablate: the offset has {len(offset)} coordinates, and there are {len(basis)} directions")
        edit._freeze(params, basis.shape[1])
        return edit

    def directions(self) -> Float[Tensor, "k d"]:
        """Unit directions that the edit writes along."""
        return self._params["basis"].detach()


class Erase(Edit):
    """Take away along some directions what others read, an oblique projection: ``h - strength * W'(R h - R at)``.

    The map of LEACE (Belrose et al. 2023, arXiv 2306.03819), which removes what a linear probe can read at the least
    change to h. Where both sets of directions are one orthonormal basis, it is `Ablate`.

    Parameters
    ----------
    read : Float[Tensor, "k d"]
        R: what is read.
    write : Float[Tensor, "k d"]
        W: what is subtracted for one unit of each reading.
    at : Float[Tensor, "d"], optional
        The point whose readings are put in place, such as the mean of the activations.

    Raises
    ------
    EditError
        For shapes that differ, non-finite numbers.
    """

    kind = "erase"

    def __init__(self, read: Tensor, write: Tensor, at: Tensor | None = None) -> None:
        given = {"read": read, "write": write}
        for name, rows in given.items():
            if rows.dim() != 2 or 0 in rows.shape or not rows.is_floating_point():
                raise EditError(f"Erase: '{name}' of shape [k, d] is needed; found {_describe(rows)}")
        if read.shape != write.shape:
            raise EditError(
                f"Erase: read has shape {tuple(read.shape)}, and write {tuple(write.shape)}; they must agree"
            )
        dtype = _full(torch.promote_types(read.dtype, write.dtype))
        params = {name: rows.to(dtype) for name, rows in given.items()}
        if at is not None:
            at = _vector(at, "Erase", "at")
            if at.shape[0] != read.shape[1]:
                raise EditError(f"Erase: the directions have width {read.shape[1]}, and the point has {at.shape[0]}")
            params["offset"] = params["read"] @ at.to(params["read"])
        self._freeze(params, read.shape[1])

    @classmethod
    def restore(cls, params: dict[str, Tensor]) -> Erase:
        """Build from `params`, to the bit."""
        edit = object.__new__(cls)
        read, write, offset = params["read"], params["write"], params.get("offset")
        if read.shape != write.shape or (offset is not None and len(offset) != len(read)):
            raise EditError(
                f"Erase: read {tuple(read.shape)}, write {tuple(write.shape)} and offset "
                f"{None if offset is None else tuple(offset.shape)} do not belong together"
            )
        edit._freeze(params, read.shape[1])
        return edit

    def directions(self) -> Float[Tensor, "k d"]:
        """Unit directions that the edit writes along."""
        write = self._params["write"].detach()
        return write / write.norm(dim=1, keepdim=True).clamp_min(torch.finfo(write.dtype).tiny)


class Affine(Edit):
    """``h + strength * (scale * h + shift)``, elementwise; the map of DSO (arXiv 2512.15926, eq. B.1).

    Parameters
    ----------
    scale, shift : Float[Tensor, "m"], optional
        At least one is needed. Zero for both is the identity.
    index : Int[Tensor, "m"], optional
        The coordinates that are written, when not all are: a sparse edit.
    """

    kind = "affine"

    def __init__(self, scale: Tensor | None = None, shift: Tensor | None = None, index: Tensor | None = None) -> None:
        given = {"scale": scale, "shift": shift}
        params = {name: _vector(value, "Affine", name) for name, value in given.items() if value is not None}
        if not params:
            raise EditError("Affine: neither scale nor shift was given; give at least one, of shape [d]")
        sizes = {value.shape[0] for value in params.values()}
        if index is not None:
            index = torch.as_tensor(index, dtype=torch.long)
            sizes.add(index.shape[0])
            if index.dim() != 1 or len(index) == 0 or bool((index < 0).any()) or len(index.unique()) != len(index):
                raise EditError("Affine: index must be a non-empty vector of different coordinates from 0")
            params["index"] = index
        if len(sizes) != 1:
            raise EditError(f"Affine: scale, shift and index must be of one size; found sizes {sorted(sizes)}")
        self._freeze(params, sizes.pop() if index is None else None)

    def sparse(self) -> Affine:
        """The same edit on the coordinates that it changes only."""
        if "index" in self._params:
            return self
        used = torch.zeros(self.min_width, dtype=torch.bool)
        for value in self._params.values():
            used |= value.detach().cpu() != 0
        index = used.nonzero()[:, 0] if bool(used.any()) else torch.zeros(1, dtype=torch.long)
        return Affine(**{name: value[index.to(value.device)] for name, value in self._params.items()}, index=index)


class Rotate(Edit):
    """Turn h on the sphere of its own norm by ``strength * angle``.

    With `source`, every vector turns in the plane of source and target, from source towards target (a
    fixed rotation; negative strength undoes it). Without, each vector moves along the great circle
    towards the target, and stops there.

    Parameters
    ----------
    target : Float[Tensor, "d"]
        Direction turned towards; its length does not matter.
    angle : float
        In radians.
    source : Float[Tensor, "d"], optional
        Direction turned from; must not be parallel to the target.
    """

    kind = "rotate"

    def __init__(self, target: Tensor, angle: float | Tensor, source: Tensor | None = None) -> None:
        target = _vector(target, "Rotate", "target")
        turn = torch.as_tensor(angle, dtype=_full(target.dtype))
        if source is None:
            params = {"target": _orthonormal(target[None])[0], "angle": turn}
        else:
            source = _vector(source, "Rotate", "source")
            if source.shape != target.shape:
                raise EditError(f"Rotate: target has width {target.shape[0]}, source has {source.shape[0]}")
            plane = _orthonormal(torch.stack([source, target]))
            params = {"plane": plane, "angle": turn}
        self._freeze(params, target.shape[0])

    @classmethod
    def restore(cls, params: dict[str, Tensor]) -> Rotate:
        """Build from `params`, to the bit."""
        edit = object.__new__(cls)
        if "plane" in params and len(params["plane"]) != 2:
            raise EditError(f"Rotate: a plane has two directions; found {len(params['plane'])}")
        rows = params["plane"] if "plane" in params else params["target"][None]
        what = "plane is not orthonormal" if "plane" in params else "target is not a unit vector"
        _check_orthonormal(rows, f"Rotate: the {what}")
        edit._freeze(params, rows.shape[1])
        return edit


KINDS: dict[str, type[Edit]] = {cls.kind: cls for cls in (Add, Ablate, Erase, Affine, Rotate)}

LAYOUTS: dict[str, list[dict[str, int]]] = {
    "add": [{"vector": 1}],
    "ablate": [{"basis": 2}, {"basis": 2, "offset": 1}],
    "erase": [{"read": 2, "write": 2}, {"read": 2, "write": 2, "offset": 1}],
    "affine": [
        {**given, **index}
        for given in ({"scale": 1}, {"shift": 1}, {"scale": 1, "shift": 1})
        for index in ({}, {"index": 1})
    ],
    "rotate": [{"target": 1, "angle": 0}, {"plane": 2, "angle": 0}],
}
"""For each kind, the sets of parameters that make one, with the number of dimensions of each."""


def from_params(kind: str, params: dict[str, Tensor]) -> Edit:
    """Build an edit from its kind and its numbers, to the bit; the inverse of ``edit.kind, edit.params``.

    Raises
    ------
    EditError
        For an unknown kind, or parameters that do not make one.
    """
    if kind not in KINDS:
        raise EditError(f"unknown kind of edit '{kind}'; kinds are {', '.join(sorted(KINDS))}")
    if {name: value.dim() for name, value in params.items()} not in LAYOUTS[kind]:
        found = ", ".join(f"{name}{list(value.shape)}" for name, value in params.items()) or "nothing"
        raise EditError(f"edit of kind '{kind}' cannot be made from {found}")
    cls = KINDS[kind]
    if issubclass(cls, (Ablate, Erase, Rotate)):
        return cls.restore(params)
    return cls(**params)


def _describe(value: Tensor) -> str:
    return f"shape {tuple(value.shape)}, dtype {str(value.dtype).removeprefix('torch.')}"


def _vector(value: Tensor, who: str, name: str) -> Tensor:
    value = torch.as_tensor(value)
    if value.dim() != 1 or value.shape[0] == 0 or not value.is_floating_point():
        raise EditError(f"{who}: '{name}' must be a vector [d] of floating point numbers; found {_describe(value)}")
    return value


def _copy(value: Tensor) -> Tensor:
    return value.detach().clone(memory_format=torch.contiguous_format)


def _full(dtype: torch.dtype) -> torch.dtype:
    # In half precision a unit vector is not one: rounded entries leave a part of what is ablated.
    return torch.promote_types(dtype, torch.float32)


def _check_orthonormal(rows: Tensor, complaint: str) -> None:
    if not rows.is_floating_point():
        raise EditError(f"{complaint}: floating point numbers are needed; found {_describe(rows)}")
    wide = rows.double()
    atol = 1e-3 if rows.dtype in (torch.float32, torch.float64) else 3e-2
    if not torch.allclose(wide @ wide.T, torch.eye(len(rows), dtype=wide.dtype, device=wide.device), atol=atol):
        raise EditError(complaint)


def _orthonormal(rows: Float[Tensor, "k d"]) -> Float[Tensor, "k d"]:
    if not bool(torch.isfinite(rows).all()):
        raise EditError("directions have entries that are NaN or infinite; look for an empty class mean or an overflow")
    norms = rows.double().norm(dim=1, keepdim=True)
    if bool((norms == 0).any()):
        raise EditError(f"direction {int((norms == 0).nonzero()[0, 0])} is zero, and a zero vector has no direction")
    unit = rows.double() / norms
    if len(rows) == 1:
        return unit.to(_full(rows.dtype))
    q, r = torch.linalg.qr(unit.T)
    if len(rows) > rows.shape[1] or bool((r.diagonal().abs() < 1e-6).any()):
        raise EditError(f"the {len(rows)} directions are linearly dependent; leave out those that repeat others")
    # QR leaves signs open: keep each direction's own.
    return (q * r.diagonal().sign()).T.contiguous().to(_full(rows.dtype))
