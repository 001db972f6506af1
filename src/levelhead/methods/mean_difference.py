"""The data-set-based direction: the difference of groups' mean activations."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

import torch
from torch import Tensor

from levelhead.capture import Activations, Moments
from levelhead.edits import Ablate, Add, Edit
from levelhead.errors import InputError
from levelhead.methods.base import Method, about, check_choice, check_range, check_reference
from levelhead.methods.labeling import check_two, group_codes, labeling
from levelhead.methods.means import class_means, span
from levelhead.methods.ranking import Ranking, separation
from levelhead.sites import Patterns, Site, SiteLike, resolve
from levelhead.steer import Steer


class MeanDifference(Method):
    """Mean difference between groups, added or ablated; the data-set-based vector of arXiv 2411.12590 (eq. A.1).

    Attested, in abstracts: activations on biased and on neutral inputs are contrasted, and the forerunner (arXiv
    2410.13976) ablates with about a thousand biased answers; that the vector is the difference of means is known from
    a review of the forerunner. Whether it is added, subtracted or projected out, of what length, where, and on which
    tokens is not known. Directional ablation (arXiv 2406.11717) is the recommended reading and the default here; that
    and all options below are reconstructions.

    Parameters
    ----------
    sites : patterns
        Where to steer, of the sites that were captured; as in ``"resid_post.8:20"``.
    edit : {"ablate", "add"}
        ``ablate`` removes the direction; with K groups, the K - 1 directions in which their means differ.
        ``add`` adds the negative difference (first class towards the second, in sorted order, is ``positive``
        minus the other): strength 1 moves a member of the positive class onto the other's mean. Two groups only.
    to : {"zero", "mean"}
        What ablation leaves in the direction: nothing, or the groups' common mean (each group counted once), or that
        of a reference given to `fit`.
    positive : optional
        The class that counts as positive; by default the last in sorted order. Settles the sign.
    scope : str
        Which tokens are written.
    normalize : {"none", "unit", "activation"}
        Length of an added vector: as fitted, 1, or the mean norm of the activations at the site that is written, so
        that strength counts in typical norms.
    shared : Site, str or "best", optional
        One direction for all sites, taken from this one, as in directional ablation (Arditi et al. 2024, where it is
        taken from one layer and written at every layer); ``"best"`` takes the site that ranks first. By default each
        site has its own.
    keep : int, optional
        Steer at that many sites only, those whose own directions tell held-out groups apart best.
    rank : int, optional
        With more than two groups, ablate only the leading directions by variance between the groups' means.
    cv : int
        Folds of the ranking, which ``keep`` and ``shared="best"`` ask for. Groups are never divided.
    random_state : int
        Seed of the folds.

    Attributes
    ----------
    steer_ : Steer
    ranking_ : list of (Site, float) or None
        Sites, best first, and how they separate rows that the directions were not fitted on: area under the ROC curve
        for two classes, balanced accuracy of the nearest mean for more. None where nothing was to be chosen. Ties go to
        the earlier site.

    Examples
    --------
    >>> acts = Activations({"resid_post.0": torch.tensor([[1.0, 0.0], [0.0, 0.0]])})
    >>> MeanDifference("resid_post.0", edit="add").fit(acts, ["she", "he"]).entries[0].edit.params["vector"].tolist()
    [-1.0, 0.0]
    """

    steer_: Steer
    ranking_: Ranking | None

    def __init__(
        self,
        sites: Patterns = "resid_post.*",
        edit: Literal["ablate", "add"] = "ablate",
        to: Literal["zero", "mean"] = "zero",
        positive: Any = None,
        scope: str = "all",
        normalize: Literal["none", "unit", "activation"] = "none",
        shared: SiteLike | None = None,
        keep: int | None = None,
        rank: int | None = None,
        cv: int = 5,
        random_state: int = 0,
    ) -> None:
        self.sites = sites
        self.edit = edit
        self.to = to
        self.positive = positive
        self.scope = scope
        self.normalize = normalize
        self.shared = shared
        self.keep = keep
        self.rank = rank
        self.cv = cv
        self.random_state = random_state

    def fit(
        self,
        acts: Activations | Moments,
        labels: Collection[Any] | None = None,
        groups: Collection[Any] | None = None,
        reference: Activations | None = None,
    ) -> Steer:
        """Fit on activations and labels, or on class-wise moments.

        Parameters
        ----------
        acts : Activations or Moments
            Of any reader. Where each row is a token (``at="all:image"``), means are over tokens.
        labels : sequence, optional
            One for each row, or each example; left out with moments.
        groups : sequence, optional
            One for each row, or each example: a person, a template, a counterfactual set. Used where sites are chosen:
            directions are scored on groups that they were not fitted on. By default each example is a group.
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
            nothing would use, hyper-parameters that contradict each other, moments where examples are needed.
        SiteError
            For sites that were not captured.
        """
        self._check(acts, reference)
        sites = resolve(self.sites, acts.sites)
        fixed = [] if self.shared in (None, "best") else [Site.parse(self.shared or "")]
        if fixed and fixed[0] not in acts.sites:
            resolve(fixed, acts.sites)  # says what was captured
        classes, counts, means = class_means(acts, labels, sorted({*sites, *fixed}))
        order = self._order(classes)
        self.ranking_ = self._rank(acts, labels, groups, sites) if self._chooses else None
        written = sites
        if self.keep is not None and self.ranking_ is not None:
            written = sorted(site for site, _ in self.ranking_[: self.keep])
        if self.shared == "best" and self.ranking_ is not None:
            fixed = [self.ranking_[0][0]]
        edits: dict[Site, Edit] = {}
        for site in written:
            taken = fixed[0] if fixed else site
            if bool((means[taken] == means[taken][0]).all()):
                raise InputError(
                    f"all groups have the same means at '{taken}', and no direction leads from one to another"
                )
            if means[taken].shape[1] != means[site].shape[1]:
                raise InputError(
                    f"one direction for all sites needs sites of one width; '{taken}', where it is taken, has "
                    f"{means[taken].shape[1]}, and '{site}' has {means[site].shape[1]}"
                )
            edits[site] = self._edit(site, means[taken][order], means[site], acts, reference)
        first = acts[min(written)] if isinstance(acts, Activations) else acts.sums[min(written)]
        facts = about(classes, counts, labels, first)
        facts |= {} if reference is None else {"reference_rows": reference.n}
        card = self.card(acts.source, **facts)
        if fixed:
            card["direction_of"] = str(fixed[0])
        if self.ranking_ is not None:
            measure = "held-out AUC" if len(classes) == 2 else "held-out balanced accuracy"
            card["ranking"] = {"measure": measure, "sites": [[str(site), score] for site, score in self.ranking_]}
        self.steer_ = Steer(edits, scope=self.scope, card=card)
        return self.steer_

    @property
    def _chooses(self) -> bool:
        return self.keep is not None or self.shared == "best"

    def _check(self, acts: Activations | Moments, reference: Activations | None) -> None:
        check_reference(reference, self.edit, self.to)
        who = type(self).__name__
        check_choice(who, "edit", self.edit, ("ablate", "add"))
        check_choice(who, "to", self.to, ("zero", "mean"))
        check_choice(who, "normalize", self.normalize, ("none", "unit", "activation"))
        if self.normalize != "none" and self.edit != "add":
            raise InputError(
                f"normalize={self.normalize!r} sets the length of an added vector, and ablation has none; set edit='add'"
            )
        for name, value in (("keep", self.keep), ("rank", self.rank)):
            check_range(who, name, value, value is None or value >= 1, "at least 1")
        check_range(who, "cv", self.cv, self.cv >= 2, "at least 2")
        if isinstance(acts, Moments) and (self._chooses or self.normalize == "activation"):
            raise InputError(
                "keep, shared='best' and normalize='activation' look at single examples, and moments hold their sums; "
                "capture without reduce"
            )

    def _order(self, classes: list[Any]) -> list[int]:
        """The classes by number, the positive one first."""
        positive = classes[-1] if self.positive is None else self.positive
        if positive not in classes:
            raise InputError(f"positive={positive!r} is not among the labels {classes}")
        if self.edit == "add":
            check_two(classes, "edit='add' moves one group onto another and")
        if self.rank is not None and self.rank >= len(classes):
            raise InputError(
                f"rank={self.rank} was asked for, and {len(classes)} groups differ in at most {len(classes) - 1} directions"
            )
        return [classes.index(positive), *(i for i, label in enumerate(classes) if label != positive)]

    def _rank(self, acts: Activations | Moments, labels: Any, groups: Any, sites: list[Site]) -> Ranking:
        assert isinstance(acts, Activations)  # moments were refused
        if self.keep is not None and self.keep > len(sites):
            raise InputError(f"keep={self.keep} sites were asked for, and {len(sites)} were captured that match")
        given, codes = labeling(acts, labels), group_codes(acts, groups)
        return separation(acts, given, codes, sites, cv=self.cv, seed=self.random_state, rank=self.rank)

    def _edit(
        self, site: Site, means: Tensor, here: Tensor, acts: Activations | Moments, reference: Activations | None
    ) -> Edit:
        if self.edit == "ablate":
            directions = span(means, self.rank)
            if self.to == "zero":
                return Ablate(directions.float())
            point = here if reference is None else reference[site].double().cpu()
            return Ablate(directions.float(), point.mean(dim=0).float())
        vector = means[1] - means[0]
        if self.normalize != "none":
            vector = vector / vector.norm()
        if self.normalize == "activation":
            assert isinstance(acts, Activations)  # moments were refused
            vector = vector * torch.linalg.vector_norm(acts[site].double(), dim=1).mean().cpu()
        return Add(vector.float())
