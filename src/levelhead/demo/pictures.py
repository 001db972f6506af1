"""The demo's three pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from levelhead import plots
from levelhead.demo.findings import Report
from levelhead.demo.sentences import occupations
from levelhead.errors import FileError


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
    out = report.options.out
    before, after = report.estimates["before"]["gap"], report.estimates["after"]["gap"]
    curve = plots.layer_curve(
        report.sweep,
        report.alignment,
        title=(
            "Whether a named person is perceived as a woman or a man can be read from\n"
            "early on; the direction that steers the pronoun reads it only late"
        ),
    )
    curve.set_ylabel("ROC AUC on names never seen")
    best = report.sweep.best(1, "z")[0]
    heads = plots.head_map(
        report.sweep, title=f"Nearly every head can tell;\nhead {best.head} of layer {best.layer} does best"
    )
    gap = plots.pronoun_gap(
        report.before.jobs.by_unit(),
        report.after.jobs.by_unit(),
        {job.name: job.percent_women for job in occupations("test")},
        title=(
            f"Steering at one layer takes the pronoun gap from {before.value:.2f} to {after.value:.2f} nats\n"
            f"(95 % interval {after.low:+.2f} to {after.high:+.2f}), on occupations and sentences kept apart"
        ),
    )
    try:
        out.mkdir(parents=True, exist_ok=True)
        paths: list[Path] = []
        for name, axes in (("layers", curve), ("heads", heads), ("gap", gap)):
            path = out / f"{name}.png"
            figure: Any = axes.figure
            figure.savefig(path, dpi=150)
            paths.append(path)
    except OSError as error:
        raise FileError(f"cannot write pictures into '{out}': {error.strerror or error}") from error
    return paths
