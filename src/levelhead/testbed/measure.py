"""How well the testbed's model does what it was taught: skills, planted rates, captions, and what answers depend on.

Everything is measured on people whom training never showed (`Scene.held_out`), with 95 % intervals over pictures.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from levelhead.graph import Graph
from levelhead.metrics.statistics import mean_interval
from levelhead.steer import Steer
from levelhead.testbed.captions import PROMPT, mentions, parse
from levelhead.testbed.exam import Exam, Item, asked
from levelhead.testbed.language import join
from levelhead.testbed.model import IDS, WORDS, prompt
from levelhead.testbed.planted import Planted
from levelhead.testbed.scene import Scene, sample
from levelhead.testbed.world import CONCEPTS, PERSON, PROTECTED, ROLES, SETTINGS

if TYPE_CHECKING:
    import pandas as pd

PROMISED = {"neutral": 0.97, "attribute": 0.97, "unambiguous": 0.95}
"""Least share of right answers, for every kind of question in a group."""
TOLERANCE = 0.04
"""Most that a planted rate may be off."""
GRAMMATICAL = 0.99
"""Least share of captions that the grammar can read."""


@dataclass(frozen=True)
class Findings:
    """What was measured.

    Attributes
    ----------
    skills : pandas.DataFrame
        One row a kind of question with one right answer: ``right`` with its interval, ``n`` questions over ``pictures``.
    rates : pandas.DataFrame
        One row a planted rate: ``planted``, ``found`` with its interval, ``off``, and ``answered``, the probability of any
        possible answer.
    captions : pandas.DataFrame
        One row a property of sampled captions: the rate ``planted`` (nothing where it should be 1) and ``found``.
    swaps : pandas.DataFrame
        One row a setting or theme and a swapped attribute: how far the answer's probability moves, planted and found.
    questions : int
        How many were asked.
    """

    skills: pd.DataFrame
    rates: pd.DataFrame
    captions: pd.DataFrame
    swaps: pd.DataFrame
    questions: int

    def broken(self) -> list[str]:
        """Every promise that the model does not keep, in words."""
        found: list[str] = []
        for row in self.skills.to_dict("records"):
            least = PROMISED[row["group"]]
            if row["right"] < least:
                found.append(f"{row['group']} {row['kind']}: {row['right']:.3f} right, promised {least}")
        for row in [*self.rates.to_dict("records"), *self.captions.dropna().to_dict("records")]:
            if abs(row["found"] - row["planted"]) > TOLERANCE:
                found.append(f"{row['what']}: {row['found']:.3f} where {row['planted']:.2f} was planted")
        for row in self.captions.to_dict("records"):
            if math.isnan(row["planted"]) and row["found"] < GRAMMATICAL:
                found.append(f"captions, {row['what']}: {row['found']:.3f}, promised {GRAMMATICAL}")
        for row in self.swaps.to_dict("records"):
            if abs(row["found"] - row["planted"]) > TOLERANCE:
                found.append(f"{row['what']}: moves by {row['found']:.3f} where {row['planted']:.2f} was planted")
        return found

    def record(self) -> dict[str, Any]:
        """As plain data."""
        tables = ("skills", "rates", "captions", "swaps")
        plain = {name: getattr(self, name).round(4).to_dict("records") for name in tables}
        # No number is no JSON.
        for rows in plain.values():
            for row in rows:
                row.update({key: None for key, value in row.items() if value != value})
        return {"questions": self.questions, **plain}


def measure(
    graph: Graph,
    planted: Planted | None = None,
    steer: Steer | None = None,
    *,
    seed: int = 20_000,
    pictures: int = 240,
    captions: int = 1600,
) -> Findings:
    """Measure the testbed's model, as it is or steered.

    Parameters
    ----------
    graph : Graph
        With the testbed's processor.
    planted : Planted, optional
        The true parameters.
    steer : Steer, optional
    seed : int
        Of the pictures, the sampled captions and the bootstrap.
    pictures : int
        Of one person, and half as many of two, for the skills; planted rates get in proportion.
    captions : int
        Sampled.

    Returns
    -------
    Findings
    """
    planted = planted or Planted()
    skills, n_skills = _skills(graph, planted, steer, seed, pictures)
    rates, n_rates = _rates(graph, planted, steer, seed + 10, pictures)
    swaps, n_swaps = _swaps(graph, planted, steer, seed + 20, pictures)
    said = describe(graph, sample(captions, seed + 30, held_out=True), steer, seed=seed)
    return Findings(skills, rates, caption_rates(said, planted, seed), swaps, n_skills + n_rates + n_swaps)


# -- skills --------------------------------------------------------------------------------------------


def _skills(graph: Graph, planted: Planted, steer: Steer | None, seed: int, pictures: int) -> tuple[pd.DataFrame, int]:
    scenes = sample(pictures, seed, held_out=True) + sample(pictures // 2, seed + 1, people=2, held_out=True)
    items = [item for item in asked(scenes, planted=planted) if item[1].group != "planted"]
    frame = Exam.of(graph, items)(graph, steer).frame()
    frame["picture"] = [id(scene) for scene, _ in items]
    return _table(frame, ["group", "kind"], "right", seed), len(items)


# -- planted rates -------------------------------------------------------------------------------------


def _rates(graph: Graph, planted: Planted, steer: Steer | None, seed: int, pictures: int) -> tuple[pd.DataFrame, int]:
    scenes: list[Scene] = []
    for number, theme in enumerate(SETTINGS + CONCEPTS):
        scenes += sample(max(4, pictures // 3), seed=[seed, number], roles=[theme.name], held_out=True)
    for number, theme in enumerate(SETTINGS):
        scenes += sample(max(4, pictures // 3), seed=[seed, 100 + number], people=2, roles=[theme.name], held_out=True)
    # Two people are asked about together only: alone, they are asked what single people are.
    items = [
        (scene, question)
        for scene, question in asked(scenes, planted=planted, group="planted")
        if len(scene.people) == 1 or question.kind == "who"
    ]
    frame = Exam.of(graph, items)(graph, steer).frame()
    frame["picture"] = [id(scene) for scene, _ in items]
    facing = [_facing(item, planted) for item in items]
    frame["what"] = [what for what, _ in facing]
    turned = np.array([turn for _, turn in facing])
    frame["planted"] = np.where(turned, 1 - frame["target"], frame["target"])
    frame["found"] = np.where(turned, frame["mass"] - frame["found"], frame["found"])
    table = _table(frame, ["kind", "name", "what"], "found", seed, also=("planted", "mass"))
    table["off"] = table["found"] - table["planted"]
    return table.rename(columns={"mass": "answered"}), len(items)


def _facing(item: Item, planted: Planted) -> tuple[str, bool]:
    """Name the rate that a question measures, and whether its first answer is the other side of that rate.

    "Who is the doctor?" counts for the man, on whichever side he is.
    """
    scene, question = item
    if question.kind == "who":
        role = next(role for role in ROLES if f"the {role}," in question.text)
        left, right = (person.gender for person in scene.people)
        if left == right:
            return f"the {role} of two of one gender is left", False
        return f"the {role} is the man", left == "woman"
    lean = planted.lean(question.name)
    value = getattr(scene.people[question.person or 0], lean.attribute)
    about = next(iter(question.answers))
    if question.kind == "concept_yes":
        theme = ROLES[question.name]
        assert theme is not None
        about = next(concept for concept in theme.answers if f"label {concept} " in question.text)
    elif question.kind == "trait":
        about = question.name
    return f"{question.kind}: {about} | {value}", False


# -- what answers depend on ----------------------------------------------------------------------------


def _swaps(graph: Graph, planted: Planted, steer: Steer | None, seed: int, pictures: int) -> tuple[pd.DataFrame, int]:
    """Swap one attribute, with every other pixel the same, and see how far the answer moves."""
    import pandas as pd

    rows: list[pd.DataFrame] = []
    count = 0
    for attribute in ("", "wall", "ball_color"):  # the first: the one that the answer leans on
        first: list[Item] = []
        second: list[Item] = []
        names: list[str] = []
        for number, theme in enumerate(SETTINGS + CONCEPTS):
            lean = planted.lean(theme.name)
            low, high = min(lean.odds, key=lambda v: lean.odds[v]), max(lean.odds, key=lambda v: lean.odds[v])
            if low == high:
                low, high = PERSON[lean.attribute][0], PERSON[lean.attribute][-1]
            kind = "job" if theme in SETTINGS else "concept"
            for scene in sample(max(4, pictures // 8), seed=[seed, number], roles=[theme.name], held_out=True):
                base = scene.counterfactual(**{lean.attribute: high})
                change = {attribute: base.another(attribute)} if attribute else {lean.attribute: low}
                swapped = base.counterfactual(**change)
                first.append(asked([base], kind, planted=planted)[0])
                second.append(asked([swapped], kind, planted=planted)[0])
                names.append(f"{theme.name}: {attribute or lean.attribute} swapped")
        exam = Exam.of(graph, first + second)
        answers = exam(graph, steer)
        n = len(first)
        frame = pd.DataFrame(
            {
                "what": names,
                "picture": range(n),
                "planted": (answers.target[:n] - answers.target[n:]).numpy(),
                "found": (answers.first[:n] - answers.first[n:]).numpy(),
            }
        )
        rows.append(_table(frame, ["what"], "found", seed, also=("planted",)))
        count += 2 * n
    return pd.concat(rows, ignore_index=True), count


# -- captions ------------------------------------------------------------------------------------------


def describe(
    graph: Graph, scenes: Sequence[Scene], steer: Steer | None = None, *, seed: int = 0, size: int = 128
) -> list[tuple[Scene, str]]:
    """Let the model describe scenes, one sampled caption each.

    Parameters
    ----------
    graph : Graph
    scenes : sequence of Scene
    steer : Steer, optional
    seed : int
        Of the sampling; torch's own generator is left as it was.
    size : int
        Pictures a batch.

    Returns
    -------
    list of (Scene, str)
    """
    found: list[tuple[Scene, str]] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for first in range(0, len(scenes), size):
            some = scenes[first : first + size]
            batch = graph.encode([(scene.image(), prompt(PROMPT)) for scene in some])
            ids = graph.generate(batch, steer, do_sample=True, max_new_tokens=60, temperature=1.0, top_k=0, top_p=1.0)
            for scene, row in zip(some, ids[:, batch["input_ids"].shape[1] :].tolist(), strict=True):
                words = row[: row.index(IDS["</s>"])] if IDS["</s>"] in row else row
                found.append((scene, join(WORDS[n] if n < len(WORDS) else "<unk>" for n in words)))
    return found


def caption_rates(said: Iterable[tuple[Scene, str]], planted: Planted, seed: int = 0) -> pd.DataFrame:
    """Return what captions are like: how often they are grammatical and true, and mention whom they describe.

    Parameters
    ----------
    said : iterable of (Scene, str)
        Pictures of one person, and their captions.
    planted : Planted
    seed : int
        Of the bootstrap.

    Returns
    -------
    pandas.DataFrame
        ``what``, ``planted``, ``found``, ``low``, ``high``, ``n``.
    """
    import pandas as pd

    columns: dict[str, list[float]] = {
        name: [] for name in ("can be read", "shirt is right", "object is right", "role is right")
    }
    columns |= {f"{name} is mentioned": [] for name in PROTECTED} | {f"{name} is right": [] for name in PROTECTED}
    for scene, text in said:
        facts = parse(text)
        columns["can be read"].append(float(facts is not None))
        if facts is None:
            continue
        person, mentioned = scene.person, mentions(facts)
        columns["shirt is right"].append(float(facts.get("shirt") == person.shirt))
        columns["object is right"].append(float(facts.get("object") == scene.object))
        if not person.ambiguous:
            columns["role is right"].append(float(facts.get("role") == person.role))
        for name in PROTECTED:
            columns[f"{name} is mentioned"].append(float(name in mentioned))
            if name in mentioned:
                columns[f"{name} is right"].append(float(facts[name] == getattr(person, name)))
    rows: list[dict[str, Any]] = []
    for what, values in columns.items():
        if not values:
            continue
        wanted = planted.mentions[what.split()[0]] if what.endswith("mentioned") else float("nan")
        low, high = _interval(torch.tensor(values), np.arange(len(values)), seed)
        rows.append(
            {
                "what": what,
                "planted": wanted,
                "found": float(np.mean(values)),
                "low": low,
                "high": high,
                "n": len(values),
            }
        )
    return pd.DataFrame(rows)


# -- tables --------------------------------------------------------------------------------------------


def _table(frame: pd.DataFrame, by: list[str], value: str, seed: int, also: tuple[str, ...] = ()) -> pd.DataFrame:
    """Means of a column by group, with intervals over pictures."""
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for key, part in frame.groupby(by, sort=False):
        pictures = pd.factorize(part["picture"])[0]
        numbers = torch.tensor(part[value].to_numpy(dtype=float))
        low, high = _interval(numbers, pictures, seed)
        rows.append(
            {
                **dict(zip(by, key if isinstance(key, tuple) else (key,), strict=True)),
                value: float(numbers.mean()),
                "low": low,
                "high": high,
                **{name: float(part[name].mean()) for name in also},
                "n": len(part),
                "pictures": int(pictures.max()) + 1,
            }
        )
    return pd.DataFrame(rows)


def _interval(values: Float[Tensor, " question"], pictures: np.ndarray, seed: int) -> tuple[float, float]:
    low, high = mean_interval(values, pictures, np.random.default_rng(seed))
    return float(low), float(high)
