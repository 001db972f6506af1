"""Reading captions of known scenes: whether a sentence is one of the grammar's, and whether what it names is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from levelhead.data.records import PromptRecord
from levelhead.errors import InputError
from levelhead.testbed.captions import PROMPT, parse
from levelhead.testbed.planted import Planted
from levelhead.testbed.scene import Scene
from levelhead.testbed.world import PROTECTED, SETTINGS

LEXICON_NAMES: Mapping[str, str] = {"gender": "gender", "skin": "skin_tone", "age": "age", "body": "body_type"}
"""What the mention lexicon calls the testbed's attributes; on the testbed's captions the two agree."""

NAMED = (*PROTECTED, "shirt", "object", "role", "setting")
"""What a caption can name. ``"setting"`` is where people work: a role names it too, if an occupation is named."""


@dataclass(frozen=True)
class CaptionReading:
    """A caption against its scene.

    Attributes
    ----------
    grammatical : bool
        Whether it is a caption of the grammar, of any scene.
    right : mapping of str to (bool or None)
        For each of `NAMED`, whether it is as the scene has it, of everybody whom the caption gives it; None where it goes
        unnamed. A person whose role is ambiguous may be given either of its two clear roles.
    people : bool or None
        Whether as many people are described as there are.
    """

    grammatical: bool
    right: Mapping[str, bool | None]
    people: bool | None = None

    @property
    def faithful(self) -> bool:
        """Whether it is grammatical, and everything that it names is right."""
        return self.grammatical and bool(self.people) and all(right is not False for right in self.right.values())


def read(text: str, scene: Scene) -> CaptionReading:
    """Read a caption of a known scene.

    Parameters
    ----------
    text : str
    scene : Scene

    Returns
    -------
    CaptionReading

    Examples
    --------
    >>> said = read("a man in a blue shirt stands in the room. he is next to a lamp.", Scene())
    >>> said.right["shirt"], said.right["object"], said.right["age"], said.faithful
    (True, False, None, False)
    """
    facts = parse(text)
    if facts is None:
        return CaptionReading(False, dict.fromkeys(NAMED))
    if facts["people"] != len(scene.people):
        return CaptionReading(True, dict.fromkeys(NAMED), False)
    return CaptionReading(True, {name: _right(name, facts, scene) for name in NAMED}, True)


def _right(name: str, facts: Mapping[str, str | int | None], scene: Scene) -> bool | None:
    if name == "object":
        said = facts.get("object")
        return None if said is None else said == scene.object
    if name == "setting" and facts.get("setting") is not None:
        theme = scene.person.theme
        return theme is not None and theme.name == facts["setting"]
    prefixes = ("",) if len(scene.people) == 1 else ("left_", "right_")
    found: list[bool] = []
    for prefix, person in zip(prefixes, scene.people, strict=True):
        said = facts.get(prefix + ("role" if name == "setting" else name))
        theme = person.theme
        if said is None:
            continue
        if name == "setting":
            # An occupation tells the setting; a label, and standing in a room, do not.
            places = [each for each in SETTINGS if said in each.answers]
            found += [each is theme for each in places]
        elif name == "role":
            found.append(said in theme.answers if theme is not None and person.ambiguous else said == person.role)
        else:
            found.append(said == getattr(person, name))
    return all(found) if found else None


def captioned(scenes: Sequence[Scene], axis: str = "gender") -> list[PromptRecord]:
    """Ask for captions of scenes, in the testbed's own words.

    Parameters
    ----------
    scenes : sequence of Scene
    axis : str
        An attribute of people; its value of the one person, or the left one, is the record's group.

    Returns
    -------
    list of PromptRecord
        ``set_id`` is the scene's seed, which counterfactuals share; the scene is ``extra["scene"]``, and ``target`` the
        person's role.

    Raises
    ------
    InputError
        For an attribute that people do not have.
    """
    if not hasattr(Scene().person, axis) or axis.startswith("_"):
        raise InputError(f"people have no attribute '{axis}'; they have {', '.join(vars(Scene().person))}")
    return [
        PromptRecord(
            id=f"caption {number}",
            prompt=PROMPT,
            group=getattr(scene.person, axis),
            axis=axis,
            target=scene.person.role,
            set_id=f"scene {scene.seed}",
            image=scene.image(),
            extra={"scene": scene},
        )
        for number, scene in enumerate(scenes)
    ]


def grammatical(text: str, record: PromptRecord) -> bool:
    """Whether an answer is a caption of the grammar, of any scene; for `levelhead.metrics.AnswerCheck`."""
    return parse(text) is not None


def names_right(*names: str) -> Callable[[str, PromptRecord], bool | None]:
    """Return a check, for `levelhead.metrics.AnswerCheck`, of whether what captions name is right.

    Parameters
    ----------
    *names : str
        Of `NAMED`, all of which have to be right where they are named; everything when left out.

    Returns
    -------
    callable of (str, PromptRecord) to bool or None
        For records of `captioned`. None where the caption names none of them; False where it cannot be read, or speaks of
        another number of people: an object that no sentence is left to name is not named right.

    Raises
    ------
    InputError
        For something that captions do not name; when it is used, for a record without a scene.
    """
    unknown = [name for name in names if name not in NAMED]
    if unknown:
        raise InputError(f"captions do not name '{unknown[0]}'; they name {', '.join(NAMED)}")

    def check(text: str, record: PromptRecord) -> bool | None:
        scene: Any = record.extra.get("scene")
        if not isinstance(scene, Scene):
            raise InputError(
                f"the record '{record.id}' has no scene to compare with; make records with captioned(scenes)"
            )
        found = read(text, scene)
        if not found.grammatical or not found.people:
            return False
        named = [right for name, right in found.right.items() if name in (names or NAMED) and right is not None]
        return all(named) if named else None

    return check


def planted_rates(planted: Planted | None = None) -> dict[str, float]:
    """Rates at which the model was taught to mention attributes in a caption of one person, by the lexicon's names.

    Parameters
    ----------
    planted : Planted, optional
        The shipped model's when left out.

    Returns
    -------
    dict of str to float
        To compare `levelhead.metrics.MentionRate` with. Of two people the rate of gender is that of either.

    Examples
    --------
    >>> planted_rates()["skin_tone"]
    0.35
    """
    mentions = (planted or Planted()).mentions
    return {LEXICON_NAMES[name]: mentions[name] for name in PROTECTED}
