"""The pose over time of an object whose shape is known: found once, then followed."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from referent.config import GeometryConfig
from referent.geometry.estimate import Look
from referent.geometry.models.fitting import ModelFit, find_model, model_box, nearest_equivalent, refine_model
from referent.geometry.models.model import ObjectModel
from referent.geometry.motion import GATE, Motion
from referent.geometry.poses import rigid_inverse
from referent.types import Array, ObjectCloud, ObjectPose, PoseQuality, RgbdFrame

_SEARCH_PAUSE_NS = 1_000_000_000  # a search takes as long as many frames
_MISSES = 5  # frames in a row on which it does not lie: it is searched again
_TOO_SMALL, _TOO_LARGE = 2.0, 5.0  # what is seen is never larger than the model; it may be much smaller, half hidden
_LAID_SIGMA = np.array([0.002] * 3 + [0.02] * 3)  # m and rad: what two frames' fits differ by

log = logging.getLogger(__name__)


class ModelTrack:
    """Where one known model is, frame by frame. Frames come in order of time; belongs to one thread."""

    def __init__(self, config: GeometryConfig, model: ObjectModel) -> None:
        self._config = config
        self.model = model
        self._motion: Motion | None = None
        self._fit: ModelFit | None = None  # the last one
        self._searched_ns: int | None = None
        self._born_ns = 0
        self._misses = 0
        self._fixed_known = False
        self._told_of_size = False

    def restart(self) -> None:
        """Search it from the next frame on."""
        self._motion = self._fit = self._searched_ns = None

    def step(
        self, frame: RgbdFrame, mask: Array, seen: Look, *, up_in_camera: Array | None, fixed_from_camera: Array | None
    ) -> ObjectPose | None:
        """The model's pose on what one look shows, in the camera's optical frame; None where it does not lie."""
        fixed = np.eye(4) if fixed_from_camera is None else fixed_from_camera
        if self._fixed_known != (fixed_from_camera is not None):
            self._motion, self._fixed_known = None, fixed_from_camera is not None
        fit = self._followed(frame, mask, seen, fixed) or self._found(frame, mask, seen, fixed, up_in_camera)
        if fit is None or self._motion is None:
            return None
        quality = PoseQuality(
            "model",
            motion="static" if not self._motion.moving else "moving" if self._fixed_known else "unknown",
            residual_m=fit.residual_m,
            born_stamp_ns=self._born_ns,
            measured_stamp_ns=frame.stamp_ns,
        )
        return ObjectPose(model_box(fit, self.model), fit.covariance, ObjectCloud(seen.points_m, seen.rgb), quality)

    def _followed(self, frame: RgbdFrame, mask: Array, seen: Look, fixed: Array) -> ModelFit | None:
        """The fit near where the model should be by now; None when it is not there."""
        if self._motion is None or self._fit is None or frame.depth_m is None:
            return None
        self._motion.predict(frame.stamp_ns)
        start = rigid_inverse(fixed) @ self._motion.pose
        fit = refine_model(
            self.model,
            replace(self._fit, camera_from_model=start),
            seen.points_m,
            frame.depth_m,
            mask,
            frame.intrinsics,
            config=self._config,
        )
        if fit is None or not self._taken(fit := nearest_equivalent(fit, start, self.model), fixed):
            self._misses += 1
            if self._misses >= _MISSES:
                self._motion = None
            return None
        self._misses, self._fit = 0, fit
        return fit

    def _taken(self, fit: ModelFit, fixed: Array) -> bool:
        """Give a fit to the filter, unless it cannot be."""
        assert self._motion is not None
        pose, information = fixed @ fit.camera_from_model, np.diag(1 / _LAID_SIGMA**2)
        if self._motion.surprise(pose, information) > GATE and not self._motion.moving:
            self._motion.set_off()
        if self._motion.surprise(pose, information) > GATE:
            return False
        self._motion.correct(pose, information)
        return True

    def _found(
        self, frame: RgbdFrame, mask: Array, seen: Look, fixed: Array, up_in_camera: Array | None
    ) -> ModelFit | None:
        """The fit after a search all around, which is not begun again at once when it finds nothing."""
        waiting = self._searched_ns is not None and frame.stamp_ns - self._searched_ns < _SEARCH_PAUSE_NS
        if self._motion is not None or waiting or frame.depth_m is None:
            return None
        self._searched_ns = frame.stamp_ns
        fit = find_model(
            self.model,
            seen.points_m,
            frame.depth_m,
            mask,
            frame.intrinsics,
            up_in_camera=up_in_camera,
            config=self._config,
        )
        if fit is None:
            self._tell_of_size(seen)
            return None
        moving = not self._fixed_known
        self._motion = Motion(fixed @ fit.camera_from_model, np.diag(_LAID_SIGMA**2), frame.stamp_ns, moving=moving)
        self._born_ns, self._misses, self._fit = frame.stamp_ns, 0, fit
        return fit

    def _tell_of_size(self, seen: Look) -> None:
        """Say once that the model cannot be what is seen: most often its file is in another unit."""
        seen_m, model_m = float(np.linalg.norm(seen.fit.box.size_m)), float(np.linalg.norm(self.model.size_m))
        if not self._told_of_size and not model_m / _TOO_LARGE < seen_m < model_m * _TOO_SMALL:
            self._told_of_size = True
            log.warning(
                "model %s is %.3g m across, what is seen of it %.3g m: is its file in another unit?",
                self.model.name, model_m, seen_m,
            )  # fmt: skip
