"""What one color and depth pair costs in Python before the pipeline has it: deserialise, convert, pair, hand over.

Run inside the sourced workspace: python benchmarks/image_path.py

`p50_ms` is time by the clock, `cpu_ms` what this thread computed, which other work on the machine hardly changes, and
`codec_ms` the part of it that the jpeg and png decoders take, outside Python, `opencv_ms` what OpenCV's would take for
both. The bar is for the rest; exit status 1 when it is missed.
"""

from __future__ import annotations

import argparse
import array
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from referent.config import InputConfig
from referent.frames.transforms import TransformBuffer
from referent.grey_png import counts_from_png
from referent.intake import CameraIntake
from referent.live import Mailbox
from referent.types import Intrinsics, RgbdFrame
from referent_ros import camera_messages
from referent_ros.result_messages import image_message, time_from_ns

SIZES = ((640, 480), (1280, 720))
BARS_MS = {640: 3.0, 1280: 8.0}
PERIOD_NS = 33_333_333
DEPTH_HEADER_BYTES = 12  # of compressed_depth_image_transport
PNG_PARAMETERS = (cv2.IMWRITE_PNG_COMPRESSION, 9)  # its png_level
Make = Callable[[Header, np.ndarray, np.ndarray], tuple[Any, Any]]


def main() -> int:
    """Print the median and the 95th percentile of every kind and size, in milliseconds."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--pairs", type=int, default=60)
    arguments.add_argument("--json", type=Path)
    given = arguments.parse_args()
    rows = [measured(kind, make, size, given.pairs) for size in SIZES for kind, make in KINDS.items()]
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")
    return int(any(row["cpu_ms"] - row["codec_ms"] > row["bar_ms"] for row in rows))


def measured(kind: str, make: Make, size: tuple[int, int], pairs: int) -> dict[str, Any]:
    """One row of the table."""
    width, height = size
    camera = Intrinsics(width, height, 600.0, 600.0, width / 2, height / 2)
    rng = np.random.default_rng(0)
    rgb = cv2.resize(rng.integers(0, 256, (60, 80, 3)).astype(np.uint8), size)
    counts = (1500 + 300 * np.sin(np.arange(width) / 50)[None] + rng.normal(0, 2, (height, width))).astype(np.uint16)
    intake, mailbox = CameraIntake(InputConfig(), TransformBuffer()), Mailbox[RgbdFrame]()
    intake.camera_info(camera_messages.camera_info_message(Header(), camera))
    times_ms, cpu_ms, codec_ms, opencv_ms = [], [], [], []
    for number in range(pairs):
        header = Header(stamp=time_from_ns((number + 1) * PERIOD_NS), frame_id="camera")
        color, depth = make(header, rgb, counts)
        sent = serialize_message(color), serialize_message(depth)
        begun_s, computed_s = time.perf_counter(), time.thread_time()
        frame = intake.color(deserialize_message(sent[0], type(color)))
        frame = intake.depth(deserialize_message(sent[1], type(depth))) or frame
        if frame is None:
            raise SystemExit(f"{kind}: pair {number} was not made")
        mailbox.put(frame)
        cpu_ms.append(1000 * (time.thread_time() - computed_s))
        times_ms.append(1000 * (time.perf_counter() - begun_s))
        codec_ms.append(decoding_ms(color, depth, counts_from_png))
        opencv_ms.append(decoding_ms(color, depth, lambda png: cv2.imdecode(png, cv2.IMREAD_UNCHANGED)))
    p50, p95 = (round(float(np.percentile(times_ms, q)), 2) for q in (50, 95))
    cpu, codec, opencv = (round(float(np.median(values)), 2) for values in (cpu_ms, codec_ms, opencv_ms))
    about = {"kind": kind, "size": f"{width}x{height}", "p50_ms": p50, "p95_ms": p95}
    return about | {"cpu_ms": cpu, "codec_ms": codec, "opencv_ms": opencv, "bar_ms": BARS_MS[width]}


def decoding_ms(color: Any, depth: Any, depth_from_png: Callable[[np.ndarray], Any]) -> float:
    """What the decoders alone take for a compressed pair, of this thread's time; 0 for raw images."""
    if isinstance(color, Image):
        return 0.0
    jpeg, png = (np.frombuffer(message.data, np.uint8) for message in (color, depth))
    computed_s = time.thread_time()
    cv2.imdecode(jpeg, cv2.IMREAD_COLOR_RGB)
    depth_from_png(png[DEPTH_HEADER_BYTES:])
    return 1000 * (time.thread_time() - computed_s)


def raw(header: Header, rgb: np.ndarray, counts: np.ndarray) -> tuple[Image, Image]:
    """As a depth camera on the same machine sends them."""
    return camera_messages.rgb_message(header, rgb), image_message(header, counts)


def raw_metres(header: Header, rgb: np.ndarray, counts: np.ndarray) -> tuple[Image, Image]:
    """With depth as REP-118 wants it."""
    height, width = counts.shape
    metres = (counts / 1e3).astype(np.float32).tobytes()
    depth = Image(
        header=header, height=height, width=width, encoding="32FC1", step=4 * width, data=array.array("B", metres)
    )
    return camera_messages.rgb_message(header, rgb), depth


def compressed(header: Header, rgb: np.ndarray, counts: np.ndarray) -> tuple[CompressedImage, CompressedImage]:
    """As over a network, as image_transport_plugins write it unless they are told otherwise."""
    color = cv2.imencode(".jpg", rgb[..., ::-1])[1].tobytes()
    depth = bytes(DEPTH_HEADER_BYTES) + cv2.imencode(".png", counts, PNG_PARAMETERS)[1].tobytes()
    return (
        CompressedImage(header=header, format="rgb8; jpeg compressed bgr8", data=color),
        CompressedImage(header=header, format="16UC1; compressedDepth png", data=depth),
    )


KINDS: dict[str, Make] = {"rgb8 + 16UC1": raw, "rgb8 + 32FC1": raw_metres, "jpeg + png": compressed}

if __name__ == "__main__":
    sys.exit(main())
