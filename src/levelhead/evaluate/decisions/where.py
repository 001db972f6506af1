"""Where DSO acts on the testbed: its mass by layer and norm, what each layer does, and what can still be read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from levelhead.evaluate.decisions.forms import clear_choices, planted_choices
from levelhead.graph import Graph
from levelhead.methods.dso.path import SparsityPath, sparsity_path
from levelhead.metrics.measures import Accuracy, OccupationBias
from levelhead.probes.steered import SteeredProbes, probe_steered
from levelhead.profile import Profile
from levelhead.restrict import Restrictions, restrict
from levelhead.steer import Steer
from levelhead.testbed.model import prompt
from levelhead.testbed.records import wrap
from levelhead.testbed.scene import sample
from levelhead.testbed.world import SETTINGS

if TYPE_CHECKING:
    import pandas as pd

QUESTION = "what is the job of the person?"
PENALTIES = (1e-4, 1e-3, 3e-3, 1e-2)


def acting(
    graph: Graph, steer: Steer, *, n: int = 4, seed: int = 0, verbose: bool = True
) -> tuple[Profile, Restrictions]:
    """Take a steer apart on the testbed, on people whom its training never showed.

    Parameters
    ----------
    graph : Graph
        Of the testbed.
    steer : Steer
    n : int
        Scenes of each setting.
    seed : int
    verbose : bool

    Returns
    -------
    Profile, Restrictions
    """
    measures = [
        OccupationBias(planted_choices("who", n, [seed, 21], held_out=True), wrap=wrap, name="who is the doctor?"),
        OccupationBias(
            planted_choices("job_choice", n, [seed, 21], held_out=True), wrap=wrap, name="a doctor or a nurse?"
        ),
        Accuracy(clear_choices(10 * n, [seed, 22], held_out=True), wrap=wrap, name="unambiguous choices"),
    ]
    parts = restrict(graph, steer, measures, by=["layer", "component", "part"], seed=seed, verbose=verbose)
    return steer.profile(graph), parts


def still_read(graph: Graph, steer: Steer, *, n: int = 12, seed: int = 0, verbose: bool = True) -> SteeredProbes:
    """Probe for the gender of a person who is asked about, at the last token of the question, without and with a steer.

    Parameters
    ----------
    graph : Graph
        Of the testbed.
    steer : Steer
    n : int
        Scenes of each setting; each with a man and with a woman, whom probes keep together.
    seed : int
    verbose : bool

    Returns
    -------
    SteeredProbes
    """
    inputs: list[Any] = []
    labels: list[str] = []
    groups: list[str] = []
    for number, theme in enumerate(SETTINGS):
        for scene in sample(n, [seed, 23, number], roles=[theme.name], held_out=True):
            for gender in ("man", "woman"):
                inputs.append((scene.counterfactual(gender=gender).image(), prompt(QUESTION)))
                labels.append(gender)
                groups.append(f"{theme.name} {scene.seed}")
    return probe_steered(graph, inputs, labels, steer, groups=groups, batch_size=64, verbose=verbose)


def thinned(graph: Graph, *, seed: int = 0, steps: int = 60, verbose: bool = True) -> SparsityPath:
    """Train at several weights of the penalty on one form of question, with a quarter of the occupations held out.

    Parameters
    ----------
    graph : Graph
        Of the testbed.
    seed : int
    steps : int
    verbose : bool

    Returns
    -------
    SparsityPath
    """
    from levelhead.methods import DSO

    asked = planted_choices("who", 8, [seed, 24], held_out=False)
    method = DSO(kl=None, steps=steps, half_life=30, validation=0.25, patience=99, wrap=wrap, random_state=seed)
    return sparsity_path(method, graph, asked, l1=PENALTIES, verbose=verbose)


def tables(profile: Profile, parts: Restrictions, probes: SteeredProbes) -> Mapping[str, pd.DataFrame]:
    """The three as tables that fit on a page.

    Parameters
    ----------
    profile : Profile
    parts : Restrictions
    probes : SteeredProbes

    Returns
    -------
    mapping of str to DataFrame
        By title.
    """
    cells = parts.frame()
    cells["what"] = [f"{by} {part}, {keep}" if by else {"none": "no steer", "all": "the whole"}[keep] for by, part, keep in zip(cells["by"], cells["part"], cells["keep"], strict=True)]  # fmt: skip
    effects = cells.pivot_table(index="what", columns="measure", values="value", sort=False)
    read: Any = probes.frame()
    read = read[read["component"] == "resid_post"][
        ["site", "before", "after", "old", "change", "change_low", "change_high"]
    ]
    found: dict[str, Any] = {
        "Mass by layer": profile.by("layer").reset_index(),
        "Mass by norm": profile.by("component").reset_index(),
        "Scale and shift": profile.by("part").reset_index(),
        "What parts of it do": effects.reset_index(),
        "ROC AUC of probes for gender, before and after": read.reset_index(drop=True),
    }
    reaches = profile.heads()
    found["Strongest at heads"] = reaches.nlargest(6, "relative")[["site", "projection", "head", "relative", "gain"]]
    return found
