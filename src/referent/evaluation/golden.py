"""One replay held against a kept one: the same to the last digit, or within given bounds. What CI asks of a bag."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from referent.errors import BadMessage
from referent.evaluation.lines import Line, mask_from_rle
from referent.evaluation.metrics import region_j
from referent.evaluation.summary import read_lines
from referent.types import Array

MEASURED_ANEW = frozenset({"timings_s"})  # differs from run to run of the same machine


@dataclass(frozen=True)
class Bounds:
    """What may differ: masks down to this overlap (J), positions up to so many metres."""

    min_j: float
    max_shift_m: float


def results_in(path: Path) -> list[Line]:
    """The lines of a results.jsonl, named itself or by its folder. Raises BadMessage when there are none."""
    file = path / "results.jsonl" if path.is_dir() else path
    lines = list(read_lines(file))
    if not lines:
        raise BadMessage(f"{file}: holds no frame")
    return lines


def differences(golden: Sequence[Line], run: Sequence[Line], bounds: Bounds | None = None) -> Iterator[str]:
    """What is not the same, in words, in order; without `bounds` every field but `timings_s` has to be equal.

    Within `bounds` frames, ids and states have to be equal, and masks and poses there in the same frames.
    """
    if [line["stamp_ns"] for line in golden] != [line["stamp_ns"] for line in run]:
        yield f"{len(golden)} frames were kept, {len(run)} came, or their stamps differ"
        return
    for number, (kept, came) in enumerate(zip(golden, run, strict=True)):
        found = _unequal(kept, came, "") if bounds is None else _out_of_bounds(kept, came, bounds)
        for text in found:
            yield f"frame {number} ({kept['stamp_ns']}): {text}"


def _unequal(kept: Any, came: Any, where: str) -> Iterator[str]:
    """Every leaf that differs, by its path."""
    if isinstance(kept, dict) and isinstance(came, dict):
        for name in [*kept, *(each for each in came if each not in kept)]:
            if name not in MEASURED_ANEW:
                yield from _unequal(kept.get(name), came.get(name), f"{where}.{name}" if where else name)
    elif isinstance(kept, list) and isinstance(came, list) and len(kept) == len(came):
        for index, (one, other) in enumerate(zip(kept, came, strict=True)):
            yield from _unequal(one, other, f"{where}[{index}]")
    elif kept != came:
        yield f"{where} was {_short(kept)}, is {_short(came)}"


def _out_of_bounds(kept: Line, came: Line, bounds: Bounds) -> Iterator[str]:
    before, now = ({each["id"]: each for each in line["objects"]} for line in (kept, came))
    if before.keys() != now.keys():
        yield f"objects were {sorted(before)}, are {sorted(now)}"
    for object_id in before.keys() & now.keys():
        one, other = before[object_id], now[object_id]
        if one["state"] != other["state"]:
            yield f"object {object_id} was {one['state']}, is {other['state']}"
        for part in ("mask_rle", "pose"):
            if (one[part] is None) != (other[part] is None):
                yield f"object {object_id}: {part} was {_short(one[part])}, is {_short(other[part])}"
        if one["mask_rle"] and other["mask_rle"] and (j := _overlap(one, other)) < bounds.min_j:
            yield f"object {object_id}: masks overlap by {j:.3f}, at least {bounds.min_j:g} is asked for"
        if one["pose"] and other["pose"] and (shift_m := _shift_m(one, other)) > bounds.max_shift_m:
            yield f"object {object_id}: moved by {1e3 * shift_m:.1f} mm, at most {1e3 * bounds.max_shift_m:g} mm may be"


def _overlap(one: Line, other: Line) -> float:
    masks: list[Array] = [mask_from_rle(each["mask_rle"]) for each in (one, other)]
    return region_j(masks[0], masks[1]) if masks[0].shape == masks[1].shape else 0.0


def _shift_m(one: Line, other: Line) -> float:
    apart = np.subtract(one["pose"]["position_m"], other["pose"]["position_m"])
    return float(np.linalg.norm(apart)) if one["pose"]["frame"] == other["pose"]["frame"] else float("inf")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
