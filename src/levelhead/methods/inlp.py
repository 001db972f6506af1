"""INLP: fit a linear classifier, project out its weights, and again, until none is better than chance."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from levelhead.capture import Activations
from levelhead.edits import Ablate, Edit
from levelhead.errors import FallbackWarning, InputError
from levelhead.methods.base import Method, check_range
from levelhead.methods.labeling import Labeling, labeling, values
from levelhead.methods.means import ROUNDING
from levelhead.sites import Patterns, Site, resolve
from levelhead.steer import Steer

STEPS = 1000
"""Steps of the solver at most, in each round."""


class INLP(Method):
    """Iterative nullspace projection (Ravfogel et al. 2020, arXiv 2004.07667).

    Attested, in the form in which it was tried on vision-language models (arXiv 2608.25375, appendix A.5.2): a
    multinomial logistic regression (C = 1), whose weights are made orthonormal, kept and projected out; again, until its
    accuracy is within 1e-6 of chance or ten rounds are over. Reconstructed: the accuracy is that on the fitting data, and
    chance is the share of the largest class.

    Parameters
    ----------
    sites : patterns
        Where to steer, of the sites that were captured.
    rounds : int
        Classifiers at most.
    C : float
        Inverse strength of the L2 penalty, as in scikit-learn.
    tol : float
        A classifier whose accuracy exceeds chance by this or less is not projected out, and ends the rounds.
    scope : str
        Which tokens are written.

    Attributes
    ----------
    steer_ : Steer
    accuracies_ : dict of Site to list of float
        Accuracy on the fitting data of each round's classifier, the one that ended the rounds included.
    """

    steer_: Steer
    accuracies_: dict[Site, list[float]]

    def __init__(
        self,
        sites: Patterns = "resid_post.*",
        rounds: int = 10,
        C: float | int = 1.0,
        tol: float | int = 1e-6,
        scope: str = "all",
    ) -> None:
        self.sites = sites
        self.rounds = rounds
        self.C = C
        self.tol = tol
        self.scope = scope

    def fit(
        self, acts: Activations, labels: Collection[Any] | None = None, groups: Collection[Any] | None = None
    ) -> Steer:
        """Fit on activations and labels of two or more classes.

        Parameters
        ----------
        acts : Activations
        labels : sequence
            One for each row, or each example.
        groups : sequence, optional
            Nothing is chosen here, so they are not used; methods are called alike.

        Returns
        -------
        Steer

        Raises
        ------
        InputError
            For labels of one class, activations that are not finite, a site where no classifier beats chance, or if
            scikit-learn is not installed.
        SiteError
            For sites that were not captured.

        Warns
        -----
        FallbackWarning
            When a classifier had not converged, and was used as it was.
        """
        for name, value in (("rounds", self.rounds), ("C", self.C)):
            check_range("INLP", name, value, value > 0, "above 0")
        sites = resolve(self.sites, acts.sites)
        given = labeling(acts, labels)
        edits: dict[Site, Edit] = {}
        self.accuracies_ = {}
        for site in sites:
            basis, self.accuracies_[site] = self._basis(values(acts, site, len(given.codes)), given, site)
            edits[site] = Ablate(basis.float())
        self.steer_ = self._product(edits, acts, labels, given, self.scope)
        return self.steer_

    def _basis(
        self, x: Float[Tensor, "row d"], given: Labeling, site: Site
    ) -> tuple[Float[Tensor, "k d"], list[float]]:
        chance = float(given.counts.max()) / len(x)
        x = x - x.mean(dim=0)  # the intercept is free, so that weights stay the same, and the solver is quicker
        basis, accuracies = x.new_zeros(0, x.shape[1]), []
        for _ in range(self.rounds):
            weights, accuracy = _classifier(x - (x @ basis.T) @ basis, given.codes, float(self.C), site)
            accuracies.append(accuracy)
            if accuracy - chance <= self.tol:
                break
            _, sizes, axes = torch.linalg.svd(weights - (weights @ basis.T) @ basis, full_matrices=False)
            basis = torch.cat([basis, axes[sizes > ROUNDING * sizes[0]]])
            # Once more, so that rounding does not add up over the rounds.
            basis = torch.linalg.qr(basis.T)[0].T.contiguous()
            if len(basis) >= x.shape[1]:
                break
        if not len(basis):
            raise InputError(
                f"no linear classifier at '{site}' beats chance ({chance:.3f}) on the data it was fitted on; "
                "leave that site out"
            )
        return basis, accuracies


def _classifier(
    x: Float[Tensor, "row d"], codes: Tensor, C: float, site: Site
) -> tuple[Float[Tensor, "weight d"], float]:
    """Weights of a logistic regression, a row for two classes and a row a class for more, and its accuracy."""
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise InputError("INLP needs scikit-learn; run: pip install 'levelhead[eval]'") from error
    model = LogisticRegression(C=C, max_iter=STEPS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x.numpy(), codes.numpy())
    if int(max(model.n_iter_)) >= STEPS:
        warnings.warn(
            f"INLP: a classifier at '{site}' had not converged after {STEPS} steps, and its last weights are used; a "
            f"smaller C than {C:g} converges sooner",
            FallbackWarning,
            stacklevel=4,
        )
    return torch.from_numpy(model.coef_).double(), float(model.score(x.numpy(), codes.numpy()))
