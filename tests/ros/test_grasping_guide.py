"""docs/grasping.md: every Python block of it is run against our messages; MoveIt's and GPD's are stand-ins."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from geometry_msgs.msg import Point, Pose
from painted import CAMERA, painted
from referent_msgs.msg import TrackedObject
from std_msgs.msg import Header
from test_result_messages import CAMERA_FRAME, a_pose, a_result, an_object, box_mask

from referent.types import PoseQuality, TrackState
from referent_ros import camera_messages, result_messages
from referent_ros.clouds import scene_cloud_message

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "grasping.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)


@dataclass
class SolidPrimitive:
    """The fields of shape_msgs/SolidPrimitive."""

    BOX = 1
    type: int = 0
    dimensions: list[float] = field(default_factory=list)


@dataclass
class CollisionObject:
    """The fields of moveit_msgs/CollisionObject that a box needs."""

    ADD, REMOVE = 0, 1
    header: Header
    id: str
    pose: Pose
    primitives: list[SolidPrimitive]
    primitive_poses: list[Pose]
    operation: int


@dataclass
class CloudSources:
    """The fields of gpd_ros/CloudSources."""

    cloud: Any
    camera_source: list[Any]
    view_points: list[Point]


@dataclass
class CloudIndexed:
    """The fields of gpd_ros/CloudIndexed."""

    cloud_sources: CloudSources
    indices: list[Any]


def a_package(monkeypatch: pytest.MonkeyPatch, name: str, *types: type) -> None:
    package, messages = ModuleType(name), ModuleType(f"{name}.msg")
    for each in types:
        setattr(messages, each.__name__, each)
    package.msg = messages  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, name, package)
    monkeypatch.setitem(sys.modules, f"{name}.msg", messages)


@pytest.fixture
def guide(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Everything the guide's blocks define."""
    a_package(monkeypatch, "moveit_msgs", CollisionObject)
    a_package(monkeypatch, "shape_msgs", SolidPrimitive)
    a_package(monkeypatch, "gpd_ros", CloudSources, CloudIndexed)
    defined: dict[str, Any] = {}
    for block in BLOCKS:
        exec(compile(block, str(GUIDE), "exec"), defined)
    return defined


def test_the_guide_has_a_block_for_each_planner_and_the_readme_leads_to_it() -> None:
    names = re.findall(r"^def (\w+)", "\n".join(BLOCKS), re.MULTILINE)
    assert names == ["may_be_grasped", "collision_object", "cloud_indexed", "contact_graspnet_input"]
    assert "docs/grasping.md" in (ROOT / "README.md").read_text()


def test_a_detection_becomes_a_box_of_the_planning_scene(guide: dict[str, Any]) -> None:
    (detection,) = result_messages.objects_message(a_result()).detections
    box = guide["collision_object"](detection)
    assert (box.id, box.header.frame_id, box.operation) == ("object_1", CAMERA_FRAME, CollisionObject.ADD)
    assert box.pose == detection.bbox.center
    assert box.primitives[0].type == SolidPrimitive.BOX
    pose = a_result().objects[0].pose
    assert pose is not None
    np.testing.assert_allclose(box.primitives[0].dimensions, pose.box.size_m)
    assert box.primitive_poses == [Pose()]


def test_the_scene_cloud_becomes_gpds_indexed_cloud(guide: dict[str, Any]) -> None:
    frame = painted(0, {"red": (10, 10, 24, 24)})
    labels = np.zeros(frame.rgb.shape[:2], np.uint8)
    labels[10:24, 10:24] = 3
    cloud = scene_cloud_message(frame, labels, Header(frame_id=CAMERA_FRAME))
    sent = guide["cloud_indexed"](cloud, 3)
    assert len(sent.indices) == 14 * 14
    assert len(sent.cloud_sources.camera_source) == cloud.width
    assert sent.cloud_sources.view_points == [Point()]
    xyz = np.frombuffer(cloud.data, np.float32).reshape(-1, 5)[[each.data for each in sent.indices], :3]
    assert (xyz[:, 2] == 1.0).all()  # the block stands 1 m away, the wall behind it does not
    assert len(guide["cloud_indexed"](cloud, 3, most=50).indices) <= 50
    assert guide["cloud_indexed"](cloud, 99).indices == []


@pytest.mark.parametrize("values", [{"1": 7}, {"1": 300}])
def test_four_messages_become_contact_graspnets_input(guide: dict[str, Any], values: dict[str, int]) -> None:
    frame = painted(0, {"red": (10, 10, 24, 24)})
    frame.depth_m[0, 0] = np.nan
    header = Header(frame_id=CAMERA_FRAME)
    objects = [an_object(1, TrackState.TRACKING, box_mask(10, 10, 24, 24))]
    labels = result_messages.label_array(objects, values, frame.rgb.shape[:2])
    scene = guide["contact_graspnet_input"](
        camera_messages.rgb_message(header, frame.rgb),
        camera_messages.depth_message(header, frame.depth_m),
        camera_messages.camera_info_message(header, CAMERA),
        result_messages.image_message(header, labels),
    )
    assert list(scene) == ["rgb", "depth", "K", "segmap"]
    np.testing.assert_array_equal(scene["rgb"], frame.rgb)
    np.testing.assert_allclose(scene["depth"], np.nan_to_num(frame.depth_m), atol=0.0005)
    assert scene["K"].tolist() == [[CAMERA.fx, 0, CAMERA.cx], [0, CAMERA.fy, CAMERA.cy], [0, 0, 1]]
    assert set(np.unique(scene["segmap"])) == {0, values["1"]}


def test_a_pose_that_was_not_measured_or_is_uncertain_is_not_grasped(guide: dict[str, Any]) -> None:
    def track(state: TrackState, quality: PoseQuality, sigma_m: float) -> TrackedObject:
        pose = a_pose(np.random.default_rng(0))
        certain = type(pose)(pose.box, np.eye(6) * sigma_m**2, pose.cloud, quality)
        result = a_result(objects=(an_object(1, state, box_mask(5, 5, 9, 9), certain),))
        return result_messages.tracks_message(result, {"1": 1}).objects[0]

    may = guide["may_be_grasped"]
    assert may(track(TrackState.TRACKING, PoseQuality("registered"), 0.01))
    assert not may(track(TrackState.TRACKING, PoseQuality("registered"), 0.02))
    assert not may(track(TrackState.TRACKING, PoseQuality("predicted"), 0.01))
    assert not may(track(TrackState.UNCERTAIN, PoseQuality("registered"), 0.01))
    assert not may(TrackedObject(state=TrackedObject.TRACKING))
