"""Set-up: what it says about a machine that is not ready, and what it does not do twice."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

TOOLS = Path(__file__).resolve().parents[1] / "tools"


def tool(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A script of tools/ as a module."""
    monkeypatch.syspath_prepend(str(TOOLS))
    spec = importlib.util.spec_from_file_location(f"tools_{name}", TOOLS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return tool("machine", monkeypatch)


@pytest.fixture
def setup(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return tool("setup", monkeypatch)


def test_a_missing_library_is_one_line_to_paste_where_installing_is_not_allowed(
    machine: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "privilege", lambda: None)
    missing = [machine.Need("libusb", False, "libusb-1.0-0"), machine.Need("a C compiler", False, "gcc")]
    with pytest.raises(machine.NotReady) as caught:
        machine.provide(missing)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith("sudo apt-get update && sudo apt-get install -y libusb-1.0-0 gcc")


def test_missing_packages_are_installed_where_that_is_allowed(
    machine: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "apt-get").write_text('#!/bin/sh\necho "$@" >> "$(dirname "$0")/calls"\n')
    (tmp_path / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(machine, "privilege", list)
    machine.provide([machine.Need("libusb", False, "libusb-1.0-0")])
    update, install = (tmp_path / "calls").read_text().splitlines()
    assert update.endswith("update")
    assert install.endswith("libusb-1.0-0")


def test_a_full_disk_is_said_with_what_is_needed(machine: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "NEEDED_GB", 1e9)
    with pytest.raises(machine.NotReady, match="GB are needed"):
        machine.check_disk(TOOLS)


def test_this_machine_has_a_python_that_fits(machine: ModuleType) -> None:
    assert machine.find_python().version in machine.PYTHONS


def test_without_a_fitting_python_the_versions_are_named(machine: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "PYTHONS", ("9.8", "9.9"))
    with pytest.raises(machine.NotReady, match=r"Python 9\.8, 9\.9 is needed"):
        machine.find_python()


def test_children_do_not_inherit_another_ros_environment(machine: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_ROS_WHEELS_BOOTSTRAP_COMPLETE", "1")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/another/lib")
    assert not {"_ROS_WHEELS_BOOTSTRAP_COMPLETE", "LD_LIBRARY_PATH"} & machine.clean_environment().keys()
    monkeypatch.delenv("_ROS_WHEELS_BOOTSTRAP_COMPLETE")
    assert machine.clean_environment()["LD_LIBRARY_PATH"] == "/another/lib"


def test_a_step_is_done_again_only_when_its_inputs_change(setup: ModuleType, tmp_path: Path) -> None:
    done: list[str] = []
    for inputs in ("a", "a", "b"):
        setup.Memory(tmp_path / "memory.json").step("packages", inputs, lambda inputs=inputs: done.append(inputs))
    assert done == ["a", "b"]


def test_a_step_that_fails_is_not_remembered(setup: ModuleType, tmp_path: Path) -> None:
    memory = setup.Memory(tmp_path / "memory.json")
    with pytest.raises(ZeroDivisionError):
        memory.step("packages", "a", lambda: 1 / 0)
    assert setup.Memory(tmp_path / "memory.json")["packages"] is None


def test_a_failing_command_shows_what_it_said_and_not_pips_noise(setup: ModuleType) -> None:
    script = "import sys; print('WARNING: retrying'); print('no such package'); sys.exit(3)"
    with pytest.raises(setup.NotReady, match="installing failed with status 3:\nno such package") as caught:
        setup.run("installing", [sys.executable, "-c", script])
    assert "WARNING" not in str(caught.value)


def test_overlay_packages_are_left_out_where_the_real_ones_are_installed(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "share" / "vision_msgs").mkdir(parents=True)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    names = [folder.name for folder in setup.packages_to_build()]
    assert names == ["nav2_msgs", "tf2_msgs", "referent_examples", "referent_msgs", "referent_ros"]


def test_our_own_overlay_does_not_count_as_the_real_one(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    built = tmp_path / "install" / "vision_msgs"
    (built / "share" / "vision_msgs").mkdir(parents=True)
    monkeypatch.setattr(setup, "WORKSPACE", tmp_path)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(built))
    (tmp_path / "src").mkdir()
    assert "vision_msgs" in [folder.name for folder in setup.packages_to_build()]


def test_the_wheels_cmake_exports_are_repaired_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fix_prefix = tool("fix_prefix", monkeypatch)
    export = tmp_path / "share" / "std_msgs" / "cmake" / "std_msgsExport.cmake"
    export.parent.mkdir(parents=True)
    export.write_text('"/tmp/build/site-packages/numpy/core/include;/opt/python/cp311/include/python3.11"')
    here = {"numpy_include": "/here/numpy", "python_include": "/here/python"}
    assert [fix_prefix.fix(tmp_path, **here) for _ in range(2)] == [1, 0]
    assert export.read_text() == '"/here/numpy;/here/python"'


def test_set_up_runs_where_nothing_is_installed() -> None:
    """Isolated from site-packages: the tools use the standard library only."""
    probe = f"import sys; sys.path.insert(0, {str(TOOLS)!r}); import setup, machine"
    subprocess.run([sys.executable, "-S", "-c", probe], check=True)
