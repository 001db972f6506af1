"""Tables beside the figures: how steers were selected, and how alike their vectors are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from levelhead.align import cosines
from levelhead.steer import Steer
from levelhead.tradeoff import Selection

if TYPE_CHECKING:
    import pandas as pd


def trials(selection: Selection, n: int = 8) -> pd.DataFrame:
    """Tabulate the candidates of a selection whose costs were measured, each at its best allowed strength, the best first.

    Parameters
    ----------
    selection : Selection
    n : int
        Rows.

    Returns
    -------
    pandas.DataFrame
    """
    frame = selection.frame()
    looked = frame[frame["allowed"].notna()].astype({"allowed": bool})
    order = looked.sort_values(["allowed", "bias", "strength"], ascending=[False, True, True])
    return order.drop_duplicates("candidate").head(n).reset_index(drop=True)


def beside(steer: Steer, others: Mapping[str, Steer]) -> pd.DataFrame:
    """Tabulate the cosines of one steer's direction with those of others, a row a site.

    Parameters
    ----------
    steer : Steer
        With one direction a site.
    others : mapping of str to Steer
        Which have a direction at the same sites.

    Returns
    -------
    pandas.DataFrame
    """
    import pandas as pd

    found = {name: cosines(steer, other) for name, other in others.items()}
    sites = sorted({site for each in found.values() for site in each})
    return pd.DataFrame(
        [{"site": str(site), **{name: each.get(site) for name, each in found.items()}} for site in sites]
    )
