"""The words of the simulated world: what an object can be, and how each word looks."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

CATEGORIES: tuple[str, ...] = (
    "mug",
    "cup",
    "bottle",
    "bowl",
    "can",
    "box",
    "block",
    "ball",
    "plate",
    "banana",
    "teapot",
    "jar",
    "pan",
    "hammer",
    "screwdriver",
)

# What can be named of an object beside the whole. A picture's part ids are 1 + the place in this list.
PARTS: tuple[str, ...] = ("handle", "lid", "spout")

# Display RGB in [0, 1]; a scene moves each a little, so no two scenes show the same red.
COLORS: Mapping[str, tuple[float, float, float]] = MappingProxyType(
    {
        "red": (0.80, 0.09, 0.09),
        "orange": (0.96, 0.48, 0.06),
        "yellow": (0.95, 0.83, 0.12),
        "green": (0.12, 0.58, 0.20),
        "blue": (0.10, 0.26, 0.80),
        "purple": (0.50, 0.16, 0.62),
        "white": (0.93, 0.93, 0.92),
        "black": (0.07, 0.07, 0.08),
    }
)

MATERIALS: tuple[str, ...] = ("plain", "striped", "checkered", "wooden", "glossy")

SIZE_SCALES: Mapping[str, float] = MappingProxyType({"small": 0.78, "large": 1.18, "": 1.0})

# Categories that come in one size only carry no size word.
ONE_SIZE: tuple[str, ...] = ("cup", "plate", "banana", "teapot", "pan", "hammer", "screwdriver")
SIZE_WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {name: ("",) if name in ONE_SIZE else ("small", "large") for name in CATEGORIES}
)
