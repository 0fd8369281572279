"""A second question about one region, on its cut-out: the same expression, in the words the grounder was made for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from referent.grounding.association import item_overlap
from referent.types import Array, Grounding, GroundingRequest, LiveTrack, RgbdFrame

MARGIN = 0.5  # of the box's sides, around it: enough to tell the object from what it stands on
SAME_IOU = 0.5
SURE = 0.9  # of a grounder that gives no probability
KIND = "verify"


def cut_out_request(request: GroundingRequest, box_xyxy: Array) -> GroundingRequest:
    """The question whether the expression fits what is in `box_xyxy`, on the picture cut out around it.

    The box, in pixels of the cut-out, travels as the only track.
    """
    height, width = request.frame.rgb.shape[:2]
    margin = (box_xyxy[2:] - box_xyxy[:2]) * MARGIN
    low = np.floor(np.clip(box_xyxy[:2] - margin, 0, (width - 1, height - 1))).astype(int)
    high = np.ceil(np.clip(box_xyxy[2:] + margin, low + 1, (width, height))).astype(int)
    inside = (box_xyxy - np.tile(low, 2)).astype(np.float32)
    frame = _cut(request.frame, low, high)
    return replace(request, frame=frame, tracks=(LiveTrack("", request.expression, inside),), kind=KIND)


def probability_of_yes(answer: Grounding) -> float:
    """What the answer to such a question says of the box: how sure the grounder is that it is meant."""
    if not answer.items:
        return 1 - (SURE if answer.nothing_score is None else answer.nothing_score)
    box = answer.request.tracks[0].box_xyxy
    best = max(answer.items, key=lambda item: item_overlap(item, box))
    sure = SURE if best.score is None else best.score
    return sure if item_overlap(best, box) >= SAME_IOU else 1 - sure


def _cut(frame: RgbdFrame, low: Array, high: Array) -> RgbdFrame:
    (x1, y1), (x2, y2) = (int(v) for v in low), (int(v) for v in high)
    camera = frame.intrinsics
    return replace(
        frame,
        rgb=np.ascontiguousarray(frame.rgb[y1:y2, x1:x2]),
        depth_m=None,
        intrinsics=replace(camera, width=x2 - x1, height=y2 - y1, cx=camera.cx - x1, cy=camera.cy - y1),
    )
