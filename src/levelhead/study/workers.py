"""Cells in several processes: each has a model of its own, one thread, and hands its rows back to be stored."""

from __future__ import annotations

import copyreg
import io
import multiprocessing
import os
import pickle
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import wait as wait_for
from types import MappingProxyType
from typing import Any
from weakref import WeakKeyDictionary

from levelhead.data.pictures import EncodedPicture
from levelhead.errors import InputError, LevelheadError
from levelhead.graph import Graph, adapters, graph
from levelhead.steer import Steer
from levelhead.study.inputs import weights_digest
from levelhead.study.measuring import Asking, Bench
from levelhead.study.store import Cell

Task = tuple[Cell, "Steer | None"]
Done = tuple[Cell, list[dict[str, Any]]]


@dataclass(frozen=True)
class Supplies:
    """What a worker begins with.

    Attributes
    ----------
    model : any
        None where `load` gives it.
    processor : any
    adapter : str or None
        The one that wraps the model.
    load : callable or None
    weights : str or None
        Digest of the weights that `load` has to give.
    asking : Asking
    """

    model: Any
    processor: Any
    adapter: str | None
    load: Callable[[], Any] | None
    weights: str | None
    asking: Asking

    @classmethod
    def of(cls, wrapped: Graph, load: Callable[[], Any] | None, weights: str, asking: Asking) -> Supplies:
        """What makes the same graph anew in another process.

        Parameters
        ----------
        wrapped : Graph
        load : callable or None
        weights : str
            Digest of the graph's.
        asking : Asking

        Returns
        -------
        Supplies
        """
        processor = getattr(wrapped, "processor", None)
        # Our graphs know a model's modules by their addresses, and are made anew; a foreign one is sent as it is.
        ours = wrapped.name in {adapter.name for adapter in adapters()}
        if load is not None:
            return cls(None, processor, wrapped.name if ours else None, load, weights, asking)
        if ours:
            return cls(wrapped.target, processor, wrapped.name, None, None, asking)
        return cls(wrapped, None, None, None, None, asking)

    def bench(self) -> Bench:
        """Build what measures cells."""
        model, processor = self.model, self.processor
        if self.load is not None:
            model, processor = loaded(self.load, processor)
        wrapped = graph(model, processor, adapter=self.adapter)
        if self.weights is not None and weights_digest(wrapped.model) != self.weights:
            raise InputError("load= gave a worker another model than the one of the study: its weights differ")
        return Bench(wrapped, self.asking)


def loaded(load: Callable[[], Any], processor: Any) -> tuple[Any, Any]:
    """Call `load`, which gives a model or a pair of model and processor."""
    found = load()
    return found if isinstance(found, tuple) else (found, processor)


def in_processes(supplies: Supplies, tasks: Iterable[Task], workers: int) -> Iterator[Done]:
    """Measure cells in processes of their own, in whatever order they finish.

    Where one fails, those that run are finished and handed out first; then the error is raised.

    Parameters
    ----------
    supplies : Supplies
    tasks : iterable of (Cell, Steer or None)
    workers : int

    Raises
    ------
    InputError
        For what cannot be sent to another process.
    LevelheadError
        If a worker died.
    """
    packed = _packed(supplies)
    waiting: dict[Future[list[dict[str, Any]]], tuple[int, Cell]] = {}
    failed: Exception | None = None
    lost: list[tuple[int, Cell]] = []
    number = 0
    todo = iter(tasks)
    # spawn: a forked process would share torch's threads and the accelerator's state, and hang on either.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(packed,)) as pool:
        try:
            while True:
                # A few cells ahead, so that nobody waits; not all, since each carries a steer.
                while failed is None and not lost and len(waiting) < 2 * workers:
                    task = next(todo, None)
                    if task is None:
                        break
                    number += 1
                    try:
                        waiting[pool.submit(_measure, *task)] = number, task[0]
                    except BrokenProcessPool:
                        lost.append((number, task[0]))
                if not waiting:
                    break
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    place = waiting.pop(future)
                    if future.cancelled():
                        continue
                    error = future.exception()
                    if error is None:
                        yield place[1], future.result()
                    elif isinstance(error, BrokenProcessPool):
                        lost.append(place)
                    elif isinstance(error, Exception):
                        failed = failed or error
                        for other in waiting:
                            other.cancel()
                    else:
                        raise error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    if failed is not None:
        raise failed
    if lost:
        # Cells begin in the order in which they are sent; those behind the first ones were still waiting.
        running = [str(cell) for _, cell in sorted(lost)[:workers]]
        raise LevelheadError(
            f"a worker process died while {' or '.join(running)} was being measured: killed, or out of memory? "
            "A script that uses workers= has to keep its own work under `if __name__ == '__main__':`, since every worker "
            "imports it. Finished cells are kept, and the same call goes on from there; fewer workers take less memory"
        )


def _packed(supplies: Supplies) -> bytes:
    packed = io.BytesIO()
    pickler = pickle.Pickler(packed)
    # What records and answers hold and pickle does not know: read-only mappings, pictures inside files, memories.
    pickler.dispatch_table = copyreg.dispatch_table | {
        MappingProxyType: _as_read_only,
        EncodedPicture: _as_picture,
        WeakKeyDictionary: _as_forgotten,
    }
    try:
        pickler.dump(supplies)
        return packed.getvalue()
    except Exception as error:  # whatever an object's own pickling raises
        raise InputError(
            f"workers= sends the model and the measures to other processes, and something cannot be sent: {error}. Give a "
            "function at a module's top level as load= in place of the model, and no lambdas in measures; or use workers=1"
        ) from error


def _read_only(value: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(value)


def _as_read_only(value: Any) -> Any:
    return _read_only, (dict(value),)


def _as_picture(value: EncodedPicture) -> Any:
    return _picture, (value.name, value.read())


def _as_forgotten(_: Any) -> Any:
    return WeakKeyDictionary, ()


def _picture(name: str, data: bytes) -> EncodedPicture:
    return EncodedPicture(name, partial(bytes, data))


_packed_here: bytes = b""
_bench: Bench | None = None
"""A worker's own, from its first cell on."""


def _begin(packed: bytes) -> None:
    """Begin a worker: one thread, and an end with its parent's."""
    global _packed_here
    import torch

    torch.set_num_threads(1)
    _packed_here = packed
    parent = multiprocessing.parent_process()
    if parent is not None:
        # A parent that is killed cannot tell its workers, which would wait for work forever.
        threading.Thread(target=_end_after, args=(parent.sentinel,), daemon=True).start()


def _end_after(sentinel: Any) -> None:
    wait_for([sentinel])
    os._exit(1)


def _measure(cell: Cell, steer: Steer | None) -> list[dict[str, Any]]:
    global _bench, _packed_here
    bench = _bench
    if bench is None:
        # Here and not in _begin: an error goes back to whoever called, and not only to the screen.
        supplies: Supplies = pickle.loads(_packed_here)
        bench = _bench = supplies.bench()
        _packed_here = b""
    return bench(cell, steer)
