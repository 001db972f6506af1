"""How much of a DSO steer is needed: one training run for each weight of the l1 penalty."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from levelhead.data.records import CapabilityRecord, ChoiceRecord, PromptRecord
from levelhead.errors import FallbackWarning, InputError
from levelhead.graph import graph
from levelhead.methods.dso.history import History
from levelhead.methods.dso.method import DSO
from levelhead.steer import Steer

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

L1 = (0.0, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)


@dataclass(frozen=True, eq=False)
class Sparsity:
    """One run of a path.

    Attributes
    ----------
    l1 : float
        Weight of the penalty.
    steer : Steer
    untouched : float
        Share of the neurons that it leaves exactly as they are.
    bias : float
        Of the chosen state on the occupations that were held out; without any, by the running estimates of training.
    before : float
        The same of the model as it is.
    kl : float
        Drift of that state on the choices, in nats.
    step : int
        Updates behind the steer.
    history : History
    note : str
        Why training ended early, where it failed; the steer is then the best until that.
    """

    l1: float
    steer: Steer
    untouched: float
    bias: float
    before: float
    kl: float
    step: int
    history: History
    note: str = ""


@dataclass(frozen=True, eq=False)
class SparsityPath:
    """What `levelhead.sparsity_path` found.

    Attributes
    ----------
    runs : tuple of Sparsity
        By growing penalty.
    held_out : tuple of str
        Occupations that the biases are of; empty where none were held out.
    """

    runs: tuple[Sparsity, ...]
    held_out: tuple[str, ...]

    @property
    def steers(self) -> dict[float, Steer]:
        """The steers by weight of the penalty."""
        return {run.l1: run.steer for run in self.runs}

    def frame(self) -> pd.DataFrame:
        """A row a run: ``l1, untouched, bias, before, kl, step, seconds, note``."""
        import pandas as pd

        names = ("l1", "untouched", "bias", "before", "kl", "step")
        rows = [
            {**{name: getattr(run, name) for name in names}, "seconds": run.history[-1]["seconds"], "note": run.note}
            for run in self.runs
        ]
        return pd.DataFrame(rows)

    def plot(self, ax: Axes | None = None, *, title: str = "") -> Axes:
        """Draw the bias that is left against the share of untouched neurons; see `levelhead.plots.sparsity_chart`."""
        from levelhead.plots.sparsity import sparsity_chart

        return sparsity_chart(self, ax, title=title)


def sparsity_path(
    method: DSO,
    model: Any,
    choices: Sequence[ChoiceRecord],
    neutral: Sequence[str | PromptRecord | CapabilityRecord | ChoiceRecord] = (),
    l1: Sequence[float | int] = L1,
    processor: Any = None,
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    verbose: bool = True,
) -> SparsityPath:
    """Train a DSO steer at several weights of the l1 penalty.

    Runs are independent of each other, from zero and with the same seed, batches and held-out occupations, so that each is
    what ``fit`` with that penalty gives, whatever the others are; unlike scikit-learn's ``lasso_path``, nothing
    is started warm, since what a reward has once moved depends on where it began.

    Parameters
    ----------
    method : DSO
        Everything but ``l1``; it is not fitted itself.
    model : transformers model, TransformerBridge, nnsight model or Graph
    choices, neutral, processor
        As in `DSO.fit`.
    l1 : sequence of float
        Against rewards; each once, in any order.
    checkpoint : path, optional
        A folder, with one inside for each run: what is done there is not done again, and what is half done goes on.
    verbose : bool
        Show progress bars, if this is a terminal.

    Returns
    -------
    SparsityPath
        Runs in which training failed (see `DSO.fit`) included, with the best state until then and a note.

    Raises
    ------
    InputError
        For weights that are negative or given twice, and whatever `DSO.fit` finds wrong before training.
    FileError
        For a checkpoint that is damaged, or that belongs to another run.
    """
    weights = sorted(float(each) for each in l1)
    if not weights or weights[0] < 0 or len(set(weights)) < len(weights):
        raise InputError(f"a path needs different weights of the penalty, 0 or more; found {list(l1)}")
    wrapped = graph(model, processor)
    from tqdm import tqdm

    runs: list[Sparsity] = []
    held: tuple[str, ...] = ()
    for weight in tqdm(weights, desc="l1", disable=None if verbose else True, leave=False):
        params: dict[str, Any] = {**method.get_params(), "l1": weight}
        each = DSO(**params)
        folder = None if checkpoint is None else Path(checkpoint) / f"l1={weight:g}"
        note = ""
        with warnings.catch_warnings():
            # A penalty that leaves every neuron alone is the end of the path, and the frame says so.
            warnings.filterwarnings("ignore", message=r"DSO: no state of", category=FallbackWarning)
            try:
                each.fit(wrapped, choices, neutral, checkpoint=folder, verbose=verbose)
            except InputError as error:
                if not hasattr(each, "steer_"):
                    raise
                note = str(error)
        held = tuple(each.validation_)
        runs.append(_run(weight, each, note))
    return SparsityPath(tuple(runs), held)


def _run(l1: float, method: DSO, note: str) -> Sparsity:
    rows = method.history_
    bias, kl = ("validation_bias", "validation_kl") if method.validation_ else ("bias", "kl")
    chosen = next(row for row in rows if row["step"] == method.best_step_)
    return Sparsity(
        l1,
        method.steer_,
        method.untouched_,
        chosen.get(bias, float("nan")),
        rows[0].get(bias, float("nan")),
        chosen.get(kl, 0.0),
        method.best_step_,
        rows,
        note,
    )
