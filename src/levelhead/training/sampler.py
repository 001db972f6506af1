"""Bias-aware sampling: what the model over-predicts is dropped now and then, what it under-predicts comes again."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from torch.utils.data import Sampler

from levelhead.errors import InputError
from levelhead.training.epochs import Epoch, drawn, state_of
from levelhead.training.frequency import Numbers, above_zero, checked


class BiasAwareSampler(Sampler[int]):
    """Samples by the Skew of the model: dropped by chance where it is above 0, copied where it is below.

    A sample of ``Skew > 0`` is dropped with probability ``Skew / (Skew + tau1)``. Any other is kept, and its ``|Skew|`` added
    to what its key has accumulated; for each `tau2` that is there, a copy of the sample is put in, and `tau2` taken off.
    This is Cheng et al. (arXiv 2408.06569), as a third party's notes report it. How exactly copies accumulate is a
    reconstruction: that a remainder is kept for the next sample of the key, and for the next epoch, makes a sample come
    ``1 + |Skew| / tau2`` times on the average.

    Every epoch is drawn as it begins, from the Skews of that moment: call `set_skews` before. Under a `DataLoader` with
    workers, or one that fetches ahead, more has been drawn than was learned from: see `state_dict`.

    Parameters
    ----------
    skews : sequence, ndarray or Tensor, "sample"
        In nats; 0 for samples without a concept, which then come exactly once a pass.
    tau1 : float
        The larger, the more of the over-predicted are kept.
    tau2 : float
        The larger, the fewer copies.
    keys : sequence, "sample", optional
        What accumulates together, such as ``(concept, attribute, group)`` from `ModelSkews.key`; one counter for all samples
        when left out. Texts, numbers, None, or tuples of them. The source does not tell.
    length : int, optional
        Samples of every epoch: passes are repeated, the last one is cut, and the next epoch begins with its rest, by the Skews
        of then. One pass when left out, of whatever length.
    shuffle : bool
        Walk through the samples in a new order in every pass, and mix the epoch in the end, so that copies do not lie side by
        side. Otherwise they come in order, each followed by its copies.
    random_state : int
        Seed of the sampler's own generator.

    Raises
    ------
    InputError
        For no samples, Skews that are not finite, a `tau` or a `length` that is not above 0, or another number of keys.

    Examples
    --------
    >>> sampler = BiasAwareSampler([0.0, -1.0, -0.5], shuffle=False)
    >>> list(sampler), list(sampler)
    ([0, 1, 1, 2], [0, 1, 1, 2, 2])
    """

    def __init__(
        self,
        skews: Numbers,
        *,
        tau1: float | int = 1.0,
        tau2: float | int = 1.0,
        keys: Sequence[Hashable] | None = None,
        length: int | None = None,
        shuffle: bool = True,
        random_state: int = 0,
    ) -> None:
        above_zero(tau1=tau1, tau2=tau2)
        if length is not None and length < 1:
            raise InputError(f"length is the number of samples of an epoch, at least 1; found {length}")
        self.tau1, self.tau2, self.length = float(tau1), float(tau2), length
        self.shuffle, self.random_state = shuffle, random_state
        self._n = len(skews)
        if not self._n:
            raise InputError("no samples to draw from: skews is empty")
        self._next = state_of(0, np.random.default_rng(random_state).bit_generator.state, {})
        self._running: Epoch | None = None
        self._loaded = False
        self.set_skews(skews, keys)

    def set_skews(self, skews: Numbers, keys: Sequence[Hashable] | None = None) -> None:
        """Draw by these Skews from the next epoch on; one that has begun, also before it was saved, goes on as it was.

        Parameters
        ----------
        skews : sequence, ndarray or Tensor, "sample"
        keys : sequence, "sample", optional
            As they were when left out.

        Raises
        ------
        InputError
            For another number of samples, or Skews that are not finite.
        """
        found = checked(skews)
        for name, given in (("skews", found), ("keys", keys)):
            if given is not None and len(given) != self._n:
                raise InputError(f"the sampler has {self._n} samples; found {len(given)} {name}")
        self._skews = found
        if keys is not None:
            self._keys: list[Hashable] | None = list(keys)
        elif not hasattr(self, "_keys"):
            self._keys = None
        self._planned: Epoch | None = None

    @property
    def epoch(self) -> int:
        """Number of the epoch that runs, from 0; between epochs, of the next."""
        return int(self._current.start["epoch"] if self._current else self._next["epoch"])

    @property
    def skews(self) -> Float[np.ndarray, " sample"]:
        """What the running epoch was drawn by; between epochs, what the next will be."""
        return (self._current.skews if self._current else self._skews).copy()

    @property
    def counts(self) -> dict[str, int]:
        """Samples of the running or the last epoch, or else of the next: ``kept``, ``dropped`` and ``copies``."""
        return dict((self._running or self._plan()).counts)

    @property
    def _current(self) -> Epoch | None:
        """The epoch that runs, unless all of it was handed out."""
        return self._running if self._running and self._running.position < len(self._running.plan) else None

    def __len__(self) -> int:
        """Samples of the running epoch, or else of the next, by the Skews that are known."""
        return self.length if self.length is not None else len((self._current or self._plan()).plan)

    def __iter__(self) -> Iterator[int]:
        """The samples of a new epoch, or the rest of one whose state was loaded; one broken off is not taken up again."""
        if not self._loaded:
            self._running = self._plan()
        self._loaded, self._planned = False, None
        assert self._running is not None
        self._next = self._running.end
        return _walk(self._running)

    def state_dict(self, position: int | None = None) -> dict[str, Any]:
        """Everything that decides what comes next, as plain numbers and lists, which JSON takes too.

        Parameters
        ----------
        position : int, optional
            Samples of this epoch that were learned from, where more were fetched; those that were handed out when left out.
            With 0, the epoch is gone through anew, for a loop that skips what it has seen by itself.

        Returns
        -------
        dict
            Skews that were set while an epoch runs, for the next one, are not in it.

        Raises
        ------
        InputError
            For a position beyond what was handed out.
        """
        now = self._running
        if now is None or (now.position if position is None else position) >= len(now.plan):
            start, skews, keys, begun, at = self._next, self._skews, self._keys, False, 0
        else:
            start, skews, keys, begun = now.start, now.skews, now.keys, True
            at = now.position if position is None else position
            if not 0 <= at <= now.position:
                raise InputError(f"{now.position} samples of this epoch were handed out; found position={position}")
        return {
            **self._settings(),
            "epoch": start["epoch"],
            "position": at,
            "begun": begun,
            "generator": start["generator"],
            "accumulated": [[key, value] for key, value in start["accumulated"].items()],
            "rest": list(start["rest"]),
            "owed": list(start["owed"]),
            "skews": skews.tolist(),
            "keys": keys,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state: the next iteration gives what would have come.

        Parameters
        ----------
        state : mapping
            From `state_dict` of a sampler with the same arguments.

        Raises
        ------
        InputError
            For a state of other arguments, or another number of samples.
        """
        missing = sorted({*self._settings(), *state_of(0, {}, {}), "position", "begun"} - set(state))
        if missing:
            raise InputError(f"this is no state of a BiasAwareSampler: it has no {', '.join(missing)}")
        other = {name: (state[name], own) for name, own in self._settings().items() if state[name] != own}
        if other:
            told = ", ".join(f"{name} {theirs} (here {own})" for name, (theirs, own) in other.items())
            raise InputError(f"the state is of a sampler with {told}; make it with the same arguments")
        keys = state["keys"]
        self.set_skews(state["skews"], None if keys is None else [_hashable(key) for key in keys])
        if keys is None:
            self._keys = None
        accumulated = {_hashable(key): float(value) for key, value in state["accumulated"]}
        self._next = state_of(state["epoch"], state["generator"], accumulated, state["rest"], state["owed"])
        self._running, self._loaded = None, False
        if state["begun"]:
            self._running, self._loaded = self._plan(), True
            self._running.position = int(state["position"])
            self._planned = None

    def _settings(self) -> dict[str, Any]:
        names = ("tau1", "tau2", "length", "shuffle", "random_state")
        return {"samples": self._n, **{name: getattr(self, name) for name in names}}

    def _plan(self) -> Epoch:
        """The next epoch; drawn once, until other Skews are set."""
        if self._planned is None:
            self._planned = drawn(
                self._next,
                self._skews,
                self._keys,
                tau1=self.tau1,
                tau2=self.tau2,
                length=self.length,
                shuffle=self.shuffle,
            )
        return self._planned


def _walk(epoch: Epoch) -> Iterator[int]:
    while epoch.position < len(epoch.plan):
        # Counted before it is handed out, so that a state taken while it is learned from is behind it.
        epoch.position += 1
        yield epoch.plan[epoch.position - 1]


def _hashable(key: Any) -> Hashable:
    """A key as it was before JSON made a list of it."""
    return tuple(_hashable(part) for part in key) if isinstance(key, list | tuple) else key
