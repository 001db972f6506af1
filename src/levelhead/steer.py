"""Steer: the frozen product of every method, and the knob."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from os import PathLike
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import torch
from jaxtyping import Float
from torch import Tensor

from levelhead.edits import Edit
from levelhead.errors import EditError, InputError, SiteError
from levelhead.gates import Gate
from levelhead.sites import Patterns, Site, covers
from levelhead.tokens import check_scope

if TYPE_CHECKING:
    from levelhead.capture import Activations
    from levelhead.profile import Profile

Strength: TypeAlias = "float | int | Tensor"
"""One number, or a tensor [row] with one for each row of a batch."""

Strengths: TypeAlias = "Sequence[float | int]"
"""Several, one run each; they multiply the steer's own."""


@dataclass(frozen=True)
class Entry:
    """One edit at one site.

    Attributes
    ----------
    site : Site
    edit : Edit
    strength : float or Float[Tensor, "row"]
        This entry's own factor, or one for each row of a batch; the steer's strength multiplies it.
    scope : str
        Which tokens are written (`levelhead.tokens.SCOPES`).
    gate : Gate, optional
        A probe that decides where, of these.
    """

    site: Site
    edit: Edit
    strength: float | Tensor = 1.0
    scope: str = "all"
    gate: Gate | None = None


