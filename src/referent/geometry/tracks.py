"""The poses of all targets over time: by its model where one is known, else by what is seen of it."""

from __future__ import annotations

from referent.config import GeometryConfig
from referent.geometry.model_track import ModelTrack
from referent.geometry.models.labels import model_for
from referent.geometry.models.loading import load_models
from referent.geometry.track import PoseTrack
from referent.types import Array, ObjectPose, RgbdFrame


class PoseTracks:
    """One track of poses for each target. Raises ConfigError when the configured models cannot be read."""

    def __init__(self, config: GeometryConfig) -> None:
        self._config = config
        self._models = load_models(config.models) if config.models else {}
        self._tracks: dict[str, tuple[str, PoseTrack]] = {}

    def step(
        self,
        object_id: str,
        label: str,
        frame: RgbdFrame,
        mask: Array,
        *,
        up_in_camera: Array | None = None,
        fixed_from_camera: Array | None = None,
    ) -> ObjectPose | None:
        """The pose in `frame` of what `mask` (H, W) bool covers; arguments and result as for `PoseTrack.step`.

        `label` says what it is: where a model of that name is known, the pose is the model's.
        """
        known, track = self._tracks.get(object_id, ("", None))
        if track is None or known != label:
            model = model_for(label, self._models)
            if track is None or track.model is not model:
                track = PoseTrack(self._config, ModelTrack(self._config, model) if model is not None else None)
            self._tracks[object_id] = (label, track)
        return track.step(frame, mask, up_in_camera=up_in_camera, fixed_from_camera=fixed_from_camera)

    def restart(self, object_id: str) -> None:
        """Learn a target anew, whose mask may be another object's now; its axes continue as far as they can."""
        if object_id in self._tracks:
            self._tracks[object_id][1].restart()

    def forget(self, object_id: str) -> None:
        """Follow the pose of a target no longer."""
        self._tracks.pop(object_id, None)

    def clear(self) -> None:
        """Forget all targets."""
        self._tracks.clear()
