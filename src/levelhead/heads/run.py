"""Which heads make a model lean: one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from tqdm import tqdm

from levelhead.data.records import ChoiceRecord
from levelhead.errors import InputError
from levelhead.graph import Differentiable, Graph, graph
from levelhead.heads.asking import Asking
from levelhead.heads.direct import direct
from levelhead.heads.effects import ablated, attributed, plain
from levelhead.heads.items import Items, of_prompts, of_records
from levelhead.heads.localization import Localization
from levelhead.heads.stand_ins import READERS, Ablation, Where, stand_ins
from levelhead.metrics.decisions.asking import Style, Wrap
from levelhead.sites import Patterns, Site, resolve

_PARTS = ("z", "attn_out", "mlp_out")


def localize(
    model: Any,
    data: Sequence[Any],
    words: tuple[str, str] | Sequence[tuple[str, str]] | None = None,
    *,
    sites: Patterns = "z.*.*",
    ablation: Ablation = "mean",
    scope: Where = "all",
    gradient: bool = True,
    steps: int = 1,
    groups: Sequence[str] | None = None,
    style: Style = "words",
    wrap: Wrap = "raw",
    batch_size: int = 64,
    draws: int = 999,
    confidence: float = 0.95,
    seed: int = 0,
    processor: Any = None,
    verbose: bool = True,
) -> Localization:
    """Measure what every head does to the difference between a stereotype's answer and the other one.

    The difference of an item is log P(the answer that follows the stereotype) - log P(the other), in nats, averaged over the
    orders of its options. The bias is the mean over targets of |mean difference|.

    Parameters
    ----------
    model : transformers model, TransformerBridge, nnsight model or Graph
    data : sequence of ChoiceRecord, or of str, (image, str) or chat
        Records name their ``pro`` option and have one other, beside an ``unknown`` one.
    words : (str, str), or one pair a prompt, optional
        With prompts: the stereotype's continuation and the other one, leading spaces included.
    sites : patterns
        Heads, and if wanted ``"attn_out.*"`` and ``"mlp_out.*"``, of the language model.
    ablation : {"mean", "zero", "partner"}
        What stands in for an output: its mean over these data, nothing, or what it is for the other members of the item's
        ``set_id`` that share its target, category and options but not its group (their mean, where there are several).
    scope : {"all", "text", "image", "last"}
        The tokens at which it does, and over which the mean is taken; ``"partner"`` needs ``"last"``.
    gradient : bool
        Estimate the same by (stand-in - activation) x gradient as well (attribution patching: Nanda 2023; Syed et al.
        2023, arXiv 2310.10348), where the graph has gradients.
    steps : int
        Gradients averaged along each site's own way to its stand-in, as integrated gradients do it (Sundararajan et al.
        2017, arXiv 1703.01365). Closer to the ablation where one step is not close, and dearer than it: each step
        is a backward pass for every site.
    groups : sequence of str, optional
        With prompts: units of resampling. Records bring their ``set_id``.
    style, wrap
        As in `levelhead.metrics.decisions.Choices`; with prompts left unused.
    batch_size : int
        Rows of a pass. The sites of a layer share it.
    draws, confidence, seed
        Of the bootstrap over clusters.
    processor : tokenizer or processor, optional
    verbose : bool

    Returns
    -------
    Localization

    Raises
    ------
    InputError
        For data that cannot be asked so, sites outside the language model, settings that do not go together.
    SiteError
        For a site that the model lacks.
    """
    for name, value, allowed in (("ablation", ablation, get_args(Ablation)), ("scope", scope, tuple(READERS))):
        if value not in allowed:
            raise InputError(f"{name} is one of {', '.join(allowed)}; found {value!r}")
    if not len(data):
        raise InputError("nothing to ask: the data are empty")
    if steps < 1 or batch_size < 1:
        raise InputError(f"steps and batch_size are 1 at least; found {steps} and {batch_size}")
    on = graph(model, processor)
    chosen = _chosen(on, sites)
    wholes = sorted({site.whole for site in chosen})
    widths = {site: on.locate(site).width for site in [*chosen, *wholes]}
    times = min(max(sum(site.layer == layer for site in chosen) for layer in {s.layer for s in chosen}), batch_size)
    asking = Asking(on, _items(on, data, words, groups, style, wrap), max(1, batch_size // times), times)
    stand = stand_ins(asking, wholes, ablation, scope)
    notes: list[str] = []
    rounds = (2 if gradient else 1) * len(asking)
    with tqdm(total=rounds, disable=None if verbose else True, leave=False, desc="localize") as bar:
        base = plain(asking)
        differences = ablated(asking, stand, widths, [[site] for site in chosen], lambda: bar.update(1))
        estimated = None
        if gradient and isinstance(on, Differentiable):
            estimated = attributed(asking, stand, widths, chosen, steps, lambda: bar.update(1))
        elif gradient:
            notes.append(f"no gradient attribution: the adapter '{on.name}' has no gradients")
    through, why = direct(asking, chosen)
    if why:
        notes.append(f"no direct path: {why}")
    settings = {
        "ablation": ablation, "scope": scope, "steps": steps, "style": style, "draws": draws, "confidence": confidence,
        "seed": seed,
    }  # fmt: skip
    return Localization(asking, stand, chosen, widths, base, differences, estimated, through, tuple(notes), settings)


def _chosen(on: Graph, sites: Patterns) -> list[Site]:
    found = resolve(sites, on.sites())
    odd = [
        site
        for site in found
        if site.tower != "language" or site.component not in _PARTS or (site.component == "z" and site.head is None)
    ]
    if odd:
        raise InputError(
            f"'{odd[0]}' was asked for; heads ('z.*.*'), 'attn_out.*' and 'mlp_out.*' of the language model can be localized"
        )
    return found


def _items(on: Graph, data: Sequence[Any], words: Any, groups: Sequence[str] | None, style: Style, wrap: Wrap) -> Items:
    records = [isinstance(each, ChoiceRecord) for each in data]
    if all(records):
        if words is not None or groups is not None:
            raise InputError("records bring their words and sets; leave out words= and groups=")
        return of_records(on, data, style, wrap)
    if any(records) or words is None:
        raise InputError(
            "data are ChoiceRecords, or prompts together with words=; found "
            + (f"{sum(records)} records among {len(records)}" if any(records) else "prompts without words=")
        )
    return of_prompts(data, words, groups)
