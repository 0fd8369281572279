"""A model's own calibration of its scores: `calibration.json` beside its weights, if there is one.

`python -m referent.training.confidence` fits it. It holds for one set of weights, whose sha256 it names.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from referent.errors import WeightsMissing
from referent.grounding.confidence import Platt

FILE = "calibration.json"


@dataclass(frozen=True)
class Calibration:
    """How a model's probabilities become honest ones; as it is, they stay as they are."""

    score: Platt = field(default_factory=Platt)  # of a region
    nothing: Platt = field(default_factory=Platt)  # that nothing matches


def read_calibration(folder: Path, weights: Path) -> Calibration:
    """The calibration in a model's folder; without one, scores stay as they are.

    Raises WeightsMissing when the file cannot be read or is of other weights than `weights`.
    """
    path = folder / FILE
    if not path.is_file():
        return Calibration()
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        fitted = Calibration(_platt(told["score"]), _platt(told["nothing"]))
        made_for = told["weights_sha256"]
    except KeyError as error:
        raise _refusal(path, f"lacks {error}") from error
    except (OSError, ValueError, TypeError) as error:
        raise _refusal(path, f"is no calibration ({' '.join(str(error).split())})") from error
    if made_for != sha256_of(weights):
        raise _refusal(path, f"is of other weights than {weights.name}")
    return fitted


def write_calibration(path: Path, calibration: Calibration, weights: Path, measured: Mapping[str, Any]) -> None:
    """Store `calibration` for `weights`, with what was `measured` of it (for people)."""
    told = {"weights_sha256": sha256_of(weights), **asdict(calibration), "measured": dict(measured)}
    path.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def sha256_of(path: Path) -> str:
    """Of a file's bytes, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _platt(told: Any) -> Platt:
    slope, bias = told["slope"], told["bias"]
    for name, value in (("slope", slope), ("bias", bias)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"{name} is {value!r}, a finite number is needed")
    if slope <= 0:
        raise ValueError(f"slope is {slope:g}, it must be positive: a surer answer is never less likely to be right")
    return Platt(float(slope), float(bias))


def _refusal(path: Path, why: str) -> WeightsMissing:
    again = f"python -m referent.training.confidence --model {path.parent} --output {path}"
    return WeightsMissing(f"{path} {why}; fit it again with `{again}`, or remove it: scores are then not calibrated")
