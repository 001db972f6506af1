"""DSO's three estimators agree, in expectation, on the gradient of a real model's edits; and a wrong one is found out."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import scipy.stats
import torch
from torch import Tensor

import levelhead as lh
import tiny
import words
from levelhead.data.records import ChoiceRecord
from levelhead.methods.dso import DSO
from levelhead.methods.dso.estimators import advantages, answer_logprobs, clipped, draw, expected, reinforce
from levelhead.methods.dso.questions import Questions

Objective = Callable[[Tensor, Tensor, Tensor], Tensor]
SITES = ("ln1.0", "ln2.0", "ln1.1", "ln2.1", "ln1.2", "ln2.2")
OPTIONS = "man woman yes no the a"


def records() -> list[ChoiceRecord]:
    """Options of one token and of two that begin alike."""
    asked = [("doctor", ("man", "woman")), ("nurse", ("the man", "the woman")), ("user", ("yes", "no", "a man"))]
    return [
        ChoiceRecord(id=job, prompt=f"who is the {job} ?", options=options, pro=0, target=job, orders="given")
        for job, options in asked
    ]


@cache
def model() -> Any:
    """A tiny model that says every option often: their rows of the head are turned towards what the head meets."""
    model = tiny.ARCHITECTURES["llama"].model(8)
    batch = words.tokenizer()([record.prompt for record in records()], return_tensors="pt")
    with torch.no_grad():
        met = model.model(**batch).last_hidden_state[:, -1].mean(0)
        model.lm_head.weight.mul_(0.2)
        model.lm_head.weight[words.ids_of(OPTIONS)] += 5 * met / met.square().sum()
    return model


@cache
def through_the_network() -> tuple[Tensor, Tensor]:
    """Log-probabilities of the options, and how each moves with every number of every edit, at a steer that does something."""
    questions = Questions(lh.graph(model(), words.tokenizer()), records(), "words", "raw")
    theta = 0.03 * torch.randn(2 * len(SITES), 32, generator=torch.Generator().manual_seed(5))
    theta.requires_grad_()
    edits = {site: lh.Affine(theta[2 * i], theta[2 * i + 1]) for i, site in enumerate(SITES)}
    options = questions(range(len(questions)), lh.Steer(edits)).options
    slopes = torch.zeros(*options.shape, theta.numel())
    for row, column in options.isfinite().nonzero().tolist():
        slopes[row, column] = torch.autograd.grad(options[row, column], theta, retain_graph=True)[0].flatten()
    return options.detach(), slopes


def upstream(of: Callable[[Tensor], Tensor]) -> Tensor:
    """Gradient of a function of the options' log-probabilities along these."""
    options = through_the_network()[0].clone().requires_grad_()
    return torch.autograd.grad(of(options), options)[0].where(options.isfinite(), 0.0)


def downstream(gradients: Tensor) -> Tensor:
    """And along the edits, by the chain rule, so that draws cost no passes."""
    return torch.einsum("...ok,okp->...p", gradients, through_the_network()[1])


WORTH = torch.tensor([[-1.0, 1.0, -1.0, -1.0], [1.0, -1.0, -1.0, -1.0], [-1.0, 1.0, 0.5, -1.0]])


def exact() -> Tensor:
    return downstream(upstream(lambda options: expected(options, WORTH).mean()))


def chance(gradients: Tensor, wanted: Tensor) -> float:
    """Hotelling's test on four projections, the first along what is wanted: how likely so far a mean is from `wanted`."""
    directions = torch.randn(len(wanted), 4, generator=torch.Generator().manual_seed(2))
    directions[:, 0] = wanted / wanted.norm()
    seen = (gradients @ directions).double()
    n, k = seen.shape
    away = seen.mean(0) - (wanted @ directions).double()
    t2 = n * float(away @ torch.linalg.solve(torch.cov(seen.T), away))
    return float(scipy.stats.f.sf(t2 * (n - k) / (k * (n - 1)), k, n - k))


