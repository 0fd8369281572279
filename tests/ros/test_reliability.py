"""What a shift demands of the node: too many pictures make it skip, never lag; every picture is accounted for."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import rclpy
from doubles import ColorGrounder, ColorTracker
from painted import painted
from robot import Robot, a_robot

from referent.config import Config
from referent.frames.transforms import TransformBuffer
from referent.grounding.workers import ReplayWorker
from referent.pipeline import Pipeline
from referent.types import RgbdFrame, TrackedMask
from referent_ros import camera_messages, left_overs
from referent_ros.diagnostics import InputHealth, Inputs, input_status

RED = {"red": (10, 10, 24, 24)}
STEP_S, OVERLOAD, PICTURES = 0.1, 3.5, 100


class SlowTracker(ColorTracker):
    """Takes as long for a picture as SAM 2 may on a small computer."""

    def step(self, frame: RgbdFrame) -> tuple[TrackedMask, ...]:
        time.sleep(STEP_S)
        return super().step(frame)


def slow_pipeline(config: Config, transforms: TransformBuffer) -> Pipeline:
    worker = ReplayWorker(ColorGrounder(), latency_ns=0)
    return Pipeline(config, tracker=SlowTracker(), worker=worker, transforms=transforms)


def pour(robot: Robot, count: int) -> list[float]:
    """Send pictures `OVERLOAD` times as fast as they are processed; the ages of the answers as diagnostics told."""
    begun_s, told = time.monotonic(), len(robot.heard["diagnostics"])
    for number in range(1, count + 1):
        frame = painted(number, RED)
        header = robot.header(frame)
        robot.color.publish(camera_messages.rgb_message(header, frame.rgb))
        robot.depth.publish(camera_messages.depth_message(header, frame.depth_m))
        robot.spin(max(0.0, begun_s + number * STEP_S / OVERLOAD - time.monotonic()))
    statuses = [status for message in robot.heard["diagnostics"][told:] for status in message.status]
    values = [values_of(status) for status in statuses if status.name == "referent: pipeline"]
    return [float(each["age_p50_s"]) for each in values if "age_p50_s" in each]


def segments_of(pid: int) -> set[str]:
    """Shared memory of Fast DDS that a process owns; it maps others', too, once it heard from them."""
    open_files = "\n".join(os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink())
    return set(re.findall(r"/dev/shm/(fastrtps_[0-9a-f]{16})_el$", open_files, re.MULTILINE))


def present() -> set[str]:
    return {path.name for path in left_overs.SHARED_MEMORY.iterdir()}


@contextmanager
def rclpy_context() -> Iterator[None]:
    rclpy.init()
    node = rclpy.create_node("survivor")
    try:
        yield
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


def values_of(status: object) -> dict[str, str]:
    return {pair.key: pair.value for pair in status.values}  # type: ignore[attr-defined]


def test_with_three_times_the_pictures_the_newest_wins_and_no_answer_is_older_than_two_steps() -> None:
    with a_robot(make_pipeline=slow_pipeline) as robot:
        robot.show(painted(0, RED))
        ages_s = pour(robot, PICTURES)
        newest = painted(PICTURES, RED)
        robot.wait_for(lambda: robot.about(newest, "tracks"))
        answered = [message.header.stamp for message in robot.heard["tracks"]]
        assert answered == sorted(answered, key=lambda stamp: (stamp.sec, stamp.nanosec))
        assert len(answered) <= PICTURES / (OVERLOAD - 1)
        assert STEP_S <= sorted(ages_s)[len(ages_s) // 2] <= 2 * STEP_S

        robot.wait_for_diagnosis("pipeline", "no frame")
        counted, arrived = (values_of(robot.diagnosis(name)) for name in ("pipeline", "input"))
        assert int(arrived["/color/image_rect total"]) == int(arrived["pairs"]) == PICTURES + 1
        assert int(counted["total_processed"]) == len(answered)
        assert int(counted["total_processed"]) + int(counted["total_dropped"]) == PICTURES + 1


def test_pictures_that_the_middleware_replaced_while_they_waited_are_counted() -> None:
    with a_robot() as robot:
        robot.show(painted(0, RED))
        for number in range(1, 31):  # nobody spins meanwhile, and the subscription keeps five
            frame = painted(number, RED)
            robot.color.publish(camera_messages.rgb_message(robot.header(frame), frame.rgb))
        robot.wait_for(lambda: values_of(robot.diagnosis("input")).get("/color/image_rect lost", "0") != "0")
        told = values_of(robot.diagnosis("input"))
        assert int(told["/color/image_rect lost"]) + int(told["/color/image_rect total"]) == 31


@pytest.mark.parametrize(
    ("numbers", "lost"), [((1, 2, 3), 0), ((7, 8), 0), ((1, 5), 3), ((8, 1, 2), 0), ((1, 1), 0), ((None, 4, 6), 1)]
)
def test_missing_numbers_are_lost_messages_and_a_publisher_may_start_anew(
    numbers: tuple[int | None, ...], lost: int
) -> None:
    color = InputHealth("/color/image_rect", needed=True)
    for number in numbers:
        color.numbered(number)
    status = input_status(Inputs(color, color, (color,)), 1.0, publishers={}, values={})
    assert values_of(status)["/color/image_rect lost"] == str(lost)


def test_the_shared_memory_of_killed_processes_is_removed_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(left_overs, "_YOUNG_S", -1.0)
    dead, alive = "fastrtps_00000000deadbeef", "fastrtps_0123456789abcdef"
    others = ["fastrtps_port7411", "fastrtps_port7411_el", "sem.fastrtps_port7411_mutex", "fastrtps_nolock", "psm_1"]
    for name in [dead, f"{dead}_el", alive, f"{alive}_el", "fastrtps_00000000000c0ffe", *others]:
        (tmp_path / name).touch()
    held = os.open(tmp_path / f"{alive}_el", os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    assert left_overs.remove_dead_segments(tmp_path) == [dead]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(dead)]
    assert len(list(tmp_path.iterdir())) == 3 + len(others)
    os.close(held)
    assert left_overs.remove_dead_segments(tmp_path) == [alive]


def test_a_killed_process_leaves_a_segment_that_the_next_one_removes() -> None:
    code = "import rclpy, time; rclpy.init(); node = rclpy.create_node('victim'); print(flush=True); time.sleep(60)"
    victim = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert victim.stdout is not None
    with victim, rclpy_context():  # this process lives in the same domain, and its segment is to stay
        victim.stdout.readline()
        own, theirs = (segments_of(pid) for pid in (os.getpid(), victim.pid))
        assert own
        assert theirs
        assert not own & theirs
        victim.kill()
        victim.wait()
        assert own | theirs <= present()
        time.sleep(1.1)
        left_overs.remove_dead_segments()
        assert not theirs & present()
        assert own <= present()


def test_a_segment_that_is_just_being_made_is_left_alone(tmp_path: Path) -> None:
    for name in ("fastrtps_0123456789abcdef", "fastrtps_0123456789abcdef_el"):
        (tmp_path / name).touch()
    assert left_overs.remove_dead_segments(tmp_path) == []
    assert left_overs.remove_dead_segments(tmp_path / "not_on_linux") == []
