"""The place as a library: README's lines run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from rendered import a_render, a_view

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_lines_of_the_readme_follow_an_object() -> None:
    (lines,) = [
        block
        for block in re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
        if "PoseTrack" in block
    ]
    renders = [a_render(noise_px=0.05, seed=seed) for seed in range(3)]
    given = {
        "pictures": [(33_000_000 * i, each.frame.rgb, each.frame.depth_m, each.mask) for i, each in enumerate(renders)],
        "up": renders[0].up_in_camera,
        "world_from_camera": a_view(elevation_deg=40.0, distance_m=0.7),
    }
    exec(compile(lines, str(README), "exec"), given)
    box = given["pose"].box
    np.testing.assert_allclose(box.camera_from_object[:3, 3], renders[0].camera_from_object[:3, 3], atol=0.006)
    np.testing.assert_allclose(box.size_m, renders[0].size_m, atol=0.006)
