"""What one person's drawing is made of: measures and colors, fixed before the first stroke."""

from __future__ import annotations

from dataclasses import dataclass

from levelhead.testbed.drawing.canvas import Color, Pen, shade, shift
from levelhead.testbed.scene import Person

SKINS: dict[str, Color] = {"light": (252, 218, 188), "medium": (208, 146, 94), "dark": (130, 80, 52)}
SHIRTS: dict[str, Color] = {
    "red": (212, 36, 46),
    "orange": (247, 132, 22),
    "yellow": (250, 214, 34),
    "green": (34, 148, 70),
    "blue": (36, 92, 214),
    "purple": (136, 58, 176),
}
YOUNG_HAIR: tuple[Color, ...] = ((34, 28, 34), (62, 36, 22), (184, 64, 20), (230, 182, 76))
OLD_HAIR: tuple[Color, ...] = ((180, 183, 195), (214, 217, 225))
TORSOS = {"thin": 13.5, "average": 20.0, "heavy": 27.0}
NECKS = {"thin": 4.0, "average": 5.2, "heavy": 7.0}
FACES = {"thin": 10.8, "average": 12.0, "heavy": 13.8}

HEAD = 43.0
"""Height of the middle of the face."""


@dataclass(frozen=True)
class Figure:
    """One person, ready to be drawn; lengths in units, heights as on the page, widths from the person's middle.

    Attributes
    ----------
    pen : Pen
        With the person's middle at ``x = 0``.
    torso, neck, face : float
        Half widths.
    reach : float
        How far to the sides props may stand.
    beard : int
        Which of three cuts.
    """

    pen: Pen
    person: Person
    torso: float
    neck: float
    face: float
    reach: float
    skin: Color
    hair: Color
    shirt: Color
    beard: int

    @property
    def arm(self) -> float:
        """Width of an arm."""
        return 3.2 + 0.14 * self.torso

    @property
    def shadow(self) -> Color:
        """Of the skin: for lines in the face."""
        return shade(self.skin, 0.72)

    @property
    def strands(self) -> Color:
        """Of the hair: its darker parts and rim."""
        return shade(self.hair, 0.74)

    @property
    def fold(self) -> Color:
        """Of the shirt: its darker parts."""
        return shade(self.shirt, 0.76)


def figure(pen: Pen, person: Person, jitter: list[float], middle: float, alone: bool) -> Figure:
    """Measure a person; the jitter is a list of numbers from -1 to 1 that depend on the scene's seed alone."""
    move, lift, size, young, old, beard, skin, shirt = jitter[:8]
    scale = 1 + 0.025 * size
    palette, pick = (OLD_HAIR, old) if person.age == "old" else (YOUNG_HAIR, young)
    return Figure(
        pen=pen.at(middle + 0.8 * move, 96 + 0.7 * lift - 96 * scale, scale),
        person=person,
        torso=TORSOS[person.body] * (1.0 if alone else 0.84),
        neck=NECKS[person.body],
        face=FACES[person.body],
        reach=31.0 if alone else 22.0,
        skin=shift(SKINS[person.skin], round(6 * skin)),
        hair=palette[min(len(palette) - 1, int((pick + 1) / 2 * len(palette)))],
        shirt=shift(SHIRTS[person.shirt], round(6 * shirt)),
        beard=min(2, int((beard + 1) / 2 * 3)),
    )
