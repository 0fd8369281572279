"""Breaks a robot's camera in every way that docs/diagnostics.md tells of, and writes down what the node says of it.

    python benchmarks/diagnostics_of_faults.py                          prints all captures
    python benchmarks/diagnostics_of_faults.py no_depth qos             only these
    python benchmarks/diagnostics_of_faults.py --write docs/diagnostics.md --overlay docs/overlay.jpg

Each capture is a real node and a camera as two processes; needs `make setup`, and nothing sourced.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from referent.demo import WORKSPACE, demo_environment

LEVELS = {0: "OK", 1: "WARN", 2: "ERROR", 3: "STALE"}
PLAY_S = 9.0
FOUND_LIMIT_S = 60.0  # a busy machine takes long to load the grounder
STOP_LIMIT_S = 20.0


@dataclass(frozen=True)
class Fault:
    """What the camera leaves out or does wrong, and how the node is set."""

    settings: tuple[str, ...] = ()
    left_out: str = ""  # a topic that is not published
    best_effort: bool = False
    skew_s: float = 0.0  # of depth behind color
    depth_moved_px: int = 0
    depth_frame: str = ""
    play_s: float = PLAY_S  # after it is found what is looked for, in runs where it can be
    finds: bool = False


WELL = ("output.world_frame:=world", "memory.frame:=world")
FAULTS = {
    "healthy": Fault(finds=True),
    "no_depth": Fault(left_out="depth/image_rect"),
    "no_camera_info": Fault(left_out="color/camera_info"),
    "qos": Fault(best_effort=True),
    "skewed": Fault(skew_s=0.045),
    "no_tf": Fault(("output.frame:=base_link",), left_out="/tf", finds=True),
    "unregistered": Fault(depth_moved_px=24, play_s=14.0, finds=True),
    "own_frame": Fault(depth_frame="camera_depth_optical_frame"),
    "grounder_down": Fault(("grounder.backend:=openai_server", "grounder.url:=http://127.0.0.1:9/v1"), play_s=14.0),
}


def main() -> int:
    """Capture, and print or write."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("faults", nargs="*", metavar="FAULT", help=f"of {', '.join(FAULTS)}; all when none is named")
    arguments.add_argument("--write", type=Path, help="page whose captures are replaced")
    arguments.add_argument("--overlay", type=Path, help="keep the last picture of ~/overlay of the healthy run here")
    arguments.add_argument("--camera", help=argparse.SUPPRESS)  # the other process of this script
    given = arguments.parse_args()
    if given.camera:
        return play(FAULTS[given.camera], given.overlay)
    unknown = set(given.faults) - set(FAULTS)
    if unknown:
        arguments.error(f"{', '.join(sorted(unknown))}: known are {', '.join(FAULTS)}")
    for name in given.faults or FAULTS:
        text = told(captured(name, given.overlay if name == "healthy" else None), full=name == "healthy")
        print(f"== {name}\n{text}", flush=True)
        if given.write:
            given.write.write_text(replaced(given.write.read_text(), name, text))
    return 0


def captured(name: str, overlay: Path | None) -> list[dict[str, Any]]:
    """The statuses of one run: a node, and this script again as its camera."""
    fault = FAULTS[name]
    with tempfile.TemporaryDirectory() as logs:
        environment = demo_environment(WORKSPACE, Path(logs), os.environ)
        settings = [part for each in ("input.reliable:=true", *WELL, *fault.settings) for part in ("-p", each)]
        node = [sys.executable, "-m", "referent_ros.node", "--ros-args", *settings]
        camera = [sys.executable, __file__, "--camera", name, *(["--overlay", str(overlay)] if overlay else [])]
        running = subprocess.Popen(node, env=environment, stderr=subprocess.PIPE, text=True)
        try:
            said = subprocess.run(camera, env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=180)
        finally:
            running.send_signal(signal.SIGINT)
            _, log = running.communicate(timeout=STOP_LIMIT_S)
    if running.returncode:
        raise SystemExit(f"{name}: the node ended with status {running.returncode}:\n{log}")
    return list(json.loads(said.stdout))


def told(statuses: list[dict[str, Any]], *, full: bool) -> str:
    """One line a status, with its values below it where `full`."""
    lines = []
    for status in statuses:
        lines.append(f"[{LEVELS[status['level']]}] {status['name']}: {status['message']}")
        lines += [f"    {key}: {value}" for key, value in status["values"]] if full else []
    return "\n".join(lines)


def replaced(page: str, name: str, text: str) -> str:
    """The page with the capture of this name in place of the one it has."""
    block = re.compile(rf"(<!-- captured: {name} -->\n```\n).*?(\n```\n)", re.DOTALL)
    if not block.search(page):
        raise SystemExit(f"the page has no block '<!-- captured: {name} -->'")
    return block.sub(lambda found: found[1] + text + found[2], page)


def play(fault: Fault, overlay: Path | None) -> int:
    """The other process: a camera with a fault, and the ears that print the last diagnostics as JSON."""
    import rclpy
    from faulty_camera import FaultyCamera  # the workspace is found in this process only
    from rclpy.executors import SingleThreadedExecutor

    rclpy.init()
    camera = FaultyCamera(fault, limit_s=FOUND_LIMIT_S, with_overlay=overlay is not None)
    executor = SingleThreadedExecutor()
    executor.add_node(camera)
    while not camera.done:
        executor.spin_once(timeout_sec=0.1)
    if overlay is not None:
        keep(camera.overlay, overlay)
    print(json.dumps(camera.statuses))
    executor.shutdown()
    camera.destroy_node()
    rclpy.try_shutdown()
    return 0


def keep(message: Any, path: Path) -> None:
    """A picture as JPEG."""
    from PIL import Image

    from referent.messages import rgb_from_image

    Image.fromarray(rgb_from_image(message)).save(path, quality=90)


if __name__ == "__main__":
    sys.exit(main())
