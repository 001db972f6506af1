"""The demo's three pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from levelhead import plots
from levelhead.demo import results
from levelhead.demo.results import heads_read, spell
from levelhead.demo.smollm2.findings import Report
from levelhead.demo.smollm2.sentences import occupations


def draw(report: Report) -> list[Path]:
    """Draw the pictures into the folder of the results.

    Parameters
    ----------
    report : Report

    Returns
    -------
    list of Path
        ``layers.png``, ``heads.png`` and ``gap.png``.

    Raises
    ------
    FileError
        When they cannot be written.
    """
    curve = plots.layer_curve(report.sweep, report.alignment, title=_layers_title(report))
    curve.set_ylabel("ROC AUC on names never seen")
    heads = plots.head_map(report.sweep, title=_heads_title(report))
    gap = plots.pronoun_gap(
        report.before.jobs.by_unit(),
        report.after.jobs.by_unit(),
        {job.name: job.percent_women for job in occupations("test")},
        title=_gap_title(report),
    )
    return results.save(report.options.out, layers=curve, heads=heads, gap=gap)


def _layers_title(report: Report) -> str:
    frame: Any = report.alignment.frame()
    probe: Any = report.sweep.frame().set_index("site").loc[list(frame["site"])]
    layers = [int(layer) for layer in frame["layer"]]
    read = (frame["auc"] > report.sweep.threshold_).tolist()
    # The direction reads as the probe does where its score lies inside of the probe's interval.
    agree = (frame["auc_along"].to_numpy() >= probe["auc_low"].to_numpy()).tolist()
    reads, agrees = (
        spell([n for n, does in zip(layers, said, strict=True) if does], len(layers)) for said in (read, agree)
    )
    return (
        f"Whether a named person is perceived as a woman or a man can be read\n{reads}; the steer's direction matches "
        f"the probe {agrees}"
    )


def _heads_title(report: Report) -> str:
    able, count, best = heads_read(report.sweep)
    return (
        f"{able} of {count} heads tell she-names from he-names,\n"
        f"head {best['head']} of layer {best['layer']} best of all"
    )


def _gap_title(report: Report) -> str:
    before, after = report.estimates["before"]["gap"], report.estimates["after"]["gap"]
    return (
        f"The pronoun gap: {before.value:.2f} nats as the model is, {after.value:.2f} steered\n"
        f"(95 % interval {after.low:.2f} to {after.high:.2f}; occupations kept apart)".replace("-", "\N{MINUS SIGN}")
    )
