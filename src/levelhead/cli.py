"""The command line: ``levelhead demo``, ``evaluate``, ``score``, ``train`` and ``testbed``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from levelhead import __version__
from levelhead.console import Console, commands, plainly, typer
from levelhead.testbed.__main__ import app as testbed
from levelhead.training.command import train

if TYPE_CHECKING:
    from levelhead.demo.options import Options
    from levelhead.demo.stages import Stages

app = commands("Find where a model keeps a protected attribute, check the direction, and steer the model level.")
app.add_typer(testbed, name="testbed")
app.command()(train)


def _version(asked: bool) -> bool:
    if asked:
        typer.echo(f"levelhead {__version__}")
        raise typer.Exit
    return asked


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    """Commands over the levelhead library."""


@app.command()
def demo(
    model: Annotated[
        str,
        typer.Option(
            help="testbed (pictures, planted stereotypes), smollm2 (text), or the folder of another testbed model."
        ),
    ] = "testbed",
    out: Annotated[Path, typer.Option(help="Folder for pictures, tables and the steer.")] = Path("levelhead-demo"),
    cache: Annotated[
        Path | None, typer.Option(help="Folder for the converted SmolLM2.", show_default="the user's cache")
    ] = None,
    graphs: Annotated[str, typer.Option(help="Where to apply the steer, separated by commas.")] = (
        "transformers,transformer_lens,nnsight"
    ),
    controls: Annotated[int, typer.Option(help="Number of random directions to compare with.", min=1)] = 20,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.", min=0)] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
) -> None:
    """Where a model keeps perceived gender, whether a direction is real, and what steering does to a bias."""
    console = Console()
    with plainly():
        from levelhead.demo.options import Options
        from levelhead.demo.stages import Stages

        names = tuple(dict.fromkeys(name.strip() for name in graphs.split(",") if name.strip()))
        options = Options(out, cache, names, controls, seed, verbose=not quiet, model=model)
        _demo(options, Stages(console), console)


def _demo(options: Options, stages: Stages, console: Console) -> None:
    from levelhead.demo.results import writing

    with writing(options.out):
        pass  # a folder that cannot be made is better known now than after the work
    run: Any
    draw: Any
    show: Any
    if options.model == "smollm2":
        from levelhead.demo.smollm2.pictures import draw
        from levelhead.demo.smollm2.run import run
        from levelhead.demo.smollm2.summary import show
    else:
        from levelhead.demo.testbed.pictures import draw
        from levelhead.demo.testbed.run import run
        from levelhead.demo.testbed.summary import show
    report = run(options, stages)
    stages("pictures and tables")
    report.write()
    draw(report)
    stages.done()
    show(report, console)


@app.command()
def evaluate(
    model: Annotated[str, typer.Option(help="testbed or smollm2.")] = "testbed",
    suite: Annotated[
        str,
        typer.Option(
            help="decisions (who is taken for a doctor), mentions (what is brought up unasked) or skew (who is assigned to a "
            "concept: training against steering)."
        ),
    ] = "decisions",
    out: Annotated[Path, typer.Option(help="Folder for tables and the picture.")] = Path("levelhead-evaluate"),
    size: Annotated[str, typer.Option(help="full, or quick: fewer items and random directions.")] = "full",
    page: Annotated[Path | None, typer.Option(help="Page whose section of this model is written anew.")] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder for the converted SmolLM2.", show_default="the user's cache")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.", min=0)] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
) -> None:
    """Bias and capability of a model as it is, instructed, steered at several strengths, and steered at random."""
    console = Console()
    with plainly():
        from levelhead.demo.results import save, writing
        from levelhead.demo.stages import Stages
        from levelhead.evaluate.subject import Options

        run: Any
        table: Any
        show: Any
        if suite == "skew":
            from levelhead.evaluate.skew import evaluate as run
            from levelhead.evaluate.skew.showing import markdown as table
            from levelhead.evaluate.skew.showing import show
        else:
            from levelhead.evaluate.page import evaluation_table as table
            from levelhead.evaluate.run import evaluate as run
            from levelhead.evaluate.summary import show
        from levelhead.evaluate.page import put

        with writing(out):
            pass  # a folder that cannot be made is better known now than after the work
        stages = Stages(console)
        found = run(Options(model, suite, out, size, cache, seed, verbose=not quiet), stages)
        found.write()
        if page is not None:
            section = model if suite == "decisions" else f"{suite}-{model}"
            put(page, {section: table(found)})
            save(page.parent / "assets", **{f"results-{section}": found.picture()})
        stages.done()
        show(found, console)


@app.command()
def score(
    benchmarks: Annotated[list[str], typer.Argument(help="winobias, winogender, synthbias, crows_pairs, blimp ...")],
    out: Annotated[Path, typer.Option(help="Folder for a JSON file of each.")] = Path("levelhead-score"),
    limit: Annotated[int | None, typer.Option(help="Items at most of each; sets stay whole.", min=1)] = None,
    page: Annotated[Path | None, typer.Option(help="Page whose section of each is written anew.")] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder for the converted SmolLM2.", show_default="the user's cache")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the items that are drawn, and of the intervals.", min=0)] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
) -> None:
    """Score SmolLM2-135M-Instruct on benchmarks, whose files are looked for below LEVELHEAD_DATA."""
    console = Console()
    with plainly():
        from levelhead.demo.stages import Stages
        from levelhead.evaluate.page import put, score_table
        from levelhead.evaluate.run import score_all
        from levelhead.evaluate.summary import show_score

        stages = Stages(console)
        found = score_all(benchmarks, out, limit=limit, cache=cache, seed=seed, verbose=not quiet, say=stages)
        if page is not None:
            put(page, {each.benchmark: score_table([each]) for each in found})
        stages.done()
        for each in found:
            show_score(each, console)


if __name__ == "__main__":
    sys.exit(app())
