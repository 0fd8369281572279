"""A model's own calibration: it travels with the weights, holds for these alone, and a broken one is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from referent.errors import WeightsMissing
from referent.grounding.confidence import Platt, expected_calibration_error, fit_platt
from referent.grounding.score_calibration import FILE, Calibration, read_calibration, write_calibration

FITTED = Calibration(score=Platt(2.0, -1.0), nothing=Platt(0.5, 0.25))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"weights")
    return path


def changed(folder: Path, **fields: Any) -> None:
    told = json.loads((folder / FILE).read_text())
    (folder / FILE).write_text(json.dumps({**told, **fields}))


def test_a_calibration_is_a_line_in_log_odds() -> None:
    odds = 0.8 / 0.2
    assert Platt(2.0, -1.0).of(0.8) == pytest.approx(1 / (1 + math.exp(1.0) / odds**2))
    assert [Platt().of(p) for p in (0.0, 0.3, 1.0)] == [0.0, 0.3, 1.0], "none leaves everything as it is"
    assert all(0 <= Platt(3.0, 2.0).of(p) <= 1 for p in (0.0, 1e-9, 0.5, 1.0))


def test_it_is_fitted_to_what_was_right() -> None:
    stated = [0.9] * 100 + [0.2] * 100
    right = [True] * 70 + [False] * 30 + [True] * 10 + [False] * 90
    fitted = fit_platt(stated, right)
    assert [fitted.of(0.9), fitted.of(0.2)] == pytest.approx([0.7, 0.1], abs=0.005)
    assert expected_calibration_error(stated, right) == pytest.approx(0.15)
    assert expected_calibration_error([fitted.of(p) for p in stated], right) < 0.005


def test_it_travels_with_the_weights(weights: Path) -> None:
    assert read_calibration(weights.parent, weights) == Calibration(), "without one scores stay as they are"
    write_calibration(weights.parent / FILE, FITTED, weights, {"scenes": 5})
    assert read_calibration(weights.parent, weights) == FITTED


def test_one_of_other_weights_is_refused_with_the_command_that_fits_it_again(weights: Path) -> None:
    write_calibration(weights.parent / FILE, FITTED, weights, {})
    weights.write_bytes(b"trained further")
    with pytest.raises(
        WeightsMissing, match=r"of other weights than model\.safetensors; .*referent\.training\.confidence"
    ):
        read_calibration(weights.parent, weights)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"score": {"slope": -1.0, "bias": 0.0}}, "slope is -1"),
        ({"score": {"slope": float("nan"), "bias": 0.0}}, "slope is nan"),
        ({"nothing": {"slope": 1.0, "bias": "much"}}, "bias is 'much'"),
        ({"nothing": {"slope": 1.0}}, "lacks 'bias'"),
        ({"nothing": 3}, "is no calibration"),
    ],
)
def test_a_broken_one_is_refused_and_says_what_is_wrong(weights: Path, fields: dict[str, Any], why: str) -> None:
    write_calibration(weights.parent / FILE, FITTED, weights, {})
    changed(weights.parent, **fields)
    with pytest.raises(WeightsMissing, match=why):
        read_calibration(weights.parent, weights)


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe", b""])
def test_what_is_no_json_object_is_refused(weights: Path, content: bytes) -> None:
    (weights.parent / FILE).write_bytes(content)
    with pytest.raises(WeightsMissing, match="is no calibration"):
        read_calibration(weights.parent, weights)
