"""Sites: addresses in a network, and patterns of addresses.

A site is written ``component.layer.head``, with the tower in front when it is not the language
model: ``resid_post.14``, ``z.14.3``, ``ln1.7``, ``vision/resid_post.5``, ``projector``. Component
names are TransformerLens's. A pattern names several sites: ``resid_post.*``, ``z.*.*``,
``mlp_out.2:8`` (half open, as a slice), ``resid_post.-1`` (negative layers count from the end).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from levelhead.errors import SiteError

Tower: TypeAlias = Literal["language", "vision", "projector"]

TOWERS: tuple[Tower, ...] = ("vision", "projector", "language")
"""Towers in execution order."""

COMPONENTS: tuple[str, ...] = (
    "resid_pre",
    "ln1",
    "z",
    "attn_out",
    "ln1_post",
    "resid_mid",
    "ln2",
    "mlp_post",
    "mlp_out",
    "ln2_post",
    "resid_post",
    "ln_final",
    "projector",
)
"""Components in execution order. The last two have no layer."""

LAYERLESS = frozenset({"ln_final", "projector"})
READ_ONLY = frozenset({"resid_mid"})

_GRAMMAR = re.compile(
    r"(?:(?P<tower>[a-z_]+)/)?(?P<component>[a-z0-9_]+)"
    r"(?:\.(?P<layer>[^.\s/]+))?(?:\.(?P<head>[^.\s/]+))?"
)
_INDEX = re.compile(r"-?[0-9]+")
_SLICE = re.compile(r"(-?[0-9]+)?:(-?[0-9]+)?")

SiteLike: TypeAlias = "Site | str"
Patterns: TypeAlias = "Site | str | Iterable[Site | str]"


@dataclass(frozen=True, slots=True)
class Site:
    """One address in a network.

    Parameters
    ----------
    component : str
        One of `COMPONENTS`; names are TransformerLens's.
    layer : int, optional
        Layer from 0. Absent for ``ln_final`` and ``projector``.
    head : int, optional
        Query head from 0; only for ``z``. Absent means all heads side by side.
    tower : {"language", "vision", "projector"}
        The part of the model; ``language`` is not written in the string form.

    Raises
    ------
    SiteError
        For a component that does not exist, a missing or superfluous layer, a head anywhere but at ``z``.

    Examples
    --------
    >>> Site.parse("z.14.3")
    Site('z.14.3')
    >>> str(Site("resid_post", 5, tower="vision"))
    'vision/resid_post.5'
    """

    component: str
    layer: int | None = None
    head: int | None = None
    tower: Tower = "language"

    def __post_init__(self) -> None:
        _check_component(self.component)
        if self.component == "projector":
            object.__setattr__(self, "tower", "projector")
        elif self.tower == "projector":
            raise SiteError(f"tower 'projector' has one site, 'projector'; found component '{self.component}'")
        if self.tower not in TOWERS:
            raise SiteError(f"unknown tower '{self.tower}'; towers are 'language' (unwritten) and 'vision'")
        if (self.layer is None) != (self.component in LAYERLESS):
            wants = (
                "takes no layer" if self.component in LAYERLESS else "needs a layer, as in " + f"'{self.component}.3'"
            )
            raise SiteError(f"site '{self._write()}': component '{self.component}' {wants}")
        if self.layer is not None and self.layer < 0:
            raise SiteError(
                f"site '{self._write()}' has a negative layer: that is a pattern, which only a model can resolve; "
                "pass it where patterns are taken, or give the layer from 0"
            )
        if self.head is not None and self.component != "z":
            raise SiteError(
                f"site '{self._write()}' names a head, and '{self.component}' has none: heads live at 'z', the input "
                f"of the attention's output projection; write 'z.{self.layer}.{self.head}'"
            )
        if self.head is not None and self.head < 0:
            raise SiteError(f"site '{self._write()}' has a negative head; heads count from 0")

    @classmethod
    def parse(cls, text: SiteLike) -> Site:
        """Read one site from its string form; a pattern is refused."""
        if isinstance(text, Site):
            return text
        tower, component, layer, head = _split(text)
        for what, part in (("layer", layer), ("head", head)):
            if part is not None and not _INDEX.fullmatch(part):
                raise SiteError(f"'{text}' is a pattern ({what} '{part}'), and one site was asked for")
        return cls(
            component,
            None if layer is None else int(layer),
            None if head is None else int(head),
            tower,
        )

    @property
    def writable(self) -> bool:
        """False for ``resid_mid``: a write there would reach the MLP branch alone."""
        return self.component not in READ_ONLY

    @property
    def whole(self) -> Site:
        """The same place without the head: where the tensor that holds this site lives."""
        return self if self.head is None else Site(self.component, self.layer, None, self.tower)

    @property
    def order(self) -> tuple[int, int, int, int]:
        """Sort key: execution order within a forward pass."""
        layer = 10**9 if self.layer is None else self.layer
        return (
            TOWERS.index(self.tower),
            layer,
            COMPONENTS.index(self.component),
            -1 if self.head is None else self.head,
        )

    def __lt__(self, other: Site) -> bool:
        return self.order < other.order

    def _write(self) -> str:
        prefix = "" if self.tower in ("language", "projector") else f"{self.tower}/"
        parts = [self.component, *(str(p) for p in (self.layer, self.head) if p is not None)]
        return prefix + ".".join(parts)

    def __str__(self) -> str:
        return self._write()

    def __repr__(self) -> str:
        return f"Site('{self}')"


def resolve(patterns: Patterns, available: Iterable[Site]) -> list[Site]:
    """Resolve patterns against the sites that a model has, in execution order and without repeats.

    Parameters
    ----------
    patterns : str, Site, or several
        ``resid_post.*``, ``z.*.*``, ``mlp_out.2:8``, ``resid_post.-1``, ``vision/resid_post.*`` ...
        ``z.*`` names whole layers of heads, ``z.*.*`` each head.
    available : iterable of Site
        What the model has, one entry a head included.

    Returns
    -------
    list of Site

    Raises
    ------
    SiteError
        When a pattern is malformed or matches nothing; the message lists what there is.
    """
    have = sorted(set(available))
    if isinstance(patterns, (str, Site)):
        patterns = [patterns]
    chosen: set[Site] = set()
    for pattern in patterns:
        found = _match(pattern, have)
        chosen.update(found)
    if not chosen:
        raise SiteError("no site was asked for; give at least one, such as 'resid_post.*'")
    return sorted(chosen)


def covers(patterns: Patterns, site: Site, n_layers: int | None = None) -> bool:
    """Whether any of `patterns` names `site`; `n_layers` is needed for negative layers only."""
    if isinstance(patterns, (str, Site)):
        patterns = [patterns]
    for pattern in patterns:
        tower, component, layer, head = _split(pattern)
        if (tower, component) != (site.tower, site.component) or (head is None) != (site.head is None):
            continue
        if site.layer is not None and not _names(layer or "*", site.layer, n_layers, str(pattern), "layer"):
            continue
        if head is None or _names(head, site.head or 0, None, str(pattern), "head"):
            return True
    return False


def _names(part: str, index: int, size: int | None, pattern: str, what: str) -> bool:
    if part == "*":
        return True
    if "-" in part and size is None:
        raise SiteError(f"pattern '{pattern}' counts {what}s from the end, which needs a model; count from 0")
    numbers = range(index + 1 if size is None else size)
    if _INDEX.fullmatch(part):
        return int(part) in ((index,) if size is None else (index, index - size))
    found = _SLICE.fullmatch(part)
    if found is None:
        raise SiteError(f"pattern '{pattern}': cannot read {what} '{part}'; write a number, 'a:b', or '*'")
    start, stop = (int(x) if x else None for x in found.groups())
    return index in numbers[start:stop]


def _match(pattern: SiteLike, have: Sequence[Site]) -> list[Site]:
    tower, component, layer, head = _split(pattern)
    family = [s for s in have if s.component == component and s.tower == tower]
    if not family:
        raise SiteError(f"pattern '{pattern}': {why_absent(component, tower, have)}")
    if component in LAYERLESS:
        if layer is not None:
            raise SiteError(f"pattern '{pattern}': component '{component}' takes no layer")
        return family
    if layer is None:
        raise SiteError(
            f"pattern '{pattern}': component '{component}' needs a layer, as in '{component}.3' or '{component}.*'"
        )
    # Layers are counted over the tower, so that hybrid models, where some layers lack a component, count alike.
    layers = [s.layer for s in have if s.tower == tower and s.layer is not None]
    wanted = _indices(layer, max(layers) + 1, str(pattern), "layer")
    found = [s for s in family if s.layer in wanted]
    if head is None:
        found = [s for s in found if s.head is None]
    else:
        if component != "z":
            raise SiteError(
                f"pattern '{pattern}' names a head, and '{component}' has none: heads live at 'z', as in 'z.{layer}.{head}'"
            )
        heads = [s.head for s in family if s.head is not None]
        chosen = _indices(head, max(heads, default=-1) + 1, str(pattern), "head")
        found = [s for s in found if s.head is not None and s.head in chosen]
    if not found:
        raise SiteError(
            f"pattern '{pattern}' matches no site; '{component}' is present at "
            f"{_spell({s.layer for s in family if s.layer is not None})}"
        )
    return found


def _split(text: SiteLike) -> tuple[Tower, str, str | None, str | None]:
    text = str(text)
    match = _GRAMMAR.fullmatch(text)
    if match is None:
        raise SiteError(
            f"cannot read site '{text}'; the form is [tower/]component[.layer[.head]], "
            "as in 'resid_post.14', 'z.14.3', 'vision/resid_post.5', 'projector'"
        )
    tower, component, layer, head = match.group("tower", "component", "layer", "head")
    _check_component(component)
    if component == "projector":
        if tower is not None:
            raise SiteError(f"site '{text}': 'projector' stands alone, without a tower")
        return "projector", component, layer, head
    tower = tower or "language"
    if tower not in ("language", "vision"):
        raise SiteError(f"unknown tower '{tower}' in '{text}'; towers are 'language' (unwritten) and 'vision'")
    return tower, component, layer, head


def _check_component(component: str) -> None:
    if component in COMPONENTS:
        return
    near = difflib.get_close_matches(component, COMPONENTS, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    raise SiteError(f"unknown component '{component}'; {hint}components are {', '.join(COMPONENTS)}")


def _indices(part: str, size: int, pattern: str, what: str) -> range | tuple[int, ...]:
    if part == "*":
        return range(size)
    if _INDEX.fullmatch(part):
        index = int(part)
        real = index + size if index < 0 else index
        if not 0 <= real < size:
            raise SiteError(
                f"pattern '{pattern}': {what} {index} was asked for, and there are {size} ({what}s 0 to {size - 1})"
            )
        return (real,)
    found = _SLICE.fullmatch(part)
    if found is None:
        raise SiteError(f"pattern '{pattern}': cannot read {what} '{part}'; write a number, 'a:b', or '*'")
    start, stop = (int(x) if x else None for x in found.groups())
    chosen = range(size)[start:stop]
    beyond = any(edge is not None and not -size <= edge <= size for edge in (start, stop))
    if not chosen or beyond:
        raise SiteError(
            f"pattern '{pattern}': {what}s {part} were asked for, and there are {size} ({what}s 0 to {size - 1})"
        )
    return chosen


def why_absent(component: str, tower: Tower, have: Sequence[Site]) -> str:
    """Say that a component is not there, and what is."""
    here = sorted({s.component for s in have if s.tower == tower}, key=COMPONENTS.index)
    if not here:
        towers = sorted({s.tower for s in have})
        return f"this model has no {tower} tower that could be addressed; it has {', '.join(towers)}"
    return f"this model has no '{component}' in its {tower} tower; it has {', '.join(here)}"


def _spell(layers: set[int]) -> str:
    return "layers " + ", ".join(map(str, sorted(layers))) if layers else "no layer"


def by_whole(sites: Iterable[Site]) -> Iterator[tuple[Site, list[Site]]]:
    """Group sites by the tensor that holds them: heads of one layer come together."""
    groups: dict[Site, list[Site]] = {}
    for site in sites:
        groups.setdefault(site.whole, []).append(site)
    for whole in sorted(groups):
        yield whole, groups[whole]
