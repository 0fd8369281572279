"""The overlay shows what a line says, on any background."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from synthetic import SyntheticRun

from referent.evaluation.drawing import PALETTE, box_edges_px, color_of, draw_boxes, draw_overlay
from referent.evaluation.lines import result_line
from referent.geometry.poses import rigid_inverse
from referent.types import Array

RUN = SyntheticRun(frames=30, width=320, height=240)
NUMBER = 10


def plain(value: int) -> Array:
    return np.full((240, 320, 3), value, np.uint8)


@pytest.mark.parametrize("background", [0, 128, 255])
def test_the_outline_stands_out_on_any_background(background: int) -> None:
    mask = RUN.result(NUMBER).objects[0].mask
    assert mask is not None
    shown = draw_overlay(plain(background), result_line(RUN.result(NUMBER))).astype(int)
    rim = mask.mask & ~np.roll(mask.mask, 2, axis=0)
    contrast = abs(shown[rim] - background).max(axis=1)
    assert (contrast > 60).mean() > 0.9


def test_the_picture_given_is_not_changed() -> None:
    rgb = plain(50)
    draw_overlay(rgb, result_line(RUN.result(NUMBER)))
    assert (rgb == 50).all()


def test_a_searched_object_is_named_in_the_corner() -> None:
    shown = draw_overlay(plain(128), result_line(RUN.result(0)))
    assert (shown[:40, :150] != 128).any()
    assert (shown[40:] == 128).all()


def test_labels_at_the_border_stay_inside_and_long_ones_do_not_fail() -> None:
    line = result_line(RUN.result(NUMBER))
    line["objects"][0] |= {"expression": "the very long name of a thing " * 5, "bbox_xyxy": [300, 0, 320, 10]}
    assert draw_overlay(plain(128), line).shape == (240, 320, 3)


def test_box_edges_are_those_of_the_projected_box() -> None:
    line = result_line(RUN.result(NUMBER))
    edges = box_edges_px(line, line["objects"][0], RUN.camera, None)
    assert len(edges) == 12
    x, y, z = RUN.position_m(NUMBER)
    camera = RUN.camera
    near_corner = (
        round(camera.fx * (x - 0.06) / (z - 0.05) + camera.cx),
        round(camera.fy * (y - 0.06) / (z - 0.05) + camera.cy),
    )
    assert near_corner in {point for edge in edges for point in edge}


def test_a_pose_in_another_frame_is_drawn_where_the_way_back_is_known() -> None:
    base_from_camera = np.array([[0.0, 0, 1, 0.5], [-1, 0, 0, 0], [0, -1, 0, 1.0], [0, 0, 0, 1]])
    result = RUN.result(NUMBER)
    here = result_line(result)
    there = result_line(replace(result, output_frame="base", output_from_camera=base_from_camera))
    expected = set(box_edges_px(here, here["objects"][0], RUN.camera, None))
    back = rigid_inverse(base_from_camera)
    assert set(box_edges_px(there, there["objects"][0], RUN.camera, back)) == expected
    assert box_edges_px(there, there["objects"][0], RUN.camera, None) == []


def test_a_box_behind_the_camera_is_not_drawn() -> None:
    line = result_line(RUN.result(NUMBER))
    line["objects"][0]["pose"]["position_m"] = [0.0, 0.0, 0.01]
    assert box_edges_px(line, line["objects"][0], RUN.camera, None) == []


def test_a_mask_of_another_size_than_the_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="object 1"):
        draw_overlay(np.zeros((100, 100, 3), np.uint8), result_line(RUN.result(NUMBER)))


def test_tracks_keep_their_color_and_neighbours_differ() -> None:
    assert color_of("3") == color_of("3")
    assert color_of("mug") == color_of("mug")
    assert len({color_of(str(n)) for n in range(1, len(PALETTE) + 1)}) == len(PALETTE)
    for one, other in combinations(PALETTE, 2):
        assert abs(np.subtract(one, other)).max() >= 40


def test_colors_are_readable_as_lines_on_white() -> None:
    # WCAG 2.1, 1.4.11: graphical objects need a contrast of 3:1.
    for color in PALETTE:
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in np.array(color) / 255]
        luminance = float(np.dot(linear, [0.2126, 0.7152, 0.0722]))
        assert 1.05 / (luminance + 0.05) >= 3.0


def test_answered_boxes_are_drawn_where_they_are() -> None:
    picture = plain(128)
    draw_boxes(picture, [[20.0, 30.0, 90.0, 100.0]])
    assert (picture[30, 20:90] != 128).any(axis=1).all()
    assert (picture[50:80, 40:70] == 128).all()
