"""What a study's figures depend on, as small digests: a store answers only to the inputs that it was filled from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import partial
from pathlib import PurePath
from types import FunctionType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from levelhead.data.pictures import EncodedPicture, address_of, fingerprint
from levelhead.errors import InputError
from levelhead.graph import Graph
from levelhead.methods.base import versions
from levelhead.metrics.measures.protocol import Measure

Facts = dict[str, Any]
"""Plain values by name; those of methods and measures begin with ``method `` and ``measure ``."""


def digest(value: Any) -> str:
    """SHA-256 of a value and all that it holds: records, settings, tensors, pictures by their bytes.

    Parameters
    ----------
    value : plain values, containers, tensors, arrays, dataclasses, functions, or objects of these
        Of a dataclass the fields, but for those that are neither given nor compared (memories); of another object its public
        attributes; of a function its code and what it closes over.

    Returns
    -------
    str

    Raises
    ------
    InputError
        For a picture that cannot be read, or an object that has nothing to be told by.
    """
    seen = hashlib.sha256()
    _feed(seen, value)
    return seen.hexdigest()


def weights_digest(model: Any) -> str:
    """SHA-256 of every parameter and buffer of a model, by name: about a second a gigabyte.

    Parameters
    ----------
    model : torch.nn.Module

    Returns
    -------
    str
    """
    seen = hashlib.sha256()
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        _feed(seen, [name, value])
    return seen.hexdigest()


def facts_of(
    graph: Graph,
    methods: Mapping[str, str],
    measures: Mapping[str, tuple[str, Measure]],
    settings: Mapping[str, Any],
) -> Facts:
    """All that a study's figures depend on.

    Parameters
    ----------
    graph : Graph
    methods : mapping of str to str
        Digest of each.
    measures : mapping of str to (str, Measure)
        Role and measure of each.
    settings : mapping
        Strengths, draws, seed.

    Returns
    -------
    dict
    """
    model = {f"model {name}": value for name, value in graph.identity().items()}
    found: Facts = {
        **model,
        "model adapter": graph.name,
        "model weights_sha256": weights_digest(graph.model),
        **{f"version of {name}": value for name, value in versions().items()},
        **settings,
    }
    for name, sha in methods.items():
        found[f"method '{name}' sha256"] = sha
    for name, (role, measure) in measures.items():
        found[f"measure '{name}' role"] = role
        found[f"measure '{name}' kind"] = type(measure).__qualname__
        found[f"measure '{name}' items"] = len(measure.records)
        found[f"measure '{name}' sha256"] = digest(measure)
    return found


def unlike(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Say in words what differs; methods and measures that only one side has do not.

    Parameters
    ----------
    there, here : mapping

    Returns
    -------
    list of str
    """
    found: list[str] = []
    for name in sorted({*there, *here}):
        optional = name.startswith(("method ", "measure ")) and not (name in there and name in here)
        if optional or there.get(name) == here.get(name):
            continue
        if name.endswith("sha256"):
            was, now = (str(side.get(name))[:12] for side in (there, here))
        else:
            was, now = (str(side.get(name))[:80] for side in (there, here))
        found.append(f"{name} is {was} there, {now} here")
    return found


def _feed(seen: Any, value: Any) -> None:
    """Add a value to a digest, with its kind and length, so that no two values look alike."""
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | np.generic):
        plain: Any = value.item() if isinstance(value, np.generic) else value
        _say(seen, f"{type(plain).__name__} {plain!r}")
    elif isinstance(value, Tensor):
        kept = value.detach().cpu().contiguous()
        _say(seen, f"tensor {kept.dtype} {tuple(kept.shape)}")
        seen.update(kept.reshape(-1).view(torch.uint8).numpy().tobytes())
    elif isinstance(value, np.ndarray) and value.dtype != object:
        _say(seen, f"array {value.dtype} {value.shape}")
        seen.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, np.ndarray):
        _feed(seen, value.tolist())
    elif isinstance(value, Mapping):
        _say(seen, f"mapping {len(value)}")
        for key in sorted(value, key=repr):
            _feed(seen, [key, value[key]])
    elif isinstance(value, list | tuple):
        _say(seen, f"sequence {len(value)}")
        for each in value:
            _feed(seen, each)
    elif isinstance(value, set | frozenset):
        _feed(seen, ["set", *sorted(digest(each) for each in value)])
    elif isinstance(value, PurePath | EncodedPicture) or type(value).__module__.startswith("PIL."):
        _say(seen, f"picture {_picture(value)}")
    else:
        _feed_object(seen, value)


def _feed_object(seen: Any, value: Any) -> None:
    kind = type(value)
    if isinstance(value, type):
        _say(seen, f"type {value.__module__}.{value.__qualname__}")
    elif isinstance(value, Enum):
        _say(seen, f"enum {kind.__qualname__}.{value.name}")
    elif isinstance(value, FunctionType):
        code = value.__code__
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        _feed(seen, ["function", value.__qualname__, code.co_code, _constants(code), code.co_names, cells])
        _feed(seen, [value.__defaults__, value.__kwdefaults__])
    elif isinstance(value, partial):
        _feed(seen, ["partial", value.func, value.args, value.keywords])
    elif is_dataclass(value):
        _say(seen, f"dataclass {kind.__qualname__}")
        for each in fields(value):
            held = getattr(value, each.name)
            if not each.init and not each.compare:
                continue
            if each.name == "image" and isinstance(held, str):
                _say(seen, f"picture {_picture(held)}")
            else:
                _feed(seen, [each.name, held])
    elif hasattr(value, "__dict__") or hasattr(kind, "__slots__"):
        names = [*getattr(value, "__dict__", {}), *_slots(kind)]
        public = {name: getattr(value, name) for name in names if not name.startswith("_") and hasattr(value, name)}
        if not public and not callable(value):
            raise InputError(
                f"a store has to tell its inputs apart, and a {kind.__qualname__} says nothing of itself; make it a "
                "dataclass, or give it public attributes"
            )
        _feed(seen, [kind.__qualname__, public])
    elif callable(value):
        _say(seen, f"callable {getattr(value, '__module__', '')}.{getattr(value, '__qualname__', kind.__qualname__)}")
    else:
        _say(seen, f"{kind.__qualname__} {value!r}")


def _say(seen: Any, text: str) -> None:
    seen.update(f"{len(text)} {text}".encode())


def _constants(code: Any) -> list[Any]:
    """Constants of a function; functions inside it by their code, since their names carry addresses."""
    return [
        [each.co_code, _constants(each), each.co_names] if hasattr(each, "co_code") else repr(each)
        for each in code.co_consts
    ]


def _slots(kind: type) -> Sequence[str]:
    found: list[str] = []
    for base in kind.__mro__:
        slots: Any = getattr(base, "__slots__", ())
        found += [slots] if isinstance(slots, str) else list(slots)
    return found


def _picture(picture: Any) -> str:
    address = address_of(picture)
    if address is not None:
        return address
    try:
        return fingerprint(picture)
    except OSError as error:
        raise InputError(f"the picture '{picture}' cannot be read: {error.strerror or error}") from error
