"""Several processes, one thread each, that add up their gradients: faster on few cores than threads that wait."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from levelhead.errors import LevelheadError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Alone:
    """One process does everything."""

    rank, count = 0, 1

    def total(self, flat: Tensor) -> None:
        """Add up a vector over all processes, in place."""


class Team(Alone):
    """One of several processes."""

    def __init__(self, rank: int, count: int, meeting: str) -> None:
        import torch.distributed as dist

        self.rank, self.count = rank, count
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=count)

    def total(self, flat: Tensor) -> None:
        """Add up a vector over all processes, in place."""
        import torch.distributed as dist

        dist.all_reduce(flat)


def run(work: Callable[..., None], count: int, *arguments: Any) -> None:
    """Call ``work(team, *arguments)`` in so many processes.

    Parameters
    ----------
    work : callable
        A function at the top of a module.
    count : int
        With 1 it runs right here, with the threads that torch was given.
    *arguments
        Can be pickled.
    """
    if count == 1:
        work(Alone(), *arguments)
        return
    from torch.multiprocessing.spawn import ProcessException, start_processes

    # Read by the new processes as they load torch.
    patient = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    before = {name: os.environ.get(name) for name in patient}
    os.environ.update(patient)
    try:
        with tempfile.TemporaryDirectory() as folder:
            meeting = str(Path(folder) / "meeting")
            team: Any = start_processes(
                _begin, (work, count, meeting, arguments), count, join=False, start_method="spawn"
            )
            with patience() as asked:
                while not team.join(timeout=1):
                    if asked:  # the signal may have reached this process alone, or a worker that was not listening yet
                        for process in team.processes:
                            process.terminate()
    except ProcessException as error:
        raise LevelheadError(
            f"a worker stopped: {error}. What was saved is kept; train again to go on from there"
        ) from None
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def patience() -> Iterator[Sequence[int]]:
    """Note that somebody asked to stop, by Ctrl-C or a signal, instead of stopping in the middle of a step."""
    asked: list[int] = []
    try:
        before = {number: signal.signal(number, lambda number, _: asked.append(number)) for number in _SIGNALS}
    except ValueError:  # not in the main thread: nobody can ask
        before = {}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _begin(rank: int, work: Callable[..., None], count: int, meeting: str, arguments: tuple[Any, ...]) -> None:
    import torch.distributed as dist

    torch.set_num_threads(1)
    for number in _SIGNALS:  # outside of `patience`, in which the work listens: before it begins, and while it ends
        signal.signal(number, signal.SIG_IGN)
    work(Team(rank, count, meeting), *arguments)
    with suppress(RuntimeError):  # whoever is done first waits, or the others might lose the last sum
        dist.barrier()
    # Everything is on disk. An orderly end would take gloo's threads down in an order that now and then aborts.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
