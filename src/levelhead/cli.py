"""The command line: ``levelhead demo``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

try:
    import typer
    from rich.console import Console
except ImportError as error:
    raise SystemExit(f"levelhead: the command line needs {error.name}; run: pip install 'levelhead[cli]'") from None

# Read when torch is loaded, which happens inside of the commands. Threads that wait for each other by spinning make
# a busy machine many times slower, and an idle one hardly faster.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from levelhead import __version__
from levelhead.errors import LevelheadError

app = typer.Typer(
    help="Find where a model keeps a protected attribute, check the direction, and steer the model level.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


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
    out: Annotated[Path, typer.Option(help="Folder for pictures, tables and the steer.")] = Path("levelhead-demo"),
    cache: Annotated[
        Path | None, typer.Option(help="Folder for the converted model.", show_default="the user's cache")
    ] = None,
    graphs: Annotated[str, typer.Option(help="Where to apply the steer, separated by commas.")] = (
        "transformers,transformer_lens,nnsight"
    ),
    controls: Annotated[int, typer.Option(help="Number of random directions to compare with.", min=1)] = 20,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
) -> None:
    """Where a real language model keeps gender, whether a direction is real, and what steering does to a bias."""
    from levelhead.demo.findings import Options

    console = Console()
    try:
        names = tuple(dict.fromkeys(name.strip() for name in graphs.split(",") if name.strip()))
        options = Options(out, cache, names, controls, seed, verbose=not quiet)
        from levelhead.demo.pictures import draw
        from levelhead.demo.run import run
        from levelhead.demo.summary import Stages, show

        stages = Stages(console)
        report = run(options, stages)
        stages("pictures and tables")
        report.write()
        draw(report)
        stages.done()
        show(report, console)
    except LevelheadError as error:
        Console(stderr=True).print(f"levelhead: {error}", style="red", markup=False, highlight=False)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


if __name__ == "__main__":
    sys.exit(app())
