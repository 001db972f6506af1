"""The study: train and steer, examine everything on the same pictures, and put it into tables and a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import levelhead as lh
from levelhead.compare import Comparison
from levelhead.demo.results import save, write
from levelhead.errors import InputError
from levelhead.evaluate.skew.arms import BATCH, EPOCHS, RATE, SETS, asked_of, steering_arms, training_arms
from levelhead.evaluate.skew.figures import EXTREMES, Arm, Figures
from levelhead.evaluate.skew.pictures import SAME, TESTS, TRAINED, UNSEEN, Exam
from levelhead.evaluate.subject import Options
from levelhead.methods.base import versions
from levelhead.metrics.statistics import Estimate
from levelhead.testbed.concept_records import OVER
from levelhead.testbed.weights import load

if TYPE_CHECKING:
    import pandas as pd

TITLE = "the testbed's model"
AGAINST = (
    ("counter-stereotype training", "naive fine-tuning"),
    ("counter-stereotype training", "resampling alone"),
    ("counter-stereotype training", "rescaled loss alone"),
    ("resampling alone", "naive fine-tuning"),
    ("rescaled loss alone", "naive fine-tuning"),
    ("naive fine-tuning", "as it is"),
)
"""What is compared on the same pictures."""


_RIGHT: Mapping[Literal["skills", "clear"], str] = {"skills": "neutral questions", "clear": "clear concepts"}

_SIDES = ("woman", "light", "young")
"""Of each attribute, who is set against the rest in the table of layers."""


@dataclass(frozen=True)
class Scale:
    """How much is asked and trained.

    Attributes
    ----------
    seeds : tuple of int
        Of training.
    sets : int
        Counterfactual sets of each theme, in each of the three sets of pictures; four or more, so that none of them is a
        concept's only one.
    trained : int
        Counterfactual sets of each theme that are trained on.
    rooms : int
        Pictures of which neutral questions are asked.
    draws : int
        Bootstrap resamples.
    arms : tuple of str, optional
        Names of the methods to compare; all when left out.
    """

    seeds: tuple[int, ...] = (0, 1, 2)
    sets: int = 16
    trained: int = SETS
    rooms: int = 60
    draws: int = 1999
    arms: tuple[str, ...] | None = None


SCALES = {"full": Scale(), "quick": Scale((0,), 4, 4, 12, 499)}


@dataclass(frozen=True)
class SkewEvaluation:
    """Skews of every arm on the same pictures.

    Attributes
    ----------
    options : Options
    scale : Scale
    arms : list of Arm
        The model as it is comes first.
    figures : Figures
    histories : DataFrame
        The Skew before each epoch, on the pictures of training.
    compared : Comparison
        The model as it is against the first that was trained against stereotypes, on the pictures of the same concepts.
    """

    options: Options
    scale: Scale
    arms: Sequence[Arm]
    figures: Figures
    histories: pd.DataFrame
    compared: Comparison

    @cached_property
    def estimates(self) -> Mapping[tuple[str, str, str], Estimate]:
        """By arm, set of pictures and extreme."""
        return {
            (arm.name, test, extreme): self.figures.skew(arm, test, extreme)
            for arm in self.arms
            for test in TESTS
            for extreme in EXTREMES
        }

    @cached_property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """What is printed, by title."""
        return {
            "Skews": self._skews(),
            "What it costs": self._costs(),
            "Differences on the same pictures": self._differences(),
            "MinSkew by seed": self._seeds(),
            "Lowest and highest Skew on the pictures of training, by epochs done": self._epochs(),
            "Where counter-stereotype training acted": self._where(),
        }

    def record(self) -> dict[str, Any]:
        """Everything as plain values, for a file."""
        return {
            "suite": "skew",
            "model": self.options.model,
            "size": self.options.size,
            "notes": list(self.notes),
            "tables": {name: table.to_dict("records") for name, table in self.tables.items()},
            "estimates": [
                {"method": name, "pictures": test, "extreme": extreme, **vars(found)}
                for (name, test, extreme), found in self.estimates.items()
            ],
            "versions": versions(),
        }

    def write(self) -> Path:
        """Write ``summary.json``, ``skews.png``, ``compared.png`` and each table.

        Raises
        ------
        FileError
            When they cannot be written.
        """
        path = write(self.options.out, self.record(), self.tables)
        save(self.options.out, skews=self.picture(), compared=self.compared.plot())
        return path

    def picture(self) -> Any:
        """Draw MinSkew and MaxSkew of every arm, one panel for each set of pictures.

        Returns
        -------
        matplotlib Figure
        """
        from levelhead.plots.skews import skew_panels

        found = {
            test: {
                arm.name: tuple(self.estimates[arm.name, test, extreme] for extreme in EXTREMES) for arm in self.arms
            }
            for test in TESTS
        }
        return skew_panels(found)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the figures must know."""
        scale = self.scale
        n = {test: len({record.set_id for record in records}) for test, records in self.figures.records.items()}
        return (
            f"Trained on {scale.trained} counterfactual sets (twelve pictures each) of each of {len(TRAINED)} themes "
            f"({', '.join(TRAINED)}), {EPOCHS} epochs, {BATCH} examples a step, learning rate {RATE:g} falling to 0, the picture's "
            f"tower frozen; {_many(scale.seeds)}, each with pictures of its own.",
            f"Judged on pictures of looks that training never showed: {', '.join(f'{n[test]} sets ({test})' for test in TESTS)}; "
            f"unseen concepts are those of the themes {' and '.join(UNSEEN)}, the unseen style is a sketch. The model as it is reads "
            "the sketch less well.",
            "Half of a theme's sets are labeled with one of its two concepts and half with the other, whoever is in them: a picture is "
            "asked for its own concept, answered yes, and for the other one, answered no. What levels the model is therefore in the data "
            "of naive fine-tuning too.",
            "MinSkew@C and MaxSkew@C: the lowest and highest Skew of a group of gender, skin tone or age, averaged over concepts and "
            "seeds; 0 is level. In brackets 95 % intervals (BCa), resampling counterfactual sets within concepts; an extreme of noisy rates is "
            "never quite 0.",
            "Steering: fitted on the pictures of the first training, at the strength that leaves the least MinSkew on further pictures at a loss "
            "of at most half a point of neutral questions. DSO is trained on the same question of further pictures. 'What training moved' is "
            "the mean difference between the trained and the untrained model at every layer, added to the untrained one.",
            "Where training acted, at the end of the question: probes fitted anew before and after, the old probe on what came after, how alike "
            "activations are (CKA), and the difference of class means: its cosine and its length, after by before.",
        )

    def _skews(self) -> pd.DataFrame:
        import pandas as pd

        rows: list[dict[str, str]] = []
        for arm in self.arms:
            row = {"": arm.name}
            for test in TESTS:
                for extreme, name in zip(EXTREMES, ("MinSkew", "MaxSkew"), strict=True):
                    row[f"{name}, {test}"] = _told(self.estimates[arm.name, test, extreme])
            rows.append(row)
        return pd.DataFrame(rows)

    def _costs(self) -> pd.DataFrame:
        import pandas as pd

        base, rows = self.arms[0], []
        for arm in self.arms:
            row = {"": arm.name}
            for of, name in _RIGHT.items():
                row[name] = _told(self.figures.right(arm, of), 3)
                row[f"{name}: change"] = "" if arm is base else _told(self.figures.right(arm, of, base), 3, "+")
            row["answered"] = f"{min(judged.mass for judged in arm.judged):.3f}"
            row["seconds"] = " / ".join(f"{seconds:.0f}" for seconds in arm.seconds)
            rows.append(row)
        return pd.DataFrame(rows)

    def _seeds(self) -> pd.DataFrame:
        import pandas as pd

        rows = [
            {
                "": arm.name,
                **{test: " / ".join(f"{low:.2f}" for low in self.figures.by_seed(arm, test, "min")) for test in TESTS},
            }
            for arm in self.arms
            if arm.kind == "training"
        ]
        return pd.DataFrame(rows)

    def _epochs(self) -> pd.DataFrame:
        import pandas as pd

        means: Any = self.histories.groupby(["method", "epoch"], sort=False)[["min_skew", "max_skew"]].mean()
        rows: dict[str, dict[str, str]] = {}
        for (method, epoch), row in means.iterrows():
            rows.setdefault(method, {"": method})[f"{epoch:g}"] = f"{row['min_skew']:.2f} / {row['max_skew']:.2f}"
        return pd.DataFrame([*rows.values()])

    def _where(self) -> pd.DataFrame:
        found: Any = self.compared.frame()
        shown = found["site"].astype(str).str.startswith("resid_post") & found["positive"].isin(_SIDES)
        names = {"before": "AUC before", "after": "AUC after", "transfer": "old probe", "length_ratio": "length"}
        return found[shown][["attribute", "site", "cka", *names, "cosine"]].rename(columns=names)

    def _differences(self) -> pd.DataFrame:
        import pandas as pd

        arms = {arm.name: arm for arm in self.arms}
        rows: list[dict[str, str]] = []
        for one, other in [pair for pair in AGAINST if {*pair} <= {*arms}]:
            row = {"": f"{one} against {other}"}
            for test in TESTS:
                for extreme, name in zip(EXTREMES, ("MinSkew", "MaxSkew"), strict=True):
                    row[f"{name}, {test}"] = _told(self.figures.skew(arms[one], test, extreme, arms[other]), 2, "+")
            rows.append(row)
        return pd.DataFrame(rows)


