"""One picture file and one phrase: what a grounder says about them, for the command line."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from referent.coded_size import require_size
from referent.config import GrounderConfig
from referent.errors import BadInstruction, BadMessage
from referent.grounding import backends
from referent.types import (
    Array,
    Grounding,
    GroundingItem,
    GroundingRequest,
    Intrinsics,
    RegroundReason,
    RgbdFrame,
    Target,
)


def ground_picture(path: Path, text: str, config: GrounderConfig) -> Grounding:
    """Where the picture shows what `text` describes.

    Raises BadMessage for a file that is no picture, BadInstruction for an empty text, and what grounders raise.
    """
    if not text.strip():
        raise BadInstruction('the text is empty; say what to look for, such as "the red mug"')
    request = GroundingRequest((Target("1", text.strip()),), _frame(_read_picture(path)), RegroundReason.NEW)
    grounder = backends.create(config)
    try:
        return grounder.ground(request)
    finally:
        grounder.close()


def grounding_lines(grounding: Grounding, *, as_json: bool) -> str:
    """`grounding` for a person, or as one JSON object."""
    if as_json:
        return json.dumps(
            {
                "expression": grounding.request.expression,
                "items": [_plain(item) for item in grounding.items],
                "nothing_reason": grounding.nothing_reason,
                "notes": list(grounding.notes),
                "raw": grounding.raw,
                "latency_s": round(grounding.latency_s, 4),
            }
        )
    if grounding.nothing_reason is not None:
        return f"nothing matches: {grounding.nothing_reason}"
    return "\n".join(_line(item) for item in grounding.items)


def _frame(rgb: Array) -> RgbdFrame:
    """The picture as a frame of an uncalibrated camera."""
    height, width = rgb.shape[:2]
    focal_px = float(max(width, height))
    camera = Intrinsics(width, height, focal_px, focal_px, width / 2, height / 2)
    return RgbdFrame(0, "picture", rgb, None, camera)


def _read_picture(path: Path) -> Array:
    try:
        data = np.frombuffer(Path(path).read_bytes(), np.uint8)
    except OSError as error:
        raise BadMessage(f"{path} cannot be read ({error.strerror})") from error
    require_size(data, str(path), known="no picture that can be read (PNG and JPEG are)")
    bgr = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if bgr is None:
        raise BadMessage(f"{path} is no picture that can be read; is it a whole PNG or JPEG?")
    return np.ascontiguousarray(np.asarray(bgr)[..., ::-1])


def _plain(item: GroundingItem) -> dict[str, object]:
    return {
        "label": item.label,
        "score": None if item.score is None else round(item.score, 4),
        "bbox_xyxy": _rounded(item.box_xyxy),
        "points_xy": _rounded(item.points_xy),
        "mask_rle": _mask_rle(item.mask),
    }


def _rounded(values: Array | None) -> object:
    return None if values is None else np.round(values.astype(np.float64), 2).tolist()


def _mask_rle(mask: Array | None) -> dict[str, object] | None:
    """COCO run-length encoding."""
    if mask is None:
        return None
    from pycocotools.mask import encode

    coded = encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(mask.shape), "counts": coded["counts"].decode("ascii")}


def _line(item: GroundingItem) -> str:
    if item.box_xyxy is not None:
        where = "box " + " ".join(f"{value:.0f}" for value in item.box_xyxy)
    elif item.points_xy is not None:
        where = "points " + " ".join(f"({x:.0f}, {y:.0f})" for x, y in item.points_xy)
    else:
        where = f"mask of {int(item.mask.sum())} pixels" if item.mask is not None else "an embedding"
    score = "" if item.score is None else f"  score {item.score:.2f}"
    return f"{item.label}: {where}{score}"
