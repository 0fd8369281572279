"""Thin parts of an object, such as the shaft of a screwdriver, are kept whichever way they point."""

from __future__ import annotations

import numpy as np
import pytest
from followed import a_camera, a_shot, on_table
from known_shapes import a_part

from referent.config import GeometryConfig
from referent.geometry.estimate import look

SCREWDRIVER = (a_part("box", (0.1, 0.035, 0.035), (-0.06, 0, 0)), a_part("box", (0.12, 0.01, 0.01), (0.05, 0, 0)))
LENGTH_M = 0.22


@pytest.mark.parametrize("distance_m", [0.6, 0.75])
@pytest.mark.parametrize("yaw_deg", [0, 60, 90, 120, 270])
def test_a_shaft_that_points_away_is_part_of_its_tool(yaw_deg, distance_m):
    shot = a_shot(a_camera(0, 30, distance_m), {"object": (SCREWDRIVER, on_table(yaw_deg, z_m=0.0175))})
    seen = look(shot.frame, shot.masks["object"], GeometryConfig(), up_in_camera=shot.up)
    assert seen is not None
    assert seen.fit.box.size_m.max() == pytest.approx(LENGTH_M, abs=0.012)
    assert np.linalg.norm(seen.fit.box.camera_from_object[:3, 3] - shot.camera_from("object")[:3, 3]) < 0.012


@pytest.mark.parametrize("erode_px", [0, 1, 4, 8, 12])
def test_a_thing_too_small_for_the_border_that_was_asked_for_keeps_its_size(erode_px):
    cube = (a_part("box", (0.02, 0.02, 0.02), (0, 0, 0)),)
    shot = a_shot(a_camera(0, 35, 0.6), {"object": (cube, on_table(20, z_m=0.01))})
    seen = look(shot.frame, shot.masks["object"], GeometryConfig(erode_px=erode_px), up_in_camera=shot.up)
    assert seen is not None
    assert seen.fit.box.size_m == pytest.approx([0.02, 0.02, 0.02], abs=0.008)
