"""``python -m levelhead.testbed``: train the model, measure it, look at its pictures, write sets of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from levelhead.console import Console, commands, plainly, typer

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

app = commands("The testbed: pictures drawn by rule, and a small LLaVA with planted stereotypes.")

_Model = Annotated[Path | None, typer.Option(help="Folder of the model.", show_default="the weights in the package")]


@app.command()
def train(
    seed: Annotated[int, typer.Option(help="Of weights, pictures and questions.", min=0)] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder of the run.", show_default="runs/testbed-SIZE-SEED")] = None,
    size: Annotated[str, typer.Option(help="base or small.")] = "base",
    workers: Annotated[int, typer.Option(help="Processes, of one thread each.", min=1)] = 2,
) -> None:
    """Train the model from nothing, or go on with a run that was interrupted; the model ends up in OUT/model."""
    with plainly():
        from levelhead.testbed.training import Recipe
        from levelhead.testbed.training import train as run
        from levelhead.testbed.training.run import finished
        from levelhead.testbed.weights import export

        out = out or Path("runs") / f"testbed-{size}-{seed}"
        run(out, Recipe(seed=seed, size=size), worker_count=workers)
        if finished(out):
            typer.echo(f"model: {export(out, out / 'model')}")
            typer.echo(f"measure it: python -m levelhead.testbed measure --model {out / 'model'}")
        else:
            typer.echo(
                f"stopped early; go on with: python -m levelhead.testbed train --seed {seed} --size {size} --out {out}"
            )


@app.command()
def measure(
    model: _Model = None,
    out: Annotated[Path | None, typer.Option(help="Also write every row as JSON, here.")] = None,
    pictures: Annotated[int, typer.Option(help="Of one person; others in proportion.", min=8)] = 240,
    captions: Annotated[int, typer.Option(help="To sample.", min=8)] = 1600,
    seed: Annotated[int, typer.Option(help="Of pictures, sampling and intervals.", min=0)] = 20_000,
) -> None:
    """Measure skills, planted rates and captions on people whom training never showed; fails if a promise is broken."""
    with plainly():
        from levelhead.testbed.measure import measure as run
        from levelhead.testbed.weights import load

        if out is not None and not out.exists():
            _write(out, Path.touch)  # a place that cannot be written is better known now than after the work
            out.unlink()
        bed = load(model)
        found = run(bed.graph, bed.planted, seed=seed, pictures=pictures, captions=captions)
        console = Console(width=max(120, Console().width))
        for title, frame, columns in (
            (f"Questions with one right answer (of {found.questions:,} asked)", found.skills, ("group", "kind", "right", "low", "high", "n", "pictures")),
            ("Planted rates", found.rates.sort_values(["kind", "name"]), ("what", "name", "planted", "found", "low", "high", "answered", "pictures")),
            ("One attribute swapped, all else pixel-identical: how far the answer moves", found.swaps, ("what", "planted", "found", "low", "high", "pictures")),
            ("Sampled captions", found.captions, ("what", "planted", "found", "low", "high", "n")),
        ):  # fmt: skip
            console.print(_table(title, frame, columns))
        worst = found.rates.loc[found.rates["off"].abs().idxmax()]
        console.print(
            f"worst planted rate: {worst['what']}, off by {worst['off']:+.3f}; mean |off| {found.rates['off'].abs().mean():.3f}"
        )
        if out is not None:
            text = json.dumps({"sha256": bed.facts["sha256"], **found.record()}, indent=1) + "\n"
            _write(out, lambda path: path.write_text(text, encoding="utf-8"))
            console.print(out)
        broken = found.broken()
        for each in broken:
            console.print(f"[red]broken[/red] {each}", highlight=False)
        if broken:
            raise typer.Exit(1)
        console.print("every promise is kept")


@app.command()
def sheet(
    out: Annotated[Path, typer.Argument(help="Picture to write.")] = Path("testbed.png"),
    n: Annotated[int, typer.Option(help="Number of scenes.", min=1)] = 48,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    size: Annotated[int, typer.Option(help="Width of each picture, in pixels.", min=32)] = 160,
) -> None:
    """Draw a contact sheet of random scenes."""
    with plainly():
        from levelhead.testbed.drawing.sheet import contact_sheet
        from levelhead.testbed.scene import sample

        scenes = sample(n - n // 3, seed) + sample(n // 3, seed + 1, people=2)
        _write(out, contact_sheet(scenes, 8, size=size).save)
        typer.echo(str(out))


@app.command()
def concepts(
    out: Annotated[Path, typer.Argument(help="Folder to make.")],
    n: Annotated[int, typer.Option(help="Counterfactual sets for each concept.", min=1)] = 10,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    size: Annotated[int, typer.Option(help="Width of each picture, in pixels.", min=32)] = 96,
) -> None:
    """Write counterfactual pictures of social concepts, over gender, skin tone and age, with their labels."""
    with plainly():
        from levelhead.testbed.pictures import concept_sets, write_set

        typer.echo(str(write_set(out, concept_sets(n, seed=seed), size=size)))


def _write(path: Path, save: Callable[[Path], Any]) -> None:
    from levelhead.errors import FileError

    try:
        save(path)
    except (OSError, ValueError) as error:
        raise FileError(f"'{path}' cannot be written: {error}") from None


def _table(title: str, frame: pd.DataFrame, columns: tuple[str, ...]) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column, justify="left" if frame[column].dtype.kind not in "if" else "right", no_wrap=True)
    for row in frame[list(columns)].itertuples(index=False):
        table.add_row(*(_cell(value) for value in row))
    return table


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.3f}"
    return str(value)


if __name__ == "__main__":
    sys.exit(app())
