"""What is compared: the model as it is, an instruction, methods at their strengths, directions that mean nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from levelhead.capture import Activations
from levelhead.errors import InputError
from levelhead.methods.controls import RandomDirection
from levelhead.methods.fairness_prompt import FAIRNESS_PROMPT as FAIRNESS_PROMPT
from levelhead.steer import Steer, Strengths

BASELINES = ("prompt", "random")

Kind = Literal["none", "prompt", "method", "random"]


@dataclass(frozen=True)
class Arm:
    """One thing that is compared.

    Attributes
    ----------
    name : str
        The method's; of a random direction, that of the method that it stands beside.
    kind : {"none", "prompt", "method", "random"}
    steer : Steer or None
    strengths : tuple of float
        Of which there is one without a steer: 0.
    draw : int
        Number of the random direction.
    """

    name: str
    kind: Kind
    steer: Steer | None = None
    strengths: tuple[float, ...] = (0.0,)
    draw: int = 0


def arms(
    steers: Steer | Mapping[str, Steer],
    strengths: Strengths,
    baselines: Collection[str],
    random: int | Mapping[str, int],
    acts: Activations | None,
    seed: int,
) -> list[Arm]:
    """List what is compared, the model as it is first.

    Raises
    ------
    InputError
        For no steer, a name that is taken, unknown baselines, strengths that are not finite numbers from 0.
    EditError
        If a steer has no random counterpart: leave ``"random"`` out of the baselines.
    """
    named = {"steer": steers} if isinstance(steers, Steer) else dict(steers)
    if not named:
        raise InputError("a trade-off needs at least one steer; found none")
    taken = sorted({"none", "prompt"} & set(named))
    if taken:
        raise InputError(f"'{taken[0]}' is the name of a baseline; give the steer another")
    unknown = sorted(set(baselines) - set(BASELINES))
    if unknown:
        raise InputError(f"unknown baseline '{unknown[0]}'; baselines are {', '.join(BASELINES)}")
    given = tuple(sorted({float(strength) for strength in strengths} - {0.0}))
    # NaN compares false with everything.
    if not given or not all(0 < strength < float("inf") for strength in given):
        raise InputError(f"strengths are numbers from 0 on, at least one above 0; found {list(strengths)}")
    strangers = sorted(set(random) - set(named)) if isinstance(random, Mapping) else []
    if strangers:
        raise InputError(f"random directions for '{strangers[0]}' were asked for; the steers are {', '.join(named)}")
    found = [Arm("none", "none")]
    if "prompt" in baselines:
        found.append(Arm("prompt", "prompt"))
    found += [Arm(name, "method", steer, given) for name, steer in named.items()]
    if "random" in baselines:
        for name, steer in named.items():
            for draw in range(random.get(name, 0) if isinstance(random, Mapping) else random):
                control = RandomDirection(random_state=seed + draw).fit(steer, acts)
                found.append(Arm(name, "random", control, (1.0,), draw))
    return found
