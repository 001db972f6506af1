"""What a study survives: kills, a full disk, damage, two processes, dead workers; on a graph that runs no model."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from levelhead.edits import Add
from levelhead.errors import FileError, InputError, LevelheadError
from levelhead.graph import Location
from levelhead.metrics.measures.protocol import Reading
from levelhead.metrics.statistics import mean_of
from levelhead.sites import Site
from levelhead.steer import Steer
from levelhead.study import Study, store, study
from levelhead.study.inputs import weights_digest
from levelhead.study.measuring import Asking
from levelhead.study.store import Cell
from levelhead.study.workers import Supplies, in_processes

HERE = Path(__file__).resolve().parent
SITES = [Site("resid_post", layer) for layer in range(5)]
STEERS = {name: Steer({site: Add(torch.full((4,), float(n + 1))) for site in SITES}) for n, name in enumerate("abc")}


class Toy:
    """A graph of which only the address book works."""

    is_levelhead_graph = True
    name, basis = "toy", "hf"

    def __init__(self) -> None:
        self.model = self.target = torch.nn.LayerNorm(4).eval()

    def sites(self) -> list[Site]:
        return SITES

    def locate(self, site: Any) -> Location:
        return Location(Site.parse(site), "norm", "output", 4, None, "norm")

    def identity(self) -> dict[str, Any]:
        return {"id": "toy"}

    def unused(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    encode = layout = capture = logits = logits_at = generate = on = hooks = inside = unused


@dataclass(frozen=True)
class Item:
    set_id: str


@dataclass(frozen=True)
class Known:
    """A number that follows from the steer and its strength; every run is noted before it begins."""

    home: str
    name: str = "known"
    pause: float = 0.0
    records: tuple[Item, ...] = tuple(Item(str(i // 2)) for i in range(12))
    better: str = "lower"
    bounds: Any = field(default=None)
    chance: float = 0.0

    def clusters(self) -> list[str]:
        return [record.set_id for record in self.records]

    def part(self, keep: Sequence[bool]) -> Known:
        return self

    def on(self, graph: Any, prefix: str = "") -> Any:
        def run(steer: Steer | None = None, strengths: Any = None, *, verbose: bool = False) -> list[Reading]:
            home = Path(self.home)
            layer, size = 0, 0.0
            if steer is not None:
                with open(home / "runs", "a") as noted:
                    noted.write("x")
                layer, size = steer.sites[0].layer or 0, float(steer.entries[0].edit.params["vector"][0])
            time.sleep(self.pause)
            if layer == 3 and (home / "die").exists():
                (home / "die").unlink()
                os._exit(1)
            if layer == 4 and (home / "fail").exists():
                raise InputError("a failure on purpose")
            noise = np.sin(np.arange(len(self.records)))
            return [
                Reading(mean_of(noise + s * size * np.cos(layer + noise)), len(noise)) for s in (strengths or [0.0])
            ]

        return run


def toy_study(home: Path, out: str = "out", pause: float = 0.0, **more: Any) -> Study:
    home.mkdir(exist_ok=True)
    measures = [Known(str(home), pause=pause), Known(str(home), "other", pause)]
    options: dict[str, Any] = {"bias": measures, "strengths": (0.5, 1), "draws": 49, "verbose": False}
    return study(Toy(), STEERS, out=home / out, **(options | more))


def figures(found: Study) -> list[Any]:
    return [replace(row, seconds=0.0) for row in found.rows]


def runs(home: Path) -> int:
    return (home / "runs").stat().st_size if (home / "runs").exists() else 0


CELLS = len(SITES) * len(STEERS) * 2


# -- kill -9, and two processes ------------------------------------------------------------------------


def kill_at_random(home: Path, trials: int) -> None:
    """Fork a study and kill it, again and again; look at what is left each time. Runs in a process of its own."""
    expected = figures(toy_study(home / "whole"))
    rng = random.Random(trials)
    kills = folders = 0
    while kills < trials:
        here = home / str(folders)
        folders += 1
        kept: dict[Any, Any] = {}
        lost = 0
        while True:
            child = os.fork()
            if not child:
                toy_study(here, pause=0.002)
                os._exit(0)
            time.sleep(rng.uniform(0, 0.12))
            os.kill(child, signal.SIGKILL)
            status = os.waitpid(child, 0)[1]
            assert status in (0, signal.SIGKILL), "the study failed instead of being killed"
            if (here / "out" / store.FILE).is_file() and (here / "out" / store.FILE).stat().st_size:
                with store.looked_into(here / "out") as opened:
                    cells = opened.cells() if opened.facts() else {}
                assert kept.items() <= cells.items(), "a finished cell is gone, or another one than it was"
                kept = cells
            if not status:
                break
            kills += 1
            lost += 1
        before = runs(here)
        assert figures(toy_study(here, pause=0.002)) == expected
        assert runs(here) == before <= CELLS + lost, "more than the running cell was lost"


def meet(home: Path) -> None:
    """A second process is turned away while the first lives, and takes over when it is dead."""
    child = os.fork()
    if not child:
        toy_study(home, pause=0.2)
        os._exit(0)
    while not (home / "out" / store.HOLDER).exists() or not (home / "out" / store.HOLDER).stat().st_size:
        time.sleep(0.01)
    try:
        toy_study(home, pause=0.2)
    except FileError as error:
        assert f"pid {child}" in str(error) and "workers=" in str(error), error
    else:
        raise AssertionError("two processes on one store")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert (home / "out" / store.HOLDER).exists()
    with store.opened(home / "out"):
        assert f'"pid": {os.getpid()}' in (home / "out" / store.HOLDER).read_text()


def in_a_process(program: str) -> None:
    """Forks come from a process that has no threads yet."""
    path = os.pathsep.join([str(HERE), *sys.path])
    line = f"from pathlib import Path; from test_study_faults import *; {program}"
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", line], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork, which this system lacks")
def test_a_kill_loses_the_running_cell_at_most_and_a_second_process_is_turned_away(tmp_path: Path) -> None:
    in_a_process(f"kill_at_random(Path({str(tmp_path)!r}), 12); meet(Path({str(tmp_path / 'two')!r}))")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork, which this system lacks")
def test_sixty_kills(tmp_path: Path) -> None:
    in_a_process(f"kill_at_random(Path({str(tmp_path)!r}), 60)")


# -- disks ---------------------------------------------------------------------------------------------


def test_a_full_disk_keeps_what_was_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = store._connected

    def small(path: Path, mode: str) -> sqlite3.Connection:
        connection = plain(path, mode)
        connection.execute("PRAGMA max_page_count = 12")  # SQLite then says what it says of a full disk
        return connection

    monkeypatch.setattr(store, "_connected", small)
    with pytest.raises(FileError, match=r"full.*goes on from there"):
        toy_study(tmp_path)
    monkeypatch.undo()
    kept = len({(row.method, row.site, row.measure) for row in Study.load(tmp_path / "out").rows if row.site})
    assert kept == runs(tmp_path) - 1 > 0, "all but the cell that found no room"
    assert figures(toy_study(tmp_path)) == figures(toy_study(tmp_path / "whole"))
    assert runs(tmp_path) == CELLS + 1


def test_a_damaged_store_is_said_to_be_one_and_left_alone(tmp_path: Path) -> None:
    toy_study(tmp_path)
    file = tmp_path / "out" / store.FILE
    whole = file.read_bytes()
    at = whole.index(b'"value": ') + len(b'"value": ') + 4
    digit = whole[at : at + 1]
    flipped = whole[:at] + (b"1" if digit != b"1" else b"2") + whole[at + 1 :]
    for bad in (whole[: len(whole) // 2], b"no database" * 500, flipped, whole[:4096] + bytes(4096) + whole[8192:]):
        file.write_bytes(bad)
        for read in (lambda: toy_study(tmp_path), lambda: Study.load(tmp_path / "out")):
            with pytest.raises(FileError, match=r"damaged.*move it away"):
                read()
        assert file.read_bytes() == bad
    file.write_bytes(whole)
    assert len(toy_study(tmp_path).rows) == 2 * CELLS + 2


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with sqlite3.connect(tmp_path / "out" / store.FILE) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with pytest.raises(FileError, match="no study of levelhead's"):
        toy_study(tmp_path)
    with pytest.raises(FileError, match="no study in"):
        Study.load(tmp_path)


def test_cells_before_an_error_are_kept(tmp_path: Path) -> None:
    (tmp_path / "fail").touch()
    with pytest.raises(InputError, match="on purpose"):
        toy_study(tmp_path)
    assert {row.site for row in Study.load(tmp_path / "out").rows} == {"", *map(str, SITES[:4])}
    assert not (tmp_path / "out" / store.HOLDER).exists()
    (tmp_path / "fail").unlink()
    assert len(toy_study(tmp_path).rows) == 2 * CELLS + 2


# -- workers -------------------------------------------------------------------------------------------


def test_what_workers_hand_back_is_stored_in_whatever_order_it_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def backwards(supplies: Any, tasks: Any, workers: int) -> Any:
        bench = supplies.bench()
        return ((cell, bench(cell, steer)) for cell, steer in reversed(list(tasks)))

    alone = toy_study(tmp_path)
    monkeypatch.setattr(sys.modules["levelhead.study.run"], "in_processes", backwards)
    assert figures(toy_study(tmp_path, "backwards", workers=3)) == figures(alone)


@pytest.mark.slow
def test_workers_agree_with_one_process(tmp_path: Path) -> None:
    alone = toy_study(tmp_path)
    before = runs(tmp_path)
    assert figures(toy_study(tmp_path, "parallel", workers=2, load=Toy)) == figures(alone)
    assert runs(tmp_path) - before == CELLS
    assert figures(toy_study(tmp_path, "parallel")) == figures(alone)
    assert runs(tmp_path) - before == CELLS, "a store does not care who filled it"


def test_a_dead_worker_loses_its_own_cell_and_leaves_a_clear_message(tmp_path: Path) -> None:
    (tmp_path / "die").touch()
    measure = Known(str(tmp_path))
    asked = Supplies.of(Toy(), None, "", Asking({"known": measure}, (1.0,), 49, 0))
    tasks = [(Cell("a", str(site), "known"), STEERS["a"].only(site)) for site in SITES]
    done = []
    with pytest.raises(
        LevelheadError, match=r"worker process died while 'known' of a at resid_post.3 .*goes on from there"
    ):
        done.extend(in_processes(asked, tasks, 1))
    assert [cell.site for cell, _ in done] == ["resid_post.0", "resid_post.1", "resid_post.2"]
    bench = asked.bench()
    for (cell, there), (_, steer) in zip(done, tasks, strict=False):
        assert [{**row, "seconds": 0} for row in bench(cell, steer)] == [{**row, "seconds": 0} for row in there]


@pytest.mark.slow
def test_a_study_goes_on_after_a_worker_died(tmp_path: Path) -> None:
    alone = toy_study(tmp_path)
    before = runs(tmp_path)
    (tmp_path / "die").touch()
    with pytest.raises(
        LevelheadError, match=r"worker process died while .*'known' of a at resid_post.3.* was .*goes on from there"
    ):
        toy_study(tmp_path, "parallel", workers=2)
    there = Study.load(tmp_path / "parallel").rows
    assert 0 < len(there) < len(alone.rows) and not (tmp_path / "die").exists()
    assert figures(toy_study(tmp_path, "parallel", workers=2)) == figures(alone)
    # Two workers, each with a cell that ran and one that waited.
    assert runs(tmp_path) - before <= CELLS + 4


def test_a_worker_that_is_given_another_model_says_so(tmp_path: Path) -> None:
    asking = Asking({"known": Known(str(tmp_path))}, (1.0,), 49, 0)
    weights = weights_digest(Toy().model)
    Supplies.of(Toy(), Toy, weights, asking).bench()
    with pytest.raises(InputError, match="its weights differ"):
        Supplies.of(Toy(), other_toy, weights, asking).bench()


def other_toy() -> Any:
    toy = Toy()
    with torch.no_grad():
        toy.model.weight[2] += 1e-6
    return toy, None


def test_what_cannot_be_sent_to_a_worker_is_said_before_one_starts(tmp_path: Path) -> None:
    measure: Any = Known(str(tmp_path), bounds=lambda: None)
    with pytest.raises(InputError, match=r"cannot be sent.*load="):
        toy_study(tmp_path, bias=[measure], workers=2)
