"""Controls: what a direction that means nothing does at the same sites, with the same norm."""

from __future__ import annotations

import torch
from torch import Tensor

from levelhead.capture import Activations
from levelhead.edits import Ablate, Add, Edit
from levelhead.errors import EditError
from levelhead.methods.base import Method, versions
from levelhead.steer import Entry, Steer


class RandomDirection(Method):
    """Random directions in place of a steer's own: same sites, same kind of edit, same norm and rank.

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
            Needed where the steer ablates to a point: the control ablates to the mean of these.

        Raises
        ------
        EditError
            When the steer has edits without a fixed direction (`Affine`, `Rotate`), or ablates to a point and
            no activations are given.
        """
        generator = torch.Generator().manual_seed(self.random_state)
        drawn: dict[int, Tensor] = {}
        entries = []
        for entry in steer.entries:
            width = entry.edit.min_width
            if not self.shared or width not in drawn:
                drawn[width] = torch.randn(8, width, generator=generator)
            entries.append(
                Entry(entry.site, _randomized(entry, drawn[width], generator, acts), entry.strength, entry.scope)
            )
        card = {
            **steer.card,
            "method": {"name": "RandomDirection", "params": self.get_params()},
            "versions": versions(),
        }
        return Steer(entries, strength=steer.strength, card=card)


def _randomized(entry: Entry, noise: Tensor, generator: torch.Generator, acts: Activations | None) -> Edit:
    params = entry.edit.params
    if entry.edit.kind == "add":
        return Add(noise[0] / noise[0].norm() * params["vector"].norm().cpu())
    if entry.edit.kind != "ablate":
        raise EditError(f"a random control needs edits with a fixed direction (add, ablate); found '{entry.edit.kind}'")
    rank, width = params["basis"].shape
    rows = noise[:rank] if rank <= len(noise) else torch.randn(rank, width, generator=generator)
    if "offset" not in params:
        return Ablate(rows)
    if acts is None:
        raise EditError("this steer ablates to a point; give the activations whose mean its control should ablate to")
    return Ablate(rows, acts[entry.site].float().mean(dim=0).cpu())
