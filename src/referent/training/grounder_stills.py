"""Rendered pictures with their truth for training the grounder: a pool on disk that grows while training runs.

python -m referent.training.grounder_stills --output DIR --first-seed N --count N
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from referent.grounding.coordinates import padded_to_aspect
from referent.sources.simulation.truth import FrameTruth, ObjectTruth, SimulatedFrame
from referent.training.grounder_model import PICTURE_HEIGHT, PICTURE_WIDTH
from referent.types import Array


@dataclass(frozen=True, eq=False)
class Still:
    """One rendered picture, compressed, and what is in it."""

    rgb_jpeg: bytes
    ids_png: bytes
    objects: tuple[ObjectTruth, ...]


@dataclass(frozen=True, eq=False)
class Example:
    """A picture at the model's size and what is in it."""

    rgb: Array  # (192, 256, 3) uint8
    truth: FrameTruth


def still_from_frame(simulated: SimulatedFrame) -> Still:
    """`simulated`, compressed."""
    bgr = cv2.cvtColor(simulated.frame.rgb, cv2.COLOR_RGB2BGR)
    jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
    png = cv2.imencode(".png", simulated.truth.instance_ids)[1]
    return Still(jpeg.tobytes(), png.tobytes(), simulated.truth.objects)


def write_still(still: Still, path: Path) -> None:
    """Store `still` so that a reader never sees half a file."""
    objects = [_plain(thing) for thing in still.objects]
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez(
            file,
            rgb=np.frombuffer(still.rgb_jpeg, np.uint8),
            ids=np.frombuffer(still.ids_png, np.uint8),
            objects=np.array(json.dumps(objects)),
        )
    part.replace(path)


def read_still(path: Path) -> Still:
    """The still in `path`."""
    with np.load(path) as stored:
        objects = tuple(_object_from_plain(plain) for plain in json.loads(str(stored["objects"])))
        return Still(stored["rgb"].tobytes(), stored["ids"].tobytes(), objects)


def render_stills(first_seed: int, count: int, *, width: int, height: int) -> Iterator[tuple[int, Still]]:
    """Scenes of kind "still", one picture each, by seed."""
    from referent.sources.simulation.scenes import sample_scene
    from referent.sources.simulation.simulate import simulate

    for seed in range(first_seed, first_seed + count):
        scene = sample_scene(seed, "still")
        for simulated in simulate(scene, frames=1, width=width, height=height):
            yield seed, still_from_frame(simulated)


def plain_example(still: Still) -> Example:
    """The whole picture, unchanged but for its size."""
    rgb, ids = _decoded(still)
    return _cut(rgb, ids, still.objects, (0, 0, rgb.shape[1], rgb.shape[0]), cv2.INTER_AREA)


def varied_example(still: Still, rng: np.random.Generator) -> Example:
    """A random view of the picture: part of it, mirrored, at another exposure; the truth follows."""
    rgb, ids = _decoded(still)
    objects = still.objects
    if rng.random() < 0.5:
        rgb, ids, objects = rgb[:, ::-1], ids[:, ::-1], tuple(_mirrored(thing) for thing in objects)
    window = _random_window(rgb.shape[1], rgb.shape[0], rng)
    resampling = (cv2.INTER_AREA, cv2.INTER_AREA, cv2.INTER_LINEAR)[rng.integers(3)]
    example = _cut(rgb, ids, objects, window, resampling)
    return replace(example, rgb=_exposed(example.rgb, rng))


def _decoded(still: Still) -> tuple[Array, Array]:
    bgr = cv2.imdecode(np.frombuffer(still.rgb_jpeg, np.uint8), cv2.IMREAD_COLOR)
    ids = cv2.imdecode(np.frombuffer(still.ids_png, np.uint8), cv2.IMREAD_GRAYSCALE)
    return np.asarray(bgr)[..., ::-1], np.asarray(ids)


