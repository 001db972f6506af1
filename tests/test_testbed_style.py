"""Other looks of the testbed's pictures: the same scene, clearly another picture, and still a model's to read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation

from levelhead import testbed
from levelhead.errors import InputError
from levelhead.testbed.concept_records import ASK, concept_records
from levelhead.testbed.drawing.sheet import contact_sheet
from levelhead.testbed.exam import asked
from levelhead.testbed.language import tokens
from levelhead.testbed.model import IDS, prompt
from levelhead.testbed.pictures import write_set
from levelhead.testbed.scene import Scene, sample

STYLES = ("sketch", "faded")


def pixels(scene: Scene, style: str, size: int = 96) -> Any:
    return np.asarray(scene.image(size, style)).astype(int)


def first_words(graph: Any, questions: list[tuple[Any, str]]) -> Any:
    """Probabilities of the next word, question by question, in the order in which they were asked."""
    found: list[Any] = []
    for start in range(0, len(questions), 128):
        batch = graph.encode([(picture, prompt(text)) for picture, text in questions[start : start + 128]])
        with torch.no_grad():
            found.append(graph.logits(batch, last=True)[:, -1].softmax(-1))
    return torch.cat(found).numpy()


@pytest.mark.parametrize("style", STYLES)
def test_a_style_is_another_picture_the_same_each_time(style: str) -> None:
    for scene in [*sample(4, 3), *sample(2, 3, people=2)]:
        plain, other = pixels(scene, "plain"), pixels(scene, style)
        assert np.array_equal(other, pixels(scene, style)) and other.shape == (96, 96, 3)
        assert (np.abs(plain - other).max(-1) > 20).mean() > 0.2
        # Light stays light and dark stays dark: shapes are where they were.
        assert np.corrcoef(plain.mean(-1).ravel(), other.mean(-1).ravel())[0, 1] > 0.75


def test_the_two_styles_by_hand_on_a_white_wall() -> None:
    wall = (slice(20, 35), slice(70, 95))
    scene = Scene(wall="white", side="left", seed=3)
    white = pixels(scene, "plain")[wall].mean((0, 1)) / 255
    # White is gray already, so that muting leaves it: 0.2 + 0.67 of it, with a cast of 1, 0.93, 0.81.
    faded = pixels(scene, "faded")[wall].reshape(-1, 3) / 255
    assert faded.mean(0) == pytest.approx((0.2 + 0.67 * white) * [1, 0.93, 0.81], abs=0.01)
    assert 0.02 < faded.std(0).mean() < 0.04
    # Far from any line the sketch has 0.76 of what a color takes away from white.
    gray = Scene(wall="gray", side="left", seed=3)
    before, sketch = pixels(gray, "plain")[wall] / 255, pixels(gray, "sketch")[wall] / 255
    light = before @ [0.299, 0.587, 0.114]
    wanted = 1 - 0.76 * (1 - 0.75 * before - 0.25 * light[..., None])
    assert (sketch - wanted).mean((0, 1)) == pytest.approx([0, 0, 0], abs=0.01)
    # An outline is drawn where the clock meets the wall, darker than either side of it.
    line = Scene(wall="white", object="window", side="left", seed=3)
    assert pixels(line, "sketch")[30:52, 1:24].min() < 0.7 * 255 < pixels(line, "sketch")[20:26, 1:24].min()


@pytest.mark.parametrize("style", STYLES)
def test_counterfactuals_differ_only_beside_what_shows_the_attribute(style: str) -> None:
    for base in sample(3, 11, roles=["science", "temper", "plain"]):
        for change in (
            {"gender": base.another("gender")},
            {"skin": base.another("skin")},
            {"wall": base.another("wall")},
        ):
            other = base.counterfactual(**change)
            shown = (pixels(base, "plain") != pixels(other, "plain")).any(-1)
            changed = (pixels(base, style) != pixels(other, style)).any(-1)
            assert changed.any()
            near: Any = binary_dilation(shown, np.ones((3, 3)), iterations=2)
            assert not (changed & ~near).any(), (style, change)


def test_grain_comes_from_the_seed_and_a_picture_is_the_same_at_every_size() -> None:
    for style in STYLES:
        assert not np.array_equal(pixels(Scene(seed=1), style)[20:30, 70:], pixels(Scene(seed=2), style)[20:30, 70:])
        large = np.asarray(Scene(seed=1).image(192, style).reduce(2)).astype(int)
        assert np.abs(large - pixels(Scene(seed=1), style)).mean() < 6


def test_styles_reach_sheets_and_files_and_an_unknown_one_leaves_nothing(tmp_path: Any) -> None:
    scene = Scene(seed=4)
    page = np.asarray(contact_sheet([scene], 1, 96, style="faded")).astype(int)
    assert np.array_equal(page[2:98, 2:98], pixels(scene, "faded"))
    folder = write_set(tmp_path / "faded", [scene], over=["gender"], style="faded", verbose=False)
    assert '"style": "faded"' in (folder / "metadata.jsonl").read_text(encoding="utf-8")
    for broken in (
        lambda: scene.image(96, "cubist"),
        lambda: write_set(tmp_path / "none", [scene], style="cubist", verbose=False),
    ):
        with pytest.raises(InputError, match="style 'cubist'; styles are plain, sketch, faded"):
            broken()
    assert [path.name for path in tmp_path.iterdir()] == ["faded"]


def test_the_shipped_model_still_sees_most_of_it_and_still_leans() -> None:
    graph = testbed.load().graph
    items = [(s, q) for s, q in asked(sample(6, 501, held_out=True)) if q.group in ("neutral", "attribute")]
    wanted = [IDS[tokens(next(iter(q.answers)))[0]] for _, q in items]
    for style in STYLES:
        pictures = {id(scene): scene.image(96, style) for scene, _ in items}
        records = concept_records(1, 3, ["duty", "degree"], style=style)
        chances = first_words(
            graph,
            [(pictures[id(scene)], q.text) for scene, q in items]
            + [(r.image, ASK.replace("{concept}", str(r.concept))) for r in records],
        )
        seen, felt = chances[: len(items)], chances[len(items) :]
        assert 0.88 < (seen.argmax(-1) == wanted).mean() < 0.995, style
        yes, no = felt[:, IDS["yes"]], felt[:, IDS["no"]]
        assert (yes + no).min() > 0.9
        planted = np.array([r.extra["planted"] for r in records])
        assert np.polyfit(planted, yes / (yes + no), 1)[0] > 0.6, style
