"""Inference-time intervention: add to the heads where a probe finds the classes."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from levelhead.capture import Activations
from levelhead.edits import Add, Edit
from levelhead.errors import InputError
from levelhead.methods.base import Method, check_choice, check_range
from levelhead.methods.labeling import Labeling, check_two, group_codes, labeling, values
from levelhead.methods.ranking import Ranking, ranked
from levelhead.probes.crossfit import cross_fit
from levelhead.probes.folds import stratified_folds
from levelhead.sites import Patterns, Site, resolve
from levelhead.steer import Steer


class ITI(Method):
    """Inference-time intervention (Li et al. 2023, arXiv 2306.03341): ``z += alpha * sigma * v`` at the best heads.

    Attested, in the authors' code: a logistic probe for each head on the last token, heads ranked by accuracy on data
    that the probe did not see, 48 of them kept, v the difference of class means or the probe's weights at unit length,
    sigma the standard deviation of the activations along it, alpha 15, added at the last token of each step.
    Reconstructed: the probes' held-out rows are whole groups here, every row is held out once, and the direction and
    sigma come from all rows.

    Parameters
    ----------
    sites : patterns
        Among which sites to choose; single heads as published.
    heads : int
        How many of them are kept.
    alpha : float
        In standard deviations of the activations.
    direction : {"mean", "probe"}
        Difference of class means, or the weights of the probe fitted on all rows.
    cv : int
        Folds of the ranking. Groups are never divided.
    C : float
        Inverse strength of the probes' L2 penalty, as in scikit-learn.
    toward : optional
        The class that is moved towards; by default the last in sorted order, as published, where true answers have
        label 1. Mind that `MeanDifference` moves away from its ``positive`` class.
    scope : str
        Which tokens are written.
    random_state : int
        Seed of the folds.

    Attributes
    ----------
    steer_ : Steer
    ranking_ : list of (Site, float)
        All sites and the accuracy of their probes on held-out rows, best first; ties go to the earlier site.
    """

    steer_: Steer
    ranking_: Ranking

    def __init__(
        self,
        sites: Patterns = "z.*.*",
        heads: int = 48,
        alpha: float | int = 15.0,
        direction: Literal["mean", "probe"] = "mean",
        cv: int = 2,
        C: float | int = 1.0,
        toward: Any = None,
        scope: str = "generated",
        random_state: int = 0,
    ) -> None:
        self.sites = sites
        self.heads = heads
        self.alpha = alpha
        self.direction = direction
        self.cv = cv
        self.C = C
        self.toward = toward
        self.scope = scope
        self.random_state = random_state

    def fit(
        self, acts: Activations, labels: Collection[Any] | None = None, groups: Collection[Any] | None = None
    ) -> Steer:
        """Fit on activations and labels of two classes.

        Parameters
        ----------
        acts : Activations
        labels : sequence
            One for each row, or each example.
        groups : sequence, optional
            One for each row, or each example: a person, a template, a counterfactual set. Probes are scored on groups
            that they did not learn from. By default each example is a group.

        Returns
        -------
        Steer

        Raises
        ------
        InputError
            For labels that are not of two classes, activations that are not finite, fewer groups than folds, fewer
            sites than heads.
        SiteError
            For sites that were not captured.
        """
        check_choice("ITI", "direction", self.direction, ("mean", "probe"))
        check_range("ITI", "heads", self.heads, self.heads >= 1, "at least 1")
        check_range("ITI", "cv", self.cv, self.cv >= 2, "at least 2")
        check_range("ITI", "C", self.C, self.C > 0, "above 0")
        sites = resolve(self.sites, acts.sites)
        if self.heads > len(sites):
            raise InputError(f"heads={self.heads} were asked for, and {len(sites)} sites were captured that match")
        given = labeling(acts, labels)
        check_two(given.classes, "ITI moves towards one class and")
        toward = given.classes[-1] if self.toward is None else self.toward
        if toward not in given.classes:
            raise InputError(f"toward={toward!r} is not among the labels {given.classes}")
        accuracy, weights = self._probe(acts, sites, given, groups)
        self.ranking_ = ranked(accuracy)
        sign = 1.0 if toward == given.classes[1] else -1.0
        edits: dict[Site, Edit] = {}
        for site, _ in self.ranking_[: self.heads]:
            x = values(acts, site, len(given.codes))
            one, two = x[given.codes == 1].mean(dim=0), x[given.codes == 0].mean(dim=0)
            vector = sign * (one - two if self.direction == "mean" else weights[site])
            if not vector.norm() > 0:
                raise InputError(f"nothing at '{site}' tells the classes apart; ask for fewer heads, or leave it out")
            unit = vector / vector.norm()
            edits[site] = Add((self.alpha * (x @ unit).std(correction=0) * unit).float())
        steer = self._product(edits, acts, labels, given, self.scope)
        ranking = {"measure": "held-out accuracy", "sites": [[str(site), score] for site, score in self.ranking_]}
        self.steer_ = steer.annotate(ranking=ranking)
        return self.steer_

    def _probe(
        self, acts: Activations, sites: list[Site], given: Labeling, groups: Collection[Any] | None
    ) -> tuple[dict[Site, float], dict[Site, Float[Tensor, " d"]]]:
        """Accuracy on held-out rows and weights on all rows of a probe at each site, solved in batches."""
        positive = (given.codes == 1).numpy()
        rng = np.random.default_rng(self.random_state)
        folds = stratified_folds(positive, group_codes(acts, groups), self.cv, rng)
        accuracy: dict[Site, float] = {}
        weights: dict[Site, Tensor] = {}
        for site in sites:
            values(acts, site, len(positive))  # refuses what is not finite, by name
        for some, x in acts.select(sites).stacks():
            fits = cross_fit(x.detach().cpu(), positive[None], folds[None], self.cv, C=self.C, full=True)
            right = (fits.scores[:, 0] > 0) == torch.from_numpy(positive)
            accuracy.update(zip(some, right.double().mean(dim=1).tolist(), strict=True))
            if fits.coef is not None:
                weights.update(zip(some, fits.coef[:, 0], strict=True))
        return accuracy, weights
