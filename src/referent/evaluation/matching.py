"""Results against truth: which true object each result means, and how well it fits, frame by frame."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco

from referent.evaluation.lines import Line, mask_from_rle
from referent.evaluation.metrics import FrameScore, ObjectScore, boundary_f, object_score, region_j
from referent.types import Array

WORLD_FRAME = "world"  # the name the simulation gives to the frame of `world_from_camera`


@dataclass(frozen=True)
class Match:
    """The true object a result is held against. `by` says how it was chosen: expected, description or overlap."""

    instance_id: int
    by: str


@dataclass(frozen=True)
class ObjectEvaluation:
    """One object of a run against its truth."""

    id: str
    expression: str
    match: Match
    frames: tuple[FrameScore, ...]
    score: ObjectScore


def evaluate_run(
    lines: Sequence[Line], truths: Sequence[Line], *, expected: Mapping[str, Sequence[int]] | None = None
) -> dict[str, ObjectEvaluation]:
    """Every object of results.jsonl lines held against truth.jsonl lines of the same stamps, by object id.

    `expected` names the meant instance ids of an expression; without it the object the expression describes is taken,
    and failing that the one its masks overlap most.
    """
    by_stamp = {truth["stamp_ns"]: truth for truth in truths}
    pairs = [(line, by_stamp[line["stamp_ns"]]) for line in lines if line["stamp_ns"] in by_stamp]
    expressions = {found["id"]: found["expression"] for line, _ in pairs for found in line["objects"]}
    evaluations = {}
    for object_id, match in match_objects(pairs, expressions, expected or {}).items():
        frames = tuple(_frame_scores(pairs, object_id, match.instance_id))
        evaluations[object_id] = ObjectEvaluation(
            object_id, expressions[object_id], match, frames, object_score(frames)
        )
    return evaluations


def match_objects(
    pairs: Sequence[tuple[Line, Line]], expressions: Mapping[str, str], expected: Mapping[str, Sequence[int]]
) -> dict[str, Match]:
    """The true object of each result id; ids that share an expression get different objects while there are enough."""
    overlap = _summed_overlap(pairs)
    known = {item["instance_id"]: item["description"] for _, truth in pairs for item in truth["objects"]}
    matches: dict[str, Match] = {}
    for object_id, expression in expressions.items():
        candidates, by = _candidates(expression, known, expected)
        if not candidates:
            continue
        used = {match.instance_id for other, match in matches.items() if expressions[other] == expression}
        free = [instance for instance in candidates if instance not in used] or candidates
        best = max(free, key=lambda instance: (overlap.get((object_id, instance), 0.0), -instance))
        matches[object_id] = Match(best, by)
    return matches


def _candidates(
    expression: str, known: Mapping[int, str], expected: Mapping[str, Sequence[int]]
) -> tuple[list[int], str]:
    """The instances an expression may mean and how they were chosen: its head is the description named first."""
    if expression in expected:
        return list(expected[expression]), "expected"
    words = re.findall(r"\w+", expression.lower())
    text = f" {' '.join(words)} "
    places = {d: text.find(f" {d} ") for d in set(known.values()) if f" {d} " in text}
    if places:
        head = min(places, key=lambda description: places[description])
        return [instance for instance, description in known.items() if description == head], "description"
    return list(known), "overlap"


def _summed_overlap(pairs: Sequence[tuple[Line, Line]]) -> dict[tuple[str, int], float]:
    """Intersection over union of every result with every true object, summed over the run."""
    total: dict[tuple[str, int], float] = {}
    for line, truth in pairs:
        found = [item for item in line["objects"] if item["mask_rle"]]
        known = [item for item in truth["objects"] if item["mask_rle"]]
        if not found or not known:
            continue
        overlaps = coco.iou(_rles(found), _rles(known), [0] * len(known))
        for result, row in zip(found, overlaps, strict=True):
            for item, value in zip(known, row, strict=True):
                key = (result["id"], item["instance_id"])
                total[key] = total.get(key, 0.0) + float(value)
    return total


def _rles(items: Sequence[Line]) -> list[dict[str, Any]]:
    return [{"size": item["mask_rle"]["size"], "counts": item["mask_rle"]["counts"].encode("ascii")} for item in items]


def _frame_scores(pairs: Sequence[tuple[Line, Line]], object_id: str, instance_id: int) -> list[FrameScore]:
    scores = []
    for line, truth in pairs:
        result = next((item for item in line["objects"] if item["id"] == object_id), None)
        known = next((item for item in truth["objects"] if item["instance_id"] == instance_id), None)
        if result is not None and known is not None:
            scores.append(_frame_score(line, result, truth, known))
    return scores


def _frame_score(line: Line, result: Line, truth: Line, known: Line) -> FrameScore:
    found, true = result["mask_rle"], known["mask_rle"]
    if found and true:
        mask, true_mask = mask_from_rle(found), mask_from_rle(true)
        j, f = region_j(mask, true_mask), boundary_f(mask, true_mask)
    else:
        j = f = 1.0 if not found and not true else 0.0
    return FrameScore(line["stamp_ns"], bool(true), bool(found), j, f, _position_error_m(line, result, truth, known))


def _position_error_m(line: Line, result: Line, truth: Line, known: Line) -> float | None:
    if result["pose"] is None:
        return None
    true_m = true_position_m(known, truth, frame=result["pose"]["frame"], camera_frame=line["camera_frame"])
    return None if true_m is None else float(np.linalg.norm(np.asarray(result["pose"]["position_m"]) - true_m))


def true_position_m(known: Line, truth: Line, *, frame: str, camera_frame: str) -> Array | None:
    """The (3,) true centre of an object in coordinate frame `frame`; None when that frame is not known to the truth."""
    in_camera = np.asarray(known["position_m"], np.float64)
    if frame == camera_frame:
        return in_camera
    if frame != WORLD_FRAME:
        return None
    world_from_camera = np.asarray(truth["world_from_camera"], np.float64)
    return np.asarray(world_from_camera[:3, :3] @ in_camera + world_from_camera[:3, 3])
