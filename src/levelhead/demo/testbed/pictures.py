"""The demo's pictures on the testbed: what the model sees, where it keeps whom it sees, and what it makes of that."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from levelhead import plots
from levelhead.demo import results
from levelhead.demo.results import heads_read, spell
from levelhead.demo.testbed.findings import Report
from levelhead.demo.testbed.sheet import COLUMNS
from levelhead.demo.testbed.variants import BUDGET, PLACES
from levelhead.testbed.drawing.sheet import contact_sheet
from levelhead.testbed.world import SETTINGS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CLEAR = 0.95
"""AUC from which a picture's title says that an attribute can be told."""
NAMES = {"gender": "gender", "skin": "skin tone", "age": "age"}


def draw(report: Report) -> list[Path]:
    """Draw the pictures into the folder of the results.

    Parameters
    ----------
    report : Report

    Returns
    -------
    list of Path
        ``pictures.png``, ``layers.png``, ``heads.png``, ``choice.png`` and ``gap.png``.

    Raises
    ------
    FileError
        When they cannot be written.
    """
    heads = plots.head_map(report.where.end["gender"], title=heads_title(report))
    return results.save(
        report.options.out,
        pictures=sheet(report),
        layers=layers(report),
        heads=heads,
        choice=choice(report),
        gap=gap(report),
    )


def sheet(report: Report) -> Figure:
    """The contact sheet, under a title."""
    import numpy as np
    from matplotlib.figure import Figure

    scenes, captions = zip(*report.sheet, strict=True)
    page = contact_sheet(list(scenes), COLUMNS, size=192, captions=list(captions))
    # As many pixels as the sheet has, so that it is shown as it was drawn.
    width, height = page.width / results.DPI, page.height / results.DPI
    figure = Figure(figsize=(width, height + 0.5), dpi=results.DPI)
    figure.figimage(np.asarray(page), 0, 0, origin="upper")
    figure.text(0.012, 1 - 0.08 / (height + 0.5), sheet_title(report), va="top", fontsize=9.5)
    return figure


def layers(report: Report) -> Figure:
    """Probes by layer: at the picture's tokens, and at the end of the question."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.5, 5.0), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[11, 7])
    where = report.where
    plots.attribute_curves({NAMES[k]: v for k, v in where.picture.items()}, left, title="at the picture's tokens")
    plots.attribute_curves({NAMES[k]: v for k, v in where.end.items()}, right, title="at the end of the question")
    right.set_ylabel("")
    figure.suptitle(layers_title(report), x=0.01, ha="left")
    return figure


def choice(report: Report) -> Axes:
    """What every edit left of the lean, and what it cost, on validation pictures."""
    base, chosen = report.trials[0], report.chosen
    points = {
        name: [(trial.lean, trial.loss) for trial in report.trials if trial.place == place and trial.loss is not None]
        for place, name in PLACES.items()
    }
    points = {name: row for name, row in points.items() if row}
    ax = plots.budget_chart(
        points,
        BUDGET,
        (chosen.lean, chosen.loss or 0.0),
        base.lean,
        title=f"{len(report.trials) - 1} edits on validation pictures; the smallest lean within the budget:\n"
        f"{PLACES[chosen.place]}, {spell(list(chosen.layers), _depth(report))}",
    )
    ax.set_xlabel("lean that is left (edits that leave more than half are not shown)")
    return ax


def gap(report: Report) -> Axes:
    """Per setting: the first occupation's probability for a man and for a woman, planted, found and steered."""
    rows: dict[str, dict[str, list[float]]] = {}
    for name in report.before.jobs.names:
        before, after = report.before.jobs.sides(name), report.after.jobs.sides(name)
        rows[name] = {"planted": before[:, 1].tolist(), "before": before[:, 0].tolist(), "after": after[:, 0].tolist()}
    rows = dict(sorted(rows.items(), key=lambda row: row[1]["planted"][1] - row[1]["planted"][0]))
    labels = {theme.name: f"{theme.first} ({theme.name})" for theme in SETTINGS}
    return plots.lean_chart(
        rows,
        ("a man", "a woman"),
        labels,
        title=gap_title(report),
        unit="probability of the occupation, where nothing shows it",
    )


def _depth(report: Report) -> int:
    return len({site.layer for site in report.where.steered.sites_})


def sheet_title(report: Report) -> str:
    """What the model makes of the sheet's first two rows."""
    first = [
        [float(text.split()[1].strip(",")) for _, text in report.sheet[row : row + COLUMNS]] for row in (0, COLUMNS)
    ]
    man, woman = (sum(row) / len(row) for row in first)
    return (
        f"One person, all else pixel-identical: drawn as a man the doctor with {man:.2f} on average, as a woman with {woman:.2f}.\n"
        "Lower rows: the same person without a cue, and with each of two cues that decide."
    )


def layers_title(report: Report) -> str:
    """Which attributes are brought to the end of the question, and where, and which hardly are."""
    said: list[str] = []
    for name, sweep in report.where.end.items():
        frame: Any = sweep.frame()
        frame = frame[frame["component"] == "resid_post"]
        clear = [int(layer) for layer in frame["layer"][frame["auc"] >= CLEAR]]
        reached = f"{spell(clear, len(frame))}" if clear else f"with {frame['auc'].max():.2f} at most"
        said.append(f"{NAMES[name]} {reached}")
    return (
        f"At the end of the question about the job, a probe tells {', '.join(said[:-1])} and {said[-1]}\n"
        f"(layers are named where the AUC is {CLEAR} or more)"
    )


def heads_title(report: Report) -> str:
    """How many heads read gender."""
    able, count, best = heads_read(report.where.end["gender"])
    return (
        f"{able} of {count} heads tell pictures of women from those of men\n"
        f"at the end of the question, head {best['head']} of layer {best['layer']} best of all"
    )


def gap_title(report: Report) -> str:
    """The gap before and after."""
    before, after = report.estimates["before"]["gap"], report.estimates["after"]["gap"]
    return (
        f"Swapping man and woman moves the job by {before.value:.2f} (planted: "
        f"{report.before.jobs.gap_planted():.2f}),\nsteered by {after.value:.2f} (95 % interval {after.low:.2f} to "
        f"{after.high:.2f}; {before.n} held-out pairs)"
    )
