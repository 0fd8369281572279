"""Results as messages and back: what the client writes down is what replay would have written."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from painted import CAMERA, HEIGHT, WIDTH, painted

from referent.evaluation import lines
from referent.messages import depth_from_image, intrinsics_from_camera_info, rgb_from_image, transforms_from_tf
from referent.sources.simulation.scenes import named_scene
from referent.sources.simulation.simulate import simulate
from referent.types import (
    Array,
    Candidate,
    FrameResult,
    GroundingEvent,
    ObjectCloud,
    ObjectPose,
    OrientedBox,
    PoseQuality,
    Provenance,
    RegroundReason,
    Target,
    TrackedMask,
    TrackedObject,
    TrackState,
)
from referent_ros import camera_messages, recording, result_messages
from referent_ros.label_values import LARGEST_16_BIT, LabelValues
from referent_ros.publishers import selected_target

CAMERA_FRAME = "camera_color_optical_frame"
STAMP_NS = 12_000_000_345


def box_mask(x1: int, y1: int, x2: int, y2: int) -> Array:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y1:y2, x1:x2] = True
    return mask


def a_pose(rng: np.random.Generator) -> ObjectPose:
    camera_from_object = np.eye(4)
    camera_from_object[:3, :3] = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    camera_from_object[:3, :3] *= np.sign(np.linalg.det(camera_from_object[:3, :3]))
    camera_from_object[:3, 3] = rng.uniform(-1, 1, 3)
    root = rng.normal(size=(6, 6))
    cloud = ObjectCloud(rng.normal(size=(5, 3)).astype(np.float32), rng.integers(0, 256, (5, 3)).astype(np.uint8))
    return ObjectPose(OrientedBox(camera_from_object, rng.uniform(0.1, 1, 3), 5), root @ root.T * 1e-4, cloud)


def an_object(number: int, state: TrackState, mask: Array | None, pose: ObjectPose | None = None) -> TrackedObject:
    seen = None if mask is None else TrackedMask(str(number), mask, 0.5 + number / 10, 0.9, 3.0)
    return TrackedObject(
        target=Target(str(number), f"thing {number}", role="pick"),
        label=f"label {number}",
        state=state,
        mask=seen,
        pose=pose,
        grounded_stamp_ns=STAMP_NS - 5,
        verified_stamp_ns=None,
        reason="because",
    )


def in_doubt(number: int, box_xyxy: tuple[int, int, int, int] | None) -> TrackedObject:
    """One of two candidates, known in every respect."""
    mask = np.zeros((HEIGHT, WIDTH), bool) if box_xyxy is None else box_mask(*box_xyxy)
    return replace(
        an_object(number, TrackState.UNCERTAIN, mask),
        candidates=(Candidate("4", "left one"), Candidate("5", "right one")),
        created=Provenance("grounder", "new", STAMP_NS - 7, 1),
        changed=Provenance("user", "corrected", STAMP_NS - 5, 2),
        grounding_score=0.8125,
    )


def a_result(**changes: object) -> FrameResult:
    rng = np.random.default_rng(0)
    result = FrameResult(
        stamp_ns=STAMP_NS,
        camera_frame=CAMERA_FRAME,
        objects=(
            an_object(1, TrackState.TRACKING, box_mask(5, 5, 20, 20), a_pose(rng)),
            an_object(2, TrackState.LOST, np.zeros((HEIGHT, WIDTH), bool)),
            an_object(3, TrackState.SEARCHING, None),
        ),
        timings_s={"track": 0.01, "total": 0.02},
        drops={"time_jumps": 2},
        groundings=(GroundingEvent(1, 2, "thing 1", RegroundReason.NEW, 0.5, "found", "raw", ((1.0, 2.0, 3.0, 4.0),)),),
    )
    return replace(result, **changes)


def heard_line(result: FrameResult) -> lines.Line:
    """The line the client writes about a result that went over the network."""
    values = {each.target.id: index + 1 for index, each in enumerate(result.objects)}
    labels = result_messages.label_array(result.objects, values, (HEIGHT, WIDTH))
    image = result_messages.image_message(result_messages.header_of(result), labels)
    return recording.result_line(result_messages.tracks_message(result, values), recording.label_array(image))


def test_what_the_client_writes_down_is_what_replay_writes() -> None:
    assert heard_line(a_result()) == lines.result_line(a_result())


def test_so_it_is_with_what_may_be_meant_and_where_tracks_come_from() -> None:
    result = a_result(objects=(in_doubt(4, (5, 5, 20, 20)), in_doubt(5, (30, 5, 40, 20))))
    line = heard_line(result)
    assert line == lines.result_line(result)
    assert line["objects"][0]["provenance"]["changed"]["why"] == "corrected"


@pytest.mark.parametrize(
    "quality",
    [
        PoseQuality("registered", "moving", 0.00214, (False, True, True), STAMP_NS - 2_000_000_001, STAMP_NS),
        PoseQuality("predicted", "static", None, (True, False, False), STAMP_NS - 7, STAMP_NS - 5),
        PoseQuality("box"),
    ],
    ids=lambda quality: quality.source,
)
def test_so_it_is_with_what_stands_behind_a_pose(quality: PoseQuality) -> None:
    pose = replace(a_pose(np.random.default_rng(1)), quality=quality)
    result = a_result(objects=(an_object(1, TrackState.TRACKING, box_mask(5, 5, 20, 20), pose),))
    line = heard_line(result)
    assert line == lines.result_line(result)
    assert line["objects"][0]["pose"]["quality"]["source"] == quality.source
    (track,) = result_messages.tracks_message(result, {"1": 1}).objects
    told = track.pose_quality
    assert (told.has_residual, told.has_born_stamp) == (
        quality.residual_m is not None,
        quality.born_stamp_ns is not None,
    )
    if quality.source == "registered":
        assert (told.age.sec, told.age.nanosec) == (2, 1)


def test_a_candidate_has_the_box_of_its_track_while_it_is_seen() -> None:
    result = a_result(objects=(in_doubt(4, (5, 5, 20, 20)), in_doubt(5, None)))
    tracks = result_messages.tracks_message(result, {"4": 1, "5": 2})
    for each in tracks.objects:
        assert [(one.id, one.words, one.has_bbox) for one in each.candidates] == [
            ("4", "left one", True),
            ("5", "right one", False),
        ]
        assert each.candidates[0].bbox_xyxy.tolist() == [5, 5, 20, 20]


def test_what_was_changed_by_words_before_it_was_found_has_no_origin_yet() -> None:
    sought = replace(in_doubt(4, None), created=None, candidates=(), grounding_score=None)
    (track,) = result_messages.tracks_message(a_result(objects=(sought,)), {"4": 1}).objects
    assert (track.has_created, track.has_changed, track.has_grounding_score) == (False, True, False)


def test_so_it_is_with_poses_in_another_frame() -> None:
    base_from_camera = np.eye(4)
    base_from_camera[:3, :3] = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]
    base_from_camera[:3, 3] = [1, 2, 3]
    result = a_result(output_frame="base_link", output_from_camera=base_from_camera)
    assert heard_line(result) == lines.result_line(result)
    unsure = replace(result, output_covariance=np.diag([1e-4, 1e-4, 1e-4, 1e-3, 1e-3, 1e-3]))
    assert heard_line(unsure) == lines.result_line(unsure)
    assert heard_line(unsure) != heard_line(result)


def test_without_the_transform_nothing_is_located() -> None:
    result = a_result(output_frame="base_link", output_from_camera=None)
    assert heard_line(result)["objects"][0]["pose"] is None
    assert result_messages.objects_message(result).detections == []
    assert result_messages.transforms_message(result).transforms == []


def test_a_grounding_survives_the_network() -> None:
    message = result_messages.tracks_message(a_result(), {"1": 1, "2": 2, "3": 3})
    assert recording._grounding(message.groundings[0]) == a_result().groundings[0]


def test_where_masks_overlap_the_better_score_wins() -> None:
    objects = [
        an_object(2, TrackState.TRACKING, box_mask(0, 0, 10, 10)),
        an_object(1, TrackState.TRACKING, box_mask(5, 0, 15, 10)),
    ]
    labels = result_messages.label_array(objects, {"1": 1, "2": 2}, (HEIGHT, WIDTH))
    assert labels[0].tolist() == [2] * 10 + [1] * 5 + [0] * (WIDTH - 15)


def test_above_254_tracks_the_label_image_has_16_bits() -> None:
    objects = [an_object(1, TrackState.TRACKING, box_mask(0, 0, 2, 2))]
    images = [
        result_messages.image_message(
            result_messages.header_of(a_result()), result_messages.label_array(objects, {"1": value}, (HEIGHT, WIDTH))
        )
        for value in (254, 255)
    ]
    assert [image.encoding for image in images] == ["mono8", "16UC1"]
    assert recording.label_array(images[1])[0, 0] == 255


def test_values_of_the_gone_are_not_given_to_the_next() -> None:
    values = LabelValues()
    assert values.update(["a", "b"])
    assert not values.update(["a", "b"])
    assert values.update(["b", "c"])
    assert dict(values.by_track) == {"b": 2, "c": 3}


def test_when_all_values_were_used_free_ones_are_taken_up_again() -> None:
    values = LabelValues()
    values.update(["keeper"])
    for number in range(LARGEST_16_BIT + 3):
        values.update(["keeper", str(number)])
    assert values.by_track["keeper"] == 1
    assert 1 < values.by_track[str(LARGEST_16_BIT + 2)] < 10


def test_the_selected_target_is_the_first_and_nobody_takes_its_place() -> None:
    result = a_result()
    assert selected_target(result) is result.objects[0]
    lost_first = replace(result, objects=(result.objects[1], result.objects[0]))
    assert selected_target(lost_first) is None
    assert selected_target(replace(result, objects=())) is None


def test_the_camera_sends_what_a_reader_gets_back() -> None:
    frame = painted(0, {"red": (3, 4, 20, 30)})
    assert frame.depth_m is not None
    frame.depth_m[0, 0] = np.nan
    header = result_messages.header_of(a_result())
    np.testing.assert_array_equal(rgb_from_image(camera_messages.rgb_message(header, frame.rgb)), frame.rgb)
    depth = depth_from_image(camera_messages.depth_message(header, frame.depth_m))
    np.testing.assert_allclose(depth, frame.depth_m, atol=0.0005, equal_nan=True)
    assert intrinsics_from_camera_info(camera_messages.camera_info_message(header, CAMERA)) == CAMERA


def test_truth_that_went_over_the_network_is_the_truth() -> None:
    (shot,) = simulate(named_scene("tabletop"), frames=1, width=96, height=72)
    header = result_messages.header_of(a_result())
    objects = camera_messages.truth_message(header, shot.truth)
    camera = result_messages.pose_message(shot.truth.world_from_camera)
    heard, told = recording.truth_line(objects, shot.truth.instance_ids, camera), lines.truth_line(STAMP_NS, shot.truth)
    np.testing.assert_allclose(heard.pop("world_from_camera"), told.pop("world_from_camera"), atol=2e-6)
    for ours, theirs in zip(heard.pop("objects"), told.pop("objects"), strict=True):
        for name in ("quaternion_xyzw", "position_m", "size_m"):
            np.testing.assert_allclose(ours.pop(name), theirs.pop(name), atol=2e-6)
        not_sent = {"material", "size_word", "in_view_fraction", "parts_xyxy"}  # no standard message has room for them
        assert ours == {name: value for name, value in theirs.items() if name not in not_sent}
    assert heard == told


def test_the_camera_link_looks_where_the_lens_looks() -> None:
    world_from_camera = np.eye(4)
    world_from_link = world_from_camera @ np.linalg.inv(camera_messages.LINK_FROM_OPTICAL)
    stamp = result_messages.time_from_ns(STAMP_NS)
    message = camera_messages.transform_message(stamp, "world", "camera_link", world_from_link)
    ((parent, child, stamp_ns, read),) = transforms_from_tf(message)
    assert (parent, child, stamp_ns) == ("world", "camera_link", STAMP_NS)
    np.testing.assert_allclose(read @ [1, 0, 0, 1], [0, 0, 1, 1], atol=1e-9)  # the link's x is the optical z


def test_what_stays_incomplete_is_counted_and_bounded() -> None:
    gathering = recording.Gathering(with_truth=False)
    for stamp in range(recording.PENDING + 10):
        gathering.add(stamp, "color", object())
    assert gathering.counts["not_answered"] == 10
    gathering.finish()
    assert gathering.counts["not_answered"] == recording.PENDING + 10
    assert gathering.frames == {}


@pytest.mark.parametrize("state", list(TrackState))
def test_every_state_has_a_name_on_both_sides(state: TrackState) -> None:
    assert recording.STATE_NAMES[result_messages.STATES[state]] == state.value
