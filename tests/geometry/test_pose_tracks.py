"""The poses of all targets: which have models, which have none, and the way from an instruction to a model's pose."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from doubles import COLORS, ColorGrounder, ColorTracker
from followed import CAMERA, FRAME_NS, a_camera, a_shot, a_sound_pose, on_table, turns_deg
from known_shapes import MUG, STEPS, a_part, write_obj

from referent.config import Config, GeometryConfig
from referent.errors import ConfigError
from referent.frames.transforms import TransformBuffer
from referent.geometry.tracks import PoseTracks
from referent.grounding.workers import ReplayWorker
from referent.pipeline import Pipeline
from referent.settings import override

BOX = (a_part("box", (0.12, 0.08, 0.06), (0, 0, 0)),)
PLATE = (a_part("box", (0.18, 0.14, 0.02), (0, 0, 0)),)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A list of known models: a mug in millimetres and some steps in metres."""
    folder = tmp_path_factory.mktemp("models")
    write_obj(folder / "mug.obj", MUG, units_per_m=1000)
    write_obj(folder / "steps.obj", STEPS)
    (folder / "models.yaml").write_text(
        "models:\n  - {label: mug, file: mug.obj, unit: mm}\n  - {label: wooden steps, file: steps.obj, unit: m}\n"
    )
    return folder / "models.yaml"


def a_film(frame):
    """A mug and a box on a table, the camera going round slowly."""
    objects = {"mug": (MUG, on_table(20, -0.09, z_m=0.05)), "box": (BOX, on_table(30, 0.11))}
    return a_shot(a_camera(-20 + 1.5 * frame, 40, 0.7), objects, frame=frame)


def stepped(tracks, shot, object_id, label, name):
    pose = tracks.step(
        object_id, label, shot.frame, shot.masks[name], up_in_camera=shot.up, fixed_from_camera=shot.world_from_camera
    )
    assert pose is not None
    assert a_sound_pose(pose)
    return pose


def center_error_m(pose, shot, name, offset_m=(0, 0, 0)):
    return float(np.linalg.norm(pose.box.camera_from_object[:3, 3] - shot.camera_from(name, offset_m)[:3, 3]))


def test_each_target_is_followed_by_its_model_or_without_one(models):
    tracks = PoseTracks(GeometryConfig(models=str(models)))
    mugs = []
    for frame in range(8):
        shot = a_film(frame)
        mug = stepped(tracks, shot, "1", "the red Mug", "mug")
        box = stepped(tracks, shot, "2", "the mug box", "box")
        assert mug.quality.source == "model"
        assert mug.quality.born_stamp_ns == 0
        assert mug.quality.measured_stamp_ns == shot.frame.stamp_ns
        assert mug.quality.residual_m < 0.003
        assert mug.quality.unobserved == (False, False, False)
        assert mug.box.orientation_known
        assert center_error_m(mug, shot, "mug", (0.0205, 0, 0)) < 0.006
        np.testing.assert_allclose(np.sort(mug.box.size_m), [0.08, 0.1, 0.121], atol=0.002)
        assert box.quality.source == ("box" if frame == 0 else "registered")
        assert center_error_m(box, shot, "box") < 0.008
        mugs.append(shot.world_from_camera @ mug.box.camera_from_object)
    assert turns_deg(np.array(mugs)[:, :3, :3]).max() < 3


def test_a_new_label_brings_its_model_and_an_old_one_goes(models):
    tracks = PoseTracks(GeometryConfig(models=str(models)))
    sources = []
    for frame, label in enumerate(["thing", "thing", "mug", "mug", "cup", "cup"]):
        sources.append(stepped(tracks, a_film(frame), "1", label, "mug").quality.source)
    assert sources == ["box", "registered", "model", "model", "box", "registered"]


def test_a_label_for_the_same_model_does_not_start_anew(models):
    tracks = PoseTracks(GeometryConfig(models=str(models)))
    for frame, label in enumerate(["mug", "red mug", "the mug"]):
        pose = stepped(tracks, a_film(frame), "1", label, "mug")
        assert pose.quality.born_stamp_ns == 0