@dataclass(frozen=True, init=False)
class Steer:
    """Edits at sites, the tokens they write, one strength, and a card that says where they came from.

    Parameters
    ----------
    edits : mapping of Site or str to Edit, or iterable of Entry
    scope : str
        Which tokens are written; see `levelhead.tokens.SCOPES`. Ignored for entries, which carry their own.
    strength : float
        0 is an exact no-op, 1 the edits as fitted; other values extrapolate. Unitless.
    card : mapping, optional
        Model, method, data and results; saved with the steer.

    Raises
    ------
    SiteError
        For a site that cannot be written, or no site at all.
    InputError
        For an unknown scope, or one that cannot act at a site.

    Examples
    --------
    >>> import torch
    >>> from levelhead import Add, Steer
    >>> steer = Steer({"resid_post.3": Add(torch.ones(8))}, scope="generated")
    >>> (steer * 0.5).strength
    0.5
    """

    entries: tuple[Entry, ...]
    strength: float | Tensor
    card: Mapping[str, Any] = field(compare=False)

    def __init__(
        self,
        edits: Mapping[Site | str, Edit] | Mapping[str, Edit] | Mapping[Site, Edit] | Iterable[Entry],
        scope: str = "all",
        strength: Strength = 1.0,
        card: Mapping[str, Any] | None = None,
    ) -> None:
        if isinstance(edits, Mapping):
            named = cast("Mapping[Site | str, Edit]", edits)
            entries = [Entry(Site.parse(site), edit, scope=scope) for site, edit in named.items()]
            entries.sort(key=lambda entry: entry.site)
        else:
            entries = list(edits)
        if not entries:
            raise SiteError("a steer needs at least one edit; none was given")
        for entry in entries:
            check_scope(entry.scope, entry.site)
            _check_strength(entry.strength)
            if entry.gate is not None:
                _check_gate(entry.gate, entry.site)
            if not entry.site.writable:
                raise SiteError(
                    f"'{entry.site}' is read only: a write there would reach the MLP branch and not the residual "
                    f"stream; write at 'attn_out.{entry.site.layer}' or 'resid_pre.{entry.site.layer}'"
                )
        basis = str((card or {}).get("basis", "hf"))
        strange = [entry.gate for entry in entries if entry.gate is not None and entry.gate.basis != basis]
        if strange:
            raise EditError(
                f"{strange[0]!r} is in basis '{strange[0].basis}', and the steer behind it in basis '{basis}'"
            )
        object.__setattr__(self, "entries", tuple(entries))
        object.__setattr__(self, "strength", _check_strength(strength))
        object.__setattr__(self, "card", MappingProxyType(dict(card or {})))

    # -- what it is ------------------------------------------------------------------------------------

    @property
    def sites(self) -> list[Site]:
        """The sites it writes, in execution order."""
        return sorted({entry.site for entry in self.entries})

    @property
    def gates(self) -> list[Gate]:
        """The gates of its edits, each once, in execution order."""
        found = dict.fromkeys(entry.gate for entry in self.entries if entry.gate is not None)
        return sorted(found, key=lambda gate: gate.site)

    @property
    def basis(self) -> str:
        """Coordinate system of the vectors: ``hf`` (the model's own) or ``tl-compat``."""
        return str(self.card.get("basis", "hf"))

    def __reduce__(self) -> tuple[Any, ...]:
        # A read-only view of a dictionary, as the card is, can be neither copied nor pickled.
        return Steer, (list(self.entries), "all", self.strength, dict(self.card))

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __repr__(self) -> str:
        names = [str(site) for site in self.sites]
        shown = ", ".join(names if len(names) < 5 else [*names[:2], "...", names[-1]])
        kinds = "+".join(sorted({entry.edit.kind for entry in self.entries}))
        scopes = "+".join(sorted({entry.scope for entry in self.entries}))
        gated = "".join(f", {gate!r}" for gate in self.gates)
        return f"Steer({kinds} at {shown}; {len(self)} edits, scope {scopes}{gated}, strength {_show(self.strength)})"

    def directions(self) -> dict[Site, Float[Tensor, "k d"]]:
        """Unit directions written at each site, where the edit has fixed ones (`Add`, `Ablate`, `Erase`)."""
        found: dict[Site, Tensor] = {}
        for entry in self.entries:
            rows = entry.edit.directions()
            if rows is not None:
                found[entry.site] = rows if entry.site not in found else torch.cat([found[entry.site], rows])
        return found

    # -- algebra ---------------------------------------------------------------------------------------

    def __mul__(self, factor: Strength) -> Steer:
        """The same steer at `factor` times its strength; a tensor gives each row of a batch its own."""
        factor = _check_strength(factor)
        rows = [len(strength) for strength in (self.strength, factor) if isinstance(strength, Tensor)]
        if len(set(rows)) > 1:
            raise InputError(f"a steer with one strength for each of {rows[0]} rows cannot be multiplied by {rows[1]}")
        return _with(self, strength=self.strength * factor)

    __rmul__ = __mul__

    def __neg__(self) -> Steer:
        return self * -1.0

    def __or__(self, other: Steer) -> Steer:
        """Chain: at a site that both write, this one acts first."""
        if self.basis != other.basis:
            raise EditError(f"cannot chain a steer in basis '{self.basis}' with one in basis '{other.basis}'")
        cards = [*self.card.get("chain", [dict(self.card)]), *other.card.get("chain", [dict(other.card)])]
        card = {"basis": self.basis, "method": {"name": "chain"}, "chain": cards}
        if self.card.get("model") == other.card.get("model") and "model" in self.card:
            card["model"] = self.card["model"]
        return Steer([*self._absorbed(), *other._absorbed()], card=card)

    def _absorbed(self) -> list[Entry]:
        if isinstance(self.strength, Tensor):
            raise InputError("cannot chain a steer that has one strength a row; chain first, then multiply")
        return [replace(entry, strength=entry.strength * self.strength) for entry in self.entries]

    def only(self, patterns: Patterns) -> Steer:
        """The same steer at some of its sites, as in ``steer.only("resid_post.8:12")``."""
        wanted = [patterns] if isinstance(patterns, str | Site) else list(patterns)
        kept = [entry for entry in self.entries if covers(wanted, entry.site)]
        if not kept:
            raise SiteError(f"{patterns!r} names none of this steer's sites; it has {', '.join(map(str, self.sites))}")
        return _with(self, entries=tuple(kept))

    def scoped(self, scope: str) -> Steer:
        """The same steer, writing other tokens."""
        entries = tuple(replace(entry, scope=check_scope(scope, entry.site)) for entry in self.entries)
        return _with(self, entries=entries)

    def gated(self, gate: Gate | None) -> Steer:
        """The same steer behind a gate, or behind none.

        Parameters
        ----------
        gate : Gate or None
            In place of those that the edits have; see `levelhead.ProbeGate`, which fits one.

        Returns
        -------
        Steer

        Raises
        ------
        SiteError
            When the gate reads later than some edit writes.
        """
        return _with(self, entries=tuple(replace(entry, gate=gate) for entry in self.entries))

    def annotate(self, **facts: Any) -> Steer:
        """The same steer with more on its card."""
        return _with(self, card=MappingProxyType({**self.card, **facts}))

    # -- use -------------------------------------------------------------------------------------------

    def on(
        self, model: Any, strength: Strength | None = None, *, prompt_length: int | None = None
    ) -> AbstractContextManager[Any]:
        """Steer a model for the length of a ``with`` block.

        Parameters
        ----------
        model : transformers model, TransformerBridge, nnsight model or Graph
        strength : float or Float[Tensor, "row"], optional
            Multiplies this steer's own strength; a tensor gives each row of the batch its own.
        prompt_length : int, optional
            P in the definition of scopes. ``generate`` knows it; give it when you decode by hand without
            a key-value cache, or score a prompt together with its answer.

        Returns
        -------
        context manager
            Yields the steered model: the model itself on transformers and TransformerLens, an edited copy on
            nnsight. On leaving, also by an exception, the model is exactly as it was.

        Raises
        ------
        SiteError, EditError
            Before anything runs: a site that the model lacks, a width that differs, a foreign basis.

        Warns
        -----
        UntouchedSteerWarning
            On leaving, when some site was never written.
        """
        from levelhead.graph import graph

        return graph(model).on(self if strength is None else self * strength, prompt_length=prompt_length)

    def fold(self, model: Any, strength: float | int = 1.0, *, saveable: bool = False) -> Any:
        """Write this steer at one strength into a copy of a model, where it costs nothing any more.

        For `Affine` and `Add` edits of norm outputs: ``w' = w (1 + s a)``; where the norm has a bias, ``c' = c (1 + s a) + s b``,
        and where it has none, ``W s b`` is added to the bias of every linear layer that reads it (algebra of our own).

        Parameters
        ----------
        model : transformers model, TransformerBridge, nnsight model or Graph
            Its weights stay as they are.
        strength : float
            Multiplies this steer's own strength. Unitless.
        saveable : bool
            Insist on a copy that ``save_pretrained`` writes in full: biases that the architecture's configuration cannot
            express are an error. Otherwise the copy works in memory and refuses to be saved.

        Returns
        -------
        transformers.PreTrainedModel
            An ordinary one; ``config.levelhead_folded`` says what is in it.

        Raises
        ------
        EditError
            For edits that are no affine map of a norm's output on every token; for a shift at a norm without bias that anything
            but linear layers reads; for a bridge whose weights have been processed.
        InputError
            For one strength a row; for weights that are quantised or on the meta device; inside ``steer.on``; as `saveable` says.
        AdapterError
            For a model that no adapter takes, or whose adapter cannot fold.

        Warns
        -----
        FallbackWarning
            When the copy cannot be saved.
        """
        from levelhead.fold import fold

        return fold(self, model, strength, saveable)

    def hooks(self, bridge: Any, batch: Mapping[str, Tensor] | None = None) -> list[tuple[str, Any]]:
        """Hooks for TransformerLens: ``bridge.run_with_hooks(tokens, fwd_hooks=steer.hooks(bridge))``.

        Parameters
        ----------
        bridge : TransformerBridge
        batch : mapping of str to Tensor, optional
            The encoded inputs. Needed where the inputs have pads or pictures, which a hook cannot see, and for gated
            steers.
        """
        from levelhead.graph import graph

        return graph(bridge, adapter="transformer_lens").hooks(self, batch)

    def __call__(self, model: Any) -> None:
        """Steer inside your own nnsight trace: ``with model.trace(x): steer(model)``.

        In a generation, call it once at the start of the block; it walks through the steps by itself.
        """
        from levelhead.graph import graph

        graph(model, adapter="nnsight").inside(self)

    def check(self, model: Any) -> dict[str, str]:
        """Whether this steer fits a model: sites, widths, basis, and whether it was fitted on that very model.

        Returns
        -------
        dict of str to str
            What was looked at, in words.

        Raises
        ------
        SiteError, EditError
            When it cannot be applied.
        """
        from levelhead.graph import graph
        from levelhead.plan import check

        return check(self, graph(model))

    def profile(self, model: Any = None, acts: Activations | None = None, processor: Any = None) -> Profile:
        """Where this steer acts: how much it writes at each site, how many neurons it leaves alone, which heads it reaches.

        Parameters
        ----------
        model : transformers model, TransformerBridge, nnsight model or Graph, optional
            For what reaches each head's query, key and value projections, of what is written at ``ln1``.
        acts : Activations, optional
            Of the unsteered model at those ``ln1``, to weigh what is written by what it meets; without them, the norms' own
            weights and biases stand for it.
        processor : tokenizer or processor, optional

        Returns
        -------
        Profile
            At this steer's strength. Edits other than `Affine` count by what they come to for each neuron, A h + b: the norm of
            its row of A as scale, the size of its entry of b as shift; a rotation towards a target by the most it may
            do. Scopes and gates do not count.

        Raises
        ------
        InputError
            With one strength a row, or where the weights behind a norm cannot be reached.
        SiteError, EditError
            If the steer does not fit the model.
        """
        from levelhead.profile import profile

        return profile(self, model, acts, processor)

    def save(self, path: str | PathLike[str]) -> None:
        """Write ``steer.safetensors``, ``card.json`` and ``README.md`` into the folder `path` (see `levelhead.files`)."""
        from levelhead.files import save

        save(self, path)


def _with(steer: Steer, **changes: Any) -> Steer:
    card = changes.get("card", steer.card)
    return Steer(changes.get("entries", steer.entries), strength=changes.get("strength", steer.strength), card=card)


def _check_gate(gate: Gate, site: Site) -> None:
    if site.tower != "language":
        raise SiteError(f"'{site}' cannot stand behind a gate: pictures are encoded before any token is read")
    if site.whole < gate.site.whole:
        raise SiteError(
            f"'{site}' cannot stand behind a gate at '{gate.site}', which is read later; put the gate at '{site}' or before"
        )


def _check_strength(strength: Strength) -> float | Tensor:
    if isinstance(strength, Tensor):
        if strength.dim() == 0:
            return _check_strength(float(strength))
        if strength.dim() != 1 or not bool(torch.isfinite(strength).all()):
            raise InputError(
                f"strength must be finite, a number or one a row [row]; found shape {tuple(strength.shape)}"
            )
        return strength
    value = float(strength)
    if value != value or value in (float("inf"), float("-inf")):
        raise InputError(f"strength must be a finite number; found {value}")
    return value


def _show(strength: float | Tensor) -> str:
    return f"{strength:g}" if not isinstance(strength, Tensor) else f"per row [{len(strength)}]"