def sampled(objective: Objective, samples: int, draws: int, gains: Any = advantages) -> Tensor:
    """Many gradients, each of one batch of drawn answers."""
    options, _ = through_the_network()
    generator = torch.Generator().manual_seed(1)
    found: list[Tensor] = []
    for _ in range(draws):
        drawn = draw(options, samples, generator)
        weighed = gains(WORTH, drawn)
        found.append(upstream(lambda now, drawn=drawn, weighed=weighed: objective(now, drawn, weighed)))
    return downstream(torch.stack(found))


def ppo(now: Tensor, drawn: Tensor, gains: Tensor) -> Tensor:
    """In its first epoch: nothing has moved since the draw."""
    return clipped(now, answer_logprobs(now.detach()).gather(1, drawn), drawn, gains, 0.2)


def test_the_exact_gradient_is_that_of_the_expectation_written_out() -> None:
    """With the rest's probability as one minus the others, by hand; and it is no small thing."""
    options, slopes = through_the_network()
    chances = options.exp()
    by_hand = ((chances * (WORTH[:, :-1] + 1))[..., None] * slopes).sum((0, 1)) / len(chances)
    torch.testing.assert_close(exact(), by_hand, rtol=1e-4, atol=1e-7)
    assert by_hand.norm() > 0.01 and 0.1 < chances.sum(1).max() < 0.9


@pytest.mark.parametrize("samples", [1, 4])
def test_sampled_gradients_are_right_in_expectation(samples: int) -> None:
    reinforced = sampled(reinforce, samples, 500)
    assert chance(reinforced, exact()) > 0.01
    assert torch.nn.functional.cosine_similarity(reinforced.mean(0), exact(), dim=0) > 0.95


def test_ppo_begins_with_the_very_gradients_of_reinforce() -> None:
    torch.testing.assert_close(sampled(ppo, 4, 40), sampled(reinforce, 4, 40), rtol=1e-4, atol=1e-6)


def no_rest(options: Tensor, drawn: Tensor, gains: Tensor) -> Tensor:
    """Answers that are no option left out."""
    known = drawn < options.shape[1]
    said = options.gather(1, drawn.clamp_max(options.shape[1] - 1))
    return (gains * said).where(known, 0.0).sum() / drawn.numel()


WRONG: dict[str, tuple[Any, Any]] = {
    "the sign": (lambda now, drawn, gains: -reinforce(now, drawn, gains), advantages),
    "a baseline that follows the draw": (reinforce, lambda worth, drawn: worth.gather(1, drawn).clamp_min(0)),
    "a reward in its own baseline": (reinforce, lambda w, d: w.gather(1, d) - w.gather(1, d).mean(1, keepdim=True)),
    "answers that are no option": (no_rest, advantages),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_estimator_is_found_out(wrong: str) -> None:
    objective, gains = WRONG[wrong]
    assert chance(sampled(objective, 2, 300, gains), exact()) < 1e-4


def test_training_steps_along_the_same_gradient() -> None:
    """One plain step of each estimator from the unsteered model, with so many draws that little of their noise is left."""
    steps: dict[str, Tensor] = {}
    for estimator in ("exact", "reinforce", "ppo"):
        method = DSO(estimator=estimator, optimizer="sgd", lr=1.0, steps=1, epochs=1, samples=20_000, batch=3, l1=0,
                     kl=None, validation=0, soften=0, limit=None)  # fmt: skip
        steer = method.fit(model(), records(), processor=words.tokenizer(), verbose=False)
        steps[estimator] = torch.cat([value for entry in steer for _, value in sorted(entry.edit.params.items())])
    torch.testing.assert_close(steps["ppo"], steps["reinforce"], rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(steps["reinforce"], steps["exact"], rtol=0, atol=0.1 * float(steps["exact"].abs().max()))
    assert torch.nn.functional.cosine_similarity(steps["reinforce"], steps["exact"], dim=0) > 0.995
