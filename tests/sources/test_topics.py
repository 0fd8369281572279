"""Topics are found by type, encoding and name in the layouts of the usual drivers."""

from __future__ import annotations

import pytest

from referent.sources.topics import COMPRESSED, IMAGE, STRING, TF_TYPES, FoundTopic, choose_topics


def images(**encodings: str) -> list[FoundTopic]:
    return [FoundTopic(name, IMAGE, 9, encoding) for name, encoding in encodings.items()]


def infos(*names: str) -> list[FoundTopic]:
    return [FoundTopic(name, "sensor_msgs/msg/CameraInfo", 9) for name in names]


REALSENSE = [
    *images(
        **{
            "/camera/camera/color/image_raw": "rgb8",
            "/camera/camera/depth/image_rect_raw": "16UC1",
            "/camera/camera/aligned_depth_to_color/image_raw": "16UC1",
            "/camera/camera/infra1/image_rect_raw": "mono8",
        }
    ),
    FoundTopic("/camera/camera/color/image_raw/compressed", COMPRESSED, 9, "rgb8; jpeg compressed bgr8"),
    *infos("/camera/camera/color/camera_info", "/camera/camera/depth/camera_info"),
]
OPENNI = [
    *images(**{"/camera/rgb/image_color": "rgb8", "/camera/depth/image": "32FC1"}),
    *infos("/camera/rgb/camera_info", "/camera/depth/camera_info"),
]
AZURE = [
    *images(
        **{
            "/rgb/image_raw": "bgra8",
            "/depth/image_raw": "16UC1",
            "/depth_to_rgb/image_raw": "16UC1",
            "/ir/i": "mono16",
        }
    ),
    *infos("/rgb/camera_info", "/depth/camera_info", "/depth_to_rgb/camera_info"),
]
ZED = [
    *images(
        **{
            "/zed/zed_node/rgb/image_rect_color": "bgra8",
            "/zed/zed_node/rgb/image_rect_gray": "mono8",
            "/zed/zed_node/depth/depth_registered": "32FC1",
            "/zed/zed_node/confidence/confidence_map": "32FC1",
        }
    ),
    *infos("/zed/zed_node/rgb/camera_info", "/zed/zed_node/depth/camera_info"),
]
OURS = [
    *images(
        **{
            "/camera/color/image_rect": "rgb8",
            "/camera/depth/image_rect": "16UC1",
            "/truth/instance_ids": "mono8",
            "/referent/masks": "16UC1",
            "/referent/overlay": "rgb8",
        }
    ),
    *infos("/camera/color/camera_info"),
    FoundTopic("/truth/objects", STRING, 9),
]
WITHOUT_WORDS = [*images(**{"/front/left": "rgb8", "/front/range": "32FC1"}), *infos("/front/camera_info")]
ONLY_COMPRESSED = [
    FoundTopic("/cam/color/image/compressed", COMPRESSED, 9, "jpeg"),
    FoundTopic("/cam/depth/image/compressedDepth", COMPRESSED, 9, "16UC1; compressedDepth png"),
    *infos("/cam/color/camera_info"),
]


@pytest.mark.parametrize(
    ("found", "color", "depth", "info"),
    [
        (
            REALSENSE,
            "/camera/camera/color/image_raw",
            "/camera/camera/aligned_depth_to_color/image_raw",
            "/camera/camera/color/camera_info",
        ),
        (OPENNI, "/camera/rgb/image_color", "/camera/depth/image", "/camera/rgb/camera_info"),
        (AZURE, "/rgb/image_raw", "/depth_to_rgb/image_raw", "/rgb/camera_info"),
        (
            ZED,
            "/zed/zed_node/rgb/image_rect_color",
            "/zed/zed_node/depth/depth_registered",
            "/zed/zed_node/rgb/camera_info",
        ),
        (OURS, "/camera/color/image_rect", "/camera/depth/image_rect", "/camera/color/camera_info"),
        (WITHOUT_WORDS, "/front/left", "/front/range", "/front/camera_info"),
        (ONLY_COMPRESSED, "/cam/color/image/compressed", "/cam/depth/image/compressedDepth", "/cam/color/camera_info"),
    ],
)
def test_usual_cameras_are_found(found: list[FoundTopic], color: str, depth: str, info: str) -> None:
    chosen = choose_topics(found)
    assert (chosen.color, chosen.depth, chosen.info) == (color, depth, info)


def test_topics_declared_but_never_recorded_are_not_chosen() -> None:
    silent = FoundTopic("/camera/camera/color/image_rect", IMAGE, 0)
    assert choose_topics([silent, *REALSENSE]).color == "/camera/camera/color/image_raw"


def test_transforms_and_instructions_are_found_under_any_namespace() -> None:
    more = [
        *(FoundTopic(name, TF_TYPES[0], 9) for name in ("/tf", "/tf_static", "/robot/tf", "/not_tf")),
        *(FoundTopic(name, STRING, 9) for name in ("/instruction", "/referent/instruction", "/instructions_done")),
    ]
    chosen = choose_topics([*OURS, *more])
    assert chosen.tf == ("/tf", "/robot/tf")
    assert chosen.tf_static == ("/tf_static",)
    assert chosen.instruction == ("/instruction", "/referent/instruction")
