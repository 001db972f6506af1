"""The store of a study: an SQLite file, one transaction a cell, and a lock on its folder."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from levelhead.errors import FileError
from levelhead.study.inputs import Facts, unlike

FILE, LOCK, HOLDER = "study.sqlite", "study.lock", "study.pid"

_MAKE = (
    "CREATE TABLE inputs (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE cells (method TEXT, site TEXT, measure TEXT, rows TEXT NOT NULL, sha256 TEXT NOT NULL, "
    "PRIMARY KEY (method, site, measure))",
)
_APPLICATION = 0x6C766864
"""Written into the file's head, so that another program's database is not taken for a study."""


class Cell(NamedTuple):
    """What is measured in one go, all strengths together.

    Attributes
    ----------
    method : str
        ``"none"`` for the model as it is.
    site : str
        Empty for the model as it is.
    measure : str
    """

    method: str
    site: str
    measure: str

    def __str__(self) -> str:
        return f"'{self.measure}' of {self.method}" + (f" at {self.site}" if self.site else "")


class Store:
    """Cells on disk; see `opened`, which makes one.

    Parameters
    ----------
    path : Path
    connection : sqlite3.Connection
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    def facts(self) -> Facts:
        """The inputs that the cells were measured from; empty in a new store."""
        with _read_plainly(self.path):
            return {name: json.loads(value) for name, value in self._connection.execute("SELECT * FROM inputs")}

    def claim(self, facts: Facts) -> None:
        """Note the inputs, or see that they are those of the store; further methods and measures are added.

        Raises
        ------
        FileError
            If they differ, with what differs.
        """
        there = self.facts()
        different = unlike(there, json.loads(json.dumps(facts))) if there else []
        if different:
            raise FileError(
                f"the store '{self.path}' holds a study of other inputs: {'; '.join(different)}. Choose another folder "
                "(out=), or go back to those inputs; nothing was changed"
            )
        rows = [(name, json.dumps(value)) for name, value in facts.items() if name not in there]
        if not rows:
            return
        with self._writing("the inputs"), self._connection:
            self._connection.executemany("INSERT INTO inputs VALUES (?, ?)", rows)

    def cells(self) -> dict[Cell, list[dict[str, Any]]]:
        """The rows of every finished cell.

        Raises
        ------
        FileError
            If one is damaged.
        """
        found: dict[Cell, list[dict[str, Any]]] = {}
        with _read_plainly(self.path):
            for *key, rows, sha in self._connection.execute("SELECT method, site, measure, rows, sha256 FROM cells"):
                cell = Cell(*key)
                if _sha(cell, rows) != sha:
                    raise _damaged(self.path, f"the cell {cell} does not match its checksum")
                found[cell] = json.loads(rows)
        return found

    def add(self, cell: Cell, rows: list[dict[str, Any]]) -> None:
        """Commit a finished cell, as a whole or not at all.

        Raises
        ------
        FileError
            If the disk is full or takes no more; what was there before stays.
        """
        text = json.dumps(rows)
        with self._writing(str(cell)), self._connection:
            self._connection.execute("INSERT INTO cells VALUES (?, ?, ?, ?, ?)", (*cell, text, _sha(cell, text)))

    @contextmanager
    def _writing(self, what: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise FileError(
                f"{what} could not be written to '{self.path}': {error}. What was finished before is kept; make room, "
                "and the same call goes on from there"
            ) from error


@contextmanager
def opened(folder: Path) -> Iterator[Store]:
    """Open the store of a folder for one process at a time, or make one.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    FileError
        If another process has it, or the file is damaged, or none of ours, or cannot be written.
    """
    path = folder / FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"the folder '{folder}' cannot be made: {error.strerror}; choose another one") from error
    with _locked(folder), closing(_connected(path, "rwc")) as connection:
        with _read_plainly(path):
            # A transaction ends when its journal is gone, and with EXTRA that too is on the disk.
            connection.execute("PRAGMA synchronous = EXTRA")
            found = connection.execute("PRAGMA quick_check").fetchone()[0]
            if found != "ok":
                raise _damaged(path, found)
            _check_kind(path, connection)
        yield Store(path, connection)


@contextmanager
def looked_into(folder: Path) -> Iterator[Store]:
    """Open the store of a folder to read, which does not keep a running study from writing.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    FileError
        If there is none, or it is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        raise FileError(f"no study in '{folder}': it has no {FILE}")
    # rw: what a killed process has left half done is rolled back by whoever comes next.
    with closing(_connected(path, "rw")) as connection:
        with _read_plainly(path):
            if connection.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION:
                raise FileError(f"'{path}' is no study of levelhead's")
        yield Store(path, connection)


def _connected(path: Path, mode: str) -> sqlite3.Connection:
    try:
        return sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=30)
    except sqlite3.Error as error:
        raise FileError(f"the store '{path}' cannot be opened: {error}; choose another folder (out=)") from error


def _check_kind(path: Path, connection: sqlite3.Connection) -> None:
    """Make the tables of a new file; refuse another program's."""
    if connection.execute("PRAGMA application_id").fetchone()[0] == _APPLICATION:
        return
    if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise FileError(f"'{path}' is no study of levelhead's; choose another folder (out=)")
    try:
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            for statement in _MAKE:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")
    except sqlite3.OperationalError as error:
        raise FileError(f"the store '{path}' cannot be written: {error}; choose another folder (out=)") from error


@contextmanager
def _read_plainly(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, ValueError, UnicodeError) as error:
        if isinstance(error, FileError):
            raise
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, why: str) -> FileError:
    return FileError(
        f"the store '{path}' is damaged ({why.strip()[:200]}). Nothing was changed: restore it from a copy, or recover what "
        "can be read of it with SQLite's command `.recover`, or move it away to begin anew"
    )


def _sha(cell: Cell, rows: str) -> str:
    return hashlib.sha256(json.dumps([*cell, rows]).encode()).hexdigest()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other processes out; the system lets go of the lock of a process that has died."""
    from filelock import FileLock, Timeout

    holder, lock = folder / HOLDER, FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise FileError(
            f"another process{_who(holder)} is running the study in '{folder}'; wait for it or end it, or choose another "
            "folder (out=). To use several processes for one study, give workers="
        ) from None
    except (OSError, NotImplementedError) as error:
        raise FileError(f"the folder '{folder}' cannot be locked: {error}; choose one on another disk") from error
    try:
        _note(holder, {"pid": os.getpid(), "host": socket.gethostname()})
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _note(holder: Path, who: Mapping[str, Any]) -> None:
    try:
        holder.write_text(json.dumps(who), encoding="utf-8")
    except OSError as error:
        raise FileError(
            f"'{holder}' cannot be written: {error.strerror}; make room, or choose another folder"
        ) from error


def _who(holder: Path) -> str:
    try:
        who = json.loads(holder.read_text(encoding="utf-8"))
        return f" (pid {who['pid']} on {who['host']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""  # it has the lock, and has not yet said who it is
