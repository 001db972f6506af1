"""LEACE: the smallest change after which no linear probe finds the classes."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from levelhead.capture import Activations
from levelhead.edits import Edit, Erase
from levelhead.errors import InputError
from levelhead.methods.base import Method, check_range
from levelhead.methods.labeling import labeling, values
from levelhead.sites import Patterns, Site, resolve
from levelhead.steer import Steer


class LEACE(Method):
    """Least-squares concept erasure (Belrose et al. 2023, arXiv 2306.03819), an oblique projection at each site.

    ``x' = x - W⁺ U U' W (x - mean)``, with W the inverse square root of the covariance of x, and U the left singular
    vectors of W times the covariance of x and the classes (one-hot), as in the paper and the authors'
    package. Afterwards every class has the same mean, so that no linear probe does better than a constant, and no
    other affine map that achieves it changes x less in the mean square. The theorem is about the tokens that were
    read, at one site, on the data of the fit; between sites the model computes, and may find the classes again.

    Parameters
    ----------
    sites : patterns
        Where to steer, of the sites that were captured.
    shrinkage : bool
        Estimate the covariance by optimal linear shrinkage towards a multiple of the identity (Bodnar, Gupta and
        Parolya 2014, arXiv 1308.2608), on by default there as well: with fewer examples than a few times the width,
        the sample covariance has directions without variance. The classes' means are made equal in either case.
    tol : float
        Singular values up to this, the correlation of a direction with the classes, count as none.
    scope : str
        Which tokens are written.

    Attributes
    ----------
    steer_ : Steer

    Notes
    -----
    The authors' package can also keep the trace of the (estimated) covariance from growing. It never grows, for in
    whitened coordinates the map is an orthogonal projection; hence no option here.
    """

    steer_: Steer

    def __init__(
        self, sites: Patterns = "resid_post.*", shrinkage: bool = True, tol: float | int = 0.01, scope: str = "all"
    ) -> None:
        self.sites = sites
        self.shrinkage = shrinkage
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
            For labels of one class, activations that are not finite, or a site where nothing correlates with the
            classes.
        SiteError
            For sites that were not captured.
        """
        check_range("LEACE", "tol", self.tol, self.tol > 0, "above 0")
        sites = resolve(self.sites, acts.sites)
        given = labeling(acts, labels)
        hot = torch.nn.functional.one_hot(given.codes, len(given.classes)).double()
        edits: dict[Site, Edit] = {}
        for site in sites:
            edits[site] = self._erase(values(acts, site, len(hot)), hot, site)
        self.steer_ = self._product(edits, acts, labels, given, self.scope)
        return self.steer_

    def _erase(self, x: Float[Tensor, "row d"], hot: Float[Tensor, "row class"], site: Site) -> Erase:
        n, mean = len(x), x.mean(dim=0)
        centered = x - mean
        cross = centered.T @ (hot - hot.mean(dim=0)) / (n - 1)
        scatter = centered.T @ centered
        covariance = shrunk(scatter / n, n) if self.shrinkage else scatter / (n - 1)
        variance, axes = torch.linalg.eigh(covariance)
        # Directions without variance have no inverse; the classes cannot differ there either.
        there = variance > variance[-1] * len(variance) * torch.finfo(variance.dtype).eps
        root = torch.where(there, variance, 0.0).sqrt()
        inverse = torch.where(there, 1 / root, 0.0)
        u, sizes, _ = torch.linalg.svd((axes * inverse) @ (axes.T @ cross), full_matrices=False)
        u = u[:, sizes > self.tol]
        if not u.shape[1]:
            raise InputError(
                f"nothing at '{site}' correlates with the classes by more than tol={self.tol:g}; leave that site out"
            )
        read = (u.T @ axes * inverse) @ axes.T
        write = (u.T @ axes * root) @ axes.T
        return Erase(read.float(), write.float(), mean.float())


def shrunk(covariance: Float[Tensor, "d d"], n: int) -> Float[Tensor, "d d"]:
    """Optimal linear shrinkage of a sample covariance (divided by n) towards the identity of the same trace.

    Parameters
    ----------
    covariance : Float[Tensor, "d d"]
    n : int
        Examples.

    Returns
    -------
    Float[Tensor, "d d"]

    Notes
    -----
    Bodnar, Gupta and Parolya (2014), arXiv 1308.2608: the share of the sample covariance is
    ``1 - |S|_tr² |T|² / n / (|S|² |T|² - <S, T>²)`` with T the target and Frobenius norms elsewhere.
    """
    d = len(covariance)
    trace = covariance.trace()
    # With T = trace/d times the identity: |T|² = trace²/d, and <S, T> = trace²/d.
    target = trace**2 / d
    spread = covariance.square().sum() - target
    # The formula is asymptotic: with a handful of examples it would give the sample covariance a negative share.
    share = (1 - trace**2 / n / spread).clamp(0, 1) if spread > 0 else trace.new_zeros(())
    return share * covariance + (1 - share) * trace / d * torch.eye(d, dtype=covariance.dtype)
