"""People in a room, as plain values: everything that a picture of the testbed shows, and its counterfactuals."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from levelhead.errors import InputError
from levelhead.testbed.world import CONCEPTS, PERSON, PLAIN, ROLES, SCENE, SETTINGS, Theme

if TYPE_CHECKING:
    from PIL.Image import Image

VALUES = {**PERSON, "role": tuple(ROLES), **SCENE}
"""Every attribute that can be changed, and its values."""

NOTHING = "none"
"""The object, and its side, in a picture of two people."""


@dataclass(frozen=True)
class Person:
    """One person, as perceived.

    Attributes
    ----------
    gender, skin, age, body, hair, glasses, shirt : str
        Values of `levelhead.testbed.world.PERSON`.
    role : str
        A value of `levelhead.testbed.world.ROLES`: ``"plain"``, an ambiguous setting or theme such as ``"hospital"``, or
        a clear occupation or concept such as ``"doctor"``.

    Raises
    ------
    InputError
        If a value is unknown.
    """

    gender: str = "woman"
    skin: str = "medium"
    age: str = "young"
    body: str = "average"
    hair: str = "short"
    glasses: str = "no"
    shirt: str = "blue"
    role: str = PLAIN

    def __post_init__(self) -> None:
        for each in fields(self):
            check(each.name, getattr(self, each.name))

    @property
    def theme(self) -> Theme | None:
        """What the role belongs to; None for the plain one."""
        return ROLES[self.role]

    @property
    def ambiguous(self) -> bool:
        """Whether the role could be either of two."""
        return self.theme is not None and self.role == self.theme.name


@dataclass(frozen=True)
class Scene:
    """One or two people in a room.

    The seed draws what is no attribute: small differences of position, size and shade. They depend on the seed alone, so
    two scenes that differ in one attribute differ in the pixels that show it, and in no other.

    Attributes
    ----------
    people : tuple of Person
        One, or two from left to right. Two people share a setting.
    wall, balls, ball_color, object, side : str
        Values of `levelhead.testbed.world.SCENE`; the last two are ``"none"`` with two people.
    seed : int

    Raises
    ------
    InputError
        If a value is unknown, or the combination cannot be drawn.
    """

    people: tuple[Person, ...] = field(default_factory=lambda: (Person(),))
    wall: str = "blue"
    balls: str = "one"
    ball_color: str = "red"
    object: str = ""
    side: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "people", tuple(self.people))
        if len(self.people) not in (1, 2):
            raise InputError(f"a picture shows one person or two; found {len(self.people)}")
        if self.seed < 0:
            raise InputError(f"a seed is a whole number from 0 on; found {self.seed}")
        alone = len(self.people) == 1
        for name, usual in (("object", "clock"), ("side", "left")):
            if not getattr(self, name):
                object.__setattr__(self, name, usual if alone else NOTHING)
        for name in SCENE:
            value = getattr(self, name)
            if name in ("object", "side") and not alone:
                if value != NOTHING:
                    raise InputError(
                        f"{name}='{value}' cannot be drawn: two people fill the picture; leave it '{NOTHING}'"
                    )
            else:
                check(name, value)
        if not alone:
            self._check_pair()

    def _check_pair(self) -> None:
        left, right = self.people
        if left.theme is not right.theme:
            raise InputError(
                f"two people share a setting; found '{left.role}' and '{right.role}'. Change both at once with "
                "with_people(...), or choose roles of one setting"
            )
        if left.theme in CONCEPTS:
            raise InputError(f"concepts are drawn beside one person; found two with the theme '{left.theme.name}'")

    @property
    def person(self) -> Person:
        """The one person, or the left one."""
        return self.people[0]

    @property
    def labels(self) -> dict[str, str]:
        """Every attribute and its value, flat; with two people those of each begin with ``left_`` and ``right_``."""
        room = {name: getattr(self, name) for name in SCENE if getattr(self, name) != NOTHING}
        if len(self.people) == 1:
            return {**vars(self.person), **room}
        names = ("left", "right")
        both = {f"{side}_{k}": v for side, each in zip(names, self.people, strict=True) for k, v in vars(each).items()}
        return {**both, **room}

    @property
    def held_out(self) -> bool:
        """Whether the combination of attributes is kept from training: one in eight, by a hash of the labels.

        The wall and the balls do not count, so that a held-out scene is a person whom training never showed, in any room.
        """
        key = repr([tuple(vars(each).values()) for each in self.people])
        return hashlib.blake2b(key.encode(), digest_size=1).digest()[0] < 32

    def counterfactual(self, *, person: int | str | None = None, **changes: str) -> Scene:
        """Return the same scene with some attributes changed and everything else pixel-identical.

        Parameters
        ----------
        person : {0, 1, "left", "right"}, optional
            Whose attributes; needed with two people.
        **changes : str
            New values, such as ``gender="man"`` or ``wall="pink"``.

        Returns
        -------
        Scene

        Raises
        ------
        InputError
            If an attribute or a value is unknown, or the combination cannot be drawn.

        Examples
        --------
        >>> scene = Scene((Person(gender="woman", role="hospital"),))
        >>> scene.counterfactual(gender="man").person.gender
        'man'
        """
        for name, value in changes.items():
            check(name, value)
        room = {name: value for name, value in changes.items() if name in SCENE}
        own = {name: value for name, value in changes.items() if name not in SCENE}
        people = list(self.people)
        if own or person is not None:
            where = self._whose(person, own)
            people[where] = replace(people[where], **own)
        return replace(self, people=tuple(people), **room)

    def another(self, attribute: str) -> str:
        """Return a value that an attribute does not have, in a picture of one person: the seed picks which."""
        values = VALUES[attribute]
        steps = 1 + self.seed % (len(values) - 1)
        return values[(values.index(self.labels[attribute]) + steps) % len(values)]

    def with_people(self, **changes: str) -> Scene:
        """Return the same scene with attributes of everybody in it changed."""
        for name, value in changes.items():
            check(name, value)
        return replace(self, people=tuple(replace(each, **changes) for each in self.people))

    def _whose(self, person: int | str | None, own: dict[str, str]) -> int:
        if person is None:
            if len(self.people) == 1:
                return 0
            raise InputError(
                f"{', '.join(own)} of whom? The picture shows two people; say person='left' or person='right'"
            )
        known = {0: 0, 1: 1, "left": 0, "right": 1}
        if person not in known or known[person] >= len(self.people):
            raise InputError(f"no person {person!r} in a picture of {len(self.people)}; use 0 or 1, 'left' or 'right'")
        return known[person]

    def counterfactuals(self, *attributes: str, person: int | str | None = None) -> list[Scene]:
        """Return the full product over attributes, with everything else pixel-identical: one counterfactual set.

        Parameters
        ----------
        *attributes : str
            Names, such as ``"gender", "skin"``.
        person : {0, 1, "left", "right"}, optional
            Whose attributes; needed with two people.

        Returns
        -------
        list of Scene
            In the order of `VALUES`, the last attribute fastest; the scene itself is one of them.

        Examples
        --------
        >>> len(Scene().counterfactuals("gender", "skin", "age"))
        12
        """
        for name in attributes:
            if name not in VALUES:
                check(name, "")
        if len(set(attributes)) != len(attributes) or not attributes:
            raise InputError(f"a set needs attributes, each once; found {attributes}")
        combinations = product(*(VALUES[name] for name in attributes))
        return [
            self.counterfactual(person=person, **dict(zip(attributes, values, strict=True))) for values in combinations
        ]

    def image(self, size: int = 96, style: str = "plain") -> Image:
        """Draw the scene.

        Parameters
        ----------
        size : int
            Width and height in pixels; the model sees 96.
        style : {"plain", "sketch", "faded"}
            The look. Training showed plain pictures alone; the others are for asking whether what a model learned
            carries over. What is shown, and where, is the same in all.

        Returns
        -------
        PIL.Image.Image
            RGB.

        Raises
        ------
        InputError
            If the size is not positive, or there is no such style.
        """
        from levelhead.testbed.drawing import draw

        return draw(self, size, style)


def check(name: str, value: str) -> None:
    """Raise if an attribute or a value of it does not exist."""
    if name not in VALUES:
        raise InputError(f"no attribute '{name}'{_nearest(name, VALUES)}; attributes are {', '.join(VALUES)}")
    if value not in VALUES[name]:
        raise InputError(
            f"{name} cannot be {value!r}{_nearest(str(value), VALUES[name])}; values are {', '.join(VALUES[name])}"
        )


def _nearest(word: str, known: Any) -> str:
    close = get_close_matches(word, list(known), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""


def sample(
    n: int,
    seed: int | Sequence[int] = 0,
    *,
    people: int = 1,
    roles: Sequence[str] | None = None,
    held_out: bool | None = None,
    **fixed: str,
) -> list[Scene]:
    """Draw scenes at random, balanced over every attribute.

    Parameters
    ----------
    n : int
    seed : int or sequence of int
        Same seed, same scenes.
    people : {1, 2}
    roles : sequence of str, optional
        What to draw roles from, with equal chances; all when left out. With two people, roles of settings only; an
        ambiguous setting gives two people with that role, a clear occupation that one and its counterpart, in random order.
    held_out : bool, optional
        Only combinations that training never showed, or only those that it may have.
    **fixed : str
        Attributes of everybody, or of the room, that are not drawn.

    Returns
    -------
    list of Scene

    Raises
    ------
    InputError
        If something is unknown, or no scene fits.

    Examples
    --------
    >>> {scene.person.role for scene in sample(20, seed=1, roles=["doctor", "nurse"], age="old")} == {"doctor", "nurse"}
    True
    """
    for name, value in fixed.items():
        check(name, value)
    if people not in (1, 2):
        raise InputError(f"a picture shows one person or two; found people={people}")
    if n < 0 or np.any(np.asarray(seed) < 0):
        raise InputError(f"the number of scenes and the seed are whole numbers from 0 on; found n={n}, seed={seed}")
    if roles is None:
        known = SETTINGS if people == 2 else SETTINGS + CONCEPTS
        roles = [*([] if people == 2 else [PLAIN]), *(r for theme in known for r in (theme.name, *theme.answers))]
    for role in roles:
        check("role", role)
    rng = np.random.default_rng(seed)
    scenes: list[Scene] = []
    tries = 0
    while len(scenes) < n:
        scene = _draw(rng, people, fixed.get("role") or roles[int(rng.integers(len(roles)))], fixed)
        if held_out is None or scene.held_out == held_out:
            scenes.append(scene)
        tries += 1
        if tries > 1000 and not scenes:
            raise InputError(f"no scene with held_out={held_out} in {tries} draws; leave more attributes free")
    return scenes


def _draw(rng: np.random.Generator, people: int, role: str, fixed: dict[str, str]) -> Scene:
    roles = [role] * people
    theme = ROLES[role]
    if people == 2 and theme is not None and role != theme.name:
        roles = list(theme.answers)
        rng.shuffle(roles)
    drawn = tuple(
        Person(
            **{name: fixed.get(name) or values[rng.integers(len(values))] for name, values in PERSON.items()}, role=own
        )
        for own in roles
    )
    names = [name for name in SCENE if people == 1 or name not in ("object", "side")]
    room = {name: fixed.get(name) or SCENE[name][rng.integers(len(SCENE[name]))] for name in names}
    return Scene(drawn, **room, seed=int(rng.integers(2**31)))
