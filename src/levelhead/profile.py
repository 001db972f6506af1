"""Where a steer acts: how much it writes at each site, how many neurons it leaves alone, and which heads it reaches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from levelhead.capture import Activations
from levelhead.edits import Affine, Edit
from levelhead.errors import InputError
from levelhead.graph import graph
from levelhead.operators import OPERATORS
from levelhead.projections import Projections, projections
from levelhead.sites import Site
from levelhead.steer import Entry, Steer

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Grouping = Literal["layer", "component", "part"]
Reached = Literal["relative", "shift_relative", "scale_relative", "gain"]


@dataclass(frozen=True)
class Mass:
    """How much one edit writes.

    Attributes
    ----------
    site : Site
    kind : str
        Of the edit.
    neurons : int
        Size of the vectors; for a sparse edit whose model is not known, of what it names.
    touched, scaled, shifted : int
        Neurons that anything is written to; that are scaled (or get a mixture of others); that are shifted.
    scale_l1, scale_l2 : float
        Norms of what multiplies the activation, over neurons.
    shift_l1, shift_l2 : float
        Norms of what is added, in the activation's units.
    """

    site: Site
    kind: str
    neurons: int
    touched: int
    scaled: int
    shifted: int
    scale_l1: float
    scale_l2: float
    shift_l1: float
    shift_l2: float

    @property
    def l1(self) -> float:
        """Of both parts together, as the penalty of arXiv 2512.15926 (eq. B.3) counts them."""
        return self.scale_l1 + self.shift_l1


@dataclass(frozen=True)
class Reach:
    """How much of what is written at an ``ln1`` arrives in one head's projection.

    With W the head's rows of the projection and m(h) = A h + b what is written at the norm's output h:

    Attributes
    ----------
    site : Site
    projection : {"q", "k", "v"}
    head : int
        Of the projection; with grouped queries, keys and values have fewer.
    serves : int
        Query heads that use it.
    shift : float
        ``|W b|``, in the projection's units.
    gain : float
        ``|W b| / (|b| |W|_F / sqrt(d))``: 1 where W passes on as much of b as it does of directions at random.
    relative, scale_relative, shift_relative : float
        Root mean square of ``|W m(h)|``, of ``|W A h|`` and of ``|W b|``, each by that of ``|W h|``. Over given activations
        or, without them, by the norm's own weight and bias, taking its normalized coordinates as uncorrelated.
    """

    site: Site
    projection: str
    head: int
    serves: int
    shift: float
    gain: float
    relative: float
    scale_relative: float
    shift_relative: float


@dataclass(frozen=True)
class Profile:
    """Where a steer acts; made by `levelhead.Steer.profile`.

    Attributes
    ----------
    masses : tuple of Mass
        One an edit, in the steer's order.
    reaches : tuple of Reach
        For each head that reads an edited ``ln1``; empty without a model.
    """

    masses: tuple[Mass, ...]
    reaches: tuple[Reach, ...] = ()

    @property
    def untouched(self) -> float:
        """Share of the neurons at the steer's sites that it leaves exactly as they are."""
        return 1 - sum(mass.touched for mass in self.masses) / sum(mass.neurons for mass in self.masses)

    def frame(self) -> pd.DataFrame:
        """A row an edit.

        Returns
        -------
        DataFrame
            ``site, tower, component, layer, head, edit, neurons``; ``untouched``, share of them; ``scale_l1, scale_l2,
            shift_l1, shift_l2, l1, l2``; ``share`` of the steer's whole ``l1``.
        """
        import pandas as pd

        whole = sum(mass.l1 for mass in self.masses)
        rows = [
            {
                **_place(mass.site),
                "edit": mass.kind,
                "neurons": mass.neurons,
                "untouched": 1 - mass.touched / mass.neurons,
                **{name: getattr(mass, name) for name in ("scale_l1", "scale_l2", "shift_l1", "shift_l2", "l1")},
                "l2": (mass.scale_l2**2 + mass.shift_l2**2) ** 0.5,
                "share": mass.l1 / whole if whole else 0.0,
            }
            for mass in self.masses
        ]
        return pd.DataFrame(rows).astype({"layer": "Int64", "head": "Int64"})

    def by(self, what: Grouping) -> pd.DataFrame:
        """Sums by layer, by component (the kind of norm), or by part (scale and shift).

        Parameters
        ----------
        what : {"layer", "component", "part"}

        Returns
        -------
        DataFrame
            Indexed by the groups, with ``neurons, untouched, l1, l2, share``. Sites without a layer are in no layer's row.

        Raises
        ------
        InputError
            For another grouping.
        """
        import pandas as pd

        groups: dict[Any, list[tuple[int, int, float, float]]] = {}
        for mass in self.masses:
            if what == "part":
                groups.setdefault("scale", []).append((mass.neurons, mass.scaled, mass.scale_l1, mass.scale_l2))
                groups.setdefault("shift", []).append((mass.neurons, mass.shifted, mass.shift_l1, mass.shift_l2))
            elif what in ("layer", "component"):
                key = mass.site.layer if what == "layer" else _component(mass.site)
                if key is not None:
                    l2 = (mass.scale_l2**2 + mass.shift_l2**2) ** 0.5
                    groups.setdefault(key, []).append((mass.neurons, mass.touched, mass.l1, l2))
            else:
                raise InputError(f"a profile is summed by 'layer', 'component' or 'part'; found {what!r}")
        whole = sum(mass.l1 for mass in self.masses)
        rows = {
            key: {
                "neurons": sum(each[0] for each in members),
                "untouched": 1 - sum(each[1] for each in members) / sum(each[0] for each in members),
                "l1": sum(each[2] for each in members),
                "l2": sum(each[3] ** 2 for each in members) ** 0.5,
                "share": sum(each[2] for each in members) / whole if whole else 0.0,
            }
            for key, members in groups.items()
        }
        found = pd.DataFrame.from_dict(rows, orient="index")
        found.index.name = what
        return found.sort_index() if what == "layer" else found

    def heads(self) -> pd.DataFrame:
        """A row for each head's projection that reads an edited ``ln1``; columns as in `Reach`.

        Raises
        ------
        InputError
            Without a model, or if no ``ln1`` is edited.
        """
        import pandas as pd

        self._check_heads()
        names = ("projection", "head", "serves", "shift", "gain", "relative", "scale_relative", "shift_relative")
        rows = [{**_place(reach.site), **{name: getattr(reach, name) for name in names}} for reach in self.reaches]
        return pd.DataFrame(rows).drop(columns=["component"]).astype({"layer": "Int64"})

    def plot(self, ax: Axes | None = None, *, title: str = "") -> Axes:
        """Draw l1 mass by layer and component, scale and shift apart; see `levelhead.plots.profile_chart`."""
        from levelhead.plots.profiles import profile_chart

        return profile_chart(self, ax, title=title)

    def plot_heads(self, ax: Axes | None = None, *, what: Reached = "relative", title: str = "") -> Axes:
        """Draw a map of what reaches each head; see `levelhead.plots.reach_map`."""
        from levelhead.plots.profiles import reach_map

        return reach_map(self, ax, what=what, title=title)

    def _check_heads(self) -> None:
        if not self.reaches:
            edited = ", ".join(sorted({_component(mass.site) for mass in self.masses}))
            raise InputError(
                "nothing is known of heads: give the model, steer.profile(model), and steer an 'ln1', which is what heads read; "
                f"this steer edits {edited}"
            )


