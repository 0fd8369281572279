"""The memory's file: one SQLite database that only one process opens, and that is never repaired or replaced unasked.

Write-ahead logging keeps every finished write when the process is killed; a power cut may cost the last few.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np

from referent.errors import ConfigError, MemoryUnavailable
from referent.memory.places import Place
from referent.memory.records import Entry
from referent.types import Array, Provenance

APPLICATION_ID = 0x5265_6672  # "Refr": tells the file from other programs' databases
SCHEMA_VERSION = 1
_LOG_PAGES = 256  # pages of log after which it is written back: bounds the log, and how long that takes
_LOG_BYTES = 1 << 20  # what the log is cut back to

_TABLES = (
    "CREATE TABLE about (fixed_frame TEXT NOT NULL)",
    "CREATE TABLE memory (id INTEGER PRIMARY KEY AUTOINCREMENT, pose BLOB NOT NULL, covariance BLOB NOT NULL,"
    " size BLOB NOT NULL, label TEXT NOT NULL, expression TEXT NOT NULL, names TEXT NOT NULL,"
    " first_seen_ns INTEGER NOT NULL, last_seen_ns INTEGER NOT NULL, sightings INTEGER NOT NULL,"
    " note_order INTEGER NOT NULL, score REAL NOT NULL, how TEXT, crop_quality REAL NOT NULL,"
    " empty_looks INTEGER NOT NULL)",
    # Apart, so that a note does not write the picture again.
    "CREATE TABLE crop (memory_id INTEGER PRIMARY KEY REFERENCES memory (id) ON DELETE CASCADE, jpeg BLOB NOT NULL)",
)
_COLUMNS = (
    "id, pose, covariance, size, label, expression, names, first_seen_ns, last_seen_ns, sightings, note_order, score, "
    "how, crop_quality, empty_looks"
)
_SAVE = (
    f"INSERT INTO memory ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (id) DO UPDATE SET " + ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS.split(", ")[1:])
)


class MemoryFile:
    """An open memory file, or one in RAM; every write is one transaction. Not for two threads at once."""

    def __init__(self, path: Path | None, fixed_frame: str) -> None:
        """Opens or makes the file. Raises ConfigError when what is there is not a memory in `fixed_frame`, or is
        damaged or in use; the file is left as it is."""
        self._name = "the memory in RAM" if path is None else str(path)
        if path is not None and not path.parent.is_dir():
            raise ConfigError(f"memory.path: {path}: there is no folder {path.parent}; make it, or choose another file")
        with self._opening():
            self._database = sqlite3.connect(
                ":memory:" if path is None else path, isolation_level=None, check_same_thread=False, timeout=0
            )
        try:
            with self._opening():
                self._prepare(fixed_frame)
        except BaseException:
            self._database.close()
            raise

    def load(self) -> list[Entry]:
        """Everything remembered. Raises ConfigError when a row cannot be read."""
        with self._opening():
            rows = self._database.execute(f"SELECT {_COLUMNS} FROM memory ORDER BY id").fetchall()
        try:
            return [_entry(row) for row in rows]
        except (ValueError, TypeError, KeyError) as error:
            raise self._damaged(str(error)) from error

    def next_id(self) -> int:
        """The first id that was never given to anything in this file."""
        with self._opening():
            row = self._database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'memory'").fetchone()
        return 1 if row is None else int(row[0]) + 1

    @contextmanager
    def changes(self) -> Iterator[None]:
        """All writes inside are done, or none. Raises MemoryUnavailable when they cannot be."""
        try:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise MemoryUnavailable(f"{self._name}: cannot be written ({error}); is its disk full?") from error

    def save(self, entries: Iterable[Entry]) -> None:
        """Write entries, new ones and known ones."""
        self._database.executemany(_SAVE, [_row(entry) for entry in entries])

    def save_crop(self, memory_id: int, jpeg: bytes) -> None:
        """Keep a picture instead of the one before."""
        self._database.execute("INSERT OR REPLACE INTO crop (memory_id, jpeg) VALUES (?, ?)", (memory_id, jpeg))

    def delete(self, memory_ids: Iterable[int]) -> None:
        """Forget entries and their pictures."""
        self._database.executemany("DELETE FROM memory WHERE id = ?", [(memory_id,) for memory_id in memory_ids])

    def crop(self, memory_id: int) -> bytes | None:
        """The picture's JPEG; None when there is none. Raises MemoryUnavailable."""
        try:
            row = self._database.execute("SELECT jpeg FROM crop WHERE memory_id = ?", (memory_id,)).fetchone()
        except sqlite3.Error as error:
            raise MemoryUnavailable(f"{self._name}: cannot be read ({error})") from error
        return None if row is None else bytes(row[0])

    def settle(self) -> None:
        """Write the log back and empty it: what was deleted is then in no file any more."""
        try:
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise MemoryUnavailable(f"{self._name}: cannot be written ({error})") from error

    def close(self) -> None:
        """Write the log back and let go of the file."""
        self._database.close()

    def _prepare(self, fixed_frame: str) -> None:
        run = self._database.execute
        run("PRAGMA locking_mode = EXCLUSIVE")  # a second process is refused, and no shared memory is needed
        run("BEGIN IMMEDIATE")  # takes the lock, and reads the header, before anything is changed
        is_new = run("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        application, version = run("PRAGMA application_id").fetchone()[0], run("PRAGMA user_version").fetchone()[0]
        if is_new and (application, version) == (0, 0):
            self._make_tables(fixed_frame)
        run("COMMIT")
        if not is_new or application:
            self._check(application, version, fixed_frame)
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = NORMAL")
        run(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
        run(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
        run("PRAGMA secure_delete = ON")  # what is forgotten is not left in free pages
        run("PRAGMA foreign_keys = ON")

    def _make_tables(self, fixed_frame: str) -> None:
        for statement in _TABLES:
            self._database.execute(statement)
        self._database.execute("INSERT INTO about (fixed_frame) VALUES (?)", (fixed_frame,))
        self._database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        self._database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _check(self, application: int, version: int, fixed_frame: str) -> None:
        if application != APPLICATION_ID:
            raise ConfigError(
                f"memory.path: {self._name}: a database of another program, left as it is; choose another file"
            )
        if version != SCHEMA_VERSION:
            raise ConfigError(
                f"memory.path: {self._name}: written in version {version} of the format, this Referent reads version "
                f"{SCHEMA_VERSION}; use the Referent that wrote it, or choose another file"
            )
        verdict = self._database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise self._damaged(" ".join(str(verdict).split()))
        frame = self._database.execute("SELECT fixed_frame FROM about").fetchone()
        if frame is None:
            raise self._damaged("it does not say which coordinate frame it is in")
        if frame[0] != fixed_frame:
            raise ConfigError(
                f"memory.path: {self._name}: its places are in frame {frame[0]!r}, memory.frame is {fixed_frame!r}; "
                f"set memory.frame: {frame[0]}, or choose another file"
            )

    @contextmanager
    def _opening(self) -> Iterator[None]:
        """What SQLite says about a file, as one line with the way out."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise ConfigError(
                    f"memory.path: {self._name}: in use by another process; end that one, or choose another file"
                ) from error
            raise ConfigError(
                f"memory.path: {self._name}: cannot be opened for writing ({error}); check its permissions and disk, "
                "or choose another file"
            ) from error
        except sqlite3.DatabaseError as error:
            raise self._damaged(str(error)) from error

    def _damaged(self, why: str) -> ConfigError:
        return ConfigError(
            f"memory.path: {self._name}: damaged, or no memory of Referent ({why}); it was left as it is: to begin "
            "with an empty memory move it away, and the -wal file beside it if there is one, or choose another file"
        )


def _row(entry: Entry) -> tuple[object, ...]:
    how = None if entry.how is None else json.dumps(asdict(entry.how))
    place = entry.place
    return (
        entry.memory_id,
        place.fixed_from_object.astype("<f8").tobytes(),
        place.covariance.astype("<f8").tobytes(),
        place.size_m.astype("<f8").tobytes(),
        entry.label,
        entry.expression,
        json.dumps(entry.names),
        entry.first_seen_ns,
        entry.last_seen_ns,
        entry.sightings,
        entry.order,
        entry.score,
        how,
        entry.crop_quality,
        entry.empty_looks,
    )


def _entry(row: tuple[object, ...]) -> Entry:
    (
        memory_id,
        pose,
        covariance,
        size,
        label,
        expression,
        names,
        first,
        last,
        count,
        order,
        score,
        how,
        quality,
        empty,
    ) = row
    place = Place(_numbers(pose, (4, 4)), _numbers(covariance, (6, 6)), _numbers(size, (3,)))
    return Entry(
        memory_id=int(str(memory_id)),
        place=place,
        label=str(label),
        expression=str(expression),
        names=tuple(str(name) for name in json.loads(str(names))),
        first_seen_ns=int(str(first)),
        last_seen_ns=int(str(last)),
        sightings=int(str(count)),
        order=int(str(order)),
        score=float(str(score)),
        how=None if how is None else Provenance(**json.loads(str(how))),
        crop_quality=float(str(quality)),
        empty_looks=int(str(empty)),
    )


def _numbers(blob: object, shape: tuple[int, ...]) -> Array:
    if not isinstance(blob, bytes):
        raise ValueError(f"{blob!r} is no array")
    array = np.frombuffer(blob, "<f8").reshape(shape).astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError("a pose is not finite")
    return array
