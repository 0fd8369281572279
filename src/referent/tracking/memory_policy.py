"""Which tracked frames SAM 2 remembers: as the official predictor does, or only those that deserve it.

`official` keeps every frame and reads by age, so an absent object fills its memory with absence within six frames.
`anchored` keeps only frames in which the object was surely seen and reads the most recent of those; frames in which a
look-alike was told apart stay as conditioning frames (DAM4SAM, Videnovic et al., CVPR 2025).
"""

from __future__ import annotations

from collections.abc import Sequence

from referent.errors import ConfigError
from referent.tracking.health import Signs
from referent.tracking.memory import Fate, MemoryBounds, MemoryPolicy

MIN_WRITTEN_IOU = 0.5  # a frame of less predicted IoU is not remembered (SAMURAI, memory selection)
LOOK_ALIKE_BOX_IOU = 0.7  # box IoU with and without the best other mask, up to which that is a distractor (DAM4SAM)
MIN_ANCHOR_IOU = 0.8  # predicted IoU above which the chosen mask is trusted beside a distractor (DAM4SAM)
MAX_ANCHOR_AREA_CHANGE = 0.2  # share by which its area may differ from the recent median (DAM4SAM)
MIN_ANCHOR_GAP = 5  # frames between conditioning frames, so that anchors do not repeat each other (DAM4SAM)


class OfficialPolicy:
    """Everything is written; what is read is a matter of age (sam2_base.py)."""

    def fate(self, signs: Signs, *, frames_since_conditioning: int) -> Fate:
        """Every frame is tracked."""
        return Fate.TRACKED

    def spatial(self, index: int, tracked: Sequence[int], bounds: MemoryBounds) -> list[tuple[int, int]]:
        """The last six frames (`num_maskmem` - 1), each in the slot of its age."""
        return [(index - frame, frame) for frame in tracked if index - bounds.spatial_frames <= frame < index]

    def pointers(self, index: int, tracked: Sequence[int], bounds: MemoryBounds) -> list[int]:
        """The last fifteen frames (`max_obj_ptrs_in_encoder` - 1)."""
        return [frame for frame in reversed(tracked) if index - bounds.pointer_frames <= frame < index]

    def horizon(self, newest: int, tracked: Sequence[int], bounds: MemoryBounds) -> tuple[int, int]:
        """As far as `newest` itself reads."""
        return newest - bounds.spatial_frames, newest - bounds.pointer_frames


class AnchoredPolicy:
    """Absent and doubtful frames are not written; what is read are the most recent written frames."""

    def fate(self, signs: Signs, *, frames_since_conditioning: int) -> Fate:
        """An anchor where a look-alike was near and yet the object itself is present, certain and of its usual size."""
        if not signs.present or signs.predicted_iou <= MIN_WRITTEN_IOU:
            return Fate.FORGOTTEN
        resolved = (
            signs.alternative_iou <= LOOK_ALIKE_BOX_IOU
            and signs.predicted_iou > MIN_ANCHOR_IOU
            and abs(signs.area_ratio - 1) <= MAX_ANCHOR_AREA_CHANGE
        )
        return Fate.ANCHOR if resolved and frames_since_conditioning >= MIN_ANCHOR_GAP else Fate.TRACKED

    def spatial(self, index: int, tracked: Sequence[int], bounds: MemoryBounds) -> list[tuple[int, int]]:
        """The most recent frames, numbered from 1 for the newest, however old they are."""
        recent = [frame for frame in tracked if frame < index][-bounds.spatial_frames :]
        return [(len(recent) - rank, frame) for rank, frame in enumerate(recent)]

    def pointers(self, index: int, tracked: Sequence[int], bounds: MemoryBounds) -> list[int]:
        """The most recent frames; their true ages tell how long ago that was."""
        return [frame for frame in reversed(tracked) if frame < index][: bounds.pointer_frames]

    def horizon(self, newest: int, tracked: Sequence[int], bounds: MemoryBounds) -> tuple[int, int]:
        """One written frame more than is read: `newest` may be among them and is corrected without itself."""
        spatial, pointers = tracked[-bounds.spatial_frames - 1 :], tracked[-bounds.pointer_frames - 1 :]
        return (spatial[0], pointers[0]) if tracked else (newest, newest)


def policy_of(name: str) -> MemoryPolicy:
    """The policy that `tracker.memory_policy` names. Raises ConfigError for an unknown one."""
    policies: dict[str, MemoryPolicy] = {"official": OfficialPolicy(), "anchored": AnchoredPolicy()}
    if name not in policies:
        raise ConfigError(f"tracker.memory_policy: {name!r} is not one of {', '.join(policies)}")
    return policies[name]
