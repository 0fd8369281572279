"""Everything the node publishes about a frame, and the one function that publishes it."""

from __future__ import annotations

from collections.abc import Mapping

from geometry_msgs.msg import PoseStamped
from rclpy.lifecycle import LifecycleNode
from rclpy.lifecycle import LifecyclePublisher as Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile
from referent_msgs.msg import TrackedObjectArray
from sensor_msgs.msg import Image, PointCloud2
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection2DArray, Detection3DArray, LabelInfo
from visualization_msgs.msg import MarkerArray

from referent.config import OutputConfig
from referent.types import FrameResult, RgbdFrame, TrackedObject, TrackState
from referent_ros import result_messages as messages
from referent_ros.clouds import cloud_message, scene_cloud_message
from referent_ros.label_values import LabelValues
from referent_ros.pictures import markers_message, overlay_message
from referent_ros.qos_fit import unhearing_subscriber

RELIABLE = QoSProfile(depth=5)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
TRANSFORMS = QoSProfile(depth=100)
HELD = (TrackState.TRACKING, TrackState.UNCERTAIN)


class Publishers:
    """The outputs of one node. `publish` belongs to the pipeline thread."""

    def __init__(self, node: LifecycleNode, config: OutputConfig) -> None:
        self._node = node
        self._config = config
        self._values = LabelValues()
        self._labels: dict[str, str] = {}
        self._masks = self._create(Image, "~/masks", RELIABLE)
        self._label_info = self._create(LabelInfo, "~/label_info", LATCHED)
        self._detections = self._create(Detection2DArray, "~/detections", RELIABLE)
        self._objects = self._create(Detection3DArray, "~/objects", RELIABLE)
        self._tracks = self._create(TrackedObjectArray, "~/tracks", RELIABLE)
        self._target_pose = self._create(PoseStamped, "~/target_pose", RELIABLE)
        self._target_mask = self._create(Image, "~/target_mask", RELIABLE)
        self._target_cloud = self._create(PointCloud2, "~/target_cloud", RELIABLE)
        self._scene_cloud = self._create(PointCloud2, "~/scene_cloud", RELIABLE)
        self._overlay = self._create(Image, "~/overlay", RELIABLE)
        self._markers = self._create(MarkerArray, "~/markers", RELIABLE)
        self._transforms = self._create(TFMessage, "/tf", TRANSFORMS)

    def reconfigure(self, config: OutputConfig) -> None:
        """Go on with other settings."""
        self._config = config

    def publish(self, frame: RgbdFrame, result: FrameResult) -> TrackedObjectArray:
        """Tell the world about one frame; returns what ~/tracks was told."""
        self._publish_label_info(result)
        values = self._values.by_track
        labels = messages.label_array(result.objects, values, frame.rgb.shape[:2])
        self._masks.publish(messages.image_message(messages.header_of(result), labels))
        self._detections.publish(messages.detections_message(result))
        self._objects.publish(messages.objects_message(result))
        tracks = messages.tracks_message(result, values)
        self._tracks.publish(tracks)
        self._publish_transforms(result)
        if frame.depth_m is not None and self._scene_cloud.get_subscription_count() > 0:
            self._scene_cloud.publish(scene_cloud_message(frame, labels, messages.header_of(result)))
        if self._overlay.get_subscription_count() > 0:
            self._overlay.publish(overlay_message(frame, result))
        if self._markers.get_subscription_count() > 0:
            self._markers.publish(markers_message(result))
        target = selected_target(result)
        if target is not None:
            self._publish_target(target, result)
        return tracks

    def unheard(self) -> Mapping[str, str]:
        """Topics that some subscriber cannot hear now, and the policy for which."""
        found = {each.topic_name: unhearing_subscriber(self._node, each.topic_name) for each in self._all()}
        return {topic: policy for topic, policy in found.items() if policy}

    def destroy(self) -> None:
        """Take every output off the network."""
        for publisher in self._all():
            self._node.destroy_lifecycle_publisher(publisher)

    def _all(self) -> list[Publisher]:
        return [value for value in vars(self).values() if isinstance(value, Publisher)]

    def _create(self, kind: type, name: str, qos: QoSProfile) -> Publisher:
        return self._node.create_lifecycle_publisher(kind, name, qos)

    def _publish_label_info(self, result: FrameResult) -> None:
        """Latched, so only when a track came or went or got another name."""
        labels = {each.target.id: each.label or each.target.expression for each in result.objects}
        changed = self._values.update(labels)
        if changed or labels != self._labels:
            self._label_info.publish(messages.label_info_message(result, self._values.by_track))
            self._labels = labels

    def _publish_transforms(self, result: FrameResult) -> None:
        message = messages.transforms_message(result)
        if self._config.publish_tf and message.transforms:
            self._transforms.publish(message)

    def _publish_target(self, target: TrackedObject, result: FrameResult) -> None:
        header = messages.header_of(result)
        if target.mask is not None:
            pixels = target.mask.mask.astype("uint8") * 255
            self._target_mask.publish(messages.image_message(header, pixels))
        pose = messages.pose_stamped_message(target, result)
        if pose is not None:
            self._target_pose.publish(pose)
        cloud = None if target.pose is None else target.pose.cloud
        if cloud is not None and len(cloud.points_m) and self._target_cloud.get_subscription_count() > 0:
            self._target_cloud.publish(cloud_message(cloud, header))


def selected_target(result: FrameResult) -> TrackedObject | None:
    """The first target asked for, while it is seen; None when it is lost, whatever else is in view."""
    first = next(iter(result.objects), None)
    return first if first is not None and first.state in HELD and messages.seen(first) else None
