"""``python -m levelhead.evaluate.decisions``: train DSO on SmolLM2, and measure it on occupations it never saw."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from levelhead.console import commands, plainly, typer

if TYPE_CHECKING:
    import pandas as pd

    from levelhead.graph import Graph
    from levelhead.methods import DSO

app = commands("DSO on SmolLM2: train it, and measure it on occupations that it never saw.")

_Out = Annotated[Path, typer.Option(help="Folder for the steer, its history, checkpoints and the table.")]
_Steps = Annotated[int | None, typer.Option(help="Updates.", min=1, show_default="those of the recipe")]
_Seed = Annotated[int, typer.Option(help="Of sentences, batches and intervals.", min=0)]
_Cache = Annotated[
    Path | None, typer.Option(help="Where the converted SmolLM2 is kept.", show_default="the user's cache")
]


@app.command()
def pronouns(
    out: _Out = Path("runs/dso-pronouns"), steps: _Steps = None, seed: _Seed = 0, cache: _Cache = None
) -> None:
    """'she' or 'he' after an occupation: bias, names, BLiMP, ARC and WikiText-2 before and after."""
    with plainly():
        from levelhead.evaluate.decisions import dso_smollm2 as recipe

        _run(
            out,
            cache,
            lambda graph: recipe.trained(graph, steps=steps or recipe.STEPS, seed=seed, checkpoint=out / "checkpoint"),
            lambda graph, method: recipe.report(graph, method.steer_, seed=seed),
        )


@app.command()
def synthbias(
    out: _Out = Path("runs/dso-synthbias"),
    steps: _Steps = None,
    seed: _Seed = 0,
    cache: _Cache = None,
    n: Annotated[int, typer.Option(help="Ambiguous sentences to train on.", min=28)] = 600,
    items: Annotated[int, typer.Option(help="Held-out sentences of each kind to measure.", min=12)] = 240,
) -> None:
    """SynthBias: ambiguous sentences for training, sentences about held-out occupations for the table."""
    with plainly():
        from levelhead.evaluate.decisions import dso_synthbias as recipe

        _run(
            out,
            cache,
            lambda graph: recipe.trained(
                graph, steps=steps or recipe.STEPS, n=n, seed=seed, checkpoint=out / "checkpoint"
            ),
            lambda graph, method: recipe.report(graph, method.steer_, n=items, seed=seed),
        )


def _run(
    out: Path,
    cache: Path | None,
    train: Callable[[Graph], DSO],
    measure: Callable[[Graph, DSO], pd.DataFrame],
) -> None:
    import levelhead as lh
    from levelhead.demo.smollm2 import model

    graph = lh.graph(*model.load(model.prepare(cache)))
    began = time.perf_counter()
    method = train(graph)
    seconds = time.perf_counter() - began
    steer = out / "steer"
    if not steer.exists():
        method.steer_.save(steer)
    table = measure(graph, method)
    rows: list[dict[str, Any]] = table.to_dict("records")  # pyright: ignore[reportAssignmentType]
    record = {"seconds": seconds, "params": method.steer_.card["method"]["params"], "rows": rows}
    (out / "report.json").write_text(json.dumps({**record, "history": list(method.history_)}, indent=1))
    typer.echo(table.to_string(index=False, float_format="{:.3f}".format))
    typer.echo(f"trained in {seconds:.0f} s; steer and report: {out}")


if __name__ == "__main__":
    app()
