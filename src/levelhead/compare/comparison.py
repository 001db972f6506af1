"""What a comparison of two models found, site by site."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from levelhead.capture import Activations
from levelhead.compare.attributes import Contrast
from levelhead.errors import InputError
from levelhead.sites import Patterns, resolve
from levelhead.steer import Steer

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two models on the same inputs; made by `levelhead.compare`.

    Attributes
    ----------
    before, after : Activations
        Row by row the same inputs.
    labels : dict of str to list
        By attribute, one an input.
    contrasts : tuple of Contrast
        What was probed: one for an attribute of two classes, else one a class.
    columns : dict of str to list
        What `frame` shows.
    confidence : float
        Of all intervals and bands.
    facts : dict
        Models, settings and sizes, for `record`.
    """

    before: Activations
    after: Activations
    labels: Mapping[str, list[Any]]
    contrasts: tuple[Contrast, ...]
    columns: Mapping[str, list[Any]]
    confidence: float = 0.95
    facts: dict[str, Any] = field(default_factory=dict)

    def frame(self) -> pd.DataFrame:
        """A row a contrast and site, in execution order; the columns are described at `levelhead.compare`."""
        import pandas as pd

        return pd.DataFrame(dict(self.columns)).astype({"layer": "Int64", "head": "Int64"})

    def of(self, attribute: str | None = None, positive: str | None = None) -> pd.DataFrame:
        """The rows of one contrast.

        Parameters
        ----------
        attribute : str, optional
            The first one when left out.
        positive : str, optional
            Of an attribute of more than two classes, the one set against the rest.

        Raises
        ------
        InputError
            For an attribute or a class that was not compared.
        """
        known = list(dict.fromkeys(each.attribute for each in self.contrasts))
        attribute = known[0] if attribute is None else attribute
        classes = [each.positive for each in self.contrasts if each.attribute == attribute]
        if not classes:
            raise InputError(f"attribute '{attribute}' was not compared; there are {', '.join(known)}")
        positive = classes[0] if positive is None else str(positive)
        if positive not in classes:
            raise InputError(f"'{positive}' is no side of attribute '{attribute}'; there are {', '.join(classes)}")
        frame: Any = self.frame()
        return frame[(frame["attribute"] == attribute) & (frame["positive"] == positive)].reset_index(drop=True)

    def summary(self) -> str:
        """Where the models differ, in words."""
        from levelhead.compare.words import summary

        return summary(self)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        attribute: str | None = None,
        positive: str | None = None,
        component: str = "resid_post",
        what: str = "probes",
        title: str = "",
    ) -> Axes:
        """Draw curves by layer, of what probes read or of how alike the models are; see `levelhead.plots.compared_curves`."""
        from levelhead.plots.compared import compared_curves

        return compared_curves(
            self, ax, attribute=attribute, positive=positive, component=component, what=what, title=title
        )

    def plot_heads(
        self,
        ax: Axes | None = None,
        *,
        attribute: str | None = None,
        positive: str | None = None,
        what: str = "change",
        title: str = "",
    ) -> Axes:
        """Draw a map of one number, layer by head; see `levelhead.plots.compared_heads`."""
        from levelhead.plots.compared import compared_heads

        return compared_heads(self, ax, attribute=attribute, positive=positive, what=what, title=title)

    def steer(
        self,
        sites: Patterns,
        *,
        attribute: str | None = None,
        of: Any = None,
        scope: str = "all",
    ) -> Steer:
        """The mean change at one place as a steer for the model before: strength 1 adds what training added on average.

        Parameters
        ----------
        sites : patterns
            One place, or several heads of one layer. What changes at a later place holds what earlier changes pass on;
            `levelhead.model_difference` fits several places one after the other.
        attribute : str, optional
            Whose label `of` is; the first one when left out.
        of : optional
            Only the inputs with this label.
        scope : str
            Which tokens are written.

        Returns
        -------
        Steer
            `Add` edits.

        Raises
        ------
        InputError
            For several places, a label that no input has, or a place where nothing differs.
        SiteError
            For a site that was not compared.
        """
        from levelhead.compare.difference import difference

        wanted = resolve(sites, self.before.sites)
        places = {site.whole for site in wanted}
        if len(places) > 1:
            raise InputError(
                f"{len(places)} places were asked for, '{min(places)}' to '{max(places)}', and the change at a later one "
                "holds what the earlier ones pass on; give one place, or use levelhead.model_difference"
            )
        before, after = self.before.select(wanted), self.after.select(wanted)
        facts = {name: self.facts[name] for name in ("before", "after") if name in self.facts}
        if of is not None:
            attribute = next(iter(self.labels)) if attribute is None else attribute
            if attribute not in self.labels:
                raise InputError(f"attribute '{attribute}' was not compared; there are {', '.join(self.labels)}")
            rows = [i for i, label in enumerate(self.labels[attribute]) if label == of]
            if not rows:
                known = ", ".join(sorted({repr(label) for label in self.labels[attribute]}))
                raise InputError(f"no input has {attribute} {of!r}; there are {known}")
            before, after = before.rows(rows), after.rows(rows)
            facts["only"] = {attribute: str(of)}
        return difference(before, after, scope, facts)

    def record(self) -> dict[str, Any]:
        """Everything as plain values, for a file; a number that the data do not determine is None."""
        frame: Any = self.frame()
        rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
        return {**self.facts, "confidence": self.confidence, "rows": [_finite(row) for row in rows]}


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
