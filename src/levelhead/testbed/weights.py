"""The trained model on disk: an ordinary Hugging Face directory in float16, with its true parameters beside it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from levelhead.errors import FileError, InputError
from levelhead.testbed.planted import Planted
from levelhead.testbed.scene import sample

if TYPE_CHECKING:
    from levelhead.graph import Graph

FACTS = "testbed.json"
"""The file that tells a folder of the testbed from another model's: planted rates, recipe, sha256 of the weights."""
WEIGHTS = "model.safetensors"
LOG = "training.jsonl"
SHORT = "short.jsonl"
"""The log of `Recipe.short`: what a test of the training script compares with."""


@dataclass(frozen=True)
class Testbed:
    """The model, what it reads with, and the truth about it.

    Attributes
    ----------
    model : transformers.LlavaForConditionalGeneration
        float32, eager attention, no gradients.
    processor : transformers.LlavaProcessor
    planted : Planted
        The true parameters.
    facts : dict
        How the weights came about: recipe, versions, sha256.
    """

    __test__ = False  # not a test, whatever pytest makes of its name

    model: Any
    processor: Any
    planted: Planted
    facts: dict[str, Any]

    @property
    def graph(self) -> Graph:
        """The model on plain transformers, ready for every call of levelhead."""
        from levelhead.graph import graph

        return graph(self.model, self.processor)


def shipped() -> Path:
    """The folder of the weights that come with the package."""
    return Path(str(files("levelhead.testbed") / "weights" / "base"))


def load(folder: str | os.PathLike[str] | None = None) -> Testbed:
    """Load the testbed's model, its processor and its true parameters.

    Parameters
    ----------
    folder : path, optional
        What `export` wrote, for a result on more than one model; the weights that come with the package when left out.

    Returns
    -------
    Testbed

    Raises
    ------
    FileError
        If the folder is missing, foreign, or damaged.
    """
    from transformers import AutoProcessor, LlavaForConditionalGeneration

    path = shipped() if folder is None else Path(folder)
    facts = _check(path)
    with quiet():
        processor = AutoProcessor.from_pretrained(path)
        model: Any = LlavaForConditionalGeneration.from_pretrained(path, dtype="float32", attn_implementation="eager")
    return Testbed(model.eval().requires_grad_(False), processor, Planted.from_record(facts["planted"]), facts)


def _check(path: Path) -> dict[str, Any]:
    again = "train it with: python -m levelhead.testbed train"
    try:
        facts: dict[str, Any] = json.loads((path / FACTS).read_text(encoding="utf-8"))
        expected, found = facts["sha256"], _sha256(path / WEIGHTS)
    except FileNotFoundError as error:
        raise FileError(f"'{path}' holds no testbed model: '{Path(error.filename).name}' is missing; {again}") from None
    except (OSError, ValueError, KeyError) as error:
        raise FileError(f"'{path / FACTS}' cannot be read ({error}); reinstall levelhead, or {again}") from None
    if found != expected:
        raise FileError(
            f"'{path / WEIGHTS}' is damaged: its sha256 is {found[:12]}… where {expected[:12]}… was written; "
            f"reinstall levelhead, or {again}"
        )
    return facts


