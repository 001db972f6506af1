"""A check-up of a model: what can be addressed, and whether reads and writes there do what they say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from levelhead.edits import Add
from levelhead.errors import LevelheadError
from levelhead.graph import Graph, Location, graph
from levelhead.sites import COMPONENTS, TOWERS, Site
from levelhead.steer import Entry, Steer


@dataclass(frozen=True)
class Checkup:
    """What `doctor` found.

    Attributes
    ----------
    graph : str
        The adapter.
    identity : dict
        Model id, class, configuration hash, basis.
    settings : dict of str to str
        Attention implementation, dtype, device.
    locations : dict of Site to Location
        What resolved, without heads.
    unequal : list of Site
        Sites where what was written is not what is read back.
    idle : list of Site
        Sites where a write does not reach the logits.
    missing : dict of str to str
        Components that the model's towers lack, with the reason.
    notes : list of str
        What could not be checked, and what to mind.
    """

    graph: str
    identity: dict[str, Any]
    settings: dict[str, str]
    locations: dict[Site, Location]
    unequal: list[Site] = field(default_factory=list)
    idle: list[Site] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every write was read back."""
        return not self.unequal

    def frame(self) -> Any:
        """A pandas frame, a row a site: component, layer, tower, width, heads, hook, path, side, reads_equal_writes, reaches_logits."""
        import pandas as pd

        rows = [
            {
                "site": str(site),
                "tower": site.tower,
                "component": site.component,
                "layer": site.layer,
                "width": location.width,
                "heads": location.heads,
                "hook": location.hook,
                "path": location.path,
                "side": location.side,
                "reads_equal_writes": None if not site.writable else site not in self.unequal,
                "reaches_logits": None if not site.writable else site not in self.idle,
            }
            for site, location in self.locations.items()
        ]
        return pd.DataFrame(rows)

    def __str__(self) -> str:
        settings = ", ".join(f"{name} {value}" for name, value in self.settings.items())
        lines = [
            f"{self.identity['class']} on graph '{self.graph}', basis '{self.identity['basis']}' ({settings})",
            f"{'component':<22}{'layers':<12}{'width':>6}{'heads':>6}  where (first layer)",
        ]
        for tower in TOWERS:
            for component in COMPONENTS:
                family = [s for s in self.locations if (s.tower, s.component) == (tower, component)]
                if family:
                    lines.append(self._row(family))
        for name, reason in self.missing.items():
            lines.append(f"{name:<22}not there: {reason}")
        if self.unequal:
            lines.append(f"WRITES ARE NOT READ BACK at {_names(self.unequal)}")
        else:
            lines.append("reads equal writes at every site that was checked")
        if self.idle:
            lines.append(f"no effect on the logits from {_names(self.idle)}")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def _row(self, family: list[Site]) -> str:
        first = self.locations[family[0]]
        layers = [site.layer for site in family if site.layer is not None]
        span = _span(layers)
        name = f"{'vision/' if first.site.tower == 'vision' else ''}{first.site.component}"
        heads = str(first.heads or "-")
        return f"{name:<22}{span:<12}{first.width:>6}{heads:>6}  {first.hook} | {first.path} {first.side}"

    __repr__ = __str__


def doctor(model: Any, inputs: Any = None, *, processor: Any = None) -> Checkup:
    """Check a model in seconds: which sites resolve, and whether a write at each is read back and reaches the logits.

    Language sites are checked all in one forward pass, a row a site; of a vision tower, the first, middle and last
    layers. Whether a write reaches the logits is read off one backward pass.

    Parameters
    ----------
    model : transformers model, TransformerBridge, nnsight model or Graph
    inputs : optional
        What to run; by default a few token ids, and a plain gray picture where there is a processor.
    processor : optional
        Tokenizer or processor for a plain transformers model.

    Returns
    -------
    Checkup
        ``print`` it, or take its ``frame()``.
    """
    on = graph(model, processor)
    whole = [site for site in on.sites() if site.head is None]
    settings = {
        "attention": str(getattr(on.model.config, "_attn_implementation", None)),
        "dtype": str(on.model.dtype).removeprefix("torch."),
        "device": str(on.model.device),
    }
    result = Checkup(on.name, on.identity(), settings, {site: on.locate(site) for site in whole})
    _explain_missing(on, whole, result)
    if settings["attention"] != "eager":
        result.notes.append(
            f"attention is '{settings['attention']}': numbers equal those of other graphs to rounding, and to the bit only with 'eager'"
        )
    if settings["device"] == "meta":
        result.notes.append("the model is on the meta device: sites were resolved, and nothing was run")
        return result
    batch = _batch(on, inputs, result)
    pictures = any(name.startswith("pixel") for name in batch)
    if not pictures and any(site.tower != "language" for site in whole):
        result.notes.append("no picture was run (give inputs, or a processor), so the vision tower was not checked")
    writable = [site for site in whole if site.writable]
    _check_language(on, batch, [s for s in writable if s.tower == "language"], result)
    if pictures:
        _check_pictures(on, batch, _sampled([s for s in writable if s.tower != "language"]), result)
    _check_reach(on, batch, [s for s in writable if pictures or s.tower == "language"], result)
    return result


