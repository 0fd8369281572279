"""Rendered pictures with their truth for training the grounder: a pool on disk that grows while training runs.

python -m referent.training.grounder_stills --output DIR --first-seed N --count N
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import cv2
import numpy as np
from tqdm import tqdm

from referent.grounding.coordinates import nearest_shape, padded_to_aspect
from referent.sources.simulation.truth import FrameTruth, ObjectTruth, SimulatedFrame
from referent.sources.simulation.vocabulary import PARTS
from referent.training.grounder_model import PICTURE_SIZES
from referent.types import Array

# Sizes (width, height) of the stills, by seed: as cameras are held. Half of them are 4:3.
STILL_SIZES = (
    (320, 240), (240, 320), (320, 240), (384, 216), (320, 240), (272, 272), (320, 240), (240, 320), (320, 240),
    (216, 384),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Still:
    """One rendered picture, compressed, and what is in it."""

    rgb_jpeg: bytes
    ids_png: bytes
    parts_png: bytes
    objects: tuple[ObjectTruth, ...]


@dataclass(frozen=True, eq=False)
class Example:
    """A picture in one of the model's sizes and what is in it."""

    rgb: Array  # (H, W, 3) uint8
    truth: FrameTruth


def still_from_frame(simulated: SimulatedFrame) -> Still:
    """`simulated`, compressed."""
    bgr = cv2.cvtColor(simulated.frame.rgb, cv2.COLOR_RGB2BGR)
    jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
    ids, parts = simulated.truth.instance_ids, simulated.truth.part_ids
    pngs = [cv2.imencode(".png", np.zeros_like(ids) if each is None else each)[1].tobytes() for each in (ids, parts)]
    return Still(jpeg.tobytes(), pngs[0], pngs[1], simulated.truth.objects)


def write_still(still: Still, path: Path) -> None:
    """Store `still` so that a reader never sees half a file."""
    objects = [_plain(thing) for thing in still.objects]
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez(
            file,
            rgb=np.frombuffer(still.rgb_jpeg, np.uint8),
            ids=np.frombuffer(still.ids_png, np.uint8),
            parts=np.frombuffer(still.parts_png, np.uint8),
            objects=np.array(json.dumps(objects)),
        )
    part.replace(path)


def read_still(path: Path) -> Still:
    """The still in `path`."""
    with np.load(path, allow_pickle=False) as stored:
        objects = tuple(_object_from_plain(plain) for plain in json.loads(str(stored["objects"])))
        return Still(stored["rgb"].tobytes(), stored["ids"].tobytes(), stored["parts"].tobytes(), objects)


def still_path(folder: Path, seed: int) -> Path:
    """Where the still of a seed lies; its name tells its size."""
    width, height = STILL_SIZES[seed % len(STILL_SIZES)]
    return folder / f"{seed}-{width}x{height}.npz"


def size_from_path(path: Path) -> tuple[int, int]:
    """(width, height) of a stored still. Raises ValueError for a name that tells none."""
    width, height = path.stem.split("-")[1].split("x")
    return int(width), int(height)


def render_still(seed: int) -> Still:
    """The picture of a scene of kind "still"."""
    from referent.sources.simulation.scenes import sample_scene
    from referent.sources.simulation.simulate import simulate

    width, height = STILL_SIZES[seed % len(STILL_SIZES)]
    return still_from_frame(next(iter(simulate(sample_scene(seed, "still"), frames=1, width=width, height=height))))


def plain_example(still: Still) -> Example:
    """The whole picture, unchanged but for its size."""
    layers = _decoded(still)
    height, width = layers.ids.shape
    return _cut(layers, still.objects, (0, 0, width, height), nearest_shape((width, height), PICTURE_SIZES))


def varied_example(still: Still, rng: np.random.Generator, size: tuple[int, int]) -> Example:
    """A random view of the picture at `size`: part of it, mirrored, at another exposure; the truth follows."""
    layers, objects = _decoded(still), still.objects
    if rng.random() < 0.5:
        layers, objects = layers.mirrored(), tuple(_mirrored(thing) for thing in objects)
    height, width = layers.ids.shape
    resampling = (cv2.INTER_AREA, cv2.INTER_AREA, cv2.INTER_LINEAR)[rng.integers(3)]
    example = _cut(layers, objects, _random_window(width, height, size, rng), size, resampling)
    return replace(example, rgb=_exposed(example.rgb, rng))


