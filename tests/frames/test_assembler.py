"""Color and depth pair up by stamp, whatever the order and the losses, and everything lost is counted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from referent.config import InputConfig
from referent.errors import BadMessage
from referent.frames.assembler import COUNTERS, FrameAssembler
from referent.types import Intrinsics, RgbdFrame

CAMERA = Intrinsics(4, 3, 5.0, 5.0, 2.0, 1.5)
MS = 1_000_000
OPTICAL = "camera_color_optical_frame"
Event = tuple[str, int]


def an_assembler(**config: float) -> FrameAssembler:
    assembler = FrameAssembler(InputConfig(**config))
    assembler.set_camera_info(CAMERA, OPTICAL)
    return assembler


def send(assembler: FrameAssembler, events: Iterable[Event]) -> list[RgbdFrame]:
    """Images whose depth says its own stamp in milliseconds."""
    frames = []
    for kind, stamp_ns in events:
        if kind == "color":
            frame = assembler.add_color(stamp_ns, OPTICAL, np.zeros((3, 4, 3), np.uint8))
        else:
            frame = assembler.add_depth(stamp_ns, np.full((3, 4), stamp_ns / MS, np.float32))
        frames += [frame] if frame is not None else []
    return frames


def pairs(frames: Iterable[RgbdFrame]) -> list[tuple[float, float]]:
    """(color stamp, depth stamp) of each frame, in milliseconds."""
    return [(frame.stamp_ns / MS, float(frame.depth_m[0, 0])) for frame in frames]  # type: ignore[index]


def in_ms(kind: str, *stamps: float) -> list[Event]:
    return [(kind, round(stamp * MS)) for stamp in stamps]


def mixed(*streams: Sequence[Event]) -> list[Event]:
    """Streams merged by stamp, as a robot would send them."""
    return sorted((event for stream in streams for event in stream), key=lambda event: event[1])


def test_equal_stamps_pair_at_once_in_either_order() -> None:
    assembler = an_assembler()
    assert pairs(send(assembler, in_ms("color", 10) + in_ms("depth", 10))) == [(10, 10)]
    assert pairs(send(assembler, in_ms("depth", 43) + in_ms("color", 43))) == [(43, 43)]
    assert assembler.counts["pairs"] == 2


def test_a_frame_carries_stamp_frame_and_camera_of_the_color_image() -> None:
    [frame] = send(an_assembler(), in_ms("depth", 8) + in_ms("color", 10) + in_ms("depth", 41))
    assert (frame.stamp_ns, frame.camera_frame, frame.intrinsics) == (10 * MS, OPTICAL, CAMERA)


def test_a_steady_offset_below_half_the_spacing_adds_no_delay() -> None:
    assembler = an_assembler()
    send(assembler, mixed(in_ms("color", 0, 33, 66), in_ms("depth", 5, 38, 71)))
    assert pairs(send(assembler, in_ms("color", 99) + in_ms("depth", 104))) == [(99, 104)]


def test_the_nearer_depth_wins_even_if_it_comes_later() -> None:
    events = mixed(in_ms("color", *range(18, 300, 33)), in_ms("depth", *range(0, 300, 33)))
    assert pairs(send(an_assembler(), events)) == [(t, t + 15) for t in range(18, 300, 33)]


def test_images_too_far_apart_never_pair() -> None:
    assembler = an_assembler(max_skew_s=0.005)
    assert send(assembler, mixed(in_ms("color", *range(0, 400, 33)), in_ms("depth", *range(10, 400, 33)))) == []
    list(assembler.flush())
    assert assembler.counts["unmatched_color"] == 13
    assert assembler.counts["unmatched_depth"] == 12


def test_queues_are_bounded_and_what_falls_out_is_counted() -> None:
    assembler = an_assembler(queue_length=5)
    assert send(assembler, in_ms("color", *range(0, 33 * 20, 33))) == []
    assert assembler.counts["unmatched_color"] == 15


def test_depth_that_comes_four_images_late_still_pairs() -> None:
    assembler = an_assembler(queue_length=5)
    color, depth = in_ms("color", *range(0, 330, 33)), in_ms("depth", *range(0, 330, 33))
    late = [event for c, d in zip(color, [None] * 4 + depth[:-4], strict=True) for event in (c, d) if event] + depth[
        -4:
    ]
    assert pairs(send(assembler, late)) == [(t, t) for t in range(0, 330, 33)]


def test_a_lost_depth_costs_its_color_and_nothing_else() -> None:
    assembler = an_assembler()
    depth = [e for e in in_ms("depth", *range(0, 330, 33)) if e[1] != 99 * MS]
    got = pairs(send(assembler, mixed(in_ms("color", *range(0, 330, 33)), depth)))
    assert got == [(t, t) for t in range(0, 330, 33) if t != 99]
    assert assembler.counts["unmatched_color"] == 1


def test_twice_as_many_color_images_as_depth() -> None:
    assembler = an_assembler()
    got = pairs(send(assembler, mixed(in_ms("color", *range(0, 320, 16)), in_ms("depth", *range(1, 320, 32)))))
    assert got == [(t, t + 1) for t in range(0, 320, 32)]


def test_duplicates_are_counted_and_used_once() -> None:
    assembler = an_assembler()
    got = send(assembler, in_ms("color", 0, 0) + in_ms("depth", 0, 0) + in_ms("color", 0))
    assert pairs(got) == [(0, 0)]
    assert assembler.counts["duplicates"] == 3


def test_an_image_from_before_the_newest_frame_is_out_of_order() -> None:
    assembler = an_assembler()
    got = send(assembler, in_ms("color", 100) + in_ms("depth", 100) + in_ms("color", 67) + in_ms("depth", 67))
    assert pairs(got) == [(100, 100)]
    assert assembler.counts["out_of_order"] == 2


def test_images_swapped_on_the_way_still_come_out_in_time_order() -> None:
    assembler = an_assembler()
    got = send(assembler, in_ms("color", 33, 0, 66) + in_ms("depth", 0, 33, 66))
    assert pairs(got) == [(0, 0), (33, 33), (66, 66)]


def test_images_before_camera_info_are_counted() -> None:
    assembler = FrameAssembler(InputConfig())
    assert send(assembler, in_ms("color", 0) + in_ms("depth", 0)) == []
    assembler.set_camera_info(CAMERA, OPTICAL)
    assert len(send(assembler, in_ms("color", 33) + in_ms("depth", 33))) == 1
    assert assembler.counts["no_camera_info"] == 2


def test_a_looped_recording_begins_again_and_is_counted() -> None:
    assembler = an_assembler()
    once = mixed(in_ms("color", *range(0, 3000, 33)), in_ms("depth", *range(0, 3000, 33)))
    got = pairs(send(assembler, once + once))
    assert got == [(t, t) for t in range(0, 3000, 33)] * 2
    assert assembler.counts["resets"] == 1


def test_a_step_back_below_the_limit_is_no_loop() -> None:
    assembler = an_assembler(jump_back_s=1.0)
    send(assembler, in_ms("color", 2000) + in_ms("depth", 2000) + in_ms("color", 1001) + in_ms("depth", 1001))
    assert assembler.counts["resets"] == 0
    assert assembler.counts["out_of_order"] == 2


def test_what_waits_when_a_recording_ends_is_flushed_in_order() -> None:
    assembler = an_assembler()
    assert send(assembler, in_ms("depth", 0) + in_ms("color", 18)) == []
    assert pairs(assembler.flush()) == [(18, 0)]
    assert list(assembler.flush()) == []


@pytest.mark.parametrize("kind", ["color", "depth"])
def test_an_image_of_another_size_than_camera_info_is_refused(kind: str) -> None:
    assembler = an_assembler()
    images = {"color": (OPTICAL, np.zeros((6, 8, 3), np.uint8)), "depth": (np.zeros((6, 8), np.float32),)}
    with pytest.raises(BadMessage, match=f"{kind} image is 8x6 but camera_info says 4x3"):
        getattr(assembler, f"add_{kind}")(0, *images[kind])


def test_a_new_calibration_holds_for_images_after_it() -> None:
    assembler = an_assembler()
    send(assembler, in_ms("color", 0))
    moved = Intrinsics(4, 3, 6.0, 6.0, 2.0, 1.5)
    assembler.set_camera_info(moved, OPTICAL)
    frames = send(assembler, in_ms("depth", 0) + in_ms("color", 33) + in_ms("depth", 33))
    assert [frame.intrinsics for frame in frames] == [CAMERA, moved]


def test_a_new_image_size_empties_the_queues() -> None:
    assembler = an_assembler()
    send(assembler, in_ms("color", 0))
    assembler.set_camera_info(Intrinsics(8, 6, 5.0, 5.0, 4.0, 3.0), OPTICAL)
    assert assembler.add_depth(0, np.zeros((6, 8), np.float32)) is None
    assert assembler.counts["unmatched_color"] == 1


def test_a_camera_info_in_another_frame_is_counted_and_the_images_frame_is_used() -> None:
    assembler = FrameAssembler(InputConfig())
    assembler.set_camera_info(CAMERA, "camera_link")
    [frame] = send(assembler, in_ms("color", 0) + in_ms("depth", 0))
    assert frame.camera_frame == OPTICAL
    assert assembler.counts["frame_mismatch"] == 1


def test_counts_name_everything_from_the_start() -> None:
    assert dict(an_assembler().counts) == dict.fromkeys(COUNTERS, 0)


def test_with_no_room_to_wait_the_present_best_is_taken() -> None:
    assembler = an_assembler(queue_length=1)
    got = pairs(send(assembler, mixed(in_ms("color", *range(0, 330, 33)), in_ms("depth", *range(18, 330, 33)))))
    assert len(got) >= 9


# whatever comes, in whatever order


@settings(max_examples=100, deadline=None)
@given(
    color=st.lists(st.integers(0, 40), max_size=40, unique=True),
    depth=st.lists(st.integers(0, 40), max_size=40, unique=True),
    offset_ms=st.integers(-20, 20),
    delays=st.lists(st.integers(0, 120), min_size=80, max_size=80),
    queue_length=st.integers(1, 8),
)
def test_any_shuffle_gives_ordered_bounded_and_fully_counted_frames(
    color: list[int], depth: list[int], offset_ms: int, delays: list[int], queue_length: int
) -> None:
    events = in_ms("color", *(33 * n + 50 for n in color)) + in_ms("depth", *(33 * n + 50 + offset_ms for n in depth))
    arrival = sorted(zip(events, delays, strict=False), key=lambda item: (item[0][1] + item[1] * MS, item[0]))
    assembler = an_assembler(queue_length=queue_length, max_skew_s=0.02, jump_back_s=60.0)
    frames = send(assembler, [event for event, _ in arrival]) + list(assembler.flush())
    got, counts = pairs(frames), assembler.counts
    assert got == sorted(set(got))
    assert [d for _, d in got] == sorted({d for _, d in got})
    assert all(abs(c - d) <= 20 for c, d in got)
    assert len(got) == counts["pairs"]
    lost = counts["unmatched_color"] + counts["unmatched_depth"] + counts["out_of_order"] + counts["duplicates"]
    assert 2 * len(got) + lost == len(events)


@settings(max_examples=100, deadline=None)
@given(
    spacing_ms=st.integers(5, 60),
    offset_ms=st.integers(0, 59),
    lost=st.lists(st.tuples(st.booleans(), st.integers(2, 19)), max_size=12),
)
def test_mutually_nearest_images_of_steady_streams_always_pair(
    spacing_ms: int, offset_ms: int, lost: list[tuple[bool, int]]
) -> None:
    color = [spacing_ms * n for n in range(20) if (True, n) not in lost]
    depth = [spacing_ms * n + offset_ms % spacing_ms for n in range(20) if (False, n) not in lost]
    assembler = an_assembler(queue_length=20, max_skew_s=0.02)
    got = set(pairs(send(assembler, mixed(in_ms("color", *color), in_ms("depth", *depth))) + list(assembler.flush())))
    for c in color:
        gaps = sorted(abs(d - c) for d in depth)
        [d, *equal] = [d for d in depth if abs(d - c) == gaps[0]]
        alone = all(abs(other - d) > gaps[0] for other in color if other != c)
        if not equal and alone and gaps[0] <= 20:
            assert (c, d) in got
