"""Faces learned over frames, and the box they make: what views add, what they may not take away, what stays unknown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from followed import a_camera, a_shot, on_table, turns_deg, yawed
from hypothesis import given, settings
from hypothesis import strategies as st
from known_shapes import CAN, MUG, a_part
from scipy.spatial.transform import Rotation

from referent.config import GeometryConfig
from referent.geometry.estimate import look
from referent.geometry.faces import Faces
from referent.geometry.keyframes import Keyframes
from referent.geometry.poses import rigid, transform_points
from referent.geometry.shape import Shape
from referent.geometry.symmetry import continue_axes, smallest_rotation
from referent.types import OrientedBox

CONFIG = GeometryConfig()
BOX = (a_part("box", (0.12, 0.08, 0.06), (0, 0, 0)),)


def faces(low=(-0.06, -0.04, -0.03), high=(0.06, 0.04, 0.03), sigma_m=0.002):
    sigma = np.broadcast_to(np.asarray(sigma_m, float), (2, 3)).copy()
    return Faces(np.array([low, high], float), sigma, 1 / sigma**2)


def test_two_equal_views_meet_half_way():
    merged = faces().merged(faces(high=(0.062, 0.04, 0.03)))
    np.testing.assert_allclose(merged.ends_m[1], [0.061, 0.04, 0.03])
    np.testing.assert_allclose(merged.ends_m[0], [-0.06, -0.04, -0.03])
    np.testing.assert_allclose(merged.size_m, [0.121, 0.08, 0.06])
    np.testing.assert_allclose(merged.center_m, [0.0005, 0, 0], atol=1e-12)


def test_the_surer_view_counts_by_its_variance():
    unsure = faces(high=(0.10, 0.04, 0.03), sigma_m=[[0.002] * 3, [0.02, 0.002, 0.002]])
    merged = unsure.merged(faces(high=(0.06, 0.04, 0.03)))
    assert merged.ends_m[1, 0] == pytest.approx(0.06, abs=0.006)  # a hundred times the weight, a tenth for shrinking
    other = faces().merged(replace(unsure, ends_m=faces(high=(0.064, 0.04, 0.03)).ends_m))
    assert other.ends_m[1, 0] == pytest.approx(0.06 + 0.004 / 101, abs=1e-6)


def test_many_frames_are_never_surer_than_the_best_view():
    known = faces(sigma_m=0.004)
    for _ in range(500):
        known = known.merged(faces(sigma_m=0.003))
    np.testing.assert_allclose(known.sigma_m, 0.003)
    np.testing.assert_allclose(known.center_sigma_m, 0.003 / np.sqrt(2))
    assert np.isfinite(known.weight).all()


def test_a_worse_view_does_not_make_it_less_sure():
    assert (faces(sigma_m=0.002).merged(faces(sigma_m=0.5)).sigma_m == 0.002).all()


def test_faces_grow_at_once_and_shrink_slowly():
    start = faces()
    for _ in range(10):
        start = start.merged(faces())
    grown, shrunk = start, start
    for _ in range(5):
        grown = grown.merged(faces(low=(-0.08, -0.04, -0.03)))
        shrunk = shrunk.merged(faces(low=(-0.04, -0.04, -0.03)))
    grew, shrank = -0.06 - grown.ends_m[0, 0], shrunk.ends_m[0, 0] + 0.06
    assert grew > 0.004
    assert 0 < shrank < 0.25 * grew


def test_a_face_that_is_really_nearer_gets_there_in_the_end():
    known = faces()
    for _ in range(900):
        known = known.merged(faces(high=(0.05, 0.04, 0.03)))
    assert known.ends_m[1, 0] == pytest.approx(0.05, abs=0.005)


def test_noise_makes_no_bias():
    rng, known, ends = np.random.default_rng(0), faces(sigma_m=0.002), []
    for step in range(1500):
        noise = rng.normal(0, 0.001, (2, 3))
        seen = faces(sigma_m=0.002)
        known = known.merged(replace(seen, ends_m=seen.ends_m + noise))
        if step > 100:
            ends.append(known.ends_m)
    np.testing.assert_allclose(np.mean(ends, axis=0), faces().ends_m, atol=0.0004)


ends = st.lists(st.floats(-0.3, 0.3), min_size=6, max_size=6)
sigmas = st.lists(st.floats(1e-4, 1.0), min_size=6, max_size=6)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(ends, sigmas), min_size=1, max_size=20))
def test_merged_faces_lie_among_those_seen(views):
    known = faces()
    lowest, highest = known.ends_m.copy(), known.ends_m.copy()
    for end, sigma in views:
        new = Faces(np.array(end).reshape(2, 3), np.array(sigma).reshape(2, 3), 1 / np.array(sigma).reshape(2, 3) ** 2)
        lowest, highest = np.minimum(lowest, new.ends_m), np.maximum(highest, new.ends_m)
        before, known = known, known.merged(new)
        assert (known.ends_m >= lowest - 1e-12).all()
        assert (known.ends_m <= highest + 1e-12).all()
        assert (known.sigma_m <= before.sigma_m).all()
        assert (known.size_m >= 0.001).all()
        assert np.isfinite(known.center_m).all()


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("end", [0, 1])
def test_a_face_as_unsure_as_a_quarter_of_its_side_was_not_seen(axis, end):
    sigma = np.full((2, 3), 0.002)
    assert faces(sigma_m=sigma).unobserved == (False, False, False)
    sigma[end, axis] = 0.04
    assert faces(sigma_m=sigma).unobserved == tuple(i == axis for i in range(3))


def test_turning_the_axes_keeps_the_middle_where_it_is():
    low, high = (0.10, -0.02, -0.03), (0.22, 0.06, 0.03)
    known = faces(low, high)
    to = yawed(5.0)
    turned = known.turned(to)
    np.testing.assert_allclose(to @ turned.center_m, known.center_m, atol=1e-12)
    np.testing.assert_allclose(turned.size_m, known.size_m)


def looked(parts, pose, camera, *, frame=0, noise_px=0.05, gravity=True):
    shot = a_shot(camera, {"object": (parts, pose)}, frame=frame, noise_px=noise_px)
    seen = look(shot.frame, shot.masks["object"], CONFIG, up_in_camera=shot.up if gravity else None)
    assert seen is not None
    return shot, seen


def learned(parts, pose, cameras, **looking):
    """A shape learned with the true motion of the camera, and the last shot."""
    shot, seen = looked(parts, pose, cameras[0], **looking)
    start = seen.fit.box.camera_from_object
    object_from_box = np.linalg.inv(shot.camera_from("object")) @ start
    shape = Shape(seen, start)
    for frame, camera in enumerate(cameras[1:], start=1):
        shot, seen = looked(parts, pose, camera, frame=frame, **looking)
        shape.learn(seen, shot.camera_from("object") @ object_from_box)
    return shape, shape.box(shot.camera_from("object") @ object_from_box, 1), shot


def test_a_box_seen_from_all_around_gets_its_size_and_place():
    shape, box, shot = learned(BOX, on_table(25), [a_camera(9.0 * i) for i in range(40)])
    np.testing.assert_allclose(np.sort(box.size_m), [0.06, 0.08, 0.12], atol=0.004)
    assert np.linalg.norm(box.camera_from_object[:3, 3] - shot.camera_from("object")[:3, 3]) < 0.003
    assert shape.orientation_known
    assert not shape.is_round
    assert shape.faces.unobserved == (False, False, False)
    np.testing.assert_allclose(box.camera_from_object[:3, 2], shot.up, atol=0.02)


def test_a_can_stays_round_and_its_handle_once_found_stays_found():
    shape, box, _ = learned(CAN, on_table(0, z_m=0.06), [a_camera(6.0 * i) for i in range(15)])
    assert shape.is_round
    assert not shape.orientation_known
    np.testing.assert_allclose(box.size_m, [0.07, 0.07, 0.12], atol=0.005)
    # The handle points to +x; the camera sees it first and goes round to where the body hides it.
    mug, box, _ = learned(MUG, on_table(0, z_m=0.05), [a_camera(20 - 11.0 * i) for i in range(11)])
    assert not mug.is_round
    assert mug.orientation_known
    np.testing.assert_allclose(np.sort(box.size_m), [0.08, 0.1, 0.121], atol=0.01)


def test_a_box_cut_by_the_picture_is_unobserved_there_until_it_is_seen():
    aside = a_camera(0, 40, 0.6, at_m=(0.28, 0, 0.03))
    shot, seen = looked(BOX, on_table(0), aside)
    assert shot.masks["object"][:, 0].any()
    start = seen.fit.box.camera_from_object
    shape = Shape(seen, start)
    along = int(np.argmax(np.abs(start[0, :3])))
    assert shape.faces.unobserved[along]
    object_from_box = np.linalg.inv(shot.camera_from("object")) @ start
    for frame in range(1, 12):
        shot, seen = looked(BOX, on_table(0), a_camera(2.0 * frame), frame=frame)
        shape.learn(seen, shot.camera_from("object") @ object_from_box)
    assert not shape.faces.unobserved[along]
    assert shape.faces.size_m[along] == pytest.approx(0.12, abs=0.008)


def test_five_hundred_frames_leave_axes_that_are_a_rotation_and_a_box_that_stays():
    views = [looked(BOX, on_table(25), a_camera(30.0 * i, 35 + i), frame=i, noise_px=0.15) for i in range(10)]
    shot, seen = views[0]
    start = seen.fit.box.camera_from_object
    object_from_box = np.linalg.inv(shot.camera_from("object")) @ start
    shape = Shape(seen, start)
    for frame in range(1, 501):
        shot, seen = views[frame % len(views)]
        shape.learn(seen, shot.camera_from("object") @ object_from_box)
    np.testing.assert_allclose(shape.axes.T @ shape.axes, np.eye(3), atol=1e-12)
    assert np.linalg.det(shape.axes) > 0
    np.testing.assert_allclose(np.sort(shape.faces.size_m), [0.06, 0.08, 0.12], atol=0.006)
    assert np.isfinite(shape.faces.weight).all()


def a_round_box(axes, size_m=(0.08, 0.08, 0.12)):
    return OrientedBox(rigid(axes, np.array([0.0, 0.0, 0.6])), np.array(size_m), 1000, False)


def test_two_thousand_frames_of_a_round_box_keep_its_axes_a_rotation():
    rng = np.random.default_rng(0)
    up = np.array([0.0, -0.7, -0.7]) / np.linalg.norm([0.7, 0.7])
    before = a_round_box(smallest_rotation(np.array([0.0, 0.0, 1.0]), up))
    first = before.camera_from_object[:3, :3]
    for _ in range(2000):
        tilted = smallest_rotation(up, up + rng.normal(0, 0.01, 3))
        yaw = yawed(float(rng.uniform(0, 360)))  # of a round thing any
        box = a_round_box(tilted @ first @ yaw)
        before = continue_axes(box, before, is_round=True)
    rotation = before.camera_from_object[:3, :3]
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) > 0
    assert turns_deg(np.array([first, rotation]))[0] < 15


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_no_description_of_a_box_is_ever_left_handed(seed, is_round):
    rng = np.random.default_rng(seed)
    box = a_round_box(Rotation.random(random_state=seed).as_matrix(), rng.uniform(0.001, 0.3, 3))
    previous = a_round_box(Rotation.random(random_state=seed + 1).as_matrix(), rng.uniform(0.001, 0.3, 3))
    rotation = continue_axes(box, previous, is_round=is_round).camera_from_object[:3, :3]
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-9)
    assert np.linalg.det(rotation) == pytest.approx(1.0)


def test_keyframes_are_new_views_and_bounded():
    shot, seen = looked(BOX, on_table(25), a_camera())
    keyframes = Keyframes(seen, shot.camera_from("object"))
    assert not keyframes.wants(looked(BOX, on_table(25), a_camera(5))[0].camera_from("object"), 1.0)
    assert keyframes.wants(shot.camera_from("object"), 0.4)
    taken = 1
    for azimuth in range(0, 720, 10):
        shot, seen = looked(BOX, on_table(25), a_camera(azimuth, 40 if azimuth < 360 else 75))
        if keyframes.wants(shot.camera_from("object"), 1.0):
            keyframes.add(seen, shot.camera_from("object"))
            taken += 1
    assert taken == 12


@pytest.mark.parametrize("parts", [BOX, MUG], ids=["box", "mug"])
def test_a_frame_laid_on_keyframes_is_where_the_camera_was(parts):
    # Turned so that the camera sees three faces of the box: two would let it slide along both.
    pose = on_table(50, z_m=0.05 if parts is MUG else 0.03)
    shot, seen = looked(parts, pose, a_camera(0))
    keyframes = Keyframes(seen, shot.camera_from("object"))
    for azimuth in (3, 6, 9, 12):
        shot, seen = looked(parts, pose, a_camera(azimuth), frame=azimuth)
        truth = shot.camera_from("object")
        off = truth @ rigid(Rotation.from_rotvec([0.02, -0.02, 0.04]).as_matrix(), np.array([0.003, -0.002, 0.002]))
        laid = keyframes.lay(seen, off)
        corners = np.array([[x, y, z] for x in (-0.06, 0.06) for y in (-0.04, 0.04) for z in (-0.03, 0.03)])
        errors = transform_points(laid.target_from_points @ truth, corners) - corners
        assert laid.overlap > 0.8
        assert np.linalg.norm(errors, axis=1).mean() < 0.002
