"""What is evaluated: a model, and the steer that stays on it at one strength."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from levelhead.errors import FileError, InputError
from levelhead.graph import Graph, graph
from levelhead.steer import Steer


@dataclass(frozen=True)
class Subject:
    """A graph with the steer that is on in every pass.

    Attributes
    ----------
    graph : Graph
    steer : Steer or None
        With the strength multiplied in; None for the model as it is.
    strength : float
        What the steer was multiplied by.
    """

    graph: Graph
    steer: Steer | None
    strength: float

    @property
    def processor(self) -> Any:
        """Processor or tokenizer of the graph."""
        return getattr(self.graph, "processor", None)

    @property
    def tokenizer(self) -> Any:
        """The tokenizer alone."""
        return getattr(self.processor, "tokenizer", self.processor)

    def describe(self) -> dict[str, Any]:
        """Model, steer and strength as plain values, for the record of a run."""
        found: dict[str, Any] = {"model": self.graph.identity(), "graph": self.graph.name, "steer": None}
        if self.steer is not None:
            found["steer"] = {
                "what": repr(self.steer),
                "sha256": fingerprint(self.steer),
                "strength": self.strength,
                "method": self.steer.card.get("method"),
            }
        return found

    def __str__(self) -> str:
        model = self.graph.identity()
        named = f"{model['id'] or model['class']} {model['config_sha256'][:12]}"
        if self.steer is None:
            return f"{named}, no steer"
        return f"{named}, steer {fingerprint(self.steer)[:12]} at strength {self.strength:g}"


def subject(
    model: Any,
    steer: Steer | str | PathLike[str] | None = None,
    strength: float = 1.0,
    processor: Any = None,
    *,
    device: str | None = None,
    dtype: str = "auto",
) -> Subject:
    """Put a model and a steer together, and look whether they fit.

    Parameters
    ----------
    model : transformers model, TransformerBridge, nnsight model, Graph, or the folder of a checkpoint
    steer : Steer, or the folder of a saved one, optional
    strength : float
        Multiplies the steer's own.
    processor : tokenizer or processor, optional
    device, dtype : str
        For a checkpoint that is loaded here.

    Returns
    -------
    Subject

    Raises
    ------
    FileError
        When the folder holds no model, or no steer.
    InputError
        For a strength without a steer, a model in training mode, or one without a tokenizer.
    SiteError, EditError
        When the steer does not fit the model.
    """
    if isinstance(model, str | PathLike):
        if processor is not None:
            raise InputError("a processor was given with the folder of a checkpoint, which brings its own")
        model, processor = _loaded(Path(model), device, dtype)
    elif device is not None:
        raise InputError(f"device='{device}' was asked for a model that is loaded already; move it with model.to()")
    target = graph(model, processor)
    if target.model.training:
        raise InputError("the model is in training mode, where dropout is on; call model.eval() first")
    if isinstance(steer, str | PathLike):
        from levelhead.files import load

        steer = load(steer)
    if steer is None:
        if strength not in (0.0, 1.0):
            raise InputError(f"strength={strength:g} was given without a steer that it could scale")
    else:
        steer = steer * float(strength)
        steer.check(target)
    found = Subject(target, steer, float(strength))
    if found.tokenizer is None:
        raise InputError("tasks are texts, and this model came without a tokenizer: give one as processor=")
    return found


def fingerprint(steer: Steer) -> str:
    """The sha256 of all that a steer writes: sites, scopes, strengths, gates and tensors, not its card."""
    seen = hashlib.sha256(f"{steer.strength}".encode())
    for entry in steer.entries:
        seen.update(f"{entry.site}|{entry.edit.kind}|{entry.scope}|{entry.strength}".encode())
        for name, value in sorted(entry.edit.params.items()):
            seen.update(f"{name}{tuple(value.shape)}".encode())
            seen.update(value.detach().to("cpu", torch.float64).numpy().tobytes())
        if entry.gate is not None:
            gate = entry.gate
            seen.update(f"gate|{gate.site}|{gate.per}|{gate.soft}|{gate.bias}".encode())
            seen.update(gate.weight.to("cpu", torch.float64).numpy().tobytes())
    return seen.hexdigest()


def _loaded(folder: Path, device: str | None, dtype: str) -> tuple[Any, Any]:
    import transformers as tf

    if not folder.is_dir():
        raise FileError(f"no model at '{folder}': it is not a folder; give the folder of a checkpoint")
    try:
        config: Any = tf.AutoConfig.from_pretrained(folder)
        sees = getattr(config, "vision_config", None) is not None
        kind: Any = tf.AutoModelForImageTextToText if sees else tf.AutoModelForCausalLM
        model = kind.from_pretrained(folder, dtype=dtype)
        processor: Any = (tf.AutoProcessor if sees else tf.AutoTokenizer).from_pretrained(folder)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise FileError(f"the model in '{folder}' cannot be loaded: {error}") from error
    return model.to(device or "cpu").eval().requires_grad_(False), processor
