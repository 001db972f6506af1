"""Comparing two models, or the activations of two."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from levelhead.capture import Activations, capture
from levelhead.compare.attributes import Contrast, attributes_of, contrasts_of
from levelhead.compare.comparison import Comparison
from levelhead.compare.directions import SHUFFLES, contrasts, direction_columns
from levelhead.compare.likeness import cka_columns, moved_columns
from levelhead.compare.reading import reading_columns
from levelhead.compare.sides import common_sites, sides
from levelhead.errors import InputError
from levelhead.metrics.statistics import bootstrap_weights
from levelhead.probes.controls import shuffled_labels
from levelhead.probes.problem import check_finite, codes
from levelhead.probes.steered import check_refitted
from levelhead.probes.sweep import ProbeSweep
from levelhead.sites import Patterns, Site
from levelhead.tokens import Reader

_HELD = 2**24  # numbers in one stack of activations


def compare(
    before: Any,
    after: Any,
    inputs: Any,
    labels: Any,
    *,
    sites: Patterns = ("resid_post.*", "z.*.*"),
    groups: Iterable[Any] | Tensor | None = None,
    at: Reader = "last",
    processor: Any = None,
    cv: int = 5,
    draws: int = 1000,
    seed: int = 0,
    sweep: ProbeSweep | None = None,
    batch_size: int = 32,
    prompt_length: int | None = None,
    verbose: bool = True,
) -> Comparison:
    """Where two models differ on the same inputs: what training, or a steer, did at each layer and head.

    Parameters
    ----------
    before, after : transformers model, TransformerBridge, nnsight model, Graph, peft model, or (model, Steer)
        Of one architecture. A Steer alone as `after` is put on the model of `before`. A peft model may share its base with
        `before`, which is then read with the adapter off. Models are read in evaluation mode, and left as they were.
    inputs : list
        As `levelhead.capture` takes them; better others than were trained on.
    labels : sequence, "example", or mapping or table of such
        By attribute. Of more than two classes, each is set against the rest.
    sites : patterns
        All are read in one pass of each model.
    groups : sequence, "example", optional
        What belongs together: a person, a template, a counterfactual set. Never split between training and test of a
        probe, and what intervals resample.
    at : str, int or callable
        Tokens to read, one vector an input; see `levelhead.tokens.choose`.
    processor : tokenizer or processor, optional
        For both.
    cv : int
        Folds of the probes.
    draws : int
        Resamples of groups, for the intervals of probes and vectors.
    seed : int
        Of folds, controls and resamples.
    sweep : ProbeSweep, optional
        Other hyper-parameters of the probes; `cv` and `seed` stand. By default shuffled labels are the only control.
    batch_size, prompt_length, verbose
        As in `levelhead.capture`.

    Returns
    -------
    Comparison
        ``frame()`` has a row a contrast and site. ``cka``, ``before``, ``after``, ``change``, ``transfer``,
        ``transfer_change``, ``cosine`` and ``length_ratio`` have intervals, ``_low`` and ``_high``.

        ``moved``, ``moved_mean``
            how far activations moved, root mean square over inputs, and how far their mean did; both in shares of the
            norm before. The second is what one added vector could bring about.
        ``cka``, ``cka_shuffled``
            debiased linear CKA between before and after (`levelhead.compare.likeness.cka`); what it reaches at most when
            inputs are paired at random. The interval is a jackknife over groups; at most 1,024 inputs are looked at.
        ``before``, ``after``, ``change``
            cross-validated ROC AUC of probes fitted on either, and the paired difference. ``change_p`` sets it against
            the largest that resampling makes at any of the sites.
        ``chance_low``, ``chance_high``
            what shuffled labels reach after.
        ``transfer``, ``transfer_change``, ``transfer_change_p``
            of the probe from before on what came after, on groups it never saw; minus ``before``.
        ``cosine``, ``cosine_shuffled_low``, ``cosine_shuffled_high``
            between the differences of class means before and after; the band of other contrasts of the same inputs (labels
            shuffled as groups allow, class means taken out). Below the band, this attribute was turned more than others.
        ``length_ratio``
            length of that difference after, by before.

    Raises
    ------
    InputError
        For models of different architectures or bases, or one model twice; labels that are missing, too few or of one
        class; fewer groups than folds or fewer than eight inputs; activations that are not finite; a reader that keeps
        several tokens.
    SiteError, EditError
        If a site is absent, or a steer does not fit.

    Notes
    -----
    Intervals hold folds and probes fixed: they say how far a number would move with other groups scored. The choice of
    numbers and their nulls is ours; the paper on counter-stereotype training (arXiv 2408.06569) has no such analysis.
    """
    if sweep is not None:
        check_refitted(sweep.get_params())
    inputs = list(inputs) if isinstance(inputs, Iterator) else inputs  # read twice
    first, second = sides(before, after, inputs, processor)
    wanted = common_sites(first, second, sites)
    options: dict[str, Any] = {"batch_size": batch_size, "prompt_length": prompt_length, "verbose": verbose}
    found: list[Activations] = []
    for side in (first, second):
        with side.ready():
            found.append(capture(side.on, inputs, wanted, at, steer=side.steer, **options))
    facts = {"before": first.record(), "after": second.record()}
    return _compared(found[0], found[1], labels, groups, cv, draws, seed, sweep, verbose, facts)


def compare_activations(
    before: Activations,
    after: Activations,
    labels: Any,
    *,
    groups: Iterable[Any] | Tensor | None = None,
    cv: int = 5,
    draws: int = 1000,
    seed: int = 0,
    sweep: ProbeSweep | None = None,
    verbose: bool = True,
) -> Comparison:
    """The same for activations that were captured already, such as one model's for several others.

    Parameters
    ----------
    before, after : Activations
        Row by row the same inputs, at the same sites.
    labels, groups, cv, draws, seed, sweep, verbose
        As in `levelhead.compare`.

    Returns
    -------
    Comparison

    Raises
    ------
    InputError
        As `levelhead.compare`; and for other sites, widths or numbers of rows.
    """
    facts = {"before": dict(before.source), "after": dict(after.source)}
    return _compared(before, after, labels, groups, cv, draws, seed, sweep, verbose, facts)


def _compared(
    before: Activations,
    after: Activations,
    labels: Any,
    groups: Iterable[Any] | Tensor | None,
    cv: int,
    draws: int,
    seed: int,
    sweep: ProbeSweep | None,
    verbose: bool,
    facts: dict[str, Any],
) -> Comparison:
    _check(before, after)
    if draws < 1:
        raise InputError(f"draws must be at least 1; found {draws}")
    attributes = attributes_of(labels, before.n)
    chosen = contrasts_of(attributes)
    units = np.arange(before.n) if groups is None else codes(groups, before.n, "groups")
    usual: dict[str, Any] = (sweep or ProbeSweep(controls=("shuffle",))).get_params()
    check_refitted(usual)
    settings: dict[str, Any] = {**usual, "cv": cv, "random_state": seed, "verbose": verbose}
    rng_cka, rng_draws, rng_shuffles = np.random.default_rng([seed, 1]).spawn(3)
    weights = bootstrap_weights(units, draws, rng_draws)
    alike = _by_site(before, after, units, rng_cka, float(usual["confidence"]))
    columns: dict[str, list[Any]] = {}
    bar = tqdm(
        chosen, desc="compare", unit="contrast", disable=None if verbose and len(chosen) > 1 else True, leave=False
    )
    for contrast in bar:
        fits = [ProbeSweep(**settings).fit(acts, contrast.sides, units) for acts in (before, after)]
        some = {
            **_where(before.sites, contrast),
            **alike,
            **reading_columns(fits[0], fits[1], after, weights),
            **_directions(before, after, contrast, fits[0], weights, units, rng_shuffles),
        }
        for name, values in some.items():
            columns.setdefault(name, []).extend(values)
    facts |= {
        **{"n": before.n, "n_groups": int(units.max()) + 1, "at": before.source.get("at", str(before.at))},
        **{"cv": cv, "draws": draws, "seed": seed},
    }
    return Comparison(before, after, attributes, tuple(chosen), columns, float(usual["confidence"]), facts)


def _check(before: Activations, after: Activations) -> None:
    if before.n != after.n:
        raise InputError(f"both must be of the same inputs; found {before.n} rows before and {after.n} after")
    if before.n < 8:
        raise InputError(f"at least eight inputs are needed, better some hundreds; found {before.n}")
    apart = sorted(set(before.sites) ^ set(after.sites))
    if apart:
        raise InputError(f"both must be of the same sites; '{apart[0]}' is in one alone; use select(...)")
    for acts, name in ((before, "before"), (after, "after")):
        if acts.example is not None and len(acts.example.unique()) < acts.n:
            raise InputError(f"inputs are compared one by one, and at={acts.at!r} keeps several tokens of each")
        for site in acts.sites:
            try:
                check_finite(acts[site], site, acts.n)
            except InputError as error:
                raise InputError(f"{name}: {error}") from None
    for site in before.sites:
        widths = before[site].shape[1], after[site].shape[1]
        if widths[0] != widths[1]:
            raise InputError(
                f"both must be of one architecture: '{site}' is {widths[0]} wide before, {widths[1]} after"
            )


def _where(sites: list[Site], contrast: Contrast) -> dict[str, list[Any]]:
    return {
        "site": [str(site) for site in sites],
        **{name: [getattr(site, name) for site in sites] for name in ("tower", "component", "layer", "head")},
        **{name: [getattr(contrast, name)] * len(sites) for name in ("attribute", "positive", "negative")},
    }


def _stacks(before: Activations, after: Activations) -> Iterable[tuple[list[Site], Tensor, Tensor]]:
    """Sites of one width, so many at a time as memory should hold; float64."""
    for sites, x in before.stacks():
        size = max(1, _HELD // x[0].numel())
        for first in range(0, len(sites), size):
            some = sites[first : first + size]
            yield some, x[first : first + size].double(), torch.stack([after[site] for site in some]).double()


def _by_site(
    before: Activations, after: Activations, units: np.ndarray, rng: np.random.Generator, confidence: float
) -> dict[str, list[float]]:
    found: dict[Site, dict[str, float]] = {}
    stream = int(rng.integers(2**63))  # every site draws alike, so that its numbers do not depend on the others
    for sites, x, y in _stacks(before, after):
        columns = moved_columns(x, y) | cka_columns(x, y, units, np.random.default_rng(stream), confidence)
        for i, site in enumerate(sites):
            found[site] = {name: values[i] for name, values in columns.items()}
    return _in_order(found, before.sites)


def _directions(
    before: Activations,
    after: Activations,
    contrast: Contrast,
    sweep: ProbeSweep,
    weights: Tensor,
    units: np.ndarray,
    rng: np.random.Generator,
) -> dict[str, list[float]]:
    sides = np.array(contrast.sides)
    drawn = shuffled_labels(sides, units, sweep.folds_, sweep.cv, SHUFFLES, rng)
    shuffled = contrasts(torch.from_numpy(drawn), torch.ones(drawn.shape))
    positive = torch.from_numpy(sides)[None]
    real = contrasts(positive, torch.ones(positive.shape))
    resampled = contrasts(positive.expand(len(weights), -1), weights)
    found: dict[Site, dict[str, float]] = {}
    for sites, x, y in _stacks(before, after):
        columns = direction_columns(x, y, real, resampled, shuffled, sweep.confidence)
        for i, site in enumerate(sites):
            found[site] = {name: values[i] for name, values in columns.items()}
    return _in_order(found, before.sites)


def _in_order(found: dict[Site, dict[str, float]], sites: list[Site]) -> dict[str, list[float]]:
    return {name: [found[site][name] for site in sites] for name in found[sites[0]]}