def profile(steer: Steer, model: Any = None, acts: Activations | None = None, processor: Any = None) -> Profile:
    """See `levelhead.Steer.profile`."""
    if isinstance(steer.strength, Tensor) or any(isinstance(entry.strength, Tensor) for entry in steer):
        raise InputError("this steer has one strength a row; a profile is of one strength, so profile it before that")
    on = None if model is None else graph(model, processor)
    if on is not None:
        steer.check(on)
    elif acts is not None:
        raise InputError("activations say what reaches heads of a model; give the model as well")
    widths = {site: on.locate(site).width for site in steer.sites} if on is not None else {}
    masses = tuple(_mass(entry, float(steer.strength * entry.strength), widths.get(entry.site)) for entry in steer)
    reaches: list[Reach] = []
    for site in steer.sites:
        if on is not None and site.component == "ln1":
            steps = [(entry.edit, float(steer.strength * entry.strength)) for entry in steer if entry.site == site]
            reaches += _reaches(site, _Written(steps), projections(on, site), None if acts is None else acts[site])
    return Profile(masses, tuple(reaches))


def _mass(entry: Entry, strength: float, width: int | None) -> Mass:
    edit = entry.edit
    scale, shift = _per_neuron(edit, strength, edit.width or width or edit.min_width)
    used = (scale != 0) | (shift != 0)
    counts = (int(used.sum()), int((scale != 0).sum()), int((shift != 0).sum()))
    norms = [float(each.norm(p=p)) for each in (scale, shift) for p in (1, 2)]
    return Mass(entry.site, edit.kind, len(scale), *counts, *norms)


