"""results.jsonl and truth.jsonl keep to the public schema."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from synthetic import CAMERA_FRAME, SyntheticRun

from referent.evaluation.lines import bbox_of, grounding_line, mask_from_rle, mask_to_rle, result_line, truth_line
from referent.types import Array, PoseQuality, TrackHealth

RUN = SyntheticRun(frames=30)


def check(value: Any, schema: Any, path: str = "line") -> None:
    """`schema`: a type, None or a tuple of both; a list of one schema; a dict of schemas."""
    if isinstance(schema, dict):
        assert value.keys() == schema.keys(), path
        for key, inner in schema.items():
            check(value[key], inner, f"{path}.{key}")
    elif isinstance(schema, list):
        assert isinstance(value, list), path
        for item in value:
            check(item, schema[0], f"{path}[]")
    else:
        kinds = schema if isinstance(schema, tuple) else (schema,)
        assert any(value is None if kind is None else type(value) is kind for kind in kinds), f"{path}: {value!r}"


POSE = {
    "frame": str,
    "position_m": [float],
    "quaternion_xyzw": [float],
    "size_m": [float],
    "covariance": [float],
    "orientation_known": bool,
    "quality": {
        "source": str,
        "motion": str,
        "residual_m": (float, None),
        "points": int,
        "unobserved": [bool],
        "born_stamp_ns": (int, None),
        "age_s": (float, None),
        "measured_stamp_ns": (int, None),
    },
}
OBJECT = {
    "id": str,
    "expression": str,
    "label": str,
    "role": str,
    "state": str,
    "score": (float, None),
    "bbox_xyxy": [int],
    "mask_rle": {"size": [int], "counts": str},
    "pose": POSE,
    "grounded_stamp_ns": (int, None),
    "verified_stamp_ns": (int, None),
    "reason": str,
}
LINE = {
    "stamp_ns": int,
    "camera_frame": str,
    "objects": [OBJECT],
    "timings_s": {"track": float, "locate": float, "total": float},
    "drops": {"unmatched": int},
}


def test_a_followed_object_has_every_field_of_the_schema_in_json_types() -> None:
    line = json.loads(json.dumps(result_line(RUN.result(10)), allow_nan=False))
    check(line, LINE)
    (item,) = line["objects"]
    assert item["state"] == "tracking"
    assert [len(item["pose"][name]) for name in ("position_m", "quaternion_xyzw", "size_m", "covariance")] == [
        3,
        4,
        3,
        36,
    ]


def test_a_tracks_health_is_told_where_it_is_known() -> None:
    result = RUN.result(10)
    (tracked,) = result.objects
    assert tracked.mask is not None
    health = TrackHealth(stability=0.98, area_ratio=1.02, alternative_iou=1.0, overlap=0.0, scene_cut=0.01)
    known = replace(tracked, mask=replace(tracked.mask, health=health))
    line = json.loads(json.dumps(result_line(replace(result, objects=(known,))), allow_nan=False))
    check(line, LINE | {"objects": [OBJECT | {"health": dict.fromkeys(asdict(health), float)}]})
    assert line["objects"][0]["health"]["area_ratio"] == 1.02


def test_what_stands_behind_a_pose_is_told() -> None:
    result = RUN.result(10)
    (tracked,) = result.objects
    assert tracked.pose is not None
    born_ns = result.stamp_ns - 1_500_000_000
    quality = PoseQuality("registered", "static", 0.00123456, (False, True, False), born_ns, result.stamp_ns)
    known = replace(tracked, pose=replace(tracked.pose, quality=quality))
    line = json.loads(json.dumps(result_line(replace(result, objects=(known,))), allow_nan=False))
    check(line, LINE)
    assert line["objects"][0]["pose"]["quality"] == {
        "source": "registered",
        "motion": "static",
        "residual_m": 0.001235,
        "points": tracked.pose.box.point_count,
        "unobserved": [False, True, False],
        "born_stamp_ns": born_ns,
        "age_s": 1.5,
        "measured_stamp_ns": result.stamp_ns,
    }


def test_an_object_that_is_searched_or_hidden_has_no_mask_box_and_pose() -> None:
    for number, state in ((0, "searching"), (RUN.hidden.start, "occluded")):
        (item,) = result_line(RUN.result(number))["objects"]
        assert item["state"] == state
        assert item["mask_rle"] is item["bbox_xyxy"] is item["pose"] is None


def test_pose_is_given_in_the_output_frame_and_is_null_when_that_is_not_available() -> None:
    base_from_camera = np.array([[0.0, 0, 1, 0.5], [-1, 0, 0, 0], [0, -1, 0, 1.0], [0, 0, 0, 1]])
    result = replace(RUN.result(10), output_frame="base_link", output_from_camera=base_from_camera)
    (item,) = result_line(result)["objects"]
    x, y, z = RUN.position_m(10)
    assert item["pose"]["frame"] == "base_link"
    assert item["pose"]["position_m"] == pytest.approx([z + 0.5, -x, -y + 1.0], abs=1e-6)
    variances = np.array(item["pose"]["covariance"]).reshape(6, 6).diagonal()[:3]
    assert variances == pytest.approx([0.006**2, 0.003**2, 0.003**2])  # depth is x of the base
    unsure = replace(result, output_covariance=np.diag([0.01**2] * 3 + [0.02**2] * 3))  # of the camera's place in base
    (wide,) = result_line(unsure)["objects"]
    there = np.array(item["pose"]["position_m"]) - [0.5, 0, 1.0]  # from the camera: what its turns move
    moves = 0.01**2 + 0.02**2 * (there @ there - there**2)
    wide_by = np.subtract(wide["pose"]["covariance"], item["pose"]["covariance"]).reshape(6, 6)
    assert wide_by.diagonal() == pytest.approx([*moves, *[0.02**2] * 3], rel=1e-3)
    (lost,) = result_line(replace(result, output_from_camera=None))["objects"]
    assert lost["pose"] is None
    assert lost["mask_rle"] is not None


def test_equal_results_give_equal_bytes() -> None:
    assert json.dumps(result_line(RUN.result(11))) == json.dumps(result_line(SyntheticRun(frames=30).result(11)))


def test_no_number_is_a_negative_zero() -> None:
    text = json.dumps(result_line(replace(RUN.result(10), output_frame="b", output_from_camera=-np.eye(4) * 1e-9)))
    assert "-0.0," not in text
    assert "-0.0]" not in text


@given(arrays(np.bool_, st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_run_length_encoding_gives_the_mask_back(mask: Array) -> None:
    rle = json.loads(json.dumps(mask_to_rle(mask)))
    assert rle["size"] == list(mask.shape)
    assert (mask_from_rle(rle) == mask).all()


@given(arrays(np.bool_, (9, 12)))
def test_the_box_is_the_tight_one(mask: Array) -> None:
    box = bbox_of(mask)
    if box is None:
        assert not mask.any()
        return
    x1, y1, x2, y2 = box
    assert mask[y1:y2, x1:x2].sum() == mask.sum()
    assert mask[y1:y2, x1].any()
    assert mask[y1:y2, x2 - 1].any()
    assert mask[y1, x1:x2].any()
    assert mask[y2 - 1, x1:x2].any()


def test_truth_line_tells_of_every_object_seen_or_not() -> None:
    hidden = RUN.hidden.start
    mug, box = truth_line(RUN.stamp_ns(hidden), RUN.truth(hidden))["objects"]
    assert (mug["description"], mug["mask_rle"], mug["bbox_xyxy"], mug["visible_fraction"]) == (
        "red mug",
        None,
        None,
        0.0,
    )
    assert mug["position_m"] == pytest.approx(RUN.position_m(hidden), abs=1e-6)
    assert (mask_from_rle(box["mask_rle"]) == (RUN.truth(hidden).instance_ids == 2)).all()


def test_grounding_line_is_plain_json() -> None:
    (event,) = RUN.result(RUN.answered).groundings
    line = json.loads(json.dumps(grounding_line(event), allow_nan=False))
    assert (line["stamp_ns"], line["reason"], line["outcome"]) == (RUN.stamp_ns(0), "new", "found")
    assert len(line["boxes_xyxy"][0]) == 4


def test_camera_frame_is_copied() -> None:
    assert result_line(RUN.result(0))["camera_frame"] == CAMERA_FRAME
