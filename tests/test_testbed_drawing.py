"""The testbed's drawings: what an attribute changes, what it must not change, and that every cue can be seen."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from PIL import Image

from levelhead.errors import InputError
from levelhead.testbed.drawing import draw
from levelhead.testbed.drawing.sheet import contact_sheet
from levelhead.testbed.scene import Person, Scene, sample
from levelhead.testbed.world import CONCEPTS, PERSON, PLAIN, ROLES, SCENE, SETTINGS

OCCUPATIONS = [PLAIN, *(role for theme in SETTINGS for role in (theme.name, *theme.answers))]
CLEAR, SEEN = 40, 24
"""Differences of 255 in any color from which a pixel counts as clearly different, and as different."""

# How many pixels of 96 x 96 have to change at least, and where: left and right of the person's middle, top, bottom.
PERSONAL: dict[str, tuple[int, int, int, int]] = {
    "gender": (120, 19, 32, 65),
    "skin": (60, 29, 27, 96),
    "age": (60, 25, 16, 73),
    "body": (200, 29, 14, 96),
    "hair": (100, 25, 16, 73),
    "glasses": (60, 15, 33, 50),
    "shirt": (120, 29, 55, 96),
}
ROOM: dict[str, tuple[int, int, int]] = {
    "wall": (1000, 0, 83),
    "balls": (60, 0, 12),
    "ball_color": (60, 0, 12),
    "object": (250, 24, 57),
    "side": (250, 24, 57),
}


def pixels(scene: Scene) -> Any:
    return np.asarray(draw(scene)).astype(int)


def difference(one: Any, other: Any) -> Any:
    return np.abs(one - other).max(-1)


def outside(changed: Any, left: int, top: int, right: int, bottom: int) -> int:
    rest = changed.copy()
    rest[max(top, 0) : bottom, max(left, 0) : right] = False
    return int(rest.sum())


def test_same_scene_same_pixels_and_another_seed_moves_little() -> None:
    for scene in sample(6, 3) + sample(4, 3, people=2):
        assert draw(scene).tobytes() == draw(scene).tobytes()
    one, other = Scene(seed=1), Scene(seed=2)
    changed = difference(pixels(one), pixels(other))
    assert (changed > 0).any()
    # Position and size jitter by a unit or so: most of the picture stays what it was.
    assert (changed > CLEAR).mean() < 0.15


@pytest.mark.parametrize("role", ROLES)
def test_one_attribute_of_one_person_changes_its_own_pixels_and_no_others(role: str) -> None:
    scene = sample(1, [5, list(ROLES).index(role)], roles=[role])[0]
    before = pixels(scene)
    for name, (least, half, top, bottom) in PERSONAL.items():
        for value in PERSON[name]:
            if value != getattr(scene.person, name):
                changed = difference(before, pixels(scene.counterfactual(**{name: value})))
                assert (changed > SEEN).sum() >= least, (name, value)
                assert outside(changed > 0, 48 - half, top, 48 + half, bottom) == 0, (name, value)
    for name, (least, top, bottom) in ROOM.items():
        for value in SCENE[name]:
            if value != getattr(scene, name):
                changed = difference(before, pixels(scene.counterfactual(**{name: value})))
                assert (changed > SEEN).sum() >= least, (name, value)
                assert outside(changed > 0, 0, top, 96, bottom) == 0, (name, value)
                # The middle of the face and of the chest is the person, whatever the room looks like.
                assert not changed[36:96, 46:50].any(), (name, value)


@pytest.mark.parametrize("role", OCCUPATIONS)
def test_one_attribute_of_one_of_two_people_leaves_the_other_as_it_was(role: str) -> None:
    scene = sample(1, [6, OCCUPATIONS.index(role)], roles=[role], people=2)[0]
    before = pixels(scene)
    for person, middle in ((0, 24), (1, 72)):
        for name, (least, half, top, bottom) in PERSONAL.items():
            for value in PERSON[name]:
                if value != getattr(scene.people[person], name):
                    changed = difference(before, pixels(scene.counterfactual(person=person, **{name: value})))
                    assert (changed > SEEN).sum() >= least, (person, name, value)
                    half = min(half, 24)
                    assert outside(changed > 0, middle - half, top, middle + half, bottom) == 0, (person, name, value)


@pytest.mark.parametrize("people", [1, 2])
def test_any_two_roles_look_clearly_different_on_the_same_person(people: int) -> None:
    for base in sample(2, 7, people=people, roles=[PLAIN]):
        roles = list(ROLES) if people == 1 else OCCUPATIONS
        drawn = {role: pixels(base.with_people(role=role)) for role in roles}
        for one, other in combinations(roles, 2):
            assert (difference(drawn[one], drawn[other]) > CLEAR).sum() >= 100, (one, other)


def test_a_role_leaves_the_balls_the_object_and_the_face_alone() -> None:
    for side in ("left", "right"):
        base = Scene((Person(glasses="yes"),), side=side, seed=11)
        before = pixels(base)
        for role in ROLES:
            changed = difference(before, pixels(base.with_people(role=role))) > 0
            assert not changed[:14].any(), role
            # A sword's tip and a flag may touch the window's sill, which ends at 55.
            assert not changed[14:53, :24].any() and not changed[14:53, 72:].any(), role
            # From the glasses to the lips.
            assert not changed[39:53, 43:53].any(), role


def test_concepts_are_drawn_beside_the_person() -> None:
    base = Scene(seed=12)
    for theme in CONCEPTS:
        for role in (theme.name, *theme.answers):
            changed = difference(pixels(base), pixels(base.with_people(role=role))) > 0
            assert outside(changed, 63, 52, 96, 96) == 0, role


def test_a_picture_is_the_same_at_every_size() -> None:
    for scene in [*sample(3, 8), *sample(3, 8, people=2)]:
        small, large = draw(scene, 96), draw(scene, 384)
        assert small.size == (96, 96) and large.size == (384, 384) and large.mode == "RGB"
        assert np.abs(np.asarray(large.reduce(4)).astype(int) - np.asarray(small).astype(int)).mean() < 3
    with pytest.raises(InputError, match="at least one pixel wide; found size=0"):
        draw(Scene(), 0)


def test_contact_sheet_lays_out_rows_and_keeps_captions_in_their_columns() -> None:
    scenes = sample(3, 9)
    page = contact_sheet(
        scenes, 2, size=96, captions=["a doctor", "a caption that is far too long to fit below one picture", ""]
    )
    plain = contact_sheet(scenes, 2, size=96)
    assert plain.size == (198, 198) and page.width == 198 and page.height > 198
    array = np.asarray(page)
    for number, (left, top) in enumerate(((2, 2), (100, 2), (2, 2 + (page.height - 2) // 2))):
        assert np.array_equal(array[top : top + 96, left : left + 96], np.asarray(draw(scenes[number], 96)))
    below = array[98 : 2 + (page.height - 2) // 2]
    assert (below[:, 2:98] < 128).any() and (below[:, 100:196] < 128).any()
    assert (below[:, 98:100] > 240).all() and (below[:, 196:] > 240).all()
    assert isinstance(contact_sheet(scenes[:1], 5, size=24), Image.Image)


def test_contact_sheet_says_what_is_wrong() -> None:
    with pytest.raises(InputError, match="needs scenes and columns; found 0 scenes"):
        contact_sheet([], 3)
    with pytest.raises(InputError, match="columns=0"):
        contact_sheet([Scene()], 0)
    with pytest.raises(InputError, match="2 captions for 1 scenes"):
        contact_sheet([Scene()], 1, captions=["one", "two"])
