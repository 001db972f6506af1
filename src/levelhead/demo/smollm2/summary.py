"""The findings on SmolLM2, printed: what was asked, the number with its interval, and what it stands beside."""

from __future__ import annotations

from rich.console import Console

from levelhead.demo import summary
from levelhead.demo.smollm2.findings import Report
from levelhead.demo.smollm2.sentences import TEMPLATES, occupations
from levelhead.demo.summary import Section, percent, table, two_lines

LIMITS = (
    "One small model, English, one kind of sentence. The pronouns are 'she' and 'he' only, and names stand for perceived "
    "gender; people are more than that.",
    "The layer is near the end of the model. Steering there changes what is said: gender can still be read from the layers "
    "before it, and in part from this one (2, last column).",
    "One measure. Whether other things that the model says about people change as well was not measured.",
)


def show(report: Report, console: Console) -> None:
    """Print a report."""
    found = [section(report) for section in (probes, alignment, layers, effect, knob)]
    found.append(summary.graphs(report.graphs, "the same test sentences"))
    summary.show(found, report.reloaded, report.options.out, LIMITS, console)


def probes(report: Report) -> Section:
    """Where a probe reads the perceived gender of named people."""
    sweep = report.sweep
    frame = sweep.frame().set_index("site")
    rows = table("site", "ROC AUC", "shuffled\nlabels", "control\ntask", "p, all sites")
    layers = [site for site in sweep.sites_ if site.component == "resid_post"]
    shown = [layers[0], layers[len(layers) // 2], sweep.best(1, "resid_post")[0], *sweep.best(3, "z")]
    for site in dict.fromkeys(shown):
        row = frame.loc[str(site)]
        rows.add_row(
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
    return "Where is the gender of a named person encoded?", text, rows


def alignment(report: Report) -> Section:
    """Whether the direction is the probe's."""
    frame = report.alignment.frame().set_index("site")
    rows = table("site", "cosine\nto probe", "random", "AUC", "direction\nalone", "random", "direction\nremoved")
    layers = list(frame.index)
    for site in dict.fromkeys([layers[0], layers[len(layers) // 3], layers[2 * len(layers) // 3], str(report.site)]):
        row = frame.loc[site]
        rows.add_row(
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
    return "Is the steering direction the probe's, or noise?", text, rows


def effect(report: Report) -> Section:
    """The pronoun gap before and after, and its price, beside random directions."""
    found, controls = report.estimates, report.controls
    before, after, change = found["before"], found["after"], found["change"]
    states = (report.before.jobs, report.after.jobs)
    rows = table("", "as it is", "steered", "change", f"{len(controls)} random\ndirections")

    def add(name: str, first: str, second: str, change: str, values: list[float], unit: str = "") -> None:
        rows.add_row(
            name, first, second, change + unit, f"{min(values):+.2f}\nto {max(values):+.2f}{unit}", end_section=True
        )

    gaps = [pronouns.gap() for pronouns, _ in controls]
    add("gap", two_lines(before["gap"]), two_lines(after["gap"]), two_lines(change["gap"]), gaps)
    ranks = [pronouns.rank() for pronouns, _ in controls]
    add("Spearman", two_lines(before["spearman"]), two_lines(after["spearman"]), "", ranks)
    first, last = (pronouns.level() for pronouns in states)
    add("level", f"{first:+.2f}", f"{last:+.2f}", f"{last - first:+.2f}", [found.level() for found, _ in controls])
    first, last = (float(pronouns.mass.mean()) for pronouns in states)
    masses = [float(pronouns.mass.mean()) for pronouns, _ in controls]
    add("P(she or he)", f"{first:.2f}", f"{last:.2f}", f"{last - first:+.2f}", masses)
    costs = [100 * cost / before["loss"].value for _, cost in controls]
    first, last = before["loss"].value, after["loss"].value
    add("loss", f"{first:.3f}", f"{last:.3f}", two_lines(change["loss_percent"]), costs, " %")
    text = (
        f"{len(occupations('test'))} occupations in {len(TEMPLATES['test'])} templates, kept apart from fitting and choosing. "
        "Gap: mean log P(she) − log P(he) after female-typed minus after male-typed occupations, in nats. Spearman: of the "
        "log-odds with women's share. Level: mean log-odds over all. Loss: nats a token on neutral prose, its change in "
        "percent. In brackets 95 % intervals over occupations (loss: over paragraphs). Random directions: values when such "
        "a direction is ablated at the same site."
    )
    return "Does steering close the gap, and what does it cost?", text, rows


def knob(report: Report) -> Section:
    """The same at several strengths, with what the model still knows."""
    rows = table("strength", "gap", "Spearman", "fits: names", "fits: aunt, uncle ...", "loss")
    for strength, outcome in report.doses:
        row = outcome.brief()
        rows.add_row(
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
        f"{percent(before['names'])} of sentences as the model is, and in {percent(after['names'])} at strength 1, where a "
        "coin would do as well: the direction carries what the sentence says along with what the occupation suggests."
    )
    return "One knob: what is kept at lower strength?", text, rows


def layers(report: Report) -> Section:
    """The choice of the layer."""
    rows = table("layer", "gap left", "loss")
    for trial in report.layers:
        chosen = trial.layer == report.site.layer
        rows.add_row(
            f"{trial.layer}{' ◀' if chosen else ''}",
            f"{trial.gap:+.2f}",
            f"{trial.loss_percent:+.2f} %",
            style="bold" if chosen else None,
        )
    text = (
        "Ablation at one layer at a time, on validation occupations and templates, where the gap is "
        f"{report.unsteered.gap:+.2f} nats without steering. Chosen for the smallest gap that is left: {report.site}."
    )
    return "Where to steer?", text, rows