def test_a_model_in_another_unit_is_told_of_once(tmp_path, caplog):
    write_obj(tmp_path / "box.obj", BOX, units_per_m=100)  # centimetres pass for millimetres
    (tmp_path / "models.yaml").write_text("models:\n  - {label: box, file: box.obj}\n")
    tracks = PoseTracks(GeometryConfig(models=str(tmp_path / "models.yaml")))
    for frame in (0, 40):  # a search is not begun again at once
        assert stepped(tracks, a_film(frame), "1", "the box", "box").quality.source != "model"
    (said,) = [record.getMessage() for record in caplog.records]
    assert "model box is 0.0156 m across, what is seen of it 0.1" in said


def test_a_wrong_model_lies_on_nothing_and_what_is_seen_is_published(models):
    tracks = PoseTracks(GeometryConfig(models=str(models)))
    for frame in range(3):
        shot = a_shot(a_camera(1.5 * frame, 40, 0.7), {"box": (PLATE, on_table(30, z_m=0.01))}, frame=frame)
        pose = stepped(tracks, shot, "1", "mug", "box")
        assert pose.quality.source != "model"
        assert center_error_m(pose, shot, "box") < 0.010


def test_forgetting_restarting_and_clearing_begin_lives_anew(models):
    tracks = PoseTracks(GeometryConfig(models=str(models)))
    tracks.restart("never seen")
    tracks.forget("never seen")
    born = []
    for frame in range(8):
        {2: lambda: tracks.forget("1"), 4: lambda: tracks.restart("1"), 6: tracks.clear}.get(frame, lambda: None)()
        shot = a_film(frame)
        born.append(stepped(tracks, shot, "1", "mug", "mug").quality.born_stamp_ns)
        assert stepped(tracks, shot, "2", "box", "box").quality.born_stamp_ns == (0 if frame < 6 else 6 * FRAME_NS)
    assert born == [FRAME_NS * start for start in (0, 0, 2, 2, 4, 4, 6, 6)]


def test_two_mugs_share_the_model_and_nothing_else(models):
    tracks = PoseTracks(GeometryConfig(models=str(models)))
    objects = {"left": (MUG, on_table(200, -0.1, z_m=0.05)), "right": (MUG, on_table(20, 0.1, z_m=0.05))}
    for frame in range(3):
        shot = a_shot(a_camera(0, 40, 0.7), objects, frame=frame)
        for object_id, name in (("1", "left"), ("2", "right")):
            pose = stepped(tracks, shot, object_id, "mug", name)
            assert pose.quality.source == "model"
            assert center_error_m(pose, shot, name, (0.0205, 0, 0)) < 0.006


def test_models_that_cannot_be_read_are_a_fault_of_the_configuration(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        PoseTracks(GeometryConfig(models=str(tmp_path / "none.yaml")))
    (tmp_path / "models.yaml").write_text("models:\n  - {label: mug, file: gone.obj}\n")
    with pytest.raises(ConfigError, match=r"gone\.obj"):
        PoseTracks(GeometryConfig(models=str(tmp_path / "models.yaml")))


def the_pipeline(models: Path | None, **settings):
    config = override(Config(), {"geometry.models": str(models or ""), "output.world_frame": "map", **settings})
    transforms = TransformBuffer()
    worker = ReplayWorker(ColorGrounder(), latency_ns=0)
    return Pipeline(config, tracker=ColorTracker(), worker=worker, transforms=transforms), transforms


def in_color(shot, colors):
    """The frame with each object painted in its color."""
    rgb = np.full((CAMERA.height, CAMERA.width, 3), 90, np.uint8)
    for name, color in colors.items():
        rgb[shot.masks[name]] = COLORS[color]
    return replace(shot.frame, rgb=rgb)


@pytest.mark.parametrize("known", [True, False])
def test_an_instruction_ends_in_the_pose_of_a_known_model(models, known):
    pipeline, transforms = the_pipeline(models if known else None)
    pipeline.instruct("the red mug")
    for frame in range(5):
        shot = a_film(frame)
        transforms.add("map", "camera", shot.frame.stamp_ns, shot.world_from_camera)
        (found,) = pipeline.process(in_color(shot, {"mug": "red", "box": "blue"})).objects
        assert found.pose is not None
        assert a_sound_pose(found.pose)
        assert found.pose.quality.motion == "static"
        expected = "model" if known else "box" if frame == 0 else "registered"
        assert found.pose.quality.source == expected
        assert found.pose.quality.born_stamp_ns == 0
        assert center_error_m(found.pose, shot, "mug", (0.0205, 0, 0)) < (0.006 if known else 0.012)


def test_a_pipeline_with_models_that_are_missing_does_not_start(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        the_pipeline(tmp_path / "none.yaml")
