"""The difference of two models as a steer for the first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from levelhead.capture import Activations, capture
from levelhead.compare.sides import Side, common_sites, sides
from levelhead.errors import InputError
from levelhead.methods.mean_difference import MeanDifference
from levelhead.probes.problem import check_finite
from levelhead.sites import Patterns, Site, by_whole
from levelhead.steer import Entry, Steer
from levelhead.tokens import Reader

_ROUNDINGS = 8  # of the activations' own precision: what two passes of one model may differ by


def model_difference(
    before: Any,
    after: Any,
    inputs: Any,
    sites: Patterns = "resid_post.*",
    *,
    at: Reader = "last",
    scope: str = "all",
    processor: Any = None,
    batch_size: int = 32,
    prompt_length: int | None = None,
    verbose: bool = True,
) -> Steer:
    """What separates two models, as a steer that moves the first towards the second: `MeanDifference` between models.

    At each place the mean over inputs of (after - before) is added. Of several places the later ones get only what the
    steer so far has not brought about: with strength 1, and where the tokens that are read are those that are written, the
    mean activation of the steered model equals that of the second at every one of them.

    Parameters
    ----------
    before, after : model, Graph, peft model, or (model, Steer)
        As in `levelhead.compare`.
    inputs : list
        As `levelhead.capture` takes them; of one group of people, say, for the difference on those.
    sites : patterns
        Where to steer. Costs a pass of the first model for each layer and component among them.
    at : str, int or callable
        Tokens to read; see `levelhead.tokens.choose`.
    scope : str
        Which tokens are written; ``"last"`` writes what the reader of that name reads.
    processor, batch_size, prompt_length, verbose
        As in `levelhead.capture`.

    Returns
    -------
    Steer
        `Add` edits, for the first model. The card says between which models, and which sites were left out since nothing
        differs there.

    Raises
    ------
    InputError
        For models of different architectures, one model twice, models that do not differ at any of the sites, or
        activations that are not finite.
    SiteError
        If a site is absent.
    """
    inputs = list(inputs) if isinstance(inputs, Iterator) else inputs  # read more than once
    first, second = sides(before, after, inputs, processor)
    wanted = common_sites(first, second, sites)
    options: dict[str, Any] = {"batch_size": batch_size, "prompt_length": prompt_length, "verbose": verbose}
    with second.ready():
        goal = capture(second.on, inputs, wanted, at, steer=second.steer, **options)
    entries: list[Entry] = []
    cards: list[dict[str, Any]] = []
    with first.ready():
        for _, members in by_whole(wanted):
            now = capture(first.on, inputs, members, at, steer=_so_far(first, entries), **options)
            _check_alike(now, goal)
            found = _fitted(now, goal.select(members), scope)
            if found is not None:
                entries += found.entries
                cards.append(dict(found.card))
    facts: dict[str, Any] = {"before": first.record(), "after": second.record()}
    if not entries:
        raise InputError(f"the two models do not differ at any of {len(wanted)} sites on these inputs; nothing to add")
    return _carded(entries, cards[0], facts, [site for site in wanted if site not in {e.site for e in entries}])


def difference(before: Activations, after: Activations, scope: str, facts: dict[str, Any]) -> Steer:
    """The steer that adds the mean of (after - before) at each site of one place."""
    found = _fitted(before, after, scope)
    if found is None:
        raise InputError(f"the two models do not differ at '{before.sites[0]}' on these inputs; nothing to add")
    left = [site for site in before.sites if site not in found.sites]
    return _carded(list(found.entries), dict(found.card), facts, left)


def _so_far(side: Side, entries: list[Entry]) -> Steer | None:
    if not entries:
        return side.steer
    added = Steer(entries, card={"basis": side.on.basis})
    return added if side.steer is None else side.steer | added


def _fitted(before: Activations, after: Activations, scope: str) -> Steer | None:
    """`MeanDifference` between two stacks of rows; None where their means are equal, up to rounding, at every site."""
    whole = [site for site in before.sites if site.head is None]
    if len(before) > len(whole) > 0:
        raise InputError(
            f"'{whole[0]}' and its heads were both asked for, and would be steered twice; give one of them"
        )
    apart: list[Site] = []
    for site in before.sites:
        for acts in (before, after):
            check_finite(acts[site], site, acts.n)
        x, y = before[site].double(), after[site].double()
        usual = float(x.square().sum(dim=1).mean().sqrt())
        if float((y - x).mean(dim=0).norm()) > _ROUNDINGS * torch.finfo(before[site].dtype).eps * usual:
            apart.append(site)
    if not apart:
        return None
    both = {site: torch.cat([before[site].double(), after[site].double()]) for site in apart}
    labels = ["before"] * before.n + ["after"] * after.n
    method = MeanDifference(apart, edit="add", positive="before", scope=scope)
    return method.fit(Activations(both, before.at, None, before.source), labels)


def _carded(entries: list[Entry], card: dict[str, Any], facts: dict[str, Any], left: list[Site]) -> Steer:
    params = {**card["method"]["params"], "sites": [str(entry.site) for entry in entries]}
    card = {**card, "method": {"name": "model difference", "params": params}, "difference": facts}
    if left:
        card["no_difference_at"] = [str(site) for site in left]
    return Steer(entries, card=card)


def _check_alike(before: Activations, after: Activations) -> None:
    if before.n != after.n:
        raise InputError(f"both models must read the same inputs; found {before.n} rows before and {after.n} after")