@dataclass(frozen=True, eq=False)
class _Layers:
    """A decoded still."""

    rgb: Array
    ids: Array
    parts: Array

    def mirrored(self) -> _Layers:
        """Left and right swapped."""
        return _Layers(self.rgb[:, ::-1], self.ids[:, ::-1], self.parts[:, ::-1])


def _decoded(still: Still) -> _Layers:
    bgr = cv2.imdecode(np.frombuffer(still.rgb_jpeg, np.uint8), cv2.IMREAD_COLOR)
    ids, parts = (
        np.asarray(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE))
        for png in (still.ids_png, still.parts_png)
    )
    return _Layers(np.asarray(bgr)[..., ::-1], ids, parts)


def _random_window(
    width: int, height: int, size: tuple[int, int], rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """x1, y1, x2, y2: as large as it can be or a part, of about the shape of `size`; what is missing is padded."""
    aspect = size[0] / size[1]
    if rng.random() < 0.3:
        aspect *= rng.uniform(0.92, 1.08)
    scale = 1.0 if rng.random() < 0.4 else float(np.sqrt(rng.uniform(0.45, 1.0)))
    wide = max(1, int(min(width, height * aspect) * scale))
    high = max(1, int(min(height, wide / aspect)))
    x, y = int(rng.integers(width - wide + 1)), int(rng.integers(height - high + 1))
    return x, y, x + wide, y + high


def _cut(
    layers: _Layers,
    objects: tuple[ObjectTruth, ...],
    window: tuple[int, int, int, int],
    size: tuple[int, int],
    resampling: int = cv2.INTER_AREA,
) -> Example:
    """The window at one of the model's sizes, padded as the adapter pads."""
    x1, y1, x2, y2 = window
    aspect = size[0] / size[1]
    rgb = padded_to_aspect(np.ascontiguousarray(layers.rgb[y1:y2, x1:x2]), aspect)
    ids, parts = (
        padded_to_aspect(np.ascontiguousarray(each[y1:y2, x1:x2]), aspect, fill=0)
        for each in (layers.ids, layers.parts)
    )
    scale = np.array([size[0] / rgb.shape[1], size[1] / rgb.shape[0]])
    seen = tuple(_seen(thing, ids, parts, scale) for thing in objects)
    small_rgb = np.asarray(cv2.resize(rgb, size, interpolation=resampling))
    small_ids, small_parts = (
        np.asarray(cv2.resize(each, size, interpolation=cv2.INTER_NEAREST)) for each in (ids, parts)
    )
    return Example(small_rgb, FrameTruth(small_ids, np.eye(4), np.zeros((0, 0), np.float32), seen, small_parts))


def _seen(thing: ObjectTruth, ids: Array, parts: Array, scale: Array) -> ObjectTruth:
    """`thing` as the resized window shows it; `scale` (2,) from the window's pixels to the model's."""
    mine = ids == thing.instance_id
    area = float(scale.prod())
    shown = {PARTS[code - 1]: _box(mine & (parts == code), scale) for code in np.unique(parts[mine]) if code}
    return replace(
        thing,
        box_xyxy=_box(mine, scale),
        visible_px=int(mine.sum() * area),
        amodal_px=max(1, int(thing.amodal_px * area)),
        parts_xyxy=MappingProxyType({name: box for name, box in shown.items() if box is not None}),
    )


def _box(mask: Array, scale: Array) -> Array | None:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if len(rows) == 0:
        return None
    corners = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)
    return np.asarray(corners * np.tile(scale, 2), np.float32)


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
    del values["parts_xyxy"]  # found again in the picture of parts
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
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    for seed in tqdm(range(options.first_seed, options.first_seed + options.count), unit="still", disable=None):
        path = still_path(options.output, seed)
        if not path.exists():
            write_still(render_still(seed), path)


if __name__ == "__main__":
    main()
