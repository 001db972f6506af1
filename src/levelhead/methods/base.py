"""What every method shares: scikit-learn's conventions for hyper-parameters, and the card."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Collection
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import Tensor

from levelhead.capture import Activations, Moments
from levelhead.errors import InputError
from levelhead.sites import Site


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


def versions() -> dict[str, str]:
    """Versions of what a result depends on, as far as installed."""
    found: dict[str, str] = {}
    for name in ("levelhead", "torch", "transformers", "transformer-lens", "nnsight"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def class_means(
    acts: Activations | Moments, labels: Collection[Any] | None, sites: list[Site]
) -> tuple[list[Any], Tensor, dict[Site, Tensor]]:
    """Classes, their counts, and their means at each site, float64 [class, d].

    Raises
    ------
    InputError
        For labels that are missing, too few or too many, or of one class; for activations that are not finite.
    """
    if isinstance(acts, Moments):
        if labels is not None:
            raise InputError("moments were given, which know their classes; leave labels out")
        _several(acts.classes)
        known = {site: acts.means(site) for site in sites}
        for site, value in known.items():
            if not bool(torch.isfinite(value).all()):
                raise InputError(
                    f"the moments at '{site}' are NaN or infinite; look at the inputs, or at empty classes"
                )
        return acts.classes, acts.counts, known
    if labels is None:
        raise InputError(f"labels are needed, one for each of the {acts.n} rows")
    given = _plain(labels)
    if len(given) != acts.n:
        raise InputError(f"{acts.n} rows of activations and {len(given)} labels were given; one label a row is needed")
    classes = sorted(set(given))
    _several(classes)
    codes = torch.tensor([classes.index(label) for label in given])
    counts = torch.bincount(codes, minlength=len(classes))
    means: dict[Site, Tensor] = {}
    for site in sites:
        value = acts[site].double().cpu()
        if not bool(torch.isfinite(value).all()):
            row = int((~torch.isfinite(value).all(dim=1)).nonzero()[0, 0])
            raise InputError(
                f"activations at '{site}' have NaN or infinite entries, first in row {row}; look at that input"
            )
        sums = torch.zeros(len(classes), value.shape[1], dtype=torch.float64).index_add_(0, codes, value)
        means[site] = sums / counts[:, None]
    return classes, counts, means


def fingerprint(labels: Collection[Any] | None, first: Tensor) -> str:
    """sha256 over the labels and one site's activations: enough to tell data sets apart."""
    digest = hashlib.sha256(repr(None if labels is None else [str(label) for label in _plain(labels)]).encode())
    digest.update(first.detach().cpu().double().numpy().tobytes())
    return digest.hexdigest()


def _plain(labels: Collection[Any]) -> list[Any]:
    return [label.item() if hasattr(label, "item") else label for label in labels]


def _several(classes: list[Any]) -> None:
    if len(classes) < 2:
        found = f"all labels are {classes[0]!r}" if classes else "there are none"
        raise InputError(f"labels of at least two classes are needed, and {found}")


def _writable(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, list | tuple):
        return [_writable(item) for item in value]
    return str(value)
