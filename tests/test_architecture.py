"""The import direction of the house, read from the code itself."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "referent"
LAYERS = [
    {"types", "ports", "errors", "__init__"},
    {"coded_size", "config", "config_options", "grey_png", "messages", "rvl", "settings", "speech_config", "weights"},
    {"frames", "tracking", "grounding", "geometry", "memory", "speech"},
    {"building", "pipeline", "intake", "posing", "recall"},
    {"live", "sources", "evaluation", "replay", "training", "demo", "cli", "benching", "comparing"},
]
ROOMS = LAYERS[2]
HEAVY = {"transformers", "open3d", "plotly", "av", "jinja2"}


def modules() -> Iterator[tuple[Path, str]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path, path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            if node.module == "referent":
                yield from (f"referent.{alias.name}" for alias in node.names)
            else:
                yield node.module


def layer_of(part: str) -> int:
    return next(number for number, layer in enumerate(LAYERS) if part in layer)


def test_every_module_belongs_to_a_layer() -> None:
    known = set().union(*LAYERS)
    assert {part for _, part in modules()} <= known


def test_imports_point_one_way_and_rooms_do_not_know_each_other() -> None:
    wrong = []
    for path, part in modules():
        for name in imported(ast.parse(path.read_text())):
            pieces = name.split(".")
            if pieces[0] != "referent" or len(pieces) == 1 or pieces[1].startswith("__"):
                continue
            other = pieces[1]
            forbidden_room = part in ROOMS and other in ROOMS and other != part
            if layer_of(other) > layer_of(part) or forbidden_room:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert wrong == []


def test_only_the_ros_workspace_imports_ros() -> None:
    ros = ("rclpy", "cv_bridge", "sensor_msgs", "referent_msgs", "referent_ros", "vision_msgs", "tf2_ros")
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path, _ in modules()
        for name in imported(ast.parse(path.read_text()))
        if name.split(".")[0] in ros
    ]
    assert found == []


def test_torchvision_is_never_imported() -> None:
    assert not [
        p for p, _ in modules() if any(n.split(".")[0] == "torchvision" for n in imported(ast.parse(p.read_text())))
    ]


def test_heavy_packages_are_not_imported_before_they_are_used() -> None:
    entrances = "referent.cli, referent.live, referent.replay, referent.sources.rosbag, referent.grounding.backends"
    program = f"import sys, {entrances}; print(*sorted({HEAVY} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []


def test_no_module_is_called_by_what_it_is_not() -> None:
    vague = {"utils", "util", "common", "core", "base", "helpers", "misc"}
    assert not [path for path, _ in modules() if path.stem in vague]
