"""The data-set-based direction: the difference of two groups' mean activations."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

import torch
from torch import Tensor

from levelhead.capture import Activations, Moments
from levelhead.edits import Ablate, Add, Edit
from levelhead.errors import InputError
from levelhead.methods.base import Method, class_means, fingerprint
from levelhead.sites import Patterns, resolve
from levelhead.steer import Steer


class MeanDifference(Method):
    """Mean difference between groups, added or ablated; the data-set-based vector of arXiv 2411.12590 (eq. A.1).

    The paper gives the difference of means; whether it adds, subtracts or projects, where and on which tokens, it
    does not say. Ablation in the sense of directional ablation is the recommended reading and the default here:
    a reconstruction, and an option.

    Parameters
    ----------
    sites : patterns
        Where to steer, of the sites that were captured; as in ``"resid_post.8:20"``.
    edit : {"ablate", "add"}
        ``ablate`` removes the direction; with more than two groups, the span of all differences of means.
        ``add`` adds the negative difference (first class towards the second, in sorted order, is ``positive``
        minus the other): strength 1 moves a member of the positive class onto the other's mean. Two groups only.
    to : {"zero", "mean"}
        What ablation leaves in the direction: nothing, or the groups' common mean (each group counted once), or that
        of a reference given to `fit`.
    positive : optional
        The class that counts as positive; by default the last in sorted order. Settles the sign.
    scope : str
        Which tokens are written.

    Examples
    --------
    >>> acts = Activations({"resid_post.0": torch.tensor([[1.0, 0.0], [0.0, 0.0]])})
    >>> MeanDifference("resid_post.0", edit="add").fit(acts, ["she", "he"]).entries[0].edit.params["vector"].tolist()
    [-1.0, 0.0]
    """

    def __init__(
        self,
        sites: Patterns = "resid_post.*",
        edit: Literal["ablate", "add"] = "ablate",
        to: Literal["zero", "mean"] = "zero",
        positive: Any = None,
        scope: str = "all",
    ) -> None:
        self.sites = sites
        self.edit = edit
        self.to = to
        self.positive = positive
        self.scope = scope

    def fit(
        self,
        acts: Activations | Moments,
        labels: Collection[Any] | None = None,
        reference: Activations | None = None,
    ) -> Steer:
        """Fit on activations and labels, or on class-wise moments.

        Parameters
        ----------
        acts : Activations or Moments
        labels : sequence, optional
            One for each row; left out with moments.
        reference : Activations, optional
            With ``to="mean"``, the activations whose mean is put in place, instead of the groups' common one: inputs
            that name no group, say, among which the model should stay where it is.

        Returns
        -------
        Steer

        Raises
        ------
        InputError
            For labels of one class, ``edit="add"`` with more than two, non-finite activations, a reference that
            nothing would use.
        SiteError
            For sites that were not captured.
        """
        if reference is not None and (self.edit, self.to) != ("ablate", "mean"):
            raise InputError(
                f"a reference is the mean that ablation puts in place; set edit='ablate', to='mean' "
                f"(found edit={self.edit!r}, to={self.to!r})"
            )
        if self.edit not in ("ablate", "add") or self.to not in ("zero", "mean"):
            raise InputError(
                f"edit must be 'ablate' or 'add' and to 'zero' or 'mean'; found {self.edit!r}, {self.to!r}"
            )
        sites = resolve(self.sites, acts.sites)
        classes, counts, means = class_means(acts, labels, sites)
        positive = classes[-1] if self.positive is None else self.positive
        if positive not in classes:
            raise InputError(f"positive={positive!r} is not among the labels {classes}")
        if self.edit == "add" and len(classes) != 2:
            raise InputError(
                f"edit='add' moves one group onto another and needs two classes; found {len(classes)}: {classes}"
            )
        order = [classes.index(positive), *(i for i, label in enumerate(classes) if label != positive)]
        for site in sites:
            if bool((means[site] == means[site][0]).all()):
                raise InputError(
                    f"all groups have the same means at '{site}', and no direction leads from one to another"
                )
        first = acts[sites[0]] if isinstance(acts, Activations) else acts.sums[sites[0]]
        facts = {
            "classes": {str(label): int(count) for label, count in zip(classes, counts, strict=True)},
            "sha256": fingerprint(labels, first),
            **({} if reference is None else {"reference_rows": reference.n}),
        }
        self.steer_ = Steer(
            {site: self._edit(means[site][order], None if reference is None else reference[site]) for site in sites},
            scope=self.scope,
            card=self.card(acts.source, **facts),
        )
        return self.steer_

    def _edit(self, means: Tensor, reference: Tensor | None) -> Edit:
        if self.edit == "add":
            return Add((means[1] - means[0]).float())
        offset = None
        if self.to == "mean":
            offset = (means if reference is None else reference.double().cpu()).mean(dim=0).float()
        return Ablate(_span(means[0] - means[1:]).float(), offset)


def _span(differences: Tensor) -> Tensor:
    """Directions of the differences of means that are not combinations of earlier ones."""
    kept: list[Tensor] = []
    for row in differences:
        rest = row
        for direction in kept:
            rest = rest - (rest @ direction) * direction
        if rest.norm() > 1e-6 * row.norm().clamp_min(torch.finfo(row.dtype).tiny):
            kept.append(rest / rest.norm())
    return torch.stack(kept) if kept else differences[:1]
