"""The overlay for people: outlines, tinted masks, 3D boxes and labels that stay legible on any background."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from referent.evaluation.lines import Line, mask_from_rle
from referent.geometry.poses import rotation_from_quaternion
from referent.types import Array, Intrinsics

# Told apart by color-blind eyes too, readable as lines on white, and starting with what everyday things rarely are; the
# report's plots use the same.
PALETTE: tuple[tuple[int, int, int], ...] = (
    (0, 142, 158),
    (213, 94, 0),
    (123, 63, 190),
    (214, 51, 132),
    (64, 130, 40),
    (0, 100, 200),
    (150, 100, 0),
    (110, 118, 130),
)
TINT = 0.25
STATE_COLORS = {
    "searching": "#9aa5b1",
    "tracking": "#2f9e63",
    "uncertain": "#e0a100",
    "occluded": "#7a6fbe",
    "lost": "#c8433a",
}
DARK = (16, 20, 26)
BOX_EDGES = tuple((a, b) for a in range(8) for b in range(a + 1, 8) if bin(a ^ b).count("1") == 1)
NEAREST_M = 0.02  # box corners nearer to the camera than this are not projected


def color_of(object_id: str) -> tuple[int, int, int]:
    """The (r, g, b) of a track, the same in pictures and plots."""
    number = int(object_id) - 1 if object_id.isdecimal() else zlib.crc32(object_id.encode())
    return PALETTE[number % len(PALETTE)]


def hex_color(rgb: Sequence[int]) -> str:
    """(r, g, b) as #rrggbb."""
    return "#{:02x}{:02x}{:02x}".format(*rgb)


def darker(rgb: Sequence[int]) -> tuple[int, int, int]:
    """The shade of a track's color that stands for its truth."""
    return rgb[0] * 45 // 100, rgb[1] * 45 // 100, rgb[2] * 45 // 100


def draw_overlay(
    rgb: Array, line: Line, *, camera: Intrinsics | None = None, camera_from_pose: Array | None = None
) -> Array:
    """A copy of `rgb` (H, W, 3) uint8 with the objects of a results.jsonl line drawn into it.

    3D boxes need `camera`, and `camera_from_pose` (4, 4) where poses are not given in the camera's own frame.
    """
    picture = np.ascontiguousarray(rgb).copy()
    for item in line["objects"]:
        _draw_mask(picture, item)
        edges_px = box_edges_px(line, item, camera, camera_from_pose)
        for start, end in edges_px:
            _two_tone_line(picture, start, end, color_of(item["id"]))
    _draw_labels(picture, line["objects"])
    return picture


def _draw_mask(picture: Array, item: Line) -> None:
    if not item["mask_rle"]:
        return
    mask = mask_from_rle(item["mask_rle"])
    if mask.shape != picture.shape[:2]:
        raise ValueError(f"object {item['id']}: mask of {mask.shape} on a picture of {picture.shape[:2]}")
    color = np.asarray(color_of(item["id"]), np.float32)
    picture[mask] = ((1 - TINT) * picture[mask] + TINT * color).astype(np.uint8)
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, contours, -1, (255, 255, 255), 4, cv2.LINE_AA)
    cv2.drawContours(picture, contours, -1, color_of(item["id"]), 2, cv2.LINE_AA)


def box_edges_px(
    line: Line, item: Line, camera: Intrinsics | None, camera_from_pose: Array | None
) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """The projected edges of an object's oriented box; none when its pose cannot be brought into the camera."""
    pose = item["pose"]
    if pose is None or camera is None:
        return []
    if camera_from_pose is None and pose["frame"] != line["camera_frame"]:
        return []
    corners_m = _corners_m(pose)
    if camera_from_pose is not None and pose["frame"] != line["camera_frame"]:
        corners_m = corners_m @ camera_from_pose[:3, :3].T + camera_from_pose[:3, 3]
    if corners_m[:, 2].min() < NEAREST_M:
        return []
    u = camera.fx * corners_m[:, 0] / corners_m[:, 2] + camera.cx
    v = camera.fy * corners_m[:, 1] / corners_m[:, 2] + camera.cy
    points = [(round(float(x)), round(float(y))) for x, y in zip(u, v, strict=True)]
    return [(points[a], points[b]) for a, b in BOX_EDGES]


def _corners_m(pose: Line) -> Array:
    """(8, 3) corners of a pose line's box in the pose's frame; corner bits are the signs along x, y, z."""
    signs = np.array([[(corner >> axis & 1) - 0.5 for axis in range(3)] for corner in range(8)])
    rotation = rotation_from_quaternion(np.asarray(pose["quaternion_xyzw"]))
    return np.asarray((signs * pose["size_m"]) @ rotation.T + pose["position_m"])


def _two_tone_line(picture: Array, start: Sequence[int], end: Sequence[int], color: Sequence[int]) -> None:
    cv2.line(picture, start, end, (255, 255, 255), 2, cv2.LINE_AA)
    cv2.line(picture, start, end, tuple(color), 1, cv2.LINE_AA)


def _draw_labels(picture: Array, objects: Sequence[Line]) -> None:
    """A chip above each object that is seen, and chips in the corner for those that are not."""
    corner_y = 8
    for item in objects:
        chip = _chip(_label_text(item), color_of(item["id"]), max(12, picture.shape[0] // 34))
        if item["bbox_xyxy"]:
            x, y = item["bbox_xyxy"][0], item["bbox_xyxy"][1] - chip.shape[0] - 6
            y = y if y >= 0 else item["bbox_xyxy"][3] + 6
        else:
            x, y = 8, corner_y
            corner_y += chip.shape[0] + 4
        _paste(picture, chip, x, y)


def _label_text(item: Line) -> str:
    score = "" if item["score"] is None or not item["bbox_xyxy"] else f"  {item['score']:.2f}"
    return f"{item['id']}  {item['expression']}  ·  {item['state']}{score}"


def _chip(text: str, color: tuple[int, int, int], size_px: int) -> Array:
    """Light text on a dark plate with a swatch of the track's color, (h, w, 3) uint8."""
    from PIL import Image, ImageDraw, ImageFont

    font: Any = ImageFont.load_default(size_px)
    left, _, right, _ = font.getbbox(text)
    pad = size_px // 2
    plate = Image.new("RGB", (int(right - left) + 3 * pad + 4, size_px + pad + 2), DARK)
    draw = ImageDraw.Draw(plate)
    draw.rectangle((0, 0, pad, plate.height), fill=color)
    draw.text((2 * pad, pad // 2), text, fill=(245, 247, 250), font=font)
    return np.asarray(plate)


def _paste(picture: Array, chip: Array, x: int, y: int) -> None:
    """Put `chip` into `picture`, moved inside where it would stick out."""
    height, width = picture.shape[:2]
    chip = chip[:height, :width]
    x, y = min(max(x, 0), width - chip.shape[1]), min(max(y, 0), height - chip.shape[0])
    picture[y : y + chip.shape[0], x : x + chip.shape[1]] = chip


def draw_boxes(picture: Array, boxes_xyxy: Sequence[Sequence[float]]) -> None:
    """Draw a grounder's boxes, in pixels of `picture` (H, W, 3) uint8, into it."""
    for x1, y1, x2, y2 in boxes_xyxy:
        corners = (round(x1), round(y1)), (round(x2), round(y2))
        cv2.rectangle(picture, *corners, DARK, 4)
        cv2.rectangle(picture, *corners, (255, 214, 10), 2)
