"""Controls: what a direction that means nothing does at the same sites, with the same norm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from levelhead.capture import Activations
from levelhead.edits import Ablate, Add, Affine, Edit, Erase, Rotate
from levelhead.errors import EditError
from levelhead.methods.base import Method, versions
from levelhead.steer import Entry, Steer


class RandomDirection(Method):
    """Random directions in place of a steer's own: same sites, same kind of edit, same norm and rank.

    An added vector keeps its norm, an ablated span its rank, an erasure also its singular values and the angles between
    what it reads and what it writes, a rotation its angle. An affine edit keeps its numbers, permuted and with random
    signs, scale and shift each for itself. Scope, strength and gate of each edit stay as they are.

    Parameters
    ----------
    random_state : int
        Seed of a generator of its own.
    shared : bool
        One random direction for all sites of equal width, as a steer with one vector for all layers has; else a
        new one at each.
    """

    def __init__(self, random_state: int = 0, shared: bool = False) -> None:
        self.random_state = random_state
        self.shared = shared

    def fit(self, steer: Steer, acts: Activations | None = None) -> Steer:
        """The control of a steer.

        Parameters
        ----------
        steer : Steer
        acts : Activations, optional
            Needed where the steer ablates or erases to a point: the control does so to the mean of these.

        Returns
        -------
        Steer

        Raises
        ------
        EditError
            When the steer ablates or erases to a point and no activations are given, or for an unknown kind of edit.
        """
        generator = torch.Generator().manual_seed(self.random_state)
        drawn: dict[int, Tensor] = {}
        entries: list[Entry] = []
        for entry in steer.entries:
            width, kind = entry.edit.min_width, entry.edit.kind
            if kind not in _MAKERS:
                raise EditError(f"a random control is known for {', '.join(_MAKERS)}; found an edit of kind '{kind}'")
            if not self.shared or width not in drawn:
                drawn[width] = torch.randn(8, width, generator=generator)
            rows = _rows_needed(entry.edit)
            if len(drawn[width]) < rows:
                more = torch.randn(rows - len(drawn[width]), width, generator=generator)
                drawn[width] = torch.cat([drawn[width], more])
            entries.append(replace(entry, edit=_MAKERS[kind](entry, drawn[width], acts)))
        card = {
            **steer.card,
            "method": {"name": "RandomDirection", "params": self.get_params()},
            "versions": versions(),
        }
        return Steer(entries, strength=steer.strength, card=card)


def _rows_needed(edit: Edit) -> int:
    params = edit.params
    if edit.kind == "erase":
        return min(2 * len(params["read"]), params["read"].shape[1])
    return len(params["basis"]) if edit.kind == "ablate" else 0


def _add(entry: Entry, noise: Tensor, acts: Activations | None) -> Edit:
    return Add(noise[0] / noise[0].norm() * entry.edit.params["vector"].norm().cpu())


def _ablate(entry: Entry, noise: Tensor, acts: Activations | None) -> Edit:
    params = entry.edit.params
    return Ablate(noise[: len(params["basis"])], _point(entry, acts, "ablates") if "offset" in params else None)


def _erase(entry: Entry, noise: Tensor, acts: Activations | None) -> Edit:
    params = entry.edit.params
    read, write = (params[name].double().cpu() for name in ("read", "write"))
    # Coordinates of both in one orthonormal basis keep norms and angles when the basis is exchanged for a random one.
    _, inside = torch.linalg.qr(torch.cat([read, write]).T)
    basis = torch.linalg.qr(noise[: len(inside)].double().T)[0]
    read, write = (basis @ inside).T.float().split(len(read))
    return Erase(read, write, _point(entry, acts, "erases") if "offset" in params else None)


def _affine(entry: Entry, noise: Tensor, acts: Activations | None) -> Edit:
    params = entry.edit.params
    scale = _shuffled(params["scale"], noise[0], noise[1]) if "scale" in params else None
    shift = _shuffled(params["shift"], noise[2], noise[3]) if "shift" in params else None
    return Affine(scale, shift, params.get("index"))


def _rotate(entry: Entry, noise: Tensor, acts: Activations | None) -> Edit:
    params = entry.edit.params
    return Rotate(noise[1], params["angle"].cpu(), source=noise[0] if "plane" in params else None)


def _shuffled(numbers: Float[Tensor, " m"], order: Tensor, sign: Tensor) -> Float[Tensor, " m"]:
    """The numbers in a random order with random signs, both taken from normal noise."""
    numbers, m = numbers.detach(), len(numbers)
    return numbers[order[:m].argsort().to(numbers.device)] * sign[:m].sign().to(numbers)


def _point(entry: Entry, acts: Activations | None, verb: str) -> Float[Tensor, " d"]:
    if acts is None:
        raise EditError(
            f"this steer {verb} to a point; give the activations whose mean its control should put in place"
        )
    return acts[entry.site].double().mean(dim=0).float().cpu()


_MAKERS: dict[str, Callable[[Entry, Tensor, Activations | None], Edit]] = {
    "add": _add,
    "ablate": _ablate,
    "erase": _erase,
    "affine": _affine,
    "rotate": _rotate,
}
