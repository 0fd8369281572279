"""Model files: what is read, in which unit, and what is said of a file that cannot be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from known_shapes import BRICK, CAN, MUG, write_obj

from referent.errors import ConfigError
from referent.geometry.models import load_model, load_models, model_for


def test_quads_and_faces_of_many_corners_are_cut_into_triangles(tmp_path: Path) -> None:
    model = load_model(write_obj(tmp_path / "brick.obj", BRICK))
    np.testing.assert_allclose(model.size_m, (0.12, 0.08, 0.05), atol=1e-6)
    assert len(model.points_m) == len(model.normals) == 4000
    # A brick's points lie on its six faces, each with its share of them.
    on_face = np.isclose(np.abs(model.points_m), model.size_m / 2, atol=1e-6)
    assert on_face.any(axis=1).all()
    sides = np.array([0.08 * 0.05, 0.12 * 0.05, 0.12 * 0.08])
    np.testing.assert_allclose(on_face.mean(axis=0), sides / sides.sum(), atol=0.05)


@pytest.mark.parametrize("suffix", [".ply", ".stl"])
def test_other_mesh_formats_hold_the_same_object(tmp_path: Path, suffix: str) -> None:
    import trimesh

    path = tmp_path / f"can{suffix}"
    trimesh.load_mesh(write_obj(tmp_path / "can.obj", CAN)).export(path)
    model = load_model(path)
    np.testing.assert_allclose(model.size_m, (0.07, 0.07, 0.12), atol=1e-3)
    assert model.diameter_m == pytest.approx(np.hypot(0.07, 0.12), rel=0.01)


def test_normals_point_out_whatever_the_winding(tmp_path: Path) -> None:
    path = write_obj(tmp_path / "brick.obj", BRICK)
    turned = [
        " ".join(["f", *line.split()[:0:-1]]) if line.startswith("f") and i % 2 else line
        for i, line in enumerate(path.read_text().splitlines())
    ]
    path.write_text("\n".join(turned))
    model = load_model(path)
    assert np.all(np.einsum("ni,ni->n", model.points_m, model.normals) > 0)
    assert model.is_sheet.mean() < 0.01


def test_millimetres_are_told_from_metres(tmp_path: Path) -> None:
    metres = load_model(write_obj(tmp_path / "m.obj", BRICK))
    millimetres = load_model(write_obj(tmp_path / "mm.obj", BRICK, units_per_m=1000))
    np.testing.assert_allclose(millimetres.size_m, metres.size_m, atol=1e-6)
    np.testing.assert_allclose(millimetres.points_m, metres.points_m, atol=1e-5)
    small = [("box", (0.0025, 0.002, 0.0015), np.eye(4))]  # 2.5 mm would pass for 2.5 m: here one has to say
    assert load_model(write_obj(tmp_path / "s.obj", small, units_per_m=1000), unit="mm").size_m[0] == pytest.approx(
        0.0025
    )


@pytest.mark.parametrize("suffix", [".xyz", ".txt", ".npy", ".ply"])
def test_a_bare_point_list_is_a_model_too(tmp_path: Path, suffix: str) -> None:
    mesh = load_model(write_obj(tmp_path / "mug.obj", MUG))
    path = tmp_path / f"points{suffix}"
    if suffix == ".npy":
        np.save(path, mesh.points_m)
    elif suffix == ".ply":
        header = ["ply", "format ascii 1.0", f"element vertex {len(mesh.points_m)}"]
        header += [f"property float {axis}" for axis in "xyz"] + ["end_header"]
        path.write_text("\n".join([*header, *(f"{x} {y} {z}" for x, y, z in mesh.points_m)]))
    else:
        np.savetxt(path, mesh.points_m)
    model = load_model(path)
    np.testing.assert_allclose(model.size_m, mesh.size_m, atol=0.005)
    order = np.lexsort(model.points_m.T)
    same = np.lexsort(mesh.points_m.T)
    agreement = np.einsum("ni,ni->n", model.normals[order], mesh.normals[same])
    assert np.mean(agreement > 0.9) > 0.8  # edges have normals of their own kind


def test_the_first_points_are_spread_as_evenly_as_all(tmp_path: Path) -> None:
    from scipy.spatial import cKDTree

    model = load_model(write_obj(tmp_path / "mug.obj", MUG))
    few = model.points_m[:200]
    nearest = cKDTree(few).query(few, k=2)[0][:, 1]
    assert nearest.min() > 0.6 * np.median(nearest)
    again = load_model(tmp_path / "mug.obj")
    np.testing.assert_array_equal(model.points_m, again.points_m)


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("thing.step", "ISO-10303-21;", "a model is a file of .obj, .ply, .stl"),
        ("empty.obj", "", "0 points and no faces"),
        ("noise.ply", "not a ply", "not a readable mesh"),
        ("flat.obj", "v 1 1 1\nv 1 1 1\nv 1 1 1\nf 1 2 3\n", "its faces have no extent"),
        ("lines.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 1 2\nf 2 3 3\n", "its faces have no extent"),
        ("nan.obj", "v 0 0 nan\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "not finite"),
        ("words.xyz", "one two three\n", "not a list of points"),
        ("empty.xyz", "\n", "the file is empty"),
        ("empty.npy", "", "not a list of points"),
        ("few.xyz", "0 0 0\n1 1 1\n", "2 points and no faces"),
        ("columns.txt", "1 2\n3 4\n", "is no list of points"),
        ("nan.xyz", "0 0 nan\n" * 200, "not finite"),
        ("house.xyz", "\n".join(f"{i} {i % 7} {i % 11}" for i in range(200000)), "is the unit the other of mm and m"),
    ],
)
def test_a_file_that_is_no_model_is_refused_by_name(tmp_path: Path, name: str, text: str, complaint: str) -> None:
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_model(file)
    assert name in str(error.value)
    assert complaint in str(error.value)


def test_a_missing_file_and_a_wrong_unit_are_named(tmp_path: Path) -> None:
    for name in ("gone.obj", "gone.xyz", "gone.npy"):
        with pytest.raises(ConfigError, match=rf"{name}: cannot be read"):
            load_model(tmp_path / name)
    with pytest.raises(ConfigError, match="unit 'inch' is not one of auto, mm, m"):
        load_model(write_obj(tmp_path / "brick.obj", BRICK), unit="inch")


@pytest.mark.parametrize(("units_per_m", "unit"), [(1000, "m"), (1, "mm")])
def test_a_brick_in_the_wrong_unit_is_refused_with_the_size_it_would_have(
    tmp_path: Path, units_per_m: float, unit: str
) -> None:
    small = [("box", (0.04, 0.03, 0.02), np.eye(4))]
    brick = write_obj(tmp_path / "brick.obj", small, units_per_m=units_per_m)
    with pytest.raises(
        ConfigError, match=rf"brick\.obj: .* m across as unit {unit}; is the unit the other of mm and m"
    ):
        load_model(brick, unit=unit)


def test_models_are_listed_by_label_beside_their_files(tmp_path: Path) -> None:
    (tmp_path / "meshes").mkdir()
    write_obj(tmp_path / "meshes" / "brick.obj", BRICK, units_per_m=1000)
    file = tmp_path / "models.yaml"
    file.write_text("models:\n  - {label: Foam  Brick, file: meshes/brick.obj, unit: mm}\n")
    models = load_models(file)
    assert list(models) == ["foam brick"]
    assert models["foam brick"].name == "foam brick"
    assert models["foam brick"].size_m[0] == pytest.approx(0.12)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("meshes: []\n", "expected `models:`"),
        ("models: {mug: mug.obj}\n", "expected `models:`"),
        ("models:\n  - {label: mug}\n", "entry 1 of models"),
        ("models:\n  - {label: mug, file: a.obj, colour: red}\n", "entry 1 of models"),
        ("models:\n  - {label: '', file: a.obj}\n", "is empty or there twice"),
        ("models:\n  - {label: mug, file: a.obj}\n", "a.obj: cannot be read"),
        ("models: [\n", "not YAML"),
    ],
)
def test_a_wrong_list_of_models_is_refused_by_name(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "models.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_models(file)
    assert complaint in str(error.value)


def test_a_label_means_the_model_that_its_last_words_name() -> None:
    models = {"mug": 1, "red mug": 2, "Power-Drill": 3}
    assert model_for("the blue mug", models) == 1
    assert model_for("a RED mug.", models) == 2
    assert model_for("mug", models) == 1
    assert model_for("yellow power drill", models) == 3
    assert model_for("mug rack", models) is None
    assert model_for("smug", models) is None
    assert model_for("", models) is None


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("the mug left of the bowl", "mug"),
        ("red mug, on the bowl's left side", "red mug"),
        ("the object behind the mug", None),
        ("the left mug", "mug"),
        ("mug in the front right", "mug"),
        ("the right one of the mugs", None),
        ("the bottle of water next to the mug", "bottle"),
        ("a bottle of milk", "bottle of milk"),
        ("the thing that is not the bowl", None),
    ],
)
def test_what_a_label_says_of_other_things_does_not_choose_the_model(label: str, name: str | None) -> None:
    models = {name: name for name in ("bowl", "mug", "red mug", "bottle", "bottle of milk", "water")}
    assert model_for(label, models) == name
