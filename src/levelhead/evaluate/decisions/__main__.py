"""``python -m levelhead.evaluate.decisions``: train DSO, measure it on occupations it never saw, and see where it acts."""

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

app = commands("DSO: train it, measure it on occupations that it never saw, and see where it acts.")

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


@app.command()
def where(
    out: Annotated[Path, typer.Option(help="Folder for tables and pictures.")] = Path("runs/dso-where"), seed: _Seed = 0
) -> None:
    """Where DSO acts on the testbed: mass by layer and norm, each layer alone and left out, probes before and after."""
    with plainly():
        from levelhead.demo.results import save, write
        from levelhead.evaluate.decisions import where as acts
        from levelhead.evaluate.decisions.dso_testbed import trained
        from levelhead.testbed.weights import load

        graph = load().graph
        method = trained(graph, seed=seed)
        profile, parts = acts.acting(graph, method.steer_, seed=seed)
        probes = acts.still_read(graph, method.steer_, seed=seed)
        path = acts.thinned(graph, seed=seed)
        told = {**acts.tables(profile, parts, probes), "Sparsity path": path.frame()}
        write(out, {title: table.to_dict("records") for title, table in told.items()}, told)
        save(
            out,
            profile=profile.plot(),
            parts=parts.plot(),
            probes=probes.plot(),
            path=path.plot(),
            history=method.history_.plot()[0],
        )
        for title, table in told.items():
            typer.echo(f"\n{title}\n{table.to_string(index=False, float_format='{:.3g}'.format)}")
        typer.echo(f"\nneurons left alone: {method.untouched_:.0%}; tables and pictures: {out}")


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
