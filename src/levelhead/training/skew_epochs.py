"""What counter-stereotype training does before every epoch: ask the model, draw the samples, weigh them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from levelhead.errors import FileError, InputError
from levelhead.training.examples import Example
from levelhead.training.loss import weights
from levelhead.training.resampled import Resampled
from levelhead.training.sampler import BiasAwareSampler
from levelhead.training.settings import CSDSettings


class SkewEpochs:
    """Estimate the Skew before every epoch, and draw and weigh the epoch's samples by it.

    Parameters
    ----------
    examples : sequence of Example
    skews : Assignments, or callable
        Asked without arguments; a callable gives `ModelSkews`, or one Skew for each example. With `ModelSkews`, copies
        accumulate by concept, attribute and group, else in one counter. None for training without, where `settings` uses none.
    settings : CSDSettings, optional
    random_state : int
        Of the sampler.

    Attributes
    ----------
    dataset : Resampled
        The samples of the epoch that runs, with their Skews, to be gone through in sequence.
    sampler : BiasAwareSampler
    history : list of dict
        A row for each epoch that began: ``epoch``, ``kept``, ``dropped``, ``copies``, and after an estimate from `Assignments`
        ``min_skew``, ``max_skew``, ``mass`` and ``yes``.

    Raises
    ------
    InputError
        For no examples, or no Skews where the settings use them.

    Examples
    --------
    In a loop of one's own::

        epochs = SkewEpochs(examples, Assignments(model, records, processor=processor))
        collator = Collator(model, processor)
        for epoch in range(3):
            epochs.begin(epoch, model)
            for batch in DataLoader(epochs.dataset, batch_size=8, collate_fn=collator):
                labels, skews = batch.pop("labels"), batch.pop("skew")
                rescaled_loss(model(**batch).logits, labels, skews).backward()
                optimizer.step()
                optimizer.zero_grad()
    """

    def __init__(
        self,
        examples: Sequence[Example],
        skews: Any = None,
        settings: CSDSettings | None = None,
        *,
        random_state: int = 0,
    ) -> None:
        self.settings = CSDSettings() if settings is None else settings
        if not examples:
            raise InputError("no examples to learn: the list is empty")
        if skews is None and (self.settings.resample or self.settings.rescale):
            raise InputError(
                "skews= is needed to resample or rescale by: an Assignments, or a function that gives Skews"
            )
        self.source = skews
        length = self.settings.length or len(examples)
        self.dataset = Resampled(examples, length)
        self.sampler = BiasAwareSampler(
            np.zeros(len(examples)),
            tau1=self.settings.tau1,
            tau2=self.settings.tau2,
            length=length,
            random_state=random_state,
        )
        self._fresh = self.sampler.state_dict()
        self.reset()

    def reset(self) -> None:
        """Forget every epoch, as if none had begun."""
        self.sampler.load_state_dict(self._fresh)
        self.history: list[dict[str, Any]] = []
        self._skews = np.zeros(len(self.dataset.examples))
        self._keys: list[Any] | None = None
        self._start: dict[str, Any] = {}

    def begin(self, epoch: int, model: Any = None) -> dict[str, Any]:
        """Ask the model, unless it is not this epoch's turn, and draw the epoch's samples.

        Parameters
        ----------
        epoch : int
            From 0.
        model : torch module, optional
            Put into evaluation mode while it is asked.

        Returns
        -------
        dict
            The new row of `history`.

        Raises
        ------
        InputError
            If there is not one finite Skew for each example.
        """
        row: dict[str, Any] = {"epoch": epoch}
        if self.source is not None and epoch % self.settings.every == 0:
            row |= self._estimate(model)
        used = self._skews if self.settings.resample else np.zeros(len(self._skews))
        self.sampler.set_skews(used, self._keys)
        self._start = {"epoch": epoch, "sampler": self.sampler.state_dict(), "skews": self._skews.tolist()}
        self._draw()
        row |= self.sampler.counts
        self.history.append(row)
        return row

    def measure(self, model: Any = None) -> dict[str, float]:
        """MinSkew@C and MaxSkew@C of the model as it is now, where Skews come from `Assignments`.

        Parameters
        ----------
        model : torch module, optional
            Put into evaluation mode while it is asked.

        Returns
        -------
        dict of str to float
            ``min_skew``, ``max_skew``, ``mass`` and ``yes``; empty where Skews come from elsewhere.
        """
        return _told(_asked(self.source, model)) if hasattr(self.source, "skews") else {}

    def state_dict(self) -> dict[str, Any]:
        """The epoch that runs, as its beginning found it: plain data, for JSON."""
        return {**self._start, "history": self.history}

    def load_state_dict(self, facts: Mapping[str, Any]) -> None:
        """Take up the epoch of a saved state; its samples are drawn again, and the model is not asked.

        Parameters
        ----------
        facts : mapping
            From `state_dict`.

        Raises
        ------
        FileError
            If it is of another number of examples.
        """
        if len(facts["skews"]) != len(self.dataset.examples):
            raise FileError(
                f"the checkpoint is of {len(facts['skews'])} examples, and these are {len(self.dataset.examples)}; give the same data"
            )
        self.sampler.load_state_dict(facts["sampler"])
        self._skews = np.asarray(facts["skews"], dtype=np.float64)
        keys = facts["sampler"].get("keys")
        self._keys = None if keys is None else [tuple(key) if isinstance(key, list) else key for key in keys]
        self.history = list(facts["history"])
        self._start = {name: facts[name] for name in ("epoch", "sampler", "skews")}
        self._draw()

    def _estimate(self, model: Any) -> dict[str, float]:
        found = _asked(self.source, model)
        examples = self.dataset.examples
        if hasattr(found, "of"):
            skews = [found.of(example.concept, example.groups) for example in examples]
            self._keys = [found.key(example.concept, example.groups) for example in examples]
        else:
            skews = found.detach().cpu() if isinstance(found, Tensor) else found
        self._skews = np.asarray(skews, dtype=np.float64)
        if self._skews.shape != (len(examples),):
            raise InputError(
                f"one Skew for each of {len(examples)} examples is needed; found shape {self._skews.shape}"
            )
        if not np.isfinite(self._skews).all():
            bad = examples[int(np.flatnonzero(~np.isfinite(self._skews))[0])]
            raise InputError(f"the Skew of example '{bad.id}' is not finite; estimate Skews with smoothing")
        return _told(found)

    def _draw(self) -> None:
        """Take a whole epoch off the sampler at once, whatever a loader fetches ahead."""
        self.dataset.order = list(self.sampler)
        self.dataset.skews = np.zeros(len(self._skews))
        if self.settings.rescale:
            # As Skews of which the exponential is the weight: means are over all examples, and not over some batch.
            weight = weights(self._skews, self.settings.clip, self.settings.normalize)
            self.dataset.skews = -weight.log().numpy()


@contextmanager
def judging(model: Any) -> Iterator[None]:
    """Every module in evaluation mode, and in its own mode again afterwards; no gradients."""
    modes = [] if model is None else [(module, module.training) for module in model.modules()]
    for module, _ in modes:
        module.training = False
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def _asked(source: Any, model: Any) -> Any:
    with judging(model):
        return source.skews() if hasattr(source, "skews") else cast("Callable[[], Any]", source)()


def _told(found: Any) -> dict[str, float]:
    if not hasattr(found, "min_skew"):
        return {}
    told = {"min_skew": float(found.min_skew()), "max_skew": float(found.max_skew())}
    more = {"mass": getattr(found, "mass", None), "yes": getattr(found, "yes", None)}
    return told | {name: float(value) for name, value in more.items() if value is not None}
