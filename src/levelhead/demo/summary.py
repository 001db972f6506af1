"""The demo's findings, printed: what was asked, the number with its interval, and what it stands beside."""

from __future__ import annotations

import time

from rich.console import Console
from rich.table import Table

from levelhead.demo.findings import Report
from levelhead.demo.measure import Estimate
from levelhead.demo.sentences import occupations

LIMITS = (
    "One small model, English, one kind of sentence. Pronouns here are 'she' and 'he' only, and names stand for perceived "
    "gender: people are more than that.",
    "The layer is near the end of the model: steering there changes what is said, and gender is still encoded before it "
    "(see the probes).",
    "At strength 1 the model also loses the pronoun of people whose gender the sentence states: 'Mary ... because' is "
    "followed by 'he' as often as by 'she'. A lower strength keeps it and leaves part of the gap.",
)


class Stages:
    """Prints each stage as it begins, and how long the whole took."""

    def __init__(self, console: Console) -> None:
        self._console, self._start = console, time.perf_counter()

    def __call__(self, stage: str) -> None:
        """Say that a stage begins."""
        self._console.print(f"[dim]{self.seconds:5.0f} s[/dim]  {stage}", highlight=False)

    def done(self) -> None:
        """Say that all are done."""
        self._console.print(f"[dim]{self.seconds:5.0f} s[/dim]  done\n", highlight=False)

    @property
    def seconds(self) -> float:
        """Wall time since the start."""
        return time.perf_counter() - self._start


def show(report: Report, console: Console) -> None:
    """Print a report."""
    sections = (probes, alignment, layers, effect, knob, graphs)
    for number, section in enumerate(sections, 1):
        question, text, table = section(report)
        console.print(f"[bold]{number}. {question}[/bold]", highlight=False)
        console.print(f"   {text}", highlight=False)
        if table is not None:
            console.print(table)
        console.print()
    saved = report.reloaded
    same = "gives the same logits to the bit" if saved["equal"] else "[red]gives other logits[/red]"
    console.print(
        f"[bold]Saved[/bold] {saved['folder']} ({saved['bytes'] / 1000:.0f} kB); read back, it {same}.", highlight=False
    )
    console.print(f"[bold]Pictures and tables[/bold] in {report.options.out}/\n", highlight=False)
    console.print("[bold]What this does not show[/bold]")
    for limit in LIMITS:
        console.print(f" - {limit}", highlight=False)


def effect(report: Report) -> tuple[str, str, Table]:
    """The pronoun gap before and after, and its price, beside random directions."""
    found = report.estimates
    before, after, change = found["before"], found["after"], found["change"]
    table = _table(
        "on the test split", "as the model is", "steered", "change", f"{len(report.controls)} random directions"
    )
    gaps = [pronouns.gap() for pronouns, _ in report.controls]
    ranks = [pronouns.rank() for pronouns, _ in report.controls]
    levels = [pronouns.level() for pronouns, _ in report.controls]
    costs = [100 * cost / before["loss"].value for _, cost in report.controls]
    table.add_row("pronoun gap, nats", _show(before["gap"]), _show(after["gap"]), _show(change["gap"]), _range(gaps))
    table.add_row("Spearman with women's share", _show(before["spearman"]), _show(after["spearman"]), "", _range(ranks))
    table.add_row(
        "mean log P(she) − log P(he)",
        f"{report.before.jobs.level():+.2f}",
        f"{report.after.jobs.level():+.2f}",
        f"{report.after.jobs.level() - report.before.jobs.level():+.2f}",
        _range(levels),
    )
    table.add_row(
        "P(she) + P(he)", f"{report.before.jobs.mass.mean():.2f}", f"{report.after.jobs.mass.mean():.2f}", "", ""
    )
    table.add_row(
        "loss on neutral prose, nats a token",
        f"{before['loss'].value:.3f}",
        f"{after['loss'].value:.3f}",
        f"{_show(change['loss_percent'])} %",
        f"{_range(costs)} %",
    )
    jobs = occupations("test")
    text = (
        f"{len(jobs)} occupations in {len({s.text.replace(s.unit, '') for s in report.before.jobs.sentences})} templates "
        "that no direction was fitted on and no layer chosen on; 95 % intervals over occupations (loss: over paragraphs)."
    )
    return "Does steering close the gap, and what does it cost?", text, table


def knob(report: Report) -> tuple[str, str, Table]:
    """The same at several strengths, with what the model still knows."""
    table = _table(
        "strength", "gap, nats", "Spearman", "fitting pronoun: names", "fitting pronoun: 'aunt', 'uncle' ...", "loss"
    )
    for strength, outcome in report.doses:
        row = outcome.brief()
        table.add_row(
            f"{strength:g}",
            f"{row['gap']:+.2f}",
            f"{row['spearman']:+.2f}",
            f"{100 * row['names']:.0f} %",
            f"{100 * row['nouns']:.0f} %",
            f"{row['loss']:.3f}",
        )
    before, after = report.estimates["before"], report.estimates["after"]
    text = (
        "Where a sentence says who it is about, the pronoun should stay. Named people get the fitting one in "
        f"{_percent(before['names'])} of sentences as the model is, and in {_percent(after['names'])} at strength 1."
    )
    return "One knob: what is kept at lower strength?", text, table


def layers(report: Report) -> tuple[str, str, Table]:
    """The choice of the layer."""
    table = _table("layer", "gap left, nats", "loss")
    for trial in report.layers:
        chosen = trial.layer == report.site.layer
        table.add_row(
            f"{trial.layer}{' ◀' if chosen else ''}",
            f"{trial.gap:+.2f}",
            f"{trial.loss_percent:+.2f} %",
            style="bold" if chosen else None,
        )
    text = (
        f"Ablation at one layer at a time, on validation occupations and templates; the gap is {report.unsteered.gap:+.2f} "
        f"there without steering. Chosen: {report.site}."
    )
    return "Where to steer?", text, table


def graphs(report: Report) -> tuple[str, str, Table]:
    """The three graphs."""
    table = _table("graph", "gap before", "gap after", "largest difference of a logit", "seconds")
    for row in report.graphs:
        if row.skipped:
            table.add_row(row.name, row.skipped)
            continue
        worst = max(row.difference_before, row.difference_after)
        table.add_row(
            row.name,
            f"{row.gap_before:+.4f}",
            f"{row.gap_after:+.4f}",
            "0 (equal to the bit)" if worst == 0 else f"{worst:.1e}",
            f"{row.seconds:.0f}",
        )
    return "Is it the same on every graph?", "The same steer object, the same test sentences, float32.", table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2), header_style="dim")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right", no_wrap=number == 0)
    return table


def _show(estimate: Estimate) -> str:
    return f"{estimate.value:+.2f} [{estimate.low:+.2f}, {estimate.high:+.2f}]"


def _percent(estimate: Estimate) -> str:
    return f"{100 * estimate.value:.0f} % [{100 * estimate.low:.0f}, {100 * estimate.high:.0f}]"


def _range(values: list[float]) -> str:
    return f"{min(values):+.2f} to {max(values):+.2f}"
