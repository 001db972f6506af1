"""Every word that the testbed's model can be asked with, or answer with."""

from __future__ import annotations

from collections.abc import Iterator

from levelhead.testbed.captions import PROMPT, caption_words
from levelhead.testbed.language import tokens
from levelhead.testbed.questions import questions
from levelhead.testbed.scene import Person, Scene
from levelhead.testbed.world import PERSON, ROLES, SCENE, SETTINGS


def _scenes() -> Iterator[Scene]:
    """Yield scenes that show every value of every attribute; no text joins two values that are not both among them."""
    for name, values in PERSON.items():
        yield from (Scene((Person(**{name: value}),)) for value in values)
    for name, values in SCENE.items():
        yield from (Scene().counterfactual(**{name: value}) for value in values)
    for role in ROLES:
        yield Scene((Person(role=role),))
    for theme in SETTINGS:
        for role in theme.answers:
            yield Scene((Person(role=theme.name), Person(role=role)))


def _words() -> Iterator[str]:
    yield from tokens(PROMPT)
    yield from caption_words()
    for scene in _scenes():
        for question in questions(scene):
            for text in (question.text, *question.answers):
                yield from tokens(text)


VOCABULARY: tuple[str, ...] = tuple(sorted(set(_words())))
"""Words and punctuation marks, sorted: all tokens of all questions, answers and captions."""
