"""Files that name other files: launch, config, Docker, CI. Nothing here may point to what is not there."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml

from referent.config import load_config

ROOT = Path(__file__).resolve().parents[1]
ROS_PACKAGE = ROOT / "ros2_ws" / "src" / "referent_ros"
LAUNCH_FILES = sorted((ROOT / "launch").glob("*.launch.py"))
PARAMETER_FILES = sorted((ROOT / "config").glob("*.yaml"))


def executables() -> set[str]:
    return set(re.findall(r'f"(\w+) = \{PACKAGE\}', (ROS_PACKAGE / "setup.py").read_text()))


def test_every_executable_of_the_ros_package_is_a_module_with_a_main() -> None:
    assert executables() == {"node", "camera", "client", "speech", "health"}
    for name in executables():
        tree = ast.parse((ROS_PACKAGE / "referent_ros" / f"{name}.py").read_text())
        assert "main" in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("path", PARAMETER_FILES, ids=lambda path: path.name)
def test_a_parameter_file_holds_known_settings_with_legal_values(path: Path) -> None:
    load_config(path)
    assert set(yaml.safe_load(path.read_text())) == {"/**"}


def test_the_example_parameter_file_repeats_the_defaults() -> None:
    assert load_config(ROOT / "config" / "referent.yaml") == load_config()


def test_launch_and_config_files_are_installed_by_the_ros_package() -> None:
    probe = (
        "import json, setuptools\n"
        "setuptools.setup = lambda **given: print(json.dumps(given['data_files']))\n"
        "exec(compile(open('setup.py').read(), 'setup.py', 'exec'))\n"
    )
    printed = subprocess.run(
        [sys.executable, "-c", probe], cwd=ROS_PACKAGE, capture_output=True, text=True, check=True
    ).stdout
    installed = {(ROS_PACKAGE / path).resolve() for _, paths in yaml.safe_load(printed) for path in paths}
    assert {*LAUNCH_FILES, *(path for path in (ROOT / "config").rglob("*") if path.is_file())} <= installed
    assert all(path.is_file() for path in installed)


def test_the_large_image_profile_raises_the_shared_memory_of_a_publisher() -> None:
    tree = ET.parse(ROOT / "config" / "fastdds_large_images.xml")
    space = {"dds": "http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles"}
    size = tree.find(".//dds:segment_size", space)
    assert size is not None
    assert int(str(size.text)) >= 4 << 20  # 1280x720 color needs 4 MiB
    declared = {each.text for each in tree.findall(".//dds:transport_descriptor/dds:transport_id", space)}
    assert {each.text for each in tree.findall(".//dds:userTransports/dds:transport_id", space)} == declared


def test_everything_the_dockerfile_copies_exists() -> None:
    copied = [line.split()[1:-1] for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("COPY")]
    sources = [word for words in copied for word in words if not word.startswith("--")]
    assert len(sources) > 5
    for source in sources:
        assert (ROOT / source).exists(), source


def test_the_dockerfile_has_the_stages_its_comment_names_and_runs_as_a_user() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert set(re.findall(r"--target (\w+)", text)) == {"test", "run"}
    assert {"test", "run"} <= set(re.findall(r"^FROM .* AS (\w+)$", text, re.MULTILINE))
    assert re.search(r"^USER (?!root)\w+$", text, re.MULTILINE)


def test_ros_pins_in_the_dockerfile_and_in_set_up_agree() -> None:
    (pin,) = re.findall(r'SAM2 = "(sam2==[\d.]+)"', (ROOT / "tools" / "setup.py").read_text())
    assert pin in (ROOT / "Dockerfile").read_text()


def test_ci_runs_the_commands_of_the_readme() -> None:
    commands = [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line.startswith("make")]
    assert commands == ["make lint", "make test"]
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"setup", "demo", "test", "lint", "bench", "clean"} <= targets


def test_every_interface_file_documents_itself() -> None:
    for path in (ROOT / "ros2_ws").glob("*/*/msg/*.msg"):
        assert path.read_text().startswith("# "), path
