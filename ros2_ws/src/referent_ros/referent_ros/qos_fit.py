"""Whether those who publish and those who listen on a topic can hear each other."""

from __future__ import annotations

from collections.abc import Sequence

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSCompatibility, QoSProfile, ReliabilityPolicy, qos_check_compatible
from rclpy.topic_endpoint_info import TopicEndpointInfo


def unheard_publisher(node: Node, topic: str) -> str:
    """The policy for which the node, which listens on the topic, does not hear some publisher; "" while it hears all.

    The middleware's own events tell of those that come and not of those that leave.
    """
    requested = _of(node, node.get_subscriptions_info_by_topic(topic))
    return _misfit([each.qos_profile for each in node.get_publishers_info_by_topic(topic)], requested)


def unhearing_subscriber(node: Node, topic: str) -> str:
    """The policy for which some subscriber does not hear the node, which publishes the topic; "" while all do."""
    offered = _of(node, node.get_publishers_info_by_topic(topic))
    return _misfit(offered, [each.qos_profile for each in node.get_subscriptions_info_by_topic(topic)])


def _of(node: Node, endpoints: Sequence[TopicEndpointInfo]) -> list[QoSProfile]:
    own = (node.get_name(), node.get_namespace())
    return [each.qos_profile for each in endpoints if (each.node_name, each.node_namespace) == own]


def _misfit(offered: Sequence[QoSProfile], requested: Sequence[QoSProfile]) -> str:
    for offer in offered:
        for request in requested:
            fits, reason = qos_check_compatible(offer, request)
            if fits == QoSCompatibility.ERROR:
                return _policy(offer, request) or reason
    return ""


def _policy(offer: QoSProfile, request: QoSProfile) -> str:
    """One of the two that differ in practice."""
    if (offer.reliability, request.reliability) == (ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE):
        return "reliability"
    if (offer.durability, request.durability) == (DurabilityPolicy.VOLATILE, DurabilityPolicy.TRANSIENT_LOCAL):
        return "durability"
    return ""