def _batch(on: Graph, inputs: Any, result: Checkup) -> dict[str, Tensor]:
    if inputs is not None:
        return {**on.encode(inputs)}
    vocabulary = int(getattr(on.model.get_input_embeddings(), "num_embeddings", 100))
    ids = torch.arange(3, 8).remainder(vocabulary)[None]
    if any(site.tower == "vision" for site in on.sites()):
        try:
            from PIL import Image

            return {**on.encode([(Image.new("RGB", (64, 64), (128, 128, 128)), "What is this?")])}
        except (LevelheadError, ImportError, ValueError, TypeError, KeyError):
            pass
    return {**on.encode(ids)}


def _span(layers: list[int]) -> str:
    """Layers in words: ``0-29``, ``1,3,5``, or ``-`` for none."""
    if len(layers) > 1 and layers == list(range(layers[0], layers[-1] + 1)):
        return f"{layers[0]}-{layers[-1]}"
    return ",".join(map(str, layers)) or "-"


def _vector(width: int, seed: int) -> Tensor:
    return torch.randn(width, generator=torch.Generator().manual_seed(seed))


def _check_language(on: Graph, batch: Mapping[str, Tensor], sites: list[Site], result: Checkup) -> None:
    ids = batch["input_ids"][:1]
    text = ids[:, ~on.layout(batch).image[0]][:, -2:]
    vectors = {site: _vector(result.locations[site].width, number) for number, site in enumerate(sites)}
    # A row a site, and each row steered at its own site alone.
    entries = [Entry(site, Add(vectors[site]), torch.eye(len(sites))[number]) for number, site in enumerate(sites)]
    rows = on.encode(text.expand(len(sites), -1))
    # Both from a batch of this very shape: a row alone is summed in another order, and streams can be large.
    clean = on.capture(rows, sites, "last")
    written = on.capture(rows, sites, "last", Steer(entries, card={"basis": on.basis}))
    for number, site in enumerate(sites):
        _compare(site, clean[site][number], vectors[site], written[site][number], result)


def _check_pictures(on: Graph, batch: Mapping[str, Tensor], sites: list[Site], result: Checkup) -> None:
    clean = on.capture(batch, sites, "mean")
    for number, site in enumerate(sites):
        vector = _vector(result.locations[site].width, number)
        written = on.capture(batch, [site], "mean", Steer({site: Add(vector)}, card={"basis": on.basis}))
        _compare(site, clean[site][0], vector, written[site][0], result)


def _sampled(sites: list[Site]) -> list[Site]:
    layers = sorted({site.layer for site in sites if site.layer is not None})
    kept = {layers[0], layers[len(layers) // 2], layers[-1]} if layers else set[int]()
    return [site for site in sites if site.layer is None or site.layer in kept]


def _compare(site: Site, clean: Tensor, vector: Tensor, written: Tensor, result: Checkup) -> None:
    moved = (written.float() - clean.float()).cpu()
    # The sum is rounded to the precision of the stream at its size, and a mean over patches sums such errors.
    size = 1.0 + clean.float().abs().cpu()
    tolerance = 8 * torch.finfo(clean.dtype).eps * size + 1e-5
    if not bool(((moved - vector).abs() <= tolerance).all()):
        result.unequal.append(site)


def _check_reach(on: Graph, batch: Mapping[str, Tensor], sites: list[Site], result: Checkup) -> None:
    vectors = {site: torch.zeros(result.locations[site].width, requires_grad=True) for site in sites}
    with torch.enable_grad():
        logits = on.logits(
            batch, Steer({site: Add(vector) for site, vector in vectors.items()}, card={"basis": on.basis})
        )
        weights = torch.randn(logits.shape[-1], generator=torch.Generator().manual_seed(0)).to(logits)
        gradients = torch.autograd.grad((logits @ weights).sum(), list(vectors.values()), allow_unused=True)
    for site, gradient in zip(sites, gradients, strict=True):
        if gradient is None or not bool(gradient.abs().max() > 0):  # pyright: ignore[reportUnnecessaryComparison]
            result.idle.append(site)


def _explain_missing(on: Graph, whole: list[Site], result: Checkup) -> None:
    for tower in TOWERS:
        if not any(site.tower == tower for site in whole):
            continue
        have = {site.component for site in whole if site.tower == tower}
        for component in COMPONENTS:
            if component in have or (component == "projector") != (tower == "projector"):
                continue
            layer = None if component == "ln_final" else 0
            try:
                on.locate(Site(component, layer, tower=tower))
            except LevelheadError as error:
                name = f"{tower}/{component}" if tower != "language" else component
                result.missing[name] = str(error).split(": ", 1)[-1].split("; it has")[0]


def _names(sites: list[Site]) -> str:
    return ", ".join(str(site) for site in sites[:12]) + (f" and {len(sites) - 12} more" if len(sites) > 12 else "")
