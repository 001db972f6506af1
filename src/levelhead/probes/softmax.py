"""L2 logistic regression of more than two classes, for many sites and many labelings at once.

The same method as `levelhead.probes.linear`: Newton steps by conjugate gradients, preconditioned for all classes and
all probes of a site by one averaged Hessian.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from levelhead.errors import FallbackWarning
from levelhead.probes.span import in_span


@dataclass(frozen=True, eq=False)
class SoftmaxFits:
    """Fitted probes.

    Attributes
    ----------
    coef : Float[Tensor, "site problem class d"]
        Weights in the basis of the activations; over classes they sum to zero.
    intercept : Float[Tensor, "site problem class"]
    margins : Float[Tensor, "site problem class example"]
        Logits of all examples, those left out of training included.
    """

    coef: Float[Tensor, "site problem class d"]
    intercept: Float[Tensor, "site problem class"]
    margins: Float[Tensor, "site problem class example"]


def fit_softmax(
    x: Float[Tensor, "site example d"],
    labels: Int[Tensor, "problem example"],
    train: Bool[Tensor, "problem example"],
    n_classes: int,
    *,
    C: float = 1.0,
    tol: float = 1e-6,
    max_steps: int = 200,
) -> SoftmaxFits:
    """Fit one multinomial probe for each pair of a site and a problem.

    The objective is scikit-learn's: the sum of the cross-entropies over the training examples plus ``|W|^2 / (2 C)``,
    the intercepts not penalized. All arithmetic is float64. Where features outnumber examples the fit is done in the
    span of the examples, in which the solution lies; that is exact.

    Parameters
    ----------
    x : Float[Tensor, "site example d"]
        Activations, finite.
    labels : Int[Tensor, "problem example"]
        Class numbers. Every class must occur among a problem's training examples.
    train : Bool[Tensor, "problem example"]
        The examples that each problem learns from.
    n_classes : int
    C : float
        Inverse strength of the penalty, as in scikit-learn.
    tol : float
        A fit is done when its squared Newton decrement falls below `tol` times its objective.
    max_steps : int
        Newton steps at most; running out of them warns.

    Returns
    -------
    SoftmaxFits

    Notes
    -----
    Damped Newton with preconditioned conjugate gradients: Nocedal and Wright, Numerical Optimization (2006), ch. 7.1.
    """
    with torch.no_grad():
        x = x.double()
        centered, mean, basis = in_span(x)
        design = torch.cat([centered, torch.ones_like(centered[..., :1])], dim=2)
        hot = torch.nn.functional.one_hot(labels, n_classes).mT.to(x)
        u = _newton(design, hot, train.to(x)[:, None], C, tol, max_steps)
        margins = _times(u, design.mT)
        coef = u[..., :-1] if basis is None else _times(u[..., :-1], basis.mT)
        intercept = u[..., -1] - (coef * mean[:, :, None]).sum(dim=3)
        return SoftmaxFits(coef, intercept, margins)


def _times(u: Float[Tensor, "site problem class k"], right: Float[Tensor, "site k m"]) -> Tensor:
    """A product for each site, as one of two matrices."""
    return (u.flatten(1, 2) @ right).unflatten(1, u.shape[1:3])


def _newton(
    design: Float[Tensor, "site example k"],
    hot: Float[Tensor, "problem class example"],
    train: Float[Tensor, "problem 1 example"],
    C: float,
    tol: float,
    max_steps: int,
) -> Float[Tensor, "site problem class k"]:
    sites, _, k = design.shape
    problems = len(hot)
    ridge = torch.full((k,), 1.0 / C, dtype=design.dtype, device=design.device)
    ridge[-1] = 0.0
    answer = design.new_zeros(sites, problems, hot.shape[1], k)
    # Problems leave as they converge, at all sites of this solve together.
    kept = torch.arange(problems, device=design.device)
    u = answer
    z = _times(u, design.mT)
    value = _objective(z, u, hot, train, ridge)
    for _ in range(max_steps):
        p = z.softmax(dim=2)
        gradient = _times((p - hot) * train, design) + ridge * u
        inverse = _averaged_inverse(design, (p * (1 - p) * train).mean(dim=(1, 2)), ridge)
        step = _solve_step(design, p, train, gradient, ridge, inverse, value, 1e-4 * tol * value)
        decrement = (gradient * step).sum(dim=(2, 3))
        u, z, value, moved = _line_search(design, u, z, step, decrement, value, hot, train, ridge)
        still = ((decrement > tol * value) & moved).any(dim=0)
        if int(still.sum()) <= 0.8 * len(kept):
            answer = answer.index_copy(1, kept, u)
            if not bool(still.any()):
                return answer
            kept, hot, train = kept[still], hot[still], train[still]
            u, z, value = u[:, still], z[:, still], value[:, still]
    warnings.warn(
        f"logistic regression: {len(kept)} of {problems} probes at {sites} sites had not converged after {max_steps} "
        f"Newton steps, and their last values are used; a smaller C than {C:g} converges sooner",
        FallbackWarning,
        stacklevel=4,
    )
    return answer.index_copy(1, kept, u)


def _objective(z: Tensor, u: Tensor, hot: Tensor, train: Tensor, ridge: Tensor) -> Float[Tensor, "site problem"]:
    losses = (z.logsumexp(dim=2) - (z * hot).sum(dim=2)) * train[:, 0]
    return losses.sum(dim=2) + 0.5 * (ridge * u * u).sum(dim=(2, 3))


def _averaged_inverse(
    design: Float[Tensor, "site example k"], weight: Float[Tensor, "site example"], ridge: Float[Tensor, " k"]
) -> Float[Tensor, "site k k"]:
    averaged = design.mT @ (weight[..., None] * design)
    diagonal = averaged.diagonal(dim1=1, dim2=2)
    diagonal += ridge
    diagonal *= 1 + 1e-10  # keeps the factorization alive when the data separate and the weights vanish
    diagonal += torch.finfo(design.dtype).tiny
    return torch.cholesky_inverse(torch.linalg.cholesky(averaged))


def _solve_step(
    design: Tensor,
    p: Float[Tensor, "site problem class example"],
    train: Tensor,
    gradient: Float[Tensor, "site problem class k"],
    ridge: Tensor,
    inverse: Float[Tensor, "site k k"],
    value: Float[Tensor, "site problem"],
    floor: Float[Tensor, "site problem"],
) -> Float[Tensor, "site problem class k"]:
    """Newton's step by conjugate gradients.

    Intercepts may shift together at no cost, so the Hessian is singular along that; gradients never point there.
    """
    residual, step = gradient.clone(), torch.zeros_like(gradient)
    smooth = _times(residual, inverse)
    towards = smooth.clone()
    energy = (residual * smooth).sum(dim=(2, 3))
    goal = torch.maximum(energy * (energy / value).clamp(max=0.01), floor)
    weight = p * train
    for _ in range(2 * design.shape[2] * p.shape[2]):
        busy = energy > goal
        if not bool(busy.any()):
            break
        along = _times(towards, design.mT)
        curved = _times(weight * (along - (p * along).sum(dim=2, keepdim=True)), design) + ridge * towards
        length = torch.where(busy, energy / (towards * curved).sum(dim=(2, 3)), 0.0)[..., None, None]
        step.addcmul_(length, towards)
        residual.addcmul_(length, curved, value=-1)
        smooth = _times(residual, inverse)
        new = (residual * smooth).sum(dim=(2, 3))
        towards = smooth + torch.where(busy, new / energy, 0.0)[..., None, None] * towards
        energy = torch.where(busy, new, energy)
    return step


def _line_search(
    design: Tensor,
    u: Tensor,
    z: Tensor,
    step: Tensor,
    decrement: Tensor,
    value: Tensor,
    hot: Tensor,
    train: Tensor,
    ridge: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Bool[Tensor, "site problem"]]:
    """Halve the step until the objective falls enough; a step that rounding spoils is not taken."""
    slope = _times(step, design.mT)

    def attempt(length: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        new_u = u - length[..., None, None] * step
        new_z = z - length[..., None, None] * slope
        new = _objective(new_z, new_u, hot, train, ridge)
        return new_u, new_z, new, ~(new <= value - 1e-4 * length * decrement + 1e-12 * value)

    length = torch.ones_like(value)
    new_u, new_z, new, poor = attempt(length)
    for _ in range(40):
        if not bool(poor.any()):
            break
        length = torch.where(poor, 0.5 * length, length)
        new_u, new_z, new, poor = attempt(length)
    kept = poor[..., None, None]
    return torch.where(kept, u, new_u), torch.where(kept, z, new_z), torch.where(poor, value, new), ~poor
