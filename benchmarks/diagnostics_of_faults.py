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
    from rclpy.executors import SingleThreadedExecutor

    rclpy.init()
    camera = make_camera(fault, with_overlay=overlay is not None)
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


def make_camera(fault: Fault, *, with_overlay: bool) -> Any:
    """A node that plays a simulated table with a fault; rclpy is imported here, where the workspace is found."""
    import numpy as np
    from diagnostic_msgs.msg import DiagnosticArray
    from rclpy.node import Node
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from rclpy.time import Duration
    from sensor_msgs.msg import CameraInfo, Image
    from std_msgs.msg import Header, String
    from tf2_msgs.msg import TFMessage

    from referent.sources.simulation.scenes import named_scene
    from referent.sources.simulation.simulate import simulate
    from referent_ros import camera_messages

    class Camera(Node):
        def __init__(self) -> None:
            super().__init__("camera")
            self.done, self.statuses, self.overlay = False, [], None
            self._shots = list(simulate(named_scene("tabletop"), frames=30, fps=10))
            self._number, self._begun = 0, None
            reliability = ReliabilityPolicy.BEST_EFFORT if fault.best_effort else ReliabilityPolicy.RELIABLE
            kinds = {
                "/tf": (TFMessage, QoSProfile(depth=100)),
                **{
                    f"{name}/image_rect": (Image, QoSProfile(depth=5, reliability=reliability))
                    for name in ("color", "depth")
                },
                "color/camera_info": (CameraInfo, QoSProfile(depth=5, reliability=reliability)),
            }
            self._outputs = {
                topic: self.create_publisher(kind, topic, qos)
                for topic, (kind, qos) in kinds.items()
                if topic != fault.left_out
            }
            self._voice = self.create_publisher(String, "instruction", 10)
            self.create_subscription(DiagnosticArray, "/diagnostics", self._hear, 10)
            if with_overlay:
                self.create_subscription(Image, "referent/overlay", self._look, 5)
            self.create_timer(0.1, self._play)

        def _look(self, message: Image) -> None:
            self.overlay = message

        def _hear(self, message: DiagnosticArray) -> None:
            self.statuses = [
                {
                    "name": each.name,
                    "level": each.level[0],
                    "message": each.message,
                    "values": [(v.key, v.value) for v in each.values],
                }
                for each in message.status
            ]

        def _play(self) -> None:
            """Forth and back, so that nothing jumps; the words come after a second."""
            now = self.get_clock().now()
            if self._begun is None:
                self._begun = self._found = now if self._voice.get_subscription_count() else None
                return
            self._number += 1
            if self._number == 10:
                self._voice.publish(String(data="put the red mug into the yellow bowl"))
            turn = self._number % (2 * len(self._shots) - 2)
            self._show(self._shots[min(turn, 2 * len(self._shots) - 2 - turn)], now)
            if fault.finds and "tracking" not in str(self.statuses):
                self._found = now
            over = now - self._begun > Duration(seconds=FOUND_LIMIT_S)
            self.done = over or now - self._found > Duration(seconds=fault.play_s)

        def _show(self, shot: Any, now: Any) -> None:
            frame = shot.frame
            header = Header(stamp=now.to_msg(), frame_id=frame.camera_frame)
            behind = (now - Duration(seconds=fault.skew_s)).to_msg()
            of_depth = Header(stamp=behind, frame_id=fault.depth_frame or frame.camera_frame)
            depth_m = np.roll(frame.depth_m, fault.depth_moved_px, axis=1)
            pose = shot.truth.world_from_camera
            messages = {
                "/tf": camera_messages.transform_message(header.stamp, "world", frame.camera_frame, pose),
                "color/camera_info": camera_messages.camera_info_message(header, frame.intrinsics),
                "color/image_rect": camera_messages.rgb_message(header, frame.rgb),
                "depth/image_rect": camera_messages.depth_message(of_depth, depth_m),
            }
            for topic, publisher in self._outputs.items():
                publisher.publish(messages[topic])

    return Camera()


if __name__ == "__main__":
    sys.exit(main())
