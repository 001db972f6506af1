"""The demo's findings, printed: what was asked, the number with its interval, and what it stands beside."""

from __future__ import annotations

import time

from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from levelhead.demo.findings import Report
from levelhead.demo.measure import Estimate
from levelhead.demo.sentences import TEMPLATES, occupations

LIMITS = (
    "One small model, English, one kind of sentence. The pronouns are 'she' and 'he' only, and names stand for perceived "
    "gender; people are more than that.",
    "The layer is near the end of the model. Steering there changes what is said: gender can still be read from the layers "
    "before it, and in part from this one (2, last column).",
    "One measure. Whether other things that the model says about people change as well was not measured.",
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
    for number, section in enumerate((probes, alignment, layers, effect, knob, graphs), 1):
        question, text, table = section(report)
        console.print(f"[bold]{number}. {question}[/bold]", highlight=False)
        console.print(Padding(text, (0, 0, 1, 3)), highlight=False)
        console.print(Padding(table, (0, 0, 1, 3)))
    saved = report.reloaded
    same = "gives the same logits to the bit" if saved["equal"] else "[red]gives other logits[/red]"
    console.print(
        f"[bold]Saved[/bold] {saved['folder']} ({saved['bytes'] / 1000:.0f} kB); read back, it {same}.", highlight=False
    )
    console.print(f"[bold]Pictures and tables[/bold] {report.options.out}\n", highlight=False)
    console.print("[bold]What this does not show[/bold]")
    for limit in LIMITS:
        console.print(Padding(limit, (0, 0, 1, 3)), highlight=False)


def probes(report: Report) -> tuple[str, str, Table]:
    """Where a probe reads the perceived gender of named people."""
    sweep = report.sweep
    frame = sweep.frame().set_index("site")
    table = _table("site", "ROC AUC", "shuffled\nlabels", "control\ntask", "p, all sites")
    layers = [site for site in sweep.sites_ if site.component == "resid_post"]
    shown = [layers[0], layers[len(layers) // 2], sweep.best(1, "resid_post")[0], *sweep.best(3, "z")]
    for site in dict.fromkeys(shown):
        row = frame.loc[str(site)]
        table.add_row(
            str(site),
            f"{row['auc']:.2f} [{row['auc_low']:.2f}, {row['auc_high']:.2f}]",
            f"≤ {row['shuffle_high']:.2f}",
            f"{row['control_task']:.2f}",
            f"{row['p_value']:.2f}",
        )
    above = (frame["auc"] > sweep.threshold_).sum()
    text = (
        f"Probes for she-names against he-names at {len(frame)} sites (every layer, every head), {sweep.n_groups_} names, "
        f"{sweep.cv} folds by name. {above} sites beat what the best site reaches with shuffled labels ({sweep.threshold_:.2f})."
    )
    return "Where is the gender of a named person encoded?", text, table


def alignment(report: Report) -> tuple[str, str, Table]:
    """Whether the direction is the probe's."""
    frame = report.alignment.frame().set_index("site")
    table = _table("site", "cosine\nto probe", "random", "AUC", "direction\nalone", "random", "direction\nremoved")
    layers = list(frame.index)
    for site in dict.fromkeys([layers[0], layers[len(layers) // 3], layers[2 * len(layers) // 3], str(report.site)]):
        row = frame.loc[site]
        table.add_row(
            f"{site}{' ◀' if site == str(report.site) else ''}",
            f"{row['cosine']:+.2f}",
            f"≤ {max(row['null_isotropic'], row['null_covariance']):.2f}",
            f"{row['auc']:.2f}",
            f"{row['auc_along']:.2f}",
            f"≤ {row['random_along']:.2f}",
            f"{row['auc_after']:.2f} [{row['auc_after_low']:.2f}, {row['auc_after_high']:.2f}]",
            style="bold" if site == str(report.site) else None,
        )
    text = (
        "Mean difference of sentences about 'woman', 'sister' ... and 'man', 'brother' ..., against the probes for names, "
        f"which it never saw. At {report.site}: {frame.loc[str(report.site), 'verdict']}."
    )
    return "Is the steering direction the probe's, or noise?", text, table


def effect(report: Report) -> tuple[str, str, Table]:
    """The pronoun gap before and after, and its price, beside random directions."""
    found, controls = report.estimates, report.controls
    before, after, change = found["before"], found["after"], found["change"]
    states = (report.before.jobs, report.after.jobs)
    table = _table("", "as it is", "steered", "change", f"{len(controls)} random\ndirections")

    def add(name: str, first: str, second: str, change: str, values: list[float], unit: str = "") -> None:
        table.add_row(
            name, first, second, change + unit, f"{min(values):+.2f}\nto {max(values):+.2f}{unit}", end_section=True
        )

    gaps = [pronouns.gap() for pronouns, _ in controls]
    add("gap", _two(before["gap"]), _two(after["gap"]), _two(change["gap"]), gaps)
    ranks = [pronouns.rank() for pronouns, _ in controls]
    add("Spearman", _two(before["spearman"]), _two(after["spearman"]), "", ranks)
    first, last = (pronouns.level() for pronouns in states)
    add("level", f"{first:+.2f}", f"{last:+.2f}", f"{last - first:+.2f}", [found.level() for found, _ in controls])
    first, last = (float(pronouns.mass.mean()) for pronouns in states)
    masses = [float(pronouns.mass.mean()) for pronouns, _ in controls]
    add("P(she or he)", f"{first:.2f}", f"{last:.2f}", f"{last - first:+.2f}", masses)
    costs = [100 * cost / before["loss"].value for _, cost in controls]
    first, last = before["loss"].value, after["loss"].value
    add("loss", f"{first:.3f}", f"{last:.3f}", _two(change["loss_percent"]), costs, " %")
    text = (
        f"{len(occupations('test'))} occupations in {len(TEMPLATES['test'])} templates, kept apart from fitting and choosing. "
        "Gap: mean log P(she) − log P(he) after female-typed minus after male-typed occupations, in nats. Spearman: of the "
        "log-odds with women's share. Level: mean log-odds over all. Loss: nats a token on neutral prose, its change in "
        "percent. In brackets 95 % intervals over occupations (loss: over paragraphs). Random directions: values when such "
        "a direction is ablated at the same site."
    )
    return "Does steering close the gap, and what does it cost?", text, table


def knob(report: Report) -> tuple[str, str, Table]:
    """The same at several strengths, with what the model still knows."""
    table = _table("strength", "gap", "Spearman", "fits: names", "fits: aunt, uncle ...", "loss")
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
        "Where a sentence says who it is about, the pronoun should stay. After a name the likelier pronoun fits in "
        f"{_percent(before['names'])} of sentences as the model is, and in {_percent(after['names'])} at strength 1, where a "
        "coin would do as well: the direction carries what the sentence says along with what the occupation suggests."
    )
    return "One knob: what is kept at lower strength?", text, table


def layers(report: Report) -> tuple[str, str, Table]:
    """The choice of the layer."""
    table = _table("layer", "gap left", "loss")
    for trial in report.layers:
        chosen = trial.layer == report.site.layer
        table.add_row(
            f"{trial.layer}{' ◀' if chosen else ''}",
            f"{trial.gap:+.2f}",
            f"{trial.loss_percent:+.2f} %",
            style="bold" if chosen else None,
        )
    text = (
        "Ablation at one layer at a time, on validation occupations and templates, where the gap is "
        f"{report.unsteered.gap:+.2f} nats without steering. Chosen for the smallest gap that is left: {report.site}."
    )
    return "Where to steer?", text, table


def graphs(report: Report) -> tuple[str, str, Table]:
    """The three graphs."""
    table = _table("graph", "gap before", "gap after", "logits differ by at most", "seconds")
    for row in report.graphs:
        if row.skipped:
            table.add_row(row.name, row.skipped)
            continue
        worst = max(row.difference_before, row.difference_after)
        differ = "0 (equal to the bit)" if worst == 0 else f"{worst:.1e}"
        table.add_row(
            row.name,
            f"{row.gap_before:+.4f}",
            f"{row.gap_after:+.4f}",
            "(all figures above)" if row.reference else differ,
            f"{row.seconds:.0f}",
        )
    return "Is it the same on every graph?", "The same steer object, the same test sentences, float32.", table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right", no_wrap=True)
    return table


def _two(estimate: Estimate) -> str:
    return f"{estimate.value:+.2f}\n[{estimate.low:+.2f}, {estimate.high:+.2f}]"


def _percent(estimate: Estimate) -> str:
    return f"{100 * estimate.value:.0f} % [{100 * estimate.low:.0f}, {100 * estimate.high:.0f}]"
