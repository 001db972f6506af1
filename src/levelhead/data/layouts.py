"""Rows out of whatever files a data set is kept in; pictures are found beside them."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from levelhead.data.entry import Entry
from levelhead.data.parquet import parquet_rows
from levelhead.data.pictures import SUFFIXES, EncodedPicture
from levelhead.data.problems import Problems
from levelhead.data.tables import Rows, text_rows
from levelhead.errors import InputError

PACKED = (".gz", ".tar", ".tgz", ".7z", ".bz2", ".xz", ".rar")
TABLES = (".jsonl", ".json", ".csv", ".tsv")
PICTURE_COLUMNS = ("image", "file_name", "image_path", "img", "file")
"""Columns in which a picture's file may be named, the first that names one counts."""


def read_files(
    root: Path, files: Sequence[Path], entry: Entry, problems: Problems, pattern: str | None = None
) -> list[dict[str, Any]]:
    """All rows of some files, one file after another.

    Parameters
    ----------
    root : Path
        Folder of the set; ``_file`` is relative to it, and rows have it as ``_folder``.
    files : sequence of Path
        Tables (csv, tsv, jsonl, json, parquet), plain text, pictures, or zip archives of such.
    entry : Entry
        For `Entry.header`.
    problems : Problems
    pattern : str, optional
        Regular expression that is searched in a picture's path; the rows get its named groups as ``_names``.

    Raises
    ------
    InputError
        For a pattern that is no regular expression or has no named groups.
    """
    search = _compile(pattern)
    known = [frozenset(schema.columns) for schema in entry.schemas if schema.columns]
    rows: list[dict[str, Any]] = []
    beside = _Beside(root)
    for path in files:
        name = path.relative_to(root).as_posix()
        for row in _file_rows(path, name, entry.header, known, problems):
            row.setdefault("_file", name)
            row["_folder"] = root
            if not beside.attach(row, path.parent):
                problems.lose("the picture of this row is not there", f"{row['_where']} ({row['file_name']})")
                continue
            if search is not None:
                found = search.search(_named(row, root, name))
                row["_names"] = found.groupdict() if found else None
            rows.append(row)
    return rows


def _compile(pattern: str | None) -> re.Pattern[str] | None:
    if pattern is None:
        return None
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise InputError(f"pattern={pattern!r} is no regular expression: {error}") from error
    if not compiled.groupindex:
        raise InputError(f"pattern={pattern!r} has no named groups, such as (?P<gender>[01]); labels need names")
    return compiled


def _named(row: dict[str, Any], root: Path, name: str) -> str:
    """The path in which labels are looked for: the picture's, where the row has one."""
    picture = row.get("image")
    if isinstance(picture, Path):
        return picture.relative_to(root).as_posix() if picture.is_relative_to(root) else picture.name
    return str(row.get("_file") or name)


def _file_rows(
    path: Path, name: str, header: Sequence[str], known: Collection[frozenset[str]], problems: Problems
) -> Rows:
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        yield {"image": path, "_where": name}
    elif suffix == ".parquet":
        yield from parquet_rows(path, name, problems)
    elif suffix == ".zip":
        yield from _zip_rows(path, name, header, known, problems)
    elif suffix in PACKED:
        problems.add("the file is packed; unpack it, and name the folder as source", name)
    else:
        try:
            data = path.read_bytes()
        except OSError as error:
            problems.add(f"the file cannot be read: {error.strerror or type(error).__name__}", name)
            return
        yield from text_rows(name, data, problems, header=header, known=known)


def _zip_rows(
    path: Path, name: str, header: Sequence[str], known: Collection[frozenset[str]], problems: Problems
) -> Iterator[dict[str, Any]]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(archive.namelist())
            # As in a folder, pictures count only where there is no table.
            only_pictures = _has(names, tuple(SUFFIXES)) and not _has(names, TABLES)
            for member in names:
                parts = member.split("/")
                if any(part.startswith(".") or part == "__MACOSX" for part in parts):
                    problems.hidden += not member.endswith("/")
                    continue
                if only_pictures:
                    if _has([member], tuple(SUFFIXES)):
                        inside = f"{name}/{member}"
                        read = partial(_member, path, member)
                        yield {"image": EncodedPicture(inside, read), "_file": inside, "_where": inside}
                    continue
                if not _has([member], (*TABLES, ".txt")):
                    continue
                inside = f"{name}/{member}"
                try:
                    data = archive.read(member)
                except (zipfile.BadZipFile, zlib.error, OSError, RuntimeError, NotImplementedError) as error:
                    problems.add(f"this part of the archive cannot be read: {error}", inside)
                    continue
                for row in text_rows(inside, data, problems, header=header, known=known):
                    yield {**row, "_file": inside}
    except (zipfile.BadZipFile, OSError) as error:
        problems.add(f"the archive cannot be opened ({error}); copy it anew", name)


def _has(members: Sequence[str], endings: tuple[str, ...]) -> bool:
    return any(member.lower().endswith(endings) for member in members)


def _member(path: Path, member: str) -> bytes:
    """The bytes of one picture in an archive; a damaged one is told of like a damaged file."""
    try:
        return _opened(path).read(member)
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError) as error:
        raise OSError(f"this part of the archive cannot be read: {error}") from error


@lru_cache(maxsize=2)
def _opened(path: Path) -> zipfile.ZipFile:
    """An archive that stays open: with many pictures inside, its table of contents takes a while to read."""
    return zipfile.ZipFile(path)


class _Beside:
    """Finds pictures that a table names, below the folder of the set."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.seen: dict[tuple[Path, str], Path | None] = {}

    def attach(self, row: dict[str, Any], folder: Path) -> bool:
        """Put the picture's path into ``image``; False where an image folder's metadata names a missing one."""
        for column in PICTURE_COLUMNS:
            value = row.get(column)
            if isinstance(value, str):
                found = self.find(value, folder)
                if found is not None:
                    row["image"] = found
                    return True
        is_metadata = Path(row["_file"]).stem == "metadata" and isinstance(row.get("file_name"), str)
        return not is_metadata or isinstance(row.get("image"), Path)

    def find(self, value: str, folder: Path) -> Path | None:
        if Path(value).suffix.lower() not in SUFFIXES or "://" in value:
            return None
        key = (folder, value)
        if key not in self.seen:
            places = (folder / value, self.root / value, self.root / "images" / value)
            self.seen[key] = next((place for place in places if place.is_file()), None)
        return self.seen[key]
