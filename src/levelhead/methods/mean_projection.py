"""Mean projection: one orthogonal projection along the difference of two class means."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

from levelhead.capture import Activations, Moments
from levelhead.methods.base import Method
from levelhead.methods.labeling import check_two, labeling
from levelhead.methods.mean_difference import MeanDifference
from levelhead.sites import Patterns
from levelhead.steer import Steer


class MeanProjection(Method):
    """Project out the difference of two class means, once (arXiv 2212.04273).

    The baseline of that paper under the name that people look for: `MeanDifference` with ``edit="ablate"``. The recipe,
    one orthogonal projection for all inputs, is from common knowledge of the paper. Afterwards the class means are
    equal along that direction alone, which for two classes is all of it; for a map that changes less, see `LEACE`.

    Parameters
    ----------
    sites : patterns
        Where to steer, of the sites that were captured.
    to : {"zero", "mean"}
        What is left in the direction: nothing, or the classes' common mean.
    scope : str
        Which tokens are written.

    Attributes
    ----------
    steer_ : Steer
    """

    steer_: Steer

    def __init__(
        self, sites: Patterns = "resid_post.*", to: Literal["zero", "mean"] = "zero", scope: str = "all"
    ) -> None:
        self.sites = sites
        self.to: Literal["zero", "mean"] = to
        self.scope = scope

    def fit(
        self,
        acts: Activations | Moments,
        labels: Collection[Any] | None = None,
        groups: Collection[Any] | None = None,
    ) -> Steer:
        """Fit on activations and labels of two classes, or on class-wise moments.

        Parameters
        ----------
        acts : Activations or Moments
        labels : sequence, optional
            One for each row, or each example; left out with moments.
        groups : sequence, optional
            Nothing is chosen here, so they are not used; methods are called alike.

        Returns
        -------
        Steer

        Raises
        ------
        InputError
            For labels that are not of two classes, or activations that are not finite.
        """
        classes = acts.classes if isinstance(acts, Moments) else labeling(acts, labels).classes
        if len(classes) > 2:
            check_two(classes, "a mean projection")
        found = MeanDifference(self.sites, edit="ablate", to=self.to, scope=self.scope).fit(acts, labels)
        self.steer_ = found.annotate(method=self.card({})["method"])
        return self.steer_
