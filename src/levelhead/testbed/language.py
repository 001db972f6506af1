"""Texts with exact probabilities: small grammars as automata, which can be sampled, read back and scored token by token."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from levelhead.errors import InputError


def tokens(text: str) -> tuple[str, ...]:
    """Split a lower-case text into words and punctuation marks.

    Examples
    --------
    >>> tokens("is the person old, or young?")
    ('is', 'the', 'person', 'old', ',', 'or', 'young', '?')
    """
    return tuple(re.findall(r"[a-z]+|[^\sa-z]", text))


def join(words: Iterable[str]) -> str:
    """Write tokens as a text: the inverse of `tokens`."""
    return re.sub(r" ([^\sa-z])", r"\1", " ".join(words))


def article(words: str) -> str:
    """Put "a" or "an" before words, as their first letter asks for; no noun here that starts with a "u" takes one.

    Examples
    --------
    >>> article("orange shirt")
    'an orange shirt'
    """
    return f"an {words}" if words[0] in "aeio" else f"a {words}"


@dataclass(frozen=True)
class Answer:
    """One sampled text, and what else could have stood at each place of it.

    Attributes
    ----------
    tokens : tuple of str
        Without an end token.
    chances : tuple of dict of str to float
        For each token, the true distribution at its place given the tokens before it; ``{token: 1.0}`` where certain.
    """

    tokens: tuple[str, ...]
    chances: tuple[dict[str, float], ...]

    @property
    def text(self) -> str:
        """As it is written."""
        return join(self.tokens)


class Step(NamedTuple):
    """One token that may come next: how likely it is, what follows, and the facts that have been stated once it is said."""

    chance: float
    then: State
    facts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, eq=False)
class State:
    """A point in a text, and every way on from it: a grammar is the state that its texts start from.

    Each token leads to one state, so the chance of a token given all tokens before it can be read off. Grammars are
    built from their end with `say` and `either`.

    Attributes
    ----------
    steps : mapping of str to Step
        By token; empty where a text ends.
    """

    steps: Mapping[str, Step]

    def sample(self, rng: np.random.Generator) -> Answer:
        """Draw one text."""
        words: list[str] = []
        chances: list[dict[str, float]] = []
        steps = self.steps
        while steps:
            # Most tokens are certain: no random number is spent on them.
            token = next(iter(steps)) if len(steps) == 1 else _draw(steps, rng.random())
            words.append(token)
            chances.append({word: step.chance for word, step in steps.items()})
            steps = steps[token].then.steps
        return Answer(tuple(words), tuple(chances))

    def walk(self, text: str) -> list[Step] | None:
        """Return the steps that a text takes, or None where it is not one of the grammar's; spaces do not matter."""
        path: list[Step] = []
        state = self
        for token in tokens(text):
            step = state.steps.get(token)
            if step is None:
                return None
            path.append(step)
            state = step.then
        return None if state.steps else path

    def facts(self, text: str) -> dict[str, str] | None:
        """Return what a text states, or None where it is not one of the grammar's."""
        path = self.walk(text)
        return None if path is None else dict(fact for step in path for fact in step.facts)

    def log_probability(self, text: str) -> float:
        """Natural logarithm of the chance of a text; minus infinity where the grammar does not have it."""
        path = self.walk(text)
        return -math.inf if path is None else sum(math.log(step.chance) for step in path)

    def words(self) -> Iterator[str]:
        """Every token that some text of the grammar has, each once."""
        found: set[str] = set()
        seen = {id(self)}
        waiting: list[State] = [self]
        while waiting:
            for token, step in waiting.pop().steps.items():
                if token not in found:
                    found.add(token)
                    yield token
                if id(step.then) not in seen:
                    seen.add(id(step.then))
                    waiting.append(step.then)


END = State(MappingProxyType({}))
"""Where a text ends."""


def _draw(steps: Mapping[str, Step], at: float) -> str:
    *others, last = steps
    for token in others:
        at -= steps[token].chance
        if at < 0:
            return token
    return last  # what rounding leaves over is the last one's


def say(text: str, then: State = END, **facts: str) -> State:
    """Return the grammar that says a text, and goes on with another.

    Parameters
    ----------
    text : str
        At least one token.
    then : State
        What follows; the end when left out.
    **facts : str
        What has been stated once the text is said.
    """
    stated = tuple(facts.items())
    state = then
    for token in reversed(tokens(text)):
        state = State({token: Step(1.0, state, stated)})
        stated = ()
    return state


def either(*alternatives: tuple[float, State]) -> State:
    """Return the grammar that goes on in one of several ways.

    Ways that begin with the same words are walked together until they part, so that the chances stay those of a token
    given all tokens before it, and not given which way was meant.

    Parameters
    ----------
    *alternatives : tuple of float and State
        Weights, which need not sum to one, and grammars. Those of weight zero are left out.

    Returns
    -------
    State

    Raises
    ------
    InputError
        If no weight is positive, one way ends where another goes on, or two ways state different facts in the same words.
    """
    possible = [(weight, state) for weight, state in alternatives if weight > 0]
    if not possible:
        raise InputError(f"one way to go on needs a positive weight; found {[weight for weight, _ in alternatives]}")
    only = possible[0][1]
    if all(state is only for _, state in possible):
        return only
    if any(not state.steps for _, state in possible):
        raise InputError("one way ends where another goes on: close every text with a mark, such as a full stop")
    total = sum(weight for weight, _ in possible)
    ways: dict[str, list[tuple[float, Step]]] = {}
    for weight, state in possible:
        for token, step in state.steps.items():
            ways.setdefault(token, []).append((weight * step.chance / total, step))
    if len(ways) == 1:
        # The only way on is certain, whatever rounding makes of its chance.
        return State({token: _merged(token, found)._replace(chance=1.0) for token, found in ways.items()})
    return State({token: _merged(token, found) for token, found in ways.items()})


def _merged(token: str, found: list[tuple[float, Step]]) -> Step:
    chance, step = found[0]
    if len(found) == 1:
        return Step(chance, step.then, step.facts)
    if any(other.facts != step.facts for _, other in found):
        raise InputError(
            f"'{token}' states {sorted({other.facts for _, other in found})} in the same words; reword one"
        )
    then = either(*((weight, other.then) for weight, other in found))
    return Step(sum(weight for weight, _ in found), then, step.facts)


def choose(rng: np.random.Generator, alternatives: Mapping[str, float]) -> Answer:
    """Draw one of several texts, with the exact chance of each of its tokens.

    Parameters
    ----------
    rng : numpy.random.Generator
    alternatives : mapping of str to float
        Texts and their probabilities; none is the beginning of another.

    Returns
    -------
    Answer

    Examples
    --------
    >>> choose(np.random.default_rng(0), {"a doctor": 0.85, "a nurse": 0.15}).chances
    ({'a': 1.0}, {'doctor': 0.85, 'nurse': 0.15})
    """
    return either(*((chance, say(text)) for text, chance in alternatives.items())).sample(rng)