def _per_neuron(edit: Edit, strength: float, width: int) -> tuple[Float[Tensor, " d"], Float[Tensor, " d"]]:
    """Sizes of what multiplies the activation and of what is added, neuron by neuron."""
    params = {name: value.detach().cpu() for name, value in edit.params.items()}
    if isinstance(edit, Affine):
        where = params.get("index", torch.arange(width))
        found = [torch.zeros(width, dtype=torch.float64) for _ in range(2)]
        for out, name in zip(found, ("scale", "shift"), strict=True):
            if name in params:
                out[where] = strength * params[name].double()
        return found[0].abs(), found[1].abs()
    if "target" in params:
        # Where it goes depends on the vector: at most 2 sin(angle / 2) of its length, over all neurons alike.
        size = abs(2 * torch.sin(strength * params["angle"].double() / 2)) / width**0.5
        return size.expand(width), torch.zeros(width, dtype=torch.float64)
    matrix, shift = _Written([(edit, strength)]).linear(width)
    return matrix.norm(dim=1), shift.abs()


class _Written:
    """What the edits of one site write, one after the other."""

    def __init__(self, steps: list[tuple[Edit, float]]) -> None:
        self.steps = steps

    def __call__(self, h: Float[Tensor, "*row d"]) -> Float[Tensor, "*row d"]:
        new = h
        for edit, strength in self.steps:
            params = {
                name: value.detach().cpu() if value.dtype == torch.long else value.detach().cpu().to(h)
                for name, value in edit.params.items()
            }
            new = OPERATORS[edit.kind](new, strength, params)
        return new - h

    @property
    def is_linear(self) -> bool:
        """Whether the same is written wherever h is, up to a linear map."""
        return not any("target" in edit.params for edit, _ in self.steps)

    @property
    def is_diagonal(self) -> bool:
        """Whether each neuron's share depends on that neuron alone."""
        return all(edit.kind in ("affine", "add") for edit, _ in self.steps)

    def linear(self, width: int) -> tuple[Float[Tensor, "d d"], Float[Tensor, " d"]]:
        """A and b of A h + b."""
        shift = self(torch.zeros(1, width, dtype=torch.float64))[0]
        return (self(torch.eye(width, dtype=torch.float64)) - shift).T, shift

    def through(self, weights: Float[Tensor, "*row d"]) -> tuple[Float[Tensor, "*row d"], Float[Tensor, " d"]]:
        """W A and b."""
        width = weights.shape[-1]
        if not self.is_diagonal:
            matrix, shift = self.linear(width)
            return weights @ matrix, shift
        shift, whole = self(torch.tensor([0.0, 1.0], dtype=torch.float64)[:, None].expand(2, width))
        return weights * (whole - shift), shift


def _reaches(site: Site, written: _Written, found: Projections, acts: Tensor | None) -> list[Reach]:
    if not written.is_linear:
        raise InputError(
            f"the edit at '{site}' turns each vector towards a target along its own way, which no projection of fixed weights tells"
        )
    center, spread = found.norm_shift.double(), found.norm_scale.double()
    rows: list[Reach] = []
    for name, weights in found.weights.items():
        w = weights.double()
        wa, shift = written.through(w)
        added = w @ shift
        if acts is None:
            # E|W (center + spread * noise)|^2 is |W center|^2 + |W spread|_F^2.
            usual, scaled = (_size(each @ center, each * spread) for each in (w, wa))
            both = _size(wa @ center + added, wa * spread)
        else:
            h = acts.double().cpu()
            usual, scaled, both = (
                (h @ each.mT + plus[:, None]).square().sum(2).mean(1).sqrt()
                for each, plus in ((w, 0 * added), (wa, 0 * added), (wa, added))
            )
        length, shifted = shift.norm(), added.norm(dim=1)
        gain = shifted / (length * w.flatten(1).norm(dim=1) / len(shift) ** 0.5)  # NaN without a shift
        numbers = torch.stack([shifted, gain, both / usual, scaled / usual, shifted / usual], dim=1).tolist()
        serves = len(found.weights["q"]) // len(w)
        rows += [Reach(site, name, head, serves, *each) for head, each in enumerate(numbers)]
    return rows


def _size(mean: Float[Tensor, "head d_head"], spread: Float[Tensor, "head d_head d"]) -> Float[Tensor, " head"]:
    return (mean.square().sum(1) + spread.square().sum((1, 2))).sqrt()


def _component(site: Site) -> str:
    return site.component if site.tower != "vision" else f"vision/{site.component}"


def _place(site: Site) -> dict[str, Any]:
    return {
        "site": str(site),
        "tower": site.tower,
        "component": site.component,
        "layer": site.layer,
        "head": site.head,
    }
