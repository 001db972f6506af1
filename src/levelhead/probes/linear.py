"""L2 logistic regression for many sites and many labelings at once.

A sweep asks for hundreds of probes of the *same* activations: folds, shuffled labels, control tasks. Newton's method
with conjugate gradients inside turns all of them into a few matrix products a site. The preconditioner is the Hessian
averaged over the probes of a site that are still open: with many of them it costs one factorization instead of
hundreds, and with a single one left it is that probe's Hessian, so that a step of conjugate gradients is a Newton step.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import softplus

from levelhead.errors import FallbackWarning, InputError
from levelhead.probes.span import in_span

MEMORY = 64 * 2**20
"""Bytes that one batched solve may take, beyond the activations of a single site."""

_COPIES = 12  # tensors of shape [example, problem] that a solve holds at its peak


@dataclass(frozen=True, eq=False)
class LogisticFits:
    """Fitted probes.

    Attributes
    ----------
    coef : Float[Tensor, "site problem d"]
        Weights in the basis of the activations.
    intercept : Float[Tensor, "site problem"]
    margins : Float[Tensor, "site problem example"]
        Decision values (log-odds) of all examples, those left out of training included.
    """

    coef: Float[Tensor, "site problem d"]
    intercept: Float[Tensor, "site problem"]
    margins: Float[Tensor, "site problem example"]


def fit_logistic(
    x: Float[Tensor, "site example d"],
    labels: Bool[Tensor, "problem example"],
    train: Bool[Tensor, "problem example"],
    *,
    C: float | int | Sequence[float | int] = 1.0,
    tol: float = 1e-6,
    max_steps: int = 200,
) -> LogisticFits:
    """Fit one probe for each pair of a site and a problem.

    The objective is scikit-learn's: the sum of the log-losses over the training examples plus ``|w|^2 / (2 C)``, the
    intercept not penalized. All arithmetic is float64. Where features outnumber examples the fit is done in the span
    of the examples, in which the solution lies; that is exact.

    Parameters
    ----------
    x : Float[Tensor, "site example d"]
        Activations, finite.
    labels : Bool[Tensor, "problem example"]
        Each problem's labels. Both classes must occur among its training examples. Problems that resemble each other
        are best passed together, unlike ones apart: the cost depends on it, the answer does not.
    train : Bool[Tensor, "problem example"]
        The examples that each problem learns from.
    C : float
        Inverse strength of the penalty, as in scikit-learn. Of several, which a sweep may have, one must be chosen
        first; `levelhead.probes.crossfit.cross_fit` does.
    tol : float
        A fit is done when its squared Newton decrement falls below `tol` times its objective.
    max_steps : int
        Newton steps at most; running out of them warns.

    Returns
    -------
    LogisticFits

    Raises
    ------
    InputError
        For several strengths.

    Notes
    -----
    Damped Newton with preconditioned conjugate gradients: Nocedal and Wright, Numerical Optimization (2006), ch. 7.1.
    """
    if not isinstance(C, int | float):
        raise InputError(f"one strength C is needed here, and several were given: {list(C)}; choose one of them")
    with torch.no_grad():
        x = x.double()
        # Centering is exact, for the intercept is free; it makes the two nearly independent.
        centered, mean, basis = in_span(x)
        ones = torch.ones(*x.shape[:2], 1, dtype=x.dtype, device=x.device)
        design = torch.cat([centered, ones], dim=2)
        u, z = _newton(design, labels.to(x), train.to(x), C, tol, max_steps)
        coef = u[..., :-1] if basis is None else u[..., :-1] @ basis.mT
        intercept = u[..., -1] - (coef @ mean.mT)[..., 0]
        return LogisticFits(coef, intercept, z)


def block_sizes(n: int, d: int, problems: int) -> tuple[int, int]:
    """How many sites and how many problems to solve at once, so that a solve stays within `MEMORY`.

    Parameters
    ----------
    n, d, problems : int
        Examples, width, and problems a site.

    Returns
    -------
    (int, int)
        Sites and problems a solve; at least one of each.
    """
    width = min(n, d) + 1
    fixed = 8 * (3 * n * d + 2 * n * width + 3 * width**2)
    each = 8 * (_COPIES * n + 6 * width)
    at_once = min(problems, max(1, (MEMORY - fixed) // each))
    return max(1, MEMORY // (fixed + each * at_once)), at_once


def _newton(
    design: Float[Tensor, "site example k"],
    y: Float[Tensor, "problem example"],
    train: Float[Tensor, "problem example"],
    C: float,
    tol: float,
    max_steps: int,
) -> tuple[Float[Tensor, "site problem k"], Float[Tensor, "site problem example"]]:
    sites, n, k = design.shape
    problems = len(y)
    ridge = torch.full((k,), 1.0 / C, dtype=design.dtype, device=design.device)
    ridge[-1] = 0.0
    all_u = design.new_zeros(sites, problems, k)
    all_z = design.new_zeros(sites, problems, n)
    # Problems leave as they converge; `problem` says which one each row of the shrinking tensors is.
    problem = torch.arange(problems, device=design.device).expand(sites, problems)
    u, z, y, train = all_u, all_z, y.expand(sites, problems, n), train.expand(sites, problems, n)
    value = _objective(z, u, y, train, ridge)
    precondition, rounds = None, 0
    for _ in range(max_steps):
        p = torch.sigmoid(z)
        gradient = ((p - y).mul_(train) @ design).addcmul_(ridge, u)
        weight = torch.addcmul(p, p, p, value=-1).mul_(train)
        # A fresh preconditioner costs about this many rounds of conjugate gradients.
        if precondition is None or rounds > k / (2 * max(8, u.shape[1])):
            precondition = _averaged_inverse(design, weight, ridge)
        step, slope, rounds = _solve_step(design, weight, gradient, ridge, precondition, value, 1e-4 * tol * value)
        decrement = (gradient * step).sum(dim=2)
        u, z, value, moved = _line_search(u, z, step, slope, decrement, value, y, train, ridge)
        still = (decrement > tol * value) & moved
        left = int(still.sum(dim=1).max())
        if left <= 0.8 * u.shape[1]:
            all_u = all_u.scatter(1, problem[..., None].expand_as(u), u)
            all_z = all_z.scatter(1, problem[..., None].expand_as(z), z)
            if left == 0:
                return all_u, all_z
            keep = still.to(torch.uint8).argsort(dim=1, descending=True)[:, :left]
            u, z, y, train = (_rows(t, keep) for t in (u, z, y, train))
            value, problem = value.gather(1, keep), problem.gather(1, keep)
    warnings.warn(
        f"logistic regression: some of {problems} probes at {sites} sites had not converged after {max_steps} Newton "
        f"steps, and their last values are used; a smaller C than {C:g} converges sooner",
        FallbackWarning,
        stacklevel=4,
    )
    all_u = all_u.scatter(1, problem[..., None].expand_as(u), u)
    return all_u, all_z.scatter(1, problem[..., None].expand_as(z), z)


def _objective(z: Tensor, u: Tensor, y: Tensor, train: Tensor, ridge: Tensor) -> Float[Tensor, "site problem"]:
    losses = softplus(torch.addcmul(z, y, z, value=-2)).mul_(train)
    return losses.sum(dim=2) + 0.5 * (ridge * u * u).sum(dim=2)


def _rows(t: Tensor, keep: Int[Tensor, "site kept"]) -> Float[Tensor, "site kept width"]:
    return t.gather(1, keep[..., None].expand(-1, -1, t.shape[2]))


def _averaged_inverse(
    design: Float[Tensor, "site example k"], weight: Float[Tensor, "site problem example"], ridge: Float[Tensor, " k"]
) -> Float[Tensor, "site k k"]:
    averaged = design.mT @ (weight.mean(dim=1)[..., None] * design)
    diagonal = averaged.diagonal(dim1=1, dim2=2)
    diagonal += ridge
    diagonal *= 1 + 1e-10  # keeps the factorization alive when the data separate and the weights vanish
    diagonal += torch.finfo(design.dtype).tiny
    return torch.cholesky_inverse(torch.linalg.cholesky(averaged))


def _solve_step(
    design: Tensor,
    weight: Tensor,
    gradient: Tensor,
    ridge: Tensor,
    precondition: Tensor,
    value: Float[Tensor, "site problem"],
    floor: Float[Tensor, "site problem"],
) -> tuple[Float[Tensor, "site problem k"], Float[Tensor, "site problem example"], int]:
    """Newton's step by conjugate gradients, what it does to the margins, and the rounds it took."""
    residual, step, slope = gradient.clone(), torch.zeros_like(gradient), torch.zeros_like(weight)
    smooth = residual @ precondition
    towards = smooth.clone()
    energy = (residual * smooth).sum(dim=2)
    # Far from the optimum a rough step will do; near it the forcing term makes convergence superlinear.
    goal = torch.maximum(energy * (energy / value).clamp(max=0.01), floor)
    along, weighted = torch.empty_like(weight), torch.empty_like(weight)  # reused: fresh memory costs more than sums
    rounds = 0
    for rounds in range(2 * design.shape[2]):  # noqa: B007
        busy = energy > goal
        if not bool(busy.any()):
            break
        torch.bmm(towards, design.mT, out=along)
        torch.mul(weight, along, out=weighted)
        curved = (weighted @ design).addcmul_(ridge, towards)
        length = torch.where(busy, energy / (towards * curved).sum(dim=2), 0.0)[..., None]
        step.addcmul_(length, towards)
        slope.addcmul_(length, along)
        residual.addcmul_(length, curved, value=-1)
        smooth = residual @ precondition
        new = (residual * smooth).sum(dim=2)
        towards = smooth.addcmul(torch.where(busy, new / energy, 0.0)[..., None], towards)
        energy = torch.where(busy, new, energy)
    return step, slope, rounds


def _line_search(
    u: Tensor,
    z: Tensor,
    step: Tensor,
    slope: Tensor,
    decrement: Tensor,
    value: Tensor,
    y: Tensor,
    train: Tensor,
    ridge: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Bool[Tensor, "site problem"]]:
    """Halve the step until the objective falls enough; a step that rounding spoils is not taken."""

    def attempt(length: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        new_u = torch.addcmul(u, length[..., None], step, value=-1)
        new_z = torch.addcmul(z, length[..., None], slope, value=-1)
        new = _objective(new_z, new_u, y, train, ridge)
        return new_u, new_z, new, ~(new <= value - 1e-4 * length * decrement + 1e-12 * value)

    length = torch.ones_like(value)
    new_u, new_z, new, poor = attempt(length)
    for _ in range(40):
        if not bool(poor.any()):
            return new_u, new_z, new, ~poor
        length = torch.where(poor, 0.5 * length, length)
        new_u, new_z, new, poor = attempt(length)
    kept = poor[..., None]
    return torch.where(kept, u, new_u), torch.where(kept, z, new_z), torch.where(poor, value, new), ~poor
