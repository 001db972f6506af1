"""Counterfactual sets of social concepts as records: what is trained on, and measured, without a file on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from levelhead.data.records import ImageRecord
from levelhead.errors import InputError
from levelhead.testbed.planted import Planted
from levelhead.testbed.scene import Scene, sample
from levelhead.testbed.world import CONCEPTS, Theme

OVER = ("gender", "skin", "age")
"""Attributes over which a set is the full product: twelve pictures."""

ASK = "does the label {concept} fit the person?"
"""The question that the testbed's model was taught, for ``ask=``."""

COUNTERPARTS: Mapping[str, str] = {
    one: other for theme in CONCEPTS for one, other in (theme.answers, theme.answers[::-1])
}
"""The other concept of each one's theme, for ``negatives=`` or a choice of two."""

_TRUTH = Planted()
LEANING: tuple[str, ...] = tuple(theme.name for theme in CONCEPTS if _TRUTH.lean(theme.name).attribute in OVER)
"""Themes whose planted lean is on an attribute that sets vary; that of ``"manner"`` is on body type."""


def concept_records(
    n: int,
    seed: int = 0,
    themes: Sequence[str] = LEANING,
    *,
    clear: bool = False,
    style: str = "plain",
    held_out: bool | None = None,
    size: int = 96,
    planted: Planted = _TRUTH,
) -> list[ImageRecord]:
    """Draw counterfactual sets over perceived gender, skin tone and age, each about one social concept.

    Half of a theme's sets are about its first concept and half about its second, by chance and whoever is in them: nothing in
    the data leans. On ambiguous pictures a model's leaning is its own.

    Parameters
    ----------
    n : int
        Sets for each theme; even, or one concept has one set more.
    seed : int
        Same seed, same pictures and concepts; those of one theme do not depend on which others are asked for, nor on `style`.
    themes : sequence of str
        Of `levelhead.testbed.world.CONCEPTS`; ``"manner"`` is left out unless named, since nothing that sets vary matters
        to it (a control).
    clear : bool
        With the prop of the set's concept, so that yes is right whoever is shown; else with the one that both concepts share.
    style : {"plain", "sketch", "faded"}
        The look; see `Scene.image`.
    held_out : bool, optional
        Only sets of the one in four looks (theme, body, hair, glasses, shirt) that are kept apart, or only of the others: no
        set of the one kind differs from a set of the other in room and seed alone. This is another split than
        `Scene.held_out`, which would tear sets apart.
    size : int
        Width and height in pixels.
    planted : Planted
        The true parameters, for ``extra["planted"]``.

    Returns
    -------
    list of ImageRecord
        Twelve a set, one set after the other. ``groups`` has ``gender``, ``skin`` and ``age``; ``extra`` has ``theme``,
        ``family``, ``style``, ``scene``, and ``planted``, the probability of yes that the model was taught.

    Raises
    ------
    InputError
        If `n` is not positive, or a theme or the style is unknown.

    Examples
    --------
    >>> records = concept_records(2, seed=1, themes=["subject"])
    >>> len(records), sorted({record.concept for record in records})
    (24, ['arts', 'science'])
    """
    if n < 1:
        raise InputError(f"a theme needs one set or more; found n={n}")
    known = {theme.name: number for number, theme in enumerate(CONCEPTS)}
    unknown = [name for name in themes if name not in known]
    if unknown or not themes:
        raise InputError(f"no theme {unknown or list(themes)}; themes are {', '.join(known)}")
    records: list[ImageRecord] = []
    for name in dict.fromkeys(themes):
        theme, stream = CONCEPTS[known[name]], [seed, 50 + known[name]]
        concepts = _halves(theme, n, stream)
        for base, concept in zip(_bases(theme, n, stream, held_out), concepts, strict=True):
            scene = base.counterfactual(role=concept) if clear else base
            records += [_record(each, theme, concept, style, size, planted) for each in scene.counterfactuals(*OVER)]
    return records


def _halves(theme: Theme, n: int, stream: Sequence[int]) -> list[str]:
    """A theme's concepts, half each in random order; of an odd number the last is drawn."""
    rng = np.random.default_rng([*stream, 1])
    first, second = rng.permutation(theme.answers).tolist()
    concepts = [first, second] * (n // 2) + [first] * (n % 2)
    return rng.permutation(concepts).tolist()


def _bases(theme: Theme, n: int, stream: Sequence[int], held_out: bool | None) -> list[Scene]:
    """A scene of each set, with the ambiguous role."""
    found: list[Scene] = []
    wanted = n
    while len(found) < n:
        # A longer sample of a seed begins with the shorter one.
        wanted *= 2
        drawn = sample(wanted, stream, roles=[theme.name])
        found = [scene for scene in drawn if held_out is None or _kept_apart(scene) == held_out]
    return found[:n]


def _kept_apart(scene: Scene) -> bool:
    """Whether the look that a whole set shares is one of those kept apart: one in four, by a hash."""
    person = scene.person
    key = "|".join((person.theme.name if person.theme else "", person.body, person.hair, person.glasses, person.shirt))
    return hashlib.blake2b(key.encode(), digest_size=1).digest()[0] < 64


def _record(scene: Scene, theme: Theme, concept: str, style: str, size: int, planted: Planted) -> ImageRecord:
    person = scene.person
    groups = {name: getattr(person, name) for name in OVER}
    look = "" if style == "plain" else f" {style}"
    set_id = f"{theme.name} {scene.seed}{' clear' * (not person.ambiguous)}{look}"
    return ImageRecord(
        id=f"{set_id}: {', '.join(groups.values())}",
        image=scene.image(size, style),
        groups=groups,
        concept=concept,
        set_id=set_id,
        extra={
            "theme": theme.name,
            "family": theme.family,
            "style": style,
            "scene": scene,
            "planted": planted.role(person)[concept],
        },
    )
