"""What is put in the place of a head's output: its mean, nothing, or what it says of the counterfactual partner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from levelhead.edits import Affine, Edit
from levelhead.errors import InputError
from levelhead.heads.asking import Asking, Batch
from levelhead.sites import Site
from levelhead.steer import Entry, Steer

Ablation = Literal["mean", "zero", "partner"]
Where = Literal["all", "text", "image", "last"]

READERS: dict[str, str] = {"all": "all", "text": "all:text", "image": "all:image", "last": "last"}
"""For each scope, the reader of the tokens that it writes."""


@dataclass(frozen=True)
class StandIns:
    """Vectors that stand in for those at some sites.

    Attributes
    ----------
    means : dict of Site to Float[Tensor, "d"]
        By whole site; zeros for ``"zero"``.
    own : dict of Site to Float[Tensor, "wording d"]
        One for each wording, with ``"partner"``; else empty.
    scope : str
    """

    means: dict[Site, Float[Tensor, " d"]]
    own: dict[Site, Float[Tensor, "wording d"]]
    scope: Where

    def of_rows(self, whole: Site, batch: Batch) -> Float[Tensor, "row d"]:
        """What stands in, row by row."""
        if whole in self.own:
            return self.own[whole][batch.wordings]
        return self.means[whole].expand(len(batch.wordings), -1)

    def mean(self, site: Site, width: int) -> Float[Tensor, " d_site"]:
        """What stands in at one site in every prompt."""
        return _part(self.means[site.whole], site, width)

    def steer(self, widths: dict[Site, int], sites: Sequence[Site], basis: str) -> Steer:
        """A steer that ablates some sites, the same in every prompt."""
        edits: dict[Site, Edit] = {site: _edit(self.mean(site, widths[site])) for site in sites}
        return Steer(edits, scope=self.scope, card={"basis": basis})

    def variants(self, widths: dict[Site, int], batch: Batch, variants: Sequence[Sequence[Site]], basis: str) -> Steer:
        """One steer for a batch that is repeated once for each variant; a variant names the sites that it ablates."""
        rows = len(batch.wordings)
        entries: list[Entry] = []
        for site in sorted({site for variant in variants for site in variant}):
            on = torch.tensor([float(site in variant) for variant in variants]).repeat_interleave(rows)
            if site.whole not in self.own:
                entries.append(Entry(site, _edit(self.mean(site, widths[site])), on, self.scope))
                continue
            # An edit has one vector, so each row has an edit of its own.
            values = _part(self.own[site.whole][batch.wordings], site, widths[site])
            for row in range(rows):
                here = torch.zeros(rows)
                here[row] = 1.0
                entries.append(Entry(site, _edit(values[row]), on * here.repeat(len(variants)), self.scope))
        return Steer(entries, card={"basis": basis})


def stand_ins(asking: Asking, wholes: list[Site], ablation: Ablation, scope: Where) -> StandIns:
    """Find what stands in for the vectors at some sites, by one pass over the prompts."""
    graph, items = asking.graph, asking.items
    if ablation == "zero":
        return StandIns({site: torch.zeros(graph.locate(site).width) for site in wholes}, {}, scope)
    if ablation == "partner":
        alone = [i for i, partners in enumerate(items.partners) if not partners]
        if scope != "last" or alone:
            raise InputError(
                "ablation='partner' puts a counterfactual's activation in place, "
                + (
                    "and tokens of two prompts line up at their ends alone: give scope='last'"
                    if scope != "last"
                    else f"and {len(alone)} of {len(items.prompts)} prompts have no other one of the same set_id, target and "
                    "options for another group; leave them out, or give ablation='mean'"
                )
            )
    sums = {site: torch.zeros(graph.locate(site).width, dtype=torch.float64) for site in wholes}
    each = {site: torch.zeros(len(items.prompts), len(sums[site])) for site in wholes} if ablation == "partner" else {}
    total = 0.0
    for batch in asking:
        found = graph.capture(batch.prompts, wholes, READERS[scope])
        rows = rows_of(asking, batch, batch.prompts, scope)
        weights = batch.weights[rows].double()
        total += float(weights.sum())
        for site, values in found.items():
            values = values.detach().cpu()
            sums[site] += weights @ values.double()
            if site in each:
                each[site][batch.wordings] = values.float()
    if not total:
        raise InputError(f"scope='{scope}' was asked for, and no prompt has such a token")
    own = {
        site: torch.stack([values[partners].mean(0) for partners in items.partners]) for site, values in each.items()
    }
    return StandIns({site: (value / total).float() for site, value in sums.items()}, own, scope)


def rows_of(asking: Asking, batch: Batch, tensors: dict[str, Tensor], scope: Where) -> Int[Tensor, " token"]:
    """The row of each vector that the scope's reader gives."""
    if scope == "last":
        return torch.arange(len(batch.wordings))
    layout = asking.graph.layout(tensors)
    mask = {"all": layout.real, "text": layout.real & ~layout.image, "image": layout.image}[scope]
    return mask.nonzero()[:, 0].cpu()


def _edit(value: Float[Tensor, " d"]) -> Affine:
    return Affine(scale=-torch.ones_like(value), shift=value)


def _part(value: Float[Tensor, "*n whole"], site: Site, width: int) -> Float[Tensor, "*n d"]:
    return value if site.head is None else value[..., site.head * width : (site.head + 1) * width]
