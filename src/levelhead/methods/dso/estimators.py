"""Three estimates of one gradient: of the expected reward, by its own formula, by sampling, and by clipped sampling."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

_LEAST = 1e-12
"""Probability below which an answer is not told from one that never occurs."""


def answer_logprobs(options: Float[Tensor, "asked option"]) -> Float[Tensor, "asked answer"]:
    """Log-probabilities of the options with that of anything else in the last column.

    Parameters
    ----------
    options : Float[Tensor, "asked option"]
        -inf where there is none. No option may begin another.
    """
    rest = (1.0 - options.exp().sum(-1, keepdim=True)).clamp_min(_LEAST).log()
    return torch.cat([options, rest], -1)


def expected(options: Float[Tensor, "asked option"], worth: Float[Tensor, "asked answer"]) -> Float[Tensor, " asked"]:
    """Return the expected reward of each question: every answer's probability times its worth.

    Differentiable as it stands, since the probabilities of whole options come from one forward pass.

    Parameters
    ----------
    options : Float[Tensor, "asked option"]
        Log-probabilities.
    worth : Float[Tensor, "asked answer"]
        With that of no option in the last column.

    Examples
    --------
    >>> chances = torch.tensor([[0.8, 0.2]])
    >>> round(float(expected(chances.log(), torch.tensor([[-1.0, 1.0, -1.0]]))), 6)
    -0.6
    """
    chances = options.exp()
    rest = 1.0 - chances.sum(-1)
    return (chances * worth[:, :-1]).sum(-1) + rest * worth[:, -1]


def draw(
    options: Float[Tensor, "asked option"], samples: int, generator: torch.Generator
) -> Int[Tensor, "asked sample"]:
    """Draw answers from the model's own probabilities; the number of options stands for anything else.

    For options of one token this is sampling the answer's first token and reading it; for longer ones, sampling all of
    their tokens. Answers that are no option count together, which lowers the variance and leaves the mean as it is.

    Parameters
    ----------
    options : Float[Tensor, "asked option"]
        Log-probabilities.
    samples : int
        Of each question.
    generator : torch.Generator
        On the CPU.
    """
    chances = answer_logprobs(options.detach().double().cpu()).exp()
    return torch.multinomial(chances, samples, replacement=True, generator=generator)


def advantages(
    worth: Float[Tensor, "asked answer"], drawn: Int[Tensor, "asked sample"]
) -> Float[Tensor, "asked sample"]:
    """Rewards of drawn answers, each less the mean of all others of the batch.

    Left in its own baseline, a reward would take back a part of the gradient. One answer alone is weighed against nothing.

    Parameters
    ----------
    worth : Float[Tensor, "asked answer"]
    drawn : Int[Tensor, "asked sample"]
    """
    found = worth.gather(1, drawn)
    n = found.numel()
    return found if n == 1 else (found - found.mean()) * (n / (n - 1))


def reinforce(
    options: Float[Tensor, "asked option"], drawn: Int[Tensor, "asked sample"], gains: Float[Tensor, "asked sample"]
) -> Float[Tensor, ""]:
    """Return what has the REINFORCE estimate as its gradient: the mean of gain times log-probability.

    Parameters
    ----------
    options : Float[Tensor, "asked option"]
        Log-probabilities.
    drawn : Int[Tensor, "asked sample"]
    gains : Float[Tensor, "asked sample"]
    """
    return (gains * answer_logprobs(options).gather(1, drawn)).mean()


def clipped(
    options: Float[Tensor, "asked option"],
    before: Float[Tensor, "asked sample"],
    drawn: Int[Tensor, "asked sample"],
    gains: Float[Tensor, "asked sample"],
    clip: float | int,
) -> Float[Tensor, ""]:
    """Return PPO's clipped objective (Schulman et al. 2017, arXiv 1707.06347, eq. 7).

    Parameters
    ----------
    options : Float[Tensor, "asked option"]
        Log-probabilities.
    before : Float[Tensor, "asked sample"]
        Log-probabilities of the drawn answers when they were drawn.
    drawn : Int[Tensor, "asked sample"]
    gains : Float[Tensor, "asked sample"]
    clip : float
        How far the ratio of probabilities may leave 1 before it earns nothing more.
    """
    ratio = (answer_logprobs(options).gather(1, drawn) - before).exp()
    return torch.minimum(ratio * gains, ratio.clamp(1 - clip, 1 + clip) * gains).mean()
