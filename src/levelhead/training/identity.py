"""What tells one training run from another: settings, data and model, as small digests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from levelhead.data.pictures import fingerprint
from levelhead.data.records import ImageRecord
from levelhead.errors import InputError
from levelhead.training.examples import Example

_SAMPLED = 4096


class Pictures:
    """Digests of pictures, each made once."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, str]] = {}

    def __call__(self, picture: Any) -> str | None:
        """The digest of a picture; None for none."""
        if picture is None:
            return None
        if id(picture) not in self._known:
            try:
                self._known[id(picture)] = (picture, fingerprint(picture))
            except OSError as error:
                raise InputError(f"the picture '{picture}' cannot be read: {error.strerror or error}") from error
        return self._known[id(picture)][1]


def data_sha256(items: Sequence[Example | ImageRecord], pictures: Pictures) -> str:
    """Digest of examples or records: every word of them, and the bytes or pixels of their pictures."""
    digest = hashlib.sha256()
    for item in items:
        words = [getattr(item, name, None) for name in ("id", "prompt", "answer", "concept", "set_id")]
        digest.update(json.dumps([*words, sorted(item.groups.items()), pictures(item.image)]).encode())
    return digest.hexdigest()


def data_facts(
    examples: Sequence[Example], records: Sequence[ImageRecord], validation: Sequence[Example]
) -> dict[str, Any]:
    """What is learned from, what the Skew is estimated from, and what is watched."""
    pictures = Pictures()
    groups: dict[str, set[str]] = {}
    for example in examples:
        for name, value in example.groups.items():
            groups.setdefault(name, set()).add(value)
    return {
        "examples": len(examples),
        "examples_sha256": data_sha256(examples, pictures),
        "skew_sha256": data_sha256(records, pictures),
        "validation_sha256": data_sha256(validation, pictures),
        "concepts": sorted({example.concept for example in examples if example.concept is not None}),
        "groups": {name: sorted(values) for name, values in sorted(groups.items())},
    }


def asked_facts(examples: Sequence[Example], assignments: Any) -> dict[str, Any]:
    """What is asked: of the model before each epoch, and in what is learned, an example of each answer."""
    questions: Sequence[str] = getattr(assignments, "questions", ())
    return {
        "learned": {example.answer: example.prompt for example in reversed(examples)},
        "attributes": list(getattr(assignments, "attributes", ())),
        "questions_sha256": hashlib.sha256(json.dumps(list(questions)).encode()).hexdigest(),
    }


def weights_sha256(model: Any) -> str:
    """Digest of the names, shapes and a few thousand evenly spread numbers of every parameter: quick for any size."""
    digest = hashlib.sha256()
    for name, parameter in model.named_parameters():
        flat = parameter.detach().reshape(-1)
        some = flat[:: max(1, -(-len(flat) // _SAMPLED))].cpu().contiguous()
        digest.update(f"{name} {tuple(parameter.shape)} {parameter.dtype}".encode())
        digest.update(some.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Of the libraries that weights depend on."""
    import transformers

    from levelhead import __version__

    return {"levelhead": __version__, "torch": torch.__version__, "transformers": transformers.__version__}


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """What two runs differ in, in words."""
    found: list[str] = []
    for name in sorted({*there, *here}):
        if there.get(name) != here.get(name):
            digests = name.endswith("sha256")
            was, now = (str(each.get(name))[: 12 if digests else 80] for each in (there, here))
            found.append(f"{name} {was} there, {now} here")
    return found
