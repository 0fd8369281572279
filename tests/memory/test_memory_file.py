"""The memory's file over restarts, kill -9, damage, other programs' files, and bounds of its size."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import pytest
from sightings import FIXED_FROM_CAMERA, SECOND_NS, START_NS, Thing, a_frame, a_result

from referent.config import MemoryConfig
from referent.errors import ConfigError, MemoryUnavailable
from referent.memory import ObjectMemory, open_memory
from referent.types import Provenance

CONFIG = MemoryConfig()


def a_memory(path: Path, things: int = 3) -> ObjectMemory:
    memory = ObjectMemory(path, CONFIG)
    note(memory, things)
    return memory


def note(memory: ObjectMemory, things: int, *, at_s: float = 0.0, first_id: int = 0) -> None:
    stamp_ns = START_NS + round(at_s * SECOND_NS)
    seen = [Thing(str(first_id + n), (2, n, 0.8), column=n) for n in range(things)]
    memory.remember(a_result(seen, stamp_ns), a_frame(stamp_ns), FIXED_FROM_CAMERA)


def a_file(path: Path) -> Path:
    a_memory(path).close()
    return path


def test_everything_is_known_again_after_a_restart(tmp_path: Path) -> None:
    memory = a_memory(tmp_path / "memory.sqlite")
    before = memory.find("red mug", now_ns=START_NS)
    memory.close()
    again = ObjectMemory(tmp_path / "memory.sqlite", CONFIG)
    after = again.find("red mug", now_ns=START_NS)
    for old, new in zip(before, after, strict=True):
        for name in ("fixed_from_object", "covariance", "size_m"):
            assert np.array_equal(getattr(old, name), getattr(new, name))
        assert replace(new, **{n: getattr(old, n) for n in ("object_id", "state")}).crop_jpeg == old.crop_jpeg
        assert (new.memory_id, new.label, new.score, new.match) == (old.memory_id, old.label, old.score, old.match)
        assert (new.first_seen_ns, new.last_seen_ns, new.sightings) == (START_NS, START_NS, 1)
        assert new.how == Provenance("grounder", "new", START_NS, 1)
        assert new.object_id == ""
    again.close()


def test_a_mug_found_again_after_a_restart_is_the_same_memory(tmp_path: Path) -> None:
    a_file(tmp_path / "memory.sqlite")
    memory = ObjectMemory(tmp_path / "memory.sqlite", CONFIG)
    note(memory, 3, at_s=3600, first_id=100)
    assert [known.sightings for known in memory.find(now_ns=START_NS)] == [2, 2, 2]
    assert memory.counts["new"] == 0
    memory.close()


def test_look_alikes_are_told_apart_after_a_restart_though_the_map_is_a_little_off(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    memory = ObjectMemory(path, CONFIG)
    pair = [Thing("1", (2, 0, 0.8)), Thing("2", (2, 0.12, 0.8), column=3)]
    memory.remember(a_result(pair), a_frame(), FIXED_FROM_CAMERA)
    memory.close()
    memory = ObjectMemory(path, CONFIG)
    off = [Thing("1", (2, 0.07, 0.8)), Thing("2", (2, 0.19, 0.8), column=3)]
    memory.remember(a_result(off, START_NS + SECOND_NS), a_frame(START_NS + SECOND_NS), FIXED_FROM_CAMERA)
    found = {known.memory_id: known.fixed_from_object[1, 3] for known in memory.find(now_ns=START_NS)}
    assert len(found) == 2
    assert found["1"] < found["2"]
    memory.close()


def test_ids_are_never_given_again(tmp_path: Path) -> None:
    path = a_file(tmp_path / "memory.sqlite")
    memory = ObjectMemory(path, CONFIG)
    memory.clear()
    memory.close()
    memory = a_memory(path, 1)
    assert [known.memory_id for known in memory.find(now_ns=START_NS)] == ["4"]
    memory.close()


def test_what_is_forgotten_is_gone_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    memory = a_memory(path, 2)
    kept, forgotten = memory.find(now_ns=START_NS)
    assert forgotten.crop_jpeg is not None
    assert kept.crop_jpeg is not None
    memory.forget(forgotten.memory_id)
    written = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert kept.crop_jpeg[-200:] in written
    assert forgotten.crop_jpeg[-200:] not in written
    memory.close()


def test_a_closed_memory_is_one_file(tmp_path: Path) -> None:
    a_file(tmp_path / "memory.sqlite")
    assert [file.name for file in tmp_path.iterdir()] == ["memory.sqlite"]


def test_a_file_written_in_another_frame_is_not_mixed(tmp_path: Path) -> None:
    path = a_file(tmp_path / "memory.sqlite")
    with pytest.raises(ConfigError, match=r"memory\.sqlite: its places are in frame 'map', memory\.frame is 'odom'"):
        ObjectMemory(path, replace(CONFIG, frame="odom"))


def damage_header(path: Path) -> None:
    path.write_bytes(b"garbage!" * 8 + path.read_bytes()[64:])


def damage_pages(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    path.write_bytes(data)


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def text_file(path: Path) -> None:
    path.write_text("my shopping list\n" * 100)


def another_database(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE songs (title TEXT)")
    database.close()


def newer_version(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 7")
    database.close()


def not_finite(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("UPDATE memory SET pose = ?", (np.full(16, np.nan).tobytes(),))
    database.commit()
    database.close()


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (damage_header, "damaged, or no memory of Referent"),
        (damage_pages, "damaged, or no memory of Referent"),
        (cut_off, "damaged, or no memory of Referent"),
        (text_file, "damaged, or no memory of Referent"),
        (not_finite, "damaged, or no memory of Referent"),
        (another_database, "a database of another program"),
        (newer_version, "written in version 7"),
    ],
)
def test_a_file_that_is_not_a_sound_memory_is_refused_in_one_line_and_kept(
    tmp_path: Path, spoil: Callable[[Path], None], complaint: str
) -> None:
    path = a_file(tmp_path / "memory.sqlite")
    spoil(path)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=complaint) as caught:
        ObjectMemory(path, CONFIG)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["memory.sqlite"]


def test_an_empty_file_becomes_a_memory(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    path.touch()
    a_memory(path).close()
    memory = ObjectMemory(path, CONFIG)
    assert len(memory) == 3
    memory.close()


@pytest.mark.parametrize("name", ["no folder/memory.sqlite", "."])
def test_a_place_where_no_file_can_be_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"memory\.path"):
        open_memory(replace(CONFIG, path=str(tmp_path / name)))


def test_a_file_in_use_is_refused(tmp_path: Path) -> None:
    memory = a_memory(tmp_path / "memory.sqlite")
    with pytest.raises(ConfigError, match="in use by another process"):
        ObjectMemory(tmp_path / "memory.sqlite", CONFIG)
    note(memory, 3, at_s=5)  # the first one goes on
    memory.close()


def test_a_write_that_fails_says_so_and_leaves_what_was_known(tmp_path: Path) -> None:
    memory = a_memory(tmp_path / "memory.sqlite", 1)
    memory._book._file._database.execute("PRAGMA query_only = ON")  # as a disk that is full
    with pytest.raises(MemoryUnavailable, match="cannot be written"):
        note(memory, 3, at_s=10, first_id=10)
    assert [known.sightings for known in memory.find(now_ns=START_NS)] == [1]
    assert (memory.counts["notes"], memory.counts["new"]) == (1, 1)
    memory._book._file._database.execute("PRAGMA query_only = OFF")
    note(memory, 3, at_s=20, first_id=10)
    assert len(memory.find(now_ns=START_NS)) == 3
    memory.close()


WRITER = """
import sys
from pathlib import Path
from dataclasses import replace
sys.path.insert(0, sys.argv[2])
from sightings import FIXED_FROM_CAMERA, SECOND_NS, START_NS, Thing, a_frame, a_result
from referent.config import MemoryConfig
from referent.memory import ObjectMemory
memory = ObjectMemory(Path(sys.argv[1]), replace(MemoryConfig(), max_objects=20, interval_s=0.0))
number = 0
while True:
    number += 1
    stamp_ns = START_NS + number * SECOND_NS // 10
    things = [Thing(f"{number % 30}-{n}", (2, number % 30, n), column=n) for n in range(4)]
    memory.remember(a_result(things, stamp_ns), a_frame(stamp_ns), FIXED_FROM_CAMERA)
    print(stamp_ns, flush=True)
