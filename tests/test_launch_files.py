"""Launch files and camera presets name only what exists: packages, executables, files, topics, settings.

`launch` is no wheel, so the files are read here; where it is installed (in the Docker image) they are carried out too.
"""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from referent.config import Config, load_config
from referent.settings import flatten

ROOT = Path(__file__).resolve().parents[1]
NODES = ROOT / "ros2_ws" / "src" / "referent_ros"
LAUNCH_FILES = sorted((ROOT / "launch").glob("*.launch.py"))
PRESETS = sorted((ROOT / "config" / "cameras").glob("*.yaml"))
OTHER_PACKAGES = {("rviz2", "rviz2")}
INPUTS = {"color/image_rect", "color/camera_info", "depth/image_rect", "depth/camera_info"}
OF_EVERY_NODE = {"use_sim_time"}
SETTINGS = {item.name: item for item in flatten(Config())}


def executables() -> set[str]:
    return set(re.findall(r'f"(\w+) = \{PACKAGE\}', (NODES / "setup.py").read_text()))


def declared_parameters() -> set[str]:
    """What the nodes declare one by one, beside the settings."""
    found = set()
    for path in (NODES / "referent_ros").glob("*.py"):
        found |= set(re.findall(r'declare\(self, "(\w+)"', path.read_text()))
    return found


def calls(tree: ast.AST, *names: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
            yield node


def constants(node: ast.AST) -> set[str]:
    return {each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str)}


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((each.value for each in call.keywords if each.arg == name), None)


@pytest.fixture(params=LAUNCH_FILES, ids=lambda path: path.name)
def tree(request: pytest.FixtureRequest) -> ast.Module:
    compile(request.param.read_text(), str(request.param), "exec")
    return ast.parse(request.param.read_text())


def test_the_launch_files_are_those_the_readme_and_the_docs_name() -> None:
    names = {path.name for path in LAUNCH_FILES}
    assert names == {f"{name}.launch.py" for name in ("camera", "demo", "referent", "replay", "speech")}
    written = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    named = {
        name for path in written for name in re.findall(r"launch referent_ros (\S+\.launch\.py)", path.read_text())
    }
    assert named <= names


def test_nodes_are_executables_of_ours_or_of_packages_that_are_known(tree: ast.Module) -> None:
    started = list(calls(tree, "Node"))
    assert started
    for node in started:
        package, executable = keyword(node, "package"), keyword(node, "executable")
        assert isinstance(package, ast.Constant)
        if isinstance(executable, ast.Constant) and package.value != "referent_ros":
            assert (package.value, executable.value) in OTHER_PACKAGES
        elif isinstance(executable, ast.Constant):
            assert executable.value in executables()
    for call in calls(tree, "_node"):
        assert isinstance(call.args[0], ast.Constant)
        assert call.args[0].value in executables()


def test_files_that_are_named_are_there(tree: ast.Module) -> None:
    folders = [ROOT / "launch", *(path for path in (ROOT / "config").rglob("*") if path.is_dir()), ROOT / "config"]
    named = {name for name in constants(tree) if re.fullmatch(r"[\w.]+\.(yaml|xml|py|rviz|json)", name)}
    for name in named:
        assert any((folder / name).is_file() for folder in folders), name


def test_arguments_that_are_read_are_declared(tree: ast.Module) -> None:
    declared = {text for call in calls(tree, "DeclareLaunchArgument") for text in constants(call.args[0])}
    tables = [node.value for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)]
    declared |= {text for table in tables for key in table.keys if key is not None for text in constants(key)}
    read = {text for call in calls(tree, "LaunchConfiguration", "_bool") for text in constants(call.args[0])}
    assert read <= declared


def test_parameters_that_are_set_exist(tree: ast.Module) -> None:
    known = set(SETTINGS) | declared_parameters() | OF_EVERY_NODE
    given = [value for call in calls(tree, "Node") if (value := keyword(call, "parameters")) is not None]
    given += [argument for call in calls(tree, "_node") for argument in call.args[1:]]
    keys = {
        key.value
        for value in given
        for table in ast.walk(value)
        if isinstance(table, ast.Dict)
        for key in table.keys
        if isinstance(key, ast.Constant)
    }
    assert keys <= known


@pytest.fixture(params=PRESETS, ids=lambda path: path.stem)
def preset(request: pytest.FixtureRequest) -> dict[str, Any]:
    return yaml.safe_load(request.param.read_text())


def test_there_is_a_preset_for_the_usual_cameras_and_the_readme_names_them_all() -> None:
    names = {path.stem for path in PRESETS}
    assert {"realsense", "orbbec", "zed", "oak", "azure_kinect", "openni", "simulated", "recorded"} == names
    readme = (ROOT / "README.md").read_text()
    assert all(f"`{name}`" in readme for name in names)


def test_a_preset_says_where_every_input_comes_from(preset: dict[str, Any]) -> None:
    assert set(preset) <= {"driver", "topics", "parameters"}
    assert set(preset["topics"]) == INPUTS
    assert len(set(preset["topics"].values())) == len(INPUTS)
    for topic in preset["topics"].values():
        assert re.fullmatch(r"/?[a-z][a-z0-9_]*(/[a-z][a-z0-9_]*)*", topic), topic


def test_a_preset_sets_legal_values_of_the_types_that_ros_wants(preset: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "preset.yaml"
    file.write_text(yaml.safe_dump(preset["parameters"]))
    load_config(file)
    for group, values in preset["parameters"].items():
        for key, value in values.items():
            assert type(value) is type(SETTINGS[f"{group}.{key}"].default), f"{group}.{key}"


def test_raw_topics_are_rectified_and_rectified_ones_are_not(preset: dict[str, Any]) -> None:
    raw = "raw" in preset["topics"]["color/image_rect"]
    assert preset["parameters"]["input"]["rectified"] is not raw


def test_a_driver_is_a_launch_file_with_arguments_as_text(preset: dict[str, Any]) -> None:
    driver = preset.get("driver")
    if driver is not None:
        assert set(driver) == {"package", "launch_file", "arguments"}
        assert driver["launch_file"].endswith(".launch.py") or driver["launch_file"] == "rs_launch.py"
        assert all(isinstance(value, str) for value in driver["arguments"].values())


def loaded(name: str) -> ModuleType:
    pytest.importorskip("launch_ros", reason="`launch` is no wheel; this runs in the Docker image")
    spec = importlib.util.spec_from_file_location(f"launched_{name}", ROOT / "launch" / f"{name}.launch.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", [path.name.removesuffix(".launch.py") for path in LAUNCH_FILES])
def test_a_launch_file_describes_processes(name: str) -> None:
    assert loaded(name).generate_launch_description().entities


def test_a_preset_becomes_a_node_with_its_topics_compressed_ones_too() -> None:
    module = loaded("camera")
    context = module.LaunchContext()
    context.launch_configurations.update({name: value for name, (value, _) in module.ARGUMENTS.items()})
    context.launch_configurations["camera"] = str(ROOT / "config" / "cameras" / "realsense.yaml")
    (node,) = module._from_preset(context)
    node._perform_substitutions(context)
    remapped = dict(node.expanded_remapping_rules)
    assert remapped["color/image_rect"] == "/camera/camera/color/image_raw"
    assert remapped["depth/image_rect/compressedDepth"].endswith("aligned_depth_to_color/image_raw/compressedDepth")
