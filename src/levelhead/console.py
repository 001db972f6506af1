"""What the commands share: their libraries, or a sentence that says which one is missing; errors as sentences."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

try:
    import typer
    from rich.console import Console
except ImportError as error:
    raise SystemExit(f"levelhead: the command line needs {error.name}; run: pip install 'levelhead[cli]'") from None

from levelhead.errors import LevelheadError

__all__ = ["Console", "commands", "plainly", "typer"]

# Read when torch is loaded, which happens inside of the commands. Threads that wait for each other by spinning make
# a busy machine many times slower, and an idle one hardly faster.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def commands(help: str) -> typer.Typer:
    """Make a group of commands."""
    return typer.Typer(help=help, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@contextmanager
def plainly() -> Iterator[None]:
    """Errors that we raise on purpose are sentences, not tracebacks; Ctrl-C ends without either."""
    try:
        yield
    except LevelheadError as error:
        Console(stderr=True).print(f"levelhead: {error}", style="red", markup=False, highlight=False)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
