"""Contact sheets: many pictures on one page, to be looked at."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from levelhead.errors import InputError
from levelhead.testbed.drawing import draw
from levelhead.testbed.drawing.canvas import INK, WHITE
from levelhead.testbed.scene import Scene


def contact_sheet(
    scenes: Sequence[Scene],
    columns: int,
    size: int = 192,
    captions: Sequence[str] | None = None,
    style: str = "plain",
) -> Image.Image:
    """Draw scenes in rows, with thin white gaps and a caption under each if wanted.

    Parameters
    ----------
    scenes : sequence of Scene
    columns : int
        Pictures in a row; the last row may be shorter.
    size : int
        Width and height of each picture, in pixels.
    captions : sequence of str, optional
        One for each scene; one line, cut with an ellipsis where it is wider than the picture.
    style : {"plain", "sketch", "faded"}
        The look of all of them.

    Returns
    -------
    PIL.Image.Image
        RGB.

    Raises
    ------
    InputError
        If there is no scene, no column, no such style, or a wrong number of captions.
    """
    if not scenes or columns < 1:
        raise InputError(
            f"a contact sheet needs scenes and columns; found {len(scenes)} scenes and columns={columns}: give at least one of each"
        )
    if captions is not None and len(captions) != len(scenes):
        raise InputError(
            f"{len(captions)} captions for {len(scenes)} scenes; give one for each, an empty one where nothing is to be said"
        )
    gap = max(2, size // 48)
    columns = min(columns, len(scenes))
    font = ImageFont.load_default(size=max(10, size // 13))
    line = 0 if captions is None else round(1.6 * max(10, size // 13))
    rows = -(-len(scenes) // columns)
    page = Image.new("RGB", (columns * (size + gap) + gap, rows * (size + line + gap) + gap), WHITE)
    pen = ImageDraw.Draw(page)
    for number, scene in enumerate(scenes):
        x, y = gap + number % columns * (size + gap), gap + number // columns * (size + line + gap)
        page.paste(draw(scene, size, style), (x, y))
        if captions is not None:
            text = _fitting(captions[number], font, size)
            pen.text((x + size / 2, y + size + line / 2), text, fill=INK, font=font, anchor="mm")
    return page


def _fitting(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    text = " ".join(text.split())
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text.rstrip() + "..."
