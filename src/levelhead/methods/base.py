"""What every method shares: scikit-learn's conventions for hyper-parameters, and the card."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Collection, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from torch import Tensor

from levelhead.capture import Activations
from levelhead.edits import Edit
from levelhead.errors import InputError
from levelhead.methods.labeling import Labeling, plain
from levelhead.sites import Site
from levelhead.steer import Steer


class Method:
    """Base of the estimators. A subclass keeps each argument of ``__init__`` in an attribute of its name."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Hyper-parameters by name, as in scikit-learn."""
        names = [name for name in inspect.signature(type(self).__init__).parameters if name != "self"]
        return {name: getattr(self, name) for name in names}

    def set_params(self, **params: Any) -> Method:
        """Set hyper-parameters by name; an unknown one is an error."""
        known = self.get_params()
        for name, value in params.items():
            if name not in known:
                raise InputError(f"{type(self).__name__} has no parameter '{name}'; it has {', '.join(known)}")
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in self.get_params().items())
        return f"{type(self).__name__}({inside})"

    def card(self, source: dict[str, Any], **data: Any) -> dict[str, Any]:
        """What a steer's card says of its making."""
        params = {name: _writable(value) for name, value in self.get_params().items()}
        return {
            "model": dict(source.get("model", {})),
            "basis": source.get("basis", "hf"),
            "method": {"name": type(self).__name__, "params": params},
            "data": {**{k: v for k, v in source.items() if k == "at"}, **data},
            "versions": versions(),
        }

    def _product(
        self, edits: Mapping[Site, Edit], acts: Activations, labels: Collection[Any] | None, given: Labeling, scope: str
    ) -> Steer:
        """The steer of edits that were fitted on labeled activations."""
        facts = about(given.classes, given.counts, labels, acts[min(edits)])
        return Steer(edits, scope=scope, card=self.card(acts.source, **facts))


def about(classes: list[Any], counts: Tensor, labels: Collection[Any] | None, first: Tensor) -> dict[str, Any]:
    """What a card says of labeled data."""
    return {
        "classes": {str(label): int(count) for label, count in zip(classes, counts, strict=True)},
        "sha256": fingerprint(labels, first),
    }


def versions() -> dict[str, str]:
    """Versions of what a result depends on, as far as installed."""
    names = ("levelhead", "torch", "transformers", "transformer-lens", "nnsight")
    return {name: found for name in names if (found := _version(name)) is not None}


@cache  # each is looked for in every folder of the path
def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def fingerprint(labels: Collection[Any] | None, first: Tensor) -> str:
    """sha256 over the labels and one site's activations: enough to tell data sets apart."""
    digest = hashlib.sha256(repr(None if labels is None else [str(label) for label in plain(labels)]).encode())
    digest.update(first.detach().cpu().double().numpy().tobytes())
    return digest.hexdigest()


def check_choice(who: str, name: str, found: Any, known: tuple[Any, ...]) -> None:
    """Refuse a hyper-parameter that is none of the known ones."""
    if found not in known:
        raise InputError(f"{who}: {name} must be one of {', '.join(map(repr, known))}; found {found!r}")


def check_range(who: str, name: str, found: Any, fine: bool, wants: str) -> None:
    """Refuse a number out of range."""
    if not fine:
        raise InputError(f"{who}: {name} must be {wants}; found {found!r}")


def _writable(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, list | tuple):
        return [_writable(item) for item in value]
    return str(value)


def check_reference(reference: object, edit: str, to: str) -> None:
    """Refuse a reference that nothing would use."""
    if reference is not None and (edit, to) != ("ablate", "mean"):
        raise InputError(
            "a reference is the mean that ablation puts in place; set edit='ablate', to='mean' "
            f"(found edit={edit!r}, to={to!r})"
        )
