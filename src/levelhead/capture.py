"""Capture: activations at many sites from one forward pass a batch."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field
from typing import Any, Literal, overload

import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm import tqdm

from levelhead.errors import InputError, SiteError
from levelhead.graph import Graph, graph
from levelhead.inputs import items_of
from levelhead.sites import Patterns, Site, SiteLike, resolve
from levelhead.steer import Steer
from levelhead.tokens import Reader, check_reader, choose, choose_patches


@dataclass(frozen=True, eq=False)
class Activations(Mapping[Site, Tensor]):
    """Activations of many examples at many sites.

    Parameters
    ----------
    values : mapping of Site or str to Float[Tensor, "example d"]
        With the readers that keep every token, a row a token.
    at : str, int or callable
        The reader they were taken with.
    example : Int[Tensor, "row"], optional
        With such a reader, the example that each row belongs to (language sites).
    source : dict, optional
        Model, basis and reader, for the cards of what is fitted on them.

    Examples
    --------
    >>> acts = Activations({"resid_post.0": torch.zeros(5, 8)})
    >>> acts["resid_post.0"].shape, acts.n
    (torch.Size([5, 8]), 5)
    """

    values_: dict[Site, Tensor]
    at: Any = "last"
    example: Int[Tensor, " row"] | None = None
    source: dict[str, Any] = field(default_factory=dict)

    def __init__(
        self,
        values: Mapping[Site, Tensor] | Mapping[str, Tensor] | Mapping[Site | str, Tensor],
        at: Reader = "last",
        example: Tensor | None = None,
        source: Mapping[str, Any] | None = None,
    ) -> None:
        parsed = {Site.parse(site): value for site, value in values.items()}
        if not parsed:
            raise InputError("activations need at least one site")
        for site, value in parsed.items():
            if value.dim() != 2:
                raise InputError(f"activations at '{site}' must have shape [example, d]; found {tuple(value.shape)}")
        object.__setattr__(self, "values_", {site: parsed[site] for site in sorted(parsed)})
        object.__setattr__(self, "at", at)
        object.__setattr__(self, "example", example)
        object.__setattr__(self, "source", dict(source or {}))

    @property
    def sites(self) -> list[Site]:
        """The sites, in execution order."""
        return list(self.values_)

    @property
    def n(self) -> int:
        """Number of rows: examples, or tokens with a reader that keeps every token."""
        return next(iter(self.values_.values())).shape[0]

    def __getitem__(self, site: SiteLike) -> Float[Tensor, "example d"]:
        parsed = Site.parse(site)
        if parsed not in self.values_:
            raise SiteError(f"'{site}' was not captured; there are {_listing(self.sites)}")
        return self.values_[parsed]

    def __contains__(self, site: object) -> bool:
        return Site.parse(site) in self.values_ if isinstance(site, str | Site) else False

    def __iter__(self) -> Iterator[Site]:
        return iter(self.values_)

    def __len__(self) -> int:
        return len(self.values_)

    def __repr__(self) -> str:
        return f"Activations({self.n} rows at {_listing(self.sites)}, at={self.at!r})"

    def select(self, patterns: Patterns) -> Activations:
        """The same activations at some of the sites."""
        return self._with({site: self.values_[site] for site in resolve(patterns, self.sites)}, self.example)

    def rows(self, index: Any) -> Activations:
        """Some of the rows: an integer or boolean index, as for a tensor."""
        index = torch.as_tensor(index)
        example = None if self.example is None else self.example[index]
        return self._with({site: value[index] for site, value in self.values_.items()}, example)

    def stacks(self) -> Iterator[tuple[list[Site], Float[Tensor, "site example d"]]]:
        """Sites of equal width and length together, stacked: what a batched solver wants."""
        shapes: dict[tuple[int, ...], list[Site]] = {}
        for site, value in self.values_.items():
            shapes.setdefault(tuple(value.shape), []).append(site)
        for sites in shapes.values():
            yield sites, torch.stack([self.values_[site] for site in sites])

    def _with(self, values: Mapping[Site, Tensor], example: Tensor | None) -> Activations:
        return Activations(values, self.at, example, self.source)


@dataclass(frozen=True, eq=False)
class Moments:
    """Class-wise sums and counts, where examples themselves are not kept.

    Attributes
    ----------
    classes : list
        The labels, sorted.
    counts : Int[Tensor, "class"]
        Examples a class.
    sums : dict of Site to Float[Tensor, "class d"]
        Float64 sums.
    source : dict
        Model, basis and reader.
    """

    classes: list[Any]
    counts: Int[Tensor, " class"]
    sums: dict[Site, Float[Tensor, "class d"]]
    source: dict[str, Any] = field(default_factory=dict)

    @property
    def sites(self) -> list[Site]:
        """The sites, in execution order."""
        return list(self.sums)

    @property
    def n(self) -> int:
        """Number of examples."""
        return int(self.counts.sum())

    def means(self, site: SiteLike) -> Float[Tensor, "class d"]:
        """Class means at a site."""
        return self.sums[Site.parse(site)] / self.counts[:, None]


@overload
def capture(
    model: Any,
    inputs: Any,
    sites: Patterns = ...,
    at: Reader = ...,
    *,
    reduce: None = ...,
    labels: Collection[Any] | None = ...,
    steer: Steer | None = ...,
    batch_size: int = ...,
    prompt_length: int | None = ...,
    dtype: torch.dtype | None = ...,
    device: str | torch.device = ...,
    processor: Any = ...,
    verbose: bool = ...,
) -> Activations: ...
@overload
def capture(
    model: Any,
    inputs: Any,
    sites: Patterns = ...,
    at: Reader = ...,
    *,
    reduce: Literal["moments"],
    labels: Collection[Any] | None = ...,
    steer: Steer | None = ...,
    batch_size: int = ...,
    prompt_length: int | None = ...,
    dtype: torch.dtype | None = ...,
    device: str | torch.device = ...,
    processor: Any = ...,
    verbose: bool = ...,
) -> Moments: ...
def capture(
    model: Any,
    inputs: Any,
    sites: Patterns = "resid_post.*",
    at: Reader = "last",
    *,
    reduce: str | None = None,
    labels: Collection[Any] | None = None,
    steer: Steer | None = None,
    batch_size: int = 32,
    prompt_length: int | None = None,
    dtype: torch.dtype | None = None,
    device: str | torch.device = "cpu",
    processor: Any = None,
    verbose: bool = True,
) -> Activations | Moments:
    """Capture activations: one forward pass a batch whatever the number of sites, and only the wanted tokens kept.

    Parameters
    ----------
    model : transformers model, TransformerBridge, nnsight model or Graph
    inputs : list of str, of chats, of (image, text) pairs, of token ids; a tensor [row, token]; or an encoded dictionary
        One kind in a call. With an encoded dictionary `batch_size` splits text only; pictures go in one batch.
    sites : patterns
        As in ``["resid_post.*", "z.*.*"]``.
    at : str, int or callable
        Tokens to read; see `levelhead.tokens.choose`.
    reduce : {"moments"}, optional
        Keep class-wise sums and counts instead of examples; needs `labels`.
    labels : sequence, optional
        A label for each input.
    steer : Steer, optional
        Read the activations of the steered model.
    batch_size : int
        Rows a forward pass. Halved, and said, when memory runs out.
    prompt_length : int, optional
        P in the definition of scopes and of ``at="answer"``.
    dtype, device
        Of what is kept; by default the model's dtype, on the CPU.
    processor : optional
        Tokenizer or processor for a plain transformers model.
    verbose : bool
        A progress bar, when anybody watches.

    Returns
    -------
    Activations or Moments

    Raises
    ------
    SiteError, InputError
        Before any forward pass where that can be known.
    """
    on = graph(model, processor)
    check_reader(at)
    wanted = resolve(sites, on.sites())
    items = items_of(inputs)
    if steer is not None:
        steer.check(on)
    if reduce not in (None, "moments"):
        raise InputError(f"reduce={reduce!r} is not known; leave it out, or give 'moments'")
    if reduce == "moments" and labels is None:
        raise InputError("reduce='moments' needs labels, one for each input")
    total = len(items) if items is not None else len(inputs["input_ids"])
    given = None if labels is None else [_plain(label) for label in labels]
    if given is not None and len(given) != total:
        raise InputError(f"{total} inputs and {len(given)} labels were given; one label for each input is needed")
    store = _Store(wanted, given) if reduce == "moments" else _Kept(wanted)
    bar = tqdm(total=total, desc="capture", unit="input", disable=None if verbose else True, leave=False)
    read = _Reading(on, wanted, at, steer, prompt_length, dtype, torch.device(device))
    with bar:
        for first, batch in _batches(on, items, inputs, batch_size):
            size = len(batch["input_ids"])
            for offset, found, example in read(batch, size):
                store.add(first + offset, found, example)
            bar.update(size)
    source = {"model": on.identity(), "basis": on.basis, "at": at if isinstance(at, str | int) else "callable"}
    return store.finish(at, source)


def _batches(on: Graph, items: list[Any] | None, inputs: Any, size: int) -> Iterator[tuple[int, Mapping[str, Tensor]]]:
    if size < 1:
        raise InputError(f"batch_size must be at least 1; found {size}")
    if items is not None:
        for first in range(0, len(items), size):
            yield first, on.encode(items[first : first + size])
        return
    batch = on.encode(inputs)
    if set(batch) <= {"input_ids", "attention_mask", "position_ids"}:
        for first in range(0, len(batch["input_ids"]), size):
            yield first, _slice(batch, first, first + size)
    else:
        yield 0, batch


def _slice(batch: Mapping[str, Tensor], first: int, last: int) -> dict[str, Tensor]:
    # A copy of its own kind, since a batch of chats also knows which tokens are the answer.
    piece: Any = copy(batch)
    piece.update({name: value[first:last] for name, value in batch.items()})
    if getattr(batch, "answer", None) is not None:
        piece.answer = piece.answer[first:last]
    return piece


class _Reading:
    """Runs one batch, in smaller pieces where memory does not suffice."""

    def __init__(
        self,
        on: Graph,
        sites: list[Site],
        at: Reader,
        steer: Steer | None,
        prompt_length: int | None,
        dtype: torch.dtype | None,
        device: torch.device,
    ) -> None:
        self.on, self.sites, self.at, self.steer = on, sites, at, steer
        self.prompt_length, self.dtype, self.device = prompt_length, dtype, device
        self.limit: int | None = None

    def __call__(self, batch: Mapping[str, Tensor], size: int) -> Iterator[tuple[int, dict[Site, Tensor], Tensor]]:
        offset = 0
        while offset < size:
            step = min(size - offset, self.limit or size)
            piece = batch if step == size else _slice(batch, offset, offset + step)
            try:
                found = self.on.capture(piece, self.sites, self.at, self.steer, self.prompt_length)
            except (RuntimeError, MemoryError) as error:
                if not _out_of_memory(error) or step == 1 or "pixel_values" in batch:
                    raise
                self.limit = step // 2
                tqdm.write(f"levelhead: out of memory with {step} rows a pass; going on with {self.limit}")
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
                continue
            found = {site: value.to(self.device, self.dtype or value.dtype) for site, value in found.items()}
            yield offset, found, self._example(piece, found) + offset
            offset += step

    def _example(self, piece: Mapping[str, Tensor], found: dict[Site, Tensor]) -> Tensor:
        layout = self.on.layout(piece, self.prompt_length)
        every = torch.arange(len(piece["input_ids"]))
        if any(site.tower == "language" for site in found):
            mode, where = choose(self.at, layout)
            return where.nonzero()[:, 0].cpu() if mode == "each" else every
        site, taken = next(iter(found.items()))
        mode, counts = choose_patches(self.at, layout, site)
        if mode != "each":
            return every
        return every.repeat_interleave(torch.tensor([len(taken) * count // sum(counts) for count in counts]))


def _out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    text = str(error).lower()
    return "out of memory" in text or "can't allocate memory" in text or "not enough memory" in text


class _Kept:
    """Keeps examples."""

    def __init__(self, sites: list[Site]) -> None:
        self.parts: dict[Site, list[Tensor]] = {site: [] for site in sites}
        self.example: list[Tensor] = []

    def add(self, first: int, found: dict[Site, Tensor], example: Tensor) -> None:
        for site, value in found.items():
            self.parts[site].append(value)
        self.example.append(example + first)

    def finish(self, at: Reader, source: dict[str, Any]) -> Activations:
        values = {site: torch.cat(parts) if len(parts) > 1 else parts[0] for site, parts in self.parts.items()}
        return Activations(values, at, torch.cat(self.example), source)


class _Store:
    """Keeps class-wise sums and counts."""

    def __init__(self, sites: list[Site], labels: list[Any] | None) -> None:
        self.labels = labels or []
        self.classes = sorted(set(self.labels))
        self.codes = torch.tensor([self.classes.index(label) for label in self.labels])
        self.sums: dict[Site, Tensor] = {}
        self.sites = sites

    def add(self, first: int, found: dict[Site, Tensor], example: Tensor) -> None:
        codes = self.codes[example + first]
        for site, value in found.items():
            if len(value) != len(codes):
                raise InputError(
                    f"reduce='moments' needs one row an example at '{site}'; read 'mean' instead of every token"
                )
            sums = self.sums.setdefault(site, torch.zeros(len(self.classes), value.shape[1], dtype=torch.float64))
            sums.index_add_(0, codes, value.double().cpu())

    def finish(self, at: Reader, source: dict[str, Any]) -> Moments:
        # Every input has been added by now, so the counts are those of the labels.
        return Moments(self.classes, torch.bincount(self.codes), {site: self.sums[site] for site in self.sites}, source)


def _plain(label: Any) -> Any:
    return label.item() if hasattr(label, "item") else label


def _listing(sites: list[Site]) -> str:
    names = [str(site) for site in sites]
    return ", ".join(names if len(names) < 7 else [*names[:3], "...", names[-1]]) + f" ({len(names)} sites)"
