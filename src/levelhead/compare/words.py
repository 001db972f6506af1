"""A comparison in words: what moved, what can still be read, and what was turned."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from levelhead.compare.comparison import Comparison

_STILL = 1e-6  # in shares of the usual norm


def summary(comparison: Comparison) -> str:
    """See `levelhead.compare.Comparison.summary`."""
    frame: Any = comparison.frame()
    facts = comparison.facts
    one = comparison.of()
    heads = int(one["head"].notna().sum())
    kinds = [_count(len(one) - heads, "site")] * (heads < len(one)) + [_count(heads, "head")] * (heads > 0)
    grouped = f" in {facts['n_groups']:,} groups" if facts["n_groups"] < facts["n"] else ""
    lines = [f"{facts['n']:,} inputs{grouped}, read at {' and '.join(kinds)}.", _moved(one)]
    level = 1 - comparison.confidence
    for contrast in comparison.contrasts:
        rows = frame[(frame["attribute"] == contrast.attribute) & (frame["positive"] == contrast.positive)]
        name = f"{contrast.attribute} ({contrast.positive} against {contrast.negative})"
        lines += [f"{name}: {_read(rows, level)} {_turned(rows)}"]
    return "\n".join(lines)


def _moved(rows: Any) -> str:
    moving = rows[rows["moved"] > _STILL]
    if not len(moving):
        return "No activation moved: the two models compute the same here."
    first, most = moving.iloc[0], rows.loc[rows["moved"].idxmax()]
    start = (
        f"Nothing moved before {first['site']}. "
        if len(moving) < len(rows) and first["site"] != rows.iloc[0]["site"]
        else ""
    )
    added = most["moved_mean"] / most["moved"]
    return (
        f"{start}Activations moved most at {most['site']}: by {most['moved']:.0%} of their norm (CKA {_ranged(most, 'cka')}); "
        f"{added:.0%} of that is one shift of all inputs."
    )


def _read(rows: Any, level: float) -> str:
    sure = rows[rows["change_p"] <= level]
    falls, rises = int((sure["change"] < 0).sum()), int((sure["change"] > 0).sum())
    largest = rows.loc[rows["change"].abs().idxmax()]
    said = (
        f"new probes read it worse at {falls} and better at {rises} of {len(rows)} sites (p corrected for their number); "
        f"the largest change is at {largest['site']}, AUC {largest['before']:.2f} to {largest['after']:.2f} "
        f"({_ranged(largest, 'change', '+')})."
    )
    lost = rows[(rows["transfer_change_p"] <= level) & (rows["transfer_change"] < 0) & ~rows.index.isin(sure.index)]
    if len(lost):
        worst = lost.loc[lost["transfer_change"].idxmin()]
        said += (
            f" At {_count(len(lost), 'site')} it is still there and the probes from before no longer find it as well, most at "
            f"{worst['site']} (AUC {worst['transfer']:.2f}): it was moved, not removed."
        )
    return said


def _turned(rows: Any) -> str:
    known = rows[rows["cosine"].notna()]
    if not len(known):
        return ""
    least = known.loc[known["cosine"].idxmin()]
    below = int((known["cosine_high"] < known["cosine_shuffled_low"]).sum())
    resized = known.loc[known["length_ratio"].clip(lower=1e-9).map(math.log).abs().idxmax()]
    return (
        f"The difference of class means turned most at {least['site']}, cosine {_ranged(least, 'cosine')} where other "
        f"contrasts of the same inputs have {least['cosine_shuffled_low']:.2f} to {least['cosine_shuffled_high']:.2f}; it "
        f"turned more than they did at {_count(below, 'site')}. Its length changed most at {resized['site']}, to "
        f"{_ranged(resized, 'length_ratio')} of what it was."
    )


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _ranged(row: Any, name: str, sign: str = "") -> str:
    return f"{row[name]:{sign}.2f} [{row[f'{name}_low']:{sign}.2f}, {row[f'{name}_high']:{sign}.2f}]"