def _random_window(width: int, height: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """x1, y1, x2, y2: mostly 4:3 and large; now and then square, portrait or wide, to be padded."""
    if rng.random() < 0.4:
        return 0, 0, width, height
    aspect = width / height
    if rng.random() < 0.12:
        aspect = float(rng.choice([0.5625, 0.75, 1.0, 1.6, 1.778]))
    scale = np.sqrt(rng.uniform(0.45, 1.0))
    wide = int(min(width, height * aspect) * scale)
    high = int(min(height, wide / aspect))
    x, y = int(rng.integers(width - wide + 1)), int(rng.integers(height - high + 1))
    return x, y, x + wide, y + high


def _cut(
    rgb: Array, ids: Array, objects: tuple[ObjectTruth, ...], window: tuple[int, int, int, int], resampling: int
) -> Example:
    """The window at the model's size, padded as the adapter pads."""
    x1, y1, x2, y2 = window
    cut_ids = ids[y1:y2, x1:x2]
    aspect = PICTURE_WIDTH / PICTURE_HEIGHT
    padded_rgb = padded_to_aspect(np.ascontiguousarray(rgb[y1:y2, x1:x2]), aspect)
    padded_ids = padded_to_aspect(np.ascontiguousarray(cut_ids), aspect, fill=0)
    scale_x, scale_y = PICTURE_WIDTH / padded_rgb.shape[1], PICTURE_HEIGHT / padded_rgb.shape[0]
    size = (PICTURE_WIDTH, PICTURE_HEIGHT)
    small_rgb = cv2.resize(padded_rgb, size, interpolation=resampling)
    small_ids = cv2.resize(padded_ids, size, interpolation=cv2.INTER_NEAREST)
    area = scale_x * scale_y
    seen = tuple(_seen(thing, padded_ids, scale_x, scale_y, area) for thing in objects)
    return Example(
        np.asarray(small_rgb), FrameTruth(np.asarray(small_ids), np.eye(4), np.zeros((0, 0), np.float32), seen)
    )


def _seen(thing: ObjectTruth, ids: Array, scale_x: float, scale_y: float, area: float) -> ObjectTruth:
    """`thing` as the resized window shows it."""
    mine = ids == thing.instance_id
    rows, columns = np.flatnonzero(mine.any(1)), np.flatnonzero(mine.any(0))
    box = None
    if len(rows):
        box = np.array(
            [columns[0] * scale_x, rows[0] * scale_y, (columns[-1] + 1) * scale_x, (rows[-1] + 1) * scale_y], np.float32
        )
    visible = int(mine.sum() * area)
    return replace(thing, box_xyxy=box, visible_px=visible, amodal_px=max(1, int(thing.amodal_px * area)))


def _mirrored(thing: ObjectTruth) -> ObjectTruth:
    """Left and right swapped; only the position stays meaningful."""
    pose = thing.camera_from_object.copy()
    pose[0, 3] *= -1
    return replace(thing, camera_from_object=pose)


def _exposed(rgb: Array, rng: np.random.Generator) -> Array:
    """Another exposure, contrast, sharpness and noise; colours keep their names."""
    x = rgb.astype(np.float32) / 255
    x = np.clip(x, 0, 1) ** rng.uniform(0.85, 1.18) * rng.uniform(0.85, 1.12, size=1)
    x = x * rng.uniform(0.96, 1.04, size=3).astype(np.float32)
    if rng.random() < 0.2:
        x = cv2.GaussianBlur(x, (0, 0), float(rng.uniform(0.4, 0.9)))
    x = x + rng.normal(0, rng.uniform(0, 0.02), size=x.shape)
    return (np.clip(x, 0, 1) * 255).astype(np.uint8)


def _plain(thing: ObjectTruth) -> dict[str, object]:
    values = dict(vars(thing))
    for name in ("camera_from_object", "size_m", "box_xyxy"):
        values[name] = None if values[name] is None else np.asarray(values[name]).tolist()
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in values.items()}


def _object_from_plain(plain: dict[str, object]) -> ObjectTruth:
    arrays = {"camera_from_object": np.float64, "size_m": np.float64, "box_xyxy": np.float32}
    values = {
        name: value if name not in arrays or value is None else np.array(value, arrays[name])
        for name, value in plain.items()
    }
    return ObjectTruth(**values)  # type: ignore[arg-type]


def main() -> None:
    """Render stills into a folder; seeds that are there already are skipped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--width", type=int, default=320)
    parser.add_argument("--height", type=int, default=240)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    first = options.first_seed
    while (options.output / f"{first}.npz").exists():
        first += 1
    count = options.first_seed + options.count - first
    for seed, still in render_stills(first, count, width=options.width, height=options.height):
        write_still(still, options.output / f"{seed}.npz")


if __name__ == "__main__":
    main()