def evaluate(
    options: Options, say: Callable[[str], None] = lambda stage: None, scale: Scale | None = None
) -> SkewEvaluation:
    """Train with each method and seed, fit what needs no training, and examine all on the same pictures.

    Runs of training are kept in the folder ``training`` of ``options.out``: a study that was stopped goes on from there.

    Parameters
    ----------
    options : Options
        Of the testbed: the only model that comes with pictures.
    say : callable
        Told the name of each stage as it begins.
    scale : Scale, optional
        In place of the one that the options name.

    Returns
    -------
    SkewEvaluation

    Raises
    ------
    InputError
        For another model.
    """
    if options.model != "testbed":
        raise InputError(f"the suite of Skew asks about pictures, and '{options.model}' reads none; models are testbed")
    scale = SCALES[options.size] if scale is None else scale
    say("the model as it is")
    bed = load()
    exam = Exam(options.seed, scale.sets, scale.rooms)
    base = Arm("as it is", "base", (exam(bed.graph),))
    seeds = [options.seed + each for each in scale.seeds]
    trained, runs = training_arms(
        exam, seeds, options.out / "training", say, only=scale.arms, sets=scale.trained, verbose=options.verbose
    )
    after = lh.graph(runs[AGAINST[0][0], seeds[0]].model, bed.processor)
    steered = steering_arms(bed, after, exam, seeds[0], say, only=scale.arms, sets=scale.trained)
    say("where training acted")
    shown = exam.records[SAME]
    compared = lh.compare(
        bed.graph,
        after,
        asked_of(shown),
        {name: [record.groups[name] for record in shown] for name in OVER},
        groups=[record.set_id for record in shown],
        seed=options.seed,
        verbose=False,
    )
    figures = Figures(exam.records, exam.room_sets, exam.clear_sets, scale.draws, options.seed)
    return SkewEvaluation(options, scale, [base, *trained, *steered], figures, _histories(runs), compared)


def _histories(runs: Mapping[tuple[str, int], Any]) -> pd.DataFrame:
    import pandas as pd

    rows = [
        {"method": name, "seed": seed, **{key: row[key] for key in ("epoch", "min_skew", "max_skew")}}
        for (name, seed), run in runs.items()
        for row in run.history
        if "min_skew" in row
    ]
    return pd.DataFrame(rows)


def _told(found: Estimate, digits: int = 2, sign: str = "") -> str:
    return f"{found.value:{sign}.{digits}f} [{found.low:{sign}.{digits}f}, {found.high:{sign}.{digits}f}]"


def _many(seeds: Sequence[int]) -> str:
    return "one seed" if len(seeds) == 1 else f"{len(seeds)} seeds"
