"""How often a sample is to come, by its Skew; and what a Skew has to be for that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Float
from torch import Tensor

from levelhead.errors import InputError

Numbers: TypeAlias = Sequence[float | int] | np.ndarray | Tensor
"""One number a sample."""


def frequency(skews: Numbers, *, tau1: float | int = 1.0, tau2: float | int = 1.0) -> Float[np.ndarray, " sample"]:
    """How often a sample is expected in a pass: ``tau1 / (Skew + tau1)`` above 0, else ``1 + |Skew| / tau2``.

    Parameters
    ----------
    skews : sequence, ndarray or Tensor, "sample"
    tau1, tau2 : float
        As in `BiasAwareSampler`.

    Returns
    -------
    Float[ndarray, "sample"]

    Examples
    --------
    >>> frequency([1.48, 0.0, -0.5]).round(2).tolist()
    [0.4, 1.0, 1.5]
    """
    found = checked(skews)
    above_zero(tau1=tau1, tau2=tau2)
    return np.where(found > 0, tau1 / (np.maximum(found, 0) + tau1), 1 + np.maximum(-found, 0) / tau2)


def checked(skews: Numbers) -> Float[np.ndarray, " sample"]:
    """One finite number a sample."""
    found = np.asarray(skews.detach().cpu() if isinstance(skews, Tensor) else skews, dtype=np.float64)
    if found.ndim != 1:
        raise InputError(f"skews are one number a sample; found shape {found.shape}")
    if not np.isfinite(found).all():
        bad = int(np.flatnonzero(~np.isfinite(found))[0])
        raise InputError(
            f"the Skew of sample {bad} is {found[bad]}; estimate Skews with smoothing, so that all are finite"
        )
    return found


def above_zero(**found: float | int) -> None:
    """Refuse what is not above 0, by its name."""
    for name, value in found.items():
        if not 0 < value < float("inf"):
            raise InputError(f"{name} must be above 0 and finite; found {value}")
