"""The executable `health`: status 0 while the node is active and well, else 1 and why. For containers and scripts."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.srv import GetState
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile

from referent.errors import ReferentError
from referent_ros.parameters import declare
from referent_ros.running import DONE, WRONG_INPUT

UNWELL = 1
ACTIVE = "active"
INPUT = "input"
SPIN_S = 0.1
ASK_AGAIN_S = 0.5  # an answer is lost when the node has not discovered its way back yet


class Probe(Node):
    """Asks for the lifecycle state, then hears one round of diagnostics. Raises ConfigError for a wrong parameter."""

    def __init__(self, **node_options: Any) -> None:
        super().__init__(f"health_{os.getpid()}", enable_rosout=False, start_parameter_services=False, **node_options)
        self._name = declare(self, "node", "referent", "name of the node that is looked after")
        self._timeout_s = declare(self, "timeout_s", 5.0, "how long the node may take to answer")
        self._wait_s = declare(self, "wait_s", 0.0, "how long it may take until it is well, as when models are loaded")
        self._strict = declare(self, "strict", False, "count missing inputs too, which are the camera's fault")
        self._state = self.create_client(GetState, f"{self._name}/get_state")
        self._heard: list[DiagnosticStatus] = []
        self.create_subscription(DiagnosticArray, "/diagnostics", self._hear, QoSProfile(depth=10))

    def complaint(self) -> str | None:
        """What is wrong, once it was so for `wait_s`; None as soon as nothing is."""
        deadline_s = time.monotonic() + self._wait_s
        while True:
            wrong = self._unanswered() or self._faults()
            if wrong is None or time.monotonic() >= deadline_s:
                return wrong
            self._spin(SPIN_S)

    def _unanswered(self) -> str | None:
        if not self._state.wait_for_service(timeout_sec=self._timeout_s):
            return f"no node {self._name!r} is there"
        deadline_s = time.monotonic() + self._timeout_s
        while time.monotonic() < deadline_s:
            answer = self._state.call_async(GetState.Request())
            rclpy.spin_until_future_complete(self, answer, timeout_sec=ASK_AGAIN_S)
            if answer.done():
                label = answer.result().current_state.label
                return None if label == ACTIVE else f"{self._name} is {label}"
            self._state.remove_pending_request(answer)
        return f"{self._name} did not answer within {self._timeout_s:g} s"

    def _faults(self) -> str | None:
        self._heard.clear()
        deadline_s = time.monotonic() + self._timeout_s
        while not self._heard:
            if time.monotonic() > deadline_s:
                return f"{self._name} publishes no diagnostics"
            self._spin(SPIN_S)
        faults = [f"{each.name}: {each.message}" for each in self._heard if each.level == DiagnosticStatus.ERROR]
        return "; ".join(faults) or None

    def _hear(self, message: DiagnosticArray) -> None:
        """Another node may publish on the same topic."""
        name = self.resolve_service_name(self._name).lstrip("/")  # in which namespace it is
        own = [each for each in message.status if each.name.startswith(f"{name}: ")]
        self._heard = [each for each in own if self._strict or each.name != f"{name}: {INPUT}"] or self._heard

    def _spin(self, seconds: float) -> None:
        rclpy.spin_once(self, timeout_sec=seconds)


def main(arguments: list[str] | None = None) -> int:
    """The executable `health`."""
    rclpy.init(args=arguments)
    try:
        probe = Probe()
        wrong = probe.complaint()
        probe.destroy_node()
    except ReferentError as error:
        print(f"health: {error}", file=sys.stderr)
        return WRONG_INPUT
    except (KeyboardInterrupt, ExternalShutdownException):
        wrong = "not asked to the end"
    finally:
        rclpy.try_shutdown()
    print("well" if wrong is None else wrong)
    return DONE if wrong is None else UNWELL


if __name__ == "__main__":
    sys.exit(main())