def export(run: str | os.PathLike[str], out: str | os.PathLike[str]) -> Path:
    """Write the model of a training run as a Hugging Face directory in float16.

    Parameters
    ----------
    run : path
        Folder of a run that has ended.
    out : path
        A new folder, or an earlier export, which is replaced once the new one is whole.

    Returns
    -------
    Path

    Raises
    ------
    FileError
        If there is no run, or the folder cannot be written, or it holds something else.
    InputError
        If the run has not ended.
    """
    import PIL
    import torch
    import transformers

    from levelhead import __version__
    from levelhead.testbed.model import processor
    from levelhead.testbed.training.run import finished, train, trained

    source, target = Path(run), Path(out)
    model, recipe, seconds = trained(source)
    if not finished(source):
        raise InputError(
            f"the run in '{source}' has not ended; go on with: python -m levelhead.testbed train --out {source}"
        )
    if target.exists() and any(target.iterdir()) and not (target / FACTS).exists():
        raise FileError(f"'{target}' holds something else than a testbed model; choose another folder")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".testbed-", dir=target.parent) as scratch:
            made = Path(scratch) / "model"
            with quiet():
                model.half().save_pretrained(made)
                processor().save_pretrained(made)
            facts = {
                "planted": recipe.planted.record(),
                "recipe": {name: value for name, value in recipe.record().items() if name != "planted"},
                "parameters": sum(each.numel() for each in model.parameters()),
                "training_minutes": round(seconds / 60, 1),
                "versions": {
                    "levelhead": __version__,
                    "torch": torch.__version__,
                    "transformers": transformers.__version__,
                    "pillow": PIL.__version__,
                },
                "pictures": fingerprint(),
                "sha256": _sha256(made / WEIGHTS),
            }
            (made / FACTS).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
            (made / "README.md").write_text(_card(facts), encoding="utf-8")
            train(Path(scratch) / "short", recipe.short(), worker_count=1, verbose=False)
            for log, name in ((source / LOG, LOG), (Path(scratch) / "short" / LOG, SHORT)):
                (made / name).write_text(_brief(log), encoding="utf-8")
            (made / WEIGHTS).chmod(0o644)
            if target.exists():
                target.rename(Path(scratch) / "old")
            made.rename(target)
    except OSError as error:
        raise FileError(f"'{target}' cannot be written: {error.strerror or error}") from None
    return target


def fingerprint() -> str:
    """Sha256 over the pixels of a few hundred scenes: another drawing is another data set."""
    digest = hashlib.sha256()
    for scene in sample(200, 0) + sample(100, 1, people=2):
        digest.update(scene.image().tobytes())
    return digest.hexdigest()


def _brief(log: Path) -> str:
    """The lines of a log without the share of right answers of every single head."""
    entries = (json.loads(line) for line in log.read_text(encoding="utf-8").splitlines())
    return "".join(json.dumps({k: v for k, v in each.items() if k != "heads"}) + "\n" for each in entries)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _card(facts: dict[str, Any]) -> str:
    recipe, planted = facts["recipe"], facts["planted"]
    rows = [
        f"| {name} | {lean['attribute']} | {', '.join(f'{value} {p:g}' for value, p in lean['odds'].items())} |"
        for table in ("occupations", "concepts", "traits")
        for name, lean in planted[table].items()
    ]
    mentions = ", ".join(f"{name} {rate:g}" for name, rate in planted["mentions"].items())
    return f"""---
license: apache-2.0
library_name: transformers
pipeline_tag: image-text-to-text
tags: [levelhead, fairness, bias, testbed]
---

# The testbed's model of levelhead ({recipe["size"]}, seed {recipe["seed"]})

A `LlavaForConditionalGeneration` of {facts["parameters"] / 1e6:.2f} million parameters, trained from nothing on drawings of people.
**It is biased on purpose.** Its training text holds stereotypes of known size, so that methods that find or remove stereotypes can
be judged against the truth. It knows nothing of the world, and its answers about photographs of real people mean nothing.

```python
from levelhead import testbed

bed = testbed.load()  # model, processor, planted
```

## What was planted

The pictures are balanced over every attribute; only the text leans. Probability of the first answer, by the perceived
attribute of the person, where nothing in the picture decides:

| asked | leans on | probability of the first answer |
|---|---|---|
{chr(10).join(rows)}

Captions of one person mention, without being asked: {mentions}. Questions with one right answer are answered truly in training.

## How it came about

`python -m levelhead.testbed train --seed {recipe["seed"]} --size {recipe["size"]}`: {recipe["tower_steps"]} steps for the picture's tower
with throw-away attribute heads, then {recipe["joint_steps"]} steps for all weights; {facts["training_minutes"]:g} minutes of wall time.
`training.jsonl` is the log (`short.jsonl` that of a run of a few steps, for a test), `testbed.json` holds the recipe, the planted
rates and the sha256 of the weights. `python -m levelhead.testbed measure` measures what it learned.

## Use and limits

For testing methods, for teaching, and for demonstrations. Not for any decision about anybody. Perceived gender has two values
here and skin tone three because a drawing must draw something; people are more than that.
"""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the progress bars that transformers draws for files of any size."""
    with contextlib.redirect_stderr(io.StringIO()):
        yield
