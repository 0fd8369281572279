"""The overlay's interfaces are the real ones: their type hashes travel with discovery and must be upstream's."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import pytest
from ament_index_python.packages import get_package_share_directory
from referent_msgs.msg import TrackedObject

from referent.types import GroundingEvent, PoseQuality, TrackState

# vision_msgs 4.1.1 and tf2_msgs as released for Jazzy.
HASHES = {
    "vision_msgs/msg/BoundingBox2D": "008eacbb0cf8f26e83795547bed013eec3675485ef386ec056d80eaaf1c1ce2f",
    "vision_msgs/msg/BoundingBox2DArray": "2464e82838009386d371b523211c21c91d74d313fcdd6788223c531d621cf691",
    "vision_msgs/msg/BoundingBox3D": "bbb73a65c163d7f9bb29009c7bde9f7faa576bd2d23299c4511d19230dab4698",
    "vision_msgs/msg/BoundingBox3DArray": "a81938db9576b10c2eecd7c5a5da3eac496efd00221b25ed051dfbc81fb56da6",
    "vision_msgs/msg/Classification": "f74db28d0eaef3afb78f48bf2161cd709a1383a0309d3454383b25be11345143",
    "vision_msgs/msg/Detection2D": "0d12b69df5c593b3455b7346fac8205437a7d4bcb09b9e0e0b2dde787ded38ea",
    "vision_msgs/msg/Detection2DArray": "214274120007f4a683866481336b70310268cfa107aebe9d594a6acf75bda968",
    "vision_msgs/msg/Detection3D": "ddd703be132ab0b69d33121f1bb034132bfbb3b0ac5f9fb1516005ba1c8a265b",
    "vision_msgs/msg/Detection3DArray": "793f5eab9595ac1c0da07873cc859db42eae51f0ee76056db8562515d830e018",
    "vision_msgs/msg/LabelInfo": "3d37df4015cdf660cc851c51897f2acd957e1ca6205ba0a99aebffb9406b0783",
    "vision_msgs/msg/ObjectHypothesis": "51da43cec11c01957a64d1e05a24acd18aae7745ec30b74348ad5f6d634f7f90",
    "vision_msgs/msg/ObjectHypothesisWithPose": "41c12344c0396c48b81df12467c192d99b2a0eb1463c5c37194e4223251c80bc",
    "vision_msgs/msg/Point2D": "eab0e83f44ab4de92ceaf76dd7d0e7638f2bdd1d16ffbe16c7a136c48e407247",
    "vision_msgs/msg/Pose2D": "b0b5d1d7b4c20dd4fcde3ed1d4b289a919290572007d67a97043814db25d3648",
    "vision_msgs/msg/VisionClass": "1e4a11f0fed50b5623cb8ff26ca0e37952a48a9c074d16f804b44e9164c2037a",
    "vision_msgs/msg/VisionInfo": "95d3116a17484ad91c9a2686e1d54890bbfc3ff6c6a2de137738c4950d45d284",
    "tf2_msgs/msg/TF2Error": "db2485e7d6a0ec75bf087e058ee45df682acc3a621ca7780503d10aac141809a",
    "tf2_msgs/msg/TFMessage": "e369d0f05a23ae52508854b66f6aa0437f3449d652e8cbf22d5abe85d020f087",
}


@pytest.mark.parametrize("name", HASHES)
def test_an_overlay_interface_has_the_type_hash_of_the_real_one(name: str) -> None:
    package, _, message = name.split("/")
    description = Path(get_package_share_directory(package), "msg", f"{message}.json")
    hashes = {each["type_name"]: each["hash_string"] for each in json.loads(description.read_text())["type_hashes"]}
    assert hashes[name] == f"RIHS01_{HASHES[name]}"


def test_every_state_of_the_library_has_its_constant() -> None:
    constants = [getattr(TrackedObject, state.name) for state in TrackState]
    assert sorted(constants) == list(range(len(TrackState)))


def test_the_message_tells_of_every_outcome_that_the_library_knows() -> None:
    message = Path(get_package_share_directory("referent_msgs"), "msg", "GroundingEvent.msg").read_text()
    listed = re.search(r"outcome: str  # (.+)", inspect.getsource(GroundingEvent))
    assert listed is not None
    assert re.findall(r"^#   (\w+) ", message, re.MULTILINE) == listed[1].split(" | ")


@pytest.mark.parametrize("field", ["source", "motion"])
def test_the_message_tells_of_every_kind_of_pose_that_the_library_knows(field: str) -> None:
    message = Path(get_package_share_directory("referent_msgs"), "msg", "PoseQuality.msg").read_text()
    listed = re.search(rf"{field}: str.*#([^\n]+)", inspect.getsource(PoseQuality))
    assert listed is not None
    told = message[: message.index(f"string {field}")].rsplit("string", 1)[-1]
    for kind in (part.split(":")[0].split(",")[0].strip() for part in listed[1].split("|")):
        assert re.search(rf"\b{kind}\b", told), kind