"""


def test_kill_9_in_the_middle_of_writes_loses_nothing_that_was_written(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    for round_ in range(4):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(Path(__file__).parent)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        reported = [int(writer.stdout.readline()) for _ in range(40)]
        time.sleep(0.005 * round_)
        writer.send_signal(signal.SIGKILL)
        reported += [int(line) for line in writer.stdout.read().split("\n")[:-1]]
        writer.wait()
        writer.stdout.close()
        memory = ObjectMemory(path, replace(CONFIG, max_objects=20))
        found = memory.find(now_ns=START_NS)
        assert len(found) == 20
        assert max(known.last_seen_ns for known in found) >= reported[-1]
        assert all(known.crop_jpeg for known in found)
        memory.close()


def test_ten_thousand_sightings_stay_bounded_in_count_and_bytes(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    memory = ObjectMemory(path, replace(CONFIG, max_objects=50))
    sizes, largest_log = [], 0
    for number in range(2500):
        stamp_ns = START_NS + number * SECOND_NS
        things = [Thing(f"{number}-{n}", (2, number % 400, 10 * n), column=n) for n in range(4)]
        memory.remember(a_result(things, stamp_ns), a_frame(stamp_ns), FIXED_FROM_CAMERA)
        largest_log = max(largest_log, path.with_name(path.name + "-wal").stat().st_size)
        if number % 500 == 499:
            sizes.append(path.stat().st_size)
    assert memory.counts["notes"] >= 10_000
    assert len(memory) == 50
    assert max(sizes) <= 50 * 8_000
    assert largest_log < 3_000_000
    memory.close()
    assert path.stat().st_size <= 50 * 8_000


def test_remembering_is_cheap_beside_a_full_memory(tmp_path: Path) -> None:
    memory = ObjectMemory(tmp_path / "memory.sqlite", CONFIG)
    for number in range(125):
        things = [Thing(f"{number}-{n}", (2, number, 10 * n), column=n) for n in range(4)]
        memory.remember(a_result(things), a_frame(), FIXED_FROM_CAMERA)
    assert len(memory) == CONFIG.max_objects
    took = []
    for number in range(150):
        stamp_ns = START_NS + number * SECOND_NS // 30
        result = a_result([Thing(f"a{n}", (2, 1000 + n, 0), column=n) for n in range(3)], stamp_ns)
        frame = a_frame(stamp_ns)
        started = time.perf_counter()
        memory.remember(result, frame, FIXED_FROM_CAMERA)
        took.append(time.perf_counter() - started)
    assert median(took) < 0.010  # 2 ms on an idle machine; this one is shared
    memory.close()
