"""The demo's processes: started together, watched, and never left behind. The processes here are small doubles."""

from __future__ import annotations

import json
import mmap
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from referent import demo
from referent.errors import ConfigError, ReferentError

FOREVER = "import time\ntime.sleep(600)\n"
# A double of a node that starts another process, as the real one does for a local grounder.
WITH_A_CHILD = (
    "import subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(600)'])\n"
    "print('child', child.pid)\n"
    "time.sleep(600)\n"
)
WRITES_A_SUMMARY = """\
import json, pathlib, sys
given = dict(each.split(":=", 1) for each in sys.argv if ":=" in each)
folder = pathlib.Path(json.loads(given["output"]))
summary = {"frames": 3, "duration_s": 0.2, "wall_s": 0.2, "fps": 10.0, "groundings": [], "objects": [], "drops": {},
           "latency_s": {"p50": 0.01, "p95": 0.02, "p99": 0.02}, "truth": None}
(folder / "summary.json").write_text(json.dumps(summary))
(folder / "given.json").write_text(json.dumps(given))
"""
DIES = "import sys\nprint('loading')\nprint('ZeroDivisionError: boom')\nsys.exit(1)\n"
REFUSES = "import sys\nprint('referent: scene \\'moon\\' is unknown', file=sys.stderr)\nsys.exit(2)\n"


def a_workspace(folder: Path, **modules: str) -> Path:
    """A built workspace whose camera, node and client are these scripts."""
    package = folder / "referent_ros"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    code = package / "lib" / version / "site-packages" / "referent_ros"
    config = package / "share" / "referent_ros" / "config"
    code.mkdir(parents=True)
    config.mkdir(parents=True)
    (config / "fastdds_large_images.xml").write_text("<profiles/>")
    (config / "demo.yaml").write_text("")
    (code / "__init__.py").write_text("")
    for name in ("camera", "node", "client"):
        (code / f"{name}.py").write_text(modules.get(name, FOREVER))
    return folder


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, **modules: str) -> int:
    monkeypatch.setattr(demo, "WORKSPACE", a_workspace(folder / "install", **modules))
    said = 'the "red" mug: now'
    return demo.run_demo(folder / "out", seconds=3, scene="tabletop", instruction=said)


def ends(pid: int, *, within_s: float = 5.0) -> bool:
    """Whether a process that was killed is gone, or a zombie, soon."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


def child_of_node(folder: Path) -> int:
    return int((folder / "out" / "logs" / "node.log").read_text().split()[1])


def test_when_the_client_is_done_the_summary_is_printed_and_nothing_is_left_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slow = "import time\ntime.sleep(1)\n" + WRITES_A_SUMMARY
    assert run(tmp_path, monkeypatch, node=WITH_A_CHILD, client=slow) == 0
    printed = capsys.readouterr().out
    assert "10.0 frames/s" in printed
    assert "report.html" in printed
    assert ends(child_of_node(tmp_path))


def test_an_instruction_reaches_the_client_as_one_string_whatever_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, monkeypatch, client=WRITES_A_SUMMARY)
    given = json.loads((tmp_path / "out" / "given.json").read_text())
    assert json.loads(given["instruction"]) == 'the "red" mug: now'
    assert float(given["seconds"]) == 3


def test_a_process_that_dies_ends_the_demo_with_its_last_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, monkeypatch, node=DIES) == 1
    told = capsys.readouterr().err
    assert "the node ended with status 1" in told
    assert "ZeroDivisionError: boom" in told


def test_wrong_input_is_the_one_line_of_the_process_that_refused_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, monkeypatch, camera=REFUSES) == 2
    assert capsys.readouterr().err.strip() == "referent: scene 'moon' is unknown"


def test_a_camera_that_has_played_to_its_end_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = "import time\ntime.sleep(1)\n" + WRITES_A_SUMMARY
    assert run(tmp_path, monkeypatch, camera="", client=slow) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_no_process_behind(tmp_path: Path, number: signal.Signals) -> None:
    workspace = a_workspace(tmp_path / "install", node=WITH_A_CHILD)
    script = (
        "import pathlib\nfrom referent import demo\n"
        f"demo.WORKSPACE = pathlib.Path({str(workspace)!r})\n"
        f"demo.run_demo({str(tmp_path / 'out')!r}, seconds=3, scene='tabletop', instruction='x')\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    log = tmp_path / "out" / "logs" / "node.log"
    deadline = time.monotonic() + 30
    while not (log.is_file() and "child" in log.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(number)
    assert process.wait(timeout=30) != 0
    assert ends(child_of_node(tmp_path))


def test_shared_memory_of_the_killed_is_removed_and_that_of_the_living_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "SHARED_MEMORY", tmp_path)
    for name in ("used", "port7001", "left"):
        (tmp_path / f"fastrtps_{name}").write_bytes(bytes(4096))
        (tmp_path / f"fastrtps_{name}_el").touch()
    (tmp_path / "sem.fastrtps_left_mutex").touch()
    with (tmp_path / "fastrtps_used").open("r+b") as file, mmap.mmap(file.fileno(), 0):
        demo._remove_left_over(
            demo._shared_memory() - {tmp_path / "fastrtps_port7001", tmp_path / "fastrtps_port7001_el"}
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "fastrtps_port7001", "fastrtps_port7001_el", "fastrtps_used", "fastrtps_used_el",
    ]  # fmt: skip


def test_an_unbuilt_workspace_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "WORKSPACE", tmp_path / "nothing")
    with pytest.raises(ReferentError, match="run `make setup`"):
        demo.run_demo(tmp_path, seconds=3, scene="tabletop", instruction="x")


def test_an_impossible_length_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--seconds 0"):
        demo.run_demo(tmp_path, seconds=0, scene="tabletop", instruction="x")


def test_the_workspace_comes_before_what_was_sourced_and_each_path_comes_once(tmp_path: Path) -> None:
    workspace = a_workspace(tmp_path)
    package = workspace / "referent_ros"
    inherited = {"AMENT_PREFIX_PATH": f"{package}:/opt/ros/jazzy", "HOME": "/home/robot"}
    environment = demo.workspace_environment(workspace, inherited)
    assert environment["AMENT_PREFIX_PATH"].split(":") == [str(package), "/opt/ros/jazzy", sys.prefix]
    assert environment["PYTHONPATH"].split(":")[0].startswith(str(package / "lib"))
    assert environment["HOME"] == "/home/robot"


def test_the_demo_speaks_in_a_domain_of_its_own_on_this_machine_only(tmp_path: Path) -> None:
    environment = demo.demo_environment(a_workspace(tmp_path), tmp_path, os.environ)
    assert 1 <= int(environment["ROS_DOMAIN_ID"]) <= 100
    assert environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
