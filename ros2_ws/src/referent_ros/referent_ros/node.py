"""The node `referent`: a lifecycle around its inputs, its pipeline and its outputs."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile
from rclpy.timer import Timer

from referent.building import build_pipeline
from referent.config import Config
from referent.errors import ReferentError
from referent.frames.transforms import TransformBuffer
from referent.grounding.targets import Numbering
from referent.live import LivePipeline
from referent.memory import ObjectMemory, open_memory
from referent.pipeline import Pipeline
from referent.types import FrameResult, RgbdFrame
from referent_ros.diagnostics import OutputHealth, lifecycle_status, memory_status, output_status
from referent_ros.follow_server import FollowServer
from referent_ros.listening import LOG_PERIOD_S, Listener
from referent_ros.memory_use import memory_in_use
from referent_ros.parameters import Settings, declare
from referent_ros.publishers import Publishers
from referent_ros.recalling import RecallServices
from referent_ros.remembering import Remembering
from referent_ros.running import refuse_illegal_transitions, run
from referent_ros.services import Services

MakePipeline = Callable[[Config, TransformBuffer], Pipeline]


def default_pipeline(config: Config, transforms: TransformBuffer) -> Pipeline:
    """The real thing: SAM 2 and a multimodal LLM."""
    return build_pipeline(config, transforms=transforms)


class ReferentNode(LifecycleNode):
    """Configured it holds the models, active it listens and publishes, then nothing again. Raises ConfigError."""

    def __init__(self, make_pipeline: MakePipeline = default_pipeline, **node_options: Any) -> None:
        super().__init__("referent", **node_options)
        refuse_illegal_transitions(self)
        self._autostart = declare(self, "autostart", True, "configure and activate at start, without a manager")
        self._settings = Settings(self, is_built=lambda: self._outputs is not None, changed=self._reconfigure)
        self._make_pipeline = make_pipeline
        self._live: LivePipeline | None = None
        self._numbering = Numbering()  # of objects and instructions, over all pipelines
        self._listener: Listener | None = None
        self._outputs: Publishers | None = None
        self._newest: tuple[int, float] | None = None  # stamp of the newest picture, and when it was processed
        self._memory: ObjectMemory | None = None
        self._remembering: Remembering | None = None
        self._fault: Exception | None = None  # why the last transition failed; rclpy keeps it to itself
        self._finalized = False
        self._health = OutputHealth()
        self._goals = FollowServer(self, self._active_pipeline)
        self._requests = Services(self, self._active_pipeline, lambda: self._memory, self._goals.note_forgotten)
        self._recall = RecallServices(
            self,
            lambda: self._memory,
            self._active_pipeline,
            frame=lambda: self._settings.config.memory.frame,
            now_ns=self._picture_time_ns,
        )
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", QoSProfile(depth=10))
        self._reported_s = time.monotonic()
        # Not the ROS clock: a missing topic must be reported while /clock stands still, too.
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._reporting = self._report_regularly()

    def start(self) -> None:
        """Configure and activate, unless a manager is to do it. Raises what made it fail."""
        transitions = (self.trigger_configure, self.trigger_activate) if self._autostart else ()
        for transition in transitions:
            if transition() != TransitionCallbackReturn.SUCCESS:
                raise self._fault or ReferentError("the node cannot be brought up; see its log")
        self.get_logger().info("listening" if transitions else "waiting to be configured")

    def close(self) -> None:
        """Stop listening and free the models, whatever state the node is in."""
        self._unload("the node was shut down")
        if self._outputs is not None:
            self._outputs.destroy()
            self._outputs = None
        if self._memory is not None:
            self._memory.close()
            self._memory = None

    def destroy_node(self) -> None:
        """Leave the network."""
        self._goals.destroy()
        self._recall.close()
        super().destroy_node()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the models and offer the outputs."""
        return self._guarded(self._configure)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Open the outputs and listen."""
        super().on_activate(state)
        return self._guarded(self._listen)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop listening, end goals, and free the models with the memory they take; outputs stay, silent."""
        super().on_deactivate(state)
        return self._guarded(self._rest)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything that configuring took."""
        return self._guarded(self.close)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything, for good."""
        self._finalized = True
        return self._guarded(self.close)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Back to unconfigured, so that another try is possible."""
        fault = self._fault
        done = self._guarded(self.close)
        self._fault = self._fault or fault
        return done

    def _configure(self) -> None:
        self._outputs = Publishers(self, self._settings.config.output)
        self._memory = open_memory(self._settings.config.memory)
        self._load()

    def _listen(self) -> None:
        if self._listener is None:  # freed when it was deactivated
            self._load()
        if self._listener is not None:
            self._health.begin_anew()
            self._listener.open()

    def _rest(self) -> None:
        broken = None if self._live is None else self._live.broken
        self._unload("the node was deactivated" if broken is None else broken)
        if broken is not None:
            raise ReferentError(broken)

    def _load(self) -> None:
        config = self._settings.config
        live = LivePipeline(
            lambda transforms: self._make_pipeline(config, transforms),
            output=config.output,
            on_result=self._on_result,
            on_fault=self._on_fault,
            registration_check_s=config.input.registration_check_s,
            numbering=self._numbering,
        )
        if self._memory is not None:
            self._remembering = Remembering(self._memory, live.transforms, config.memory.frame)
        live.start()
        self._live, self._listener = live, Listener(self, config, live, self._goals.note_words)

    def _unload(self, reason: str) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self._goals.stop(reason)
        if self._live is not None:
            self._live.stop()
            self._numbering = self._live.numbering
            self._live = self._remembering = None
        if self._memory is not None:
            self._memory.let_go()
        self._health.begin_anew()

    def _reconfigure(self, config: Config) -> None:
        if self._outputs is not None:
            self._outputs.reconfigure(config.output)
        if self._listener is not None:
            self._listener.reconfigure(config)
        if self._live is not None:
            self._live.reconfigure(config)
        if self._reporting.timer_period_ns != round(config.output.diagnostics_period_s * 1e9):
            self.destroy_timer(self._reporting)
            self._reporting = self._report_regularly()

    def _active_pipeline(self) -> LivePipeline | None:
        """Where requests go; None while the node is not active."""
        return self._live if self._listener is not None and self._listener.is_open else None

    def _on_result(self, frame: RgbdFrame, result: FrameResult) -> None:
        begun_s = time.perf_counter()
        if self._outputs is not None:
            tracks = self._outputs.publish(frame, result)
            self._goals.on_result(result, tracks)
        latency_s = (self.get_clock().now().nanoseconds - result.stamp_ns) / 1e9
        age_s = result.timings_s["wait"] + result.timings_s["total"] + time.perf_counter() - begun_s
        self._health.note_result(result, latency_s, age_s)
        self._newest = result.stamp_ns, time.monotonic()
        if self._remembering is not None:
            self._remembering.take(frame, result)

    def _picture_time_ns(self) -> int:
        """Now by the clock that stamps pictures: a bag may be played years after, without use_sim_time."""
        if self._newest is None:
            return int(self.get_clock().now().nanoseconds)
        stamp_ns, processed_s = self._newest
        return stamp_ns + round((time.monotonic() - processed_s) * 1e9)

    def _on_fault(self, fault: str) -> None:
        self._health.note_fault(fault)
        self.get_logger().warning(fault, throttle_duration_sec=LOG_PERIOD_S)

    def _guarded(self, action: Callable[[], None]) -> TransitionCallbackReturn:
        """rclpy swallows what a transition raises: log it, keep it, and answer ERROR."""
        try:
            self._fault = None
            action()
        except Exception as error:
            self._fault = error
            known = isinstance(error, ReferentError)
            self.get_logger().error(str(error) if known else traceback.format_exc())
            return TransitionCallbackReturn.ERROR
        return TransitionCallbackReturn.SUCCESS

    def _report_regularly(self) -> Timer:
        return self.create_timer(self._settings.config.output.diagnostics_period_s, self._report, clock=self._steady)

    def _report(self) -> None:
        if self._live is not None and self._live.broken is not None and self._active_pipeline() is not None:
            self.trigger_deactivate()  # which fails, and so leads through the error state
        now_s = time.monotonic()
        seconds, self._reported_s = max(now_s - self._reported_s, 1e-3), now_s
        listener = self._listener if self._listener is not None and self._listener.is_open else None
        inputs = [] if listener is None else [listener.status(seconds)]
        statuses = inputs + self._health.statuses(
            seconds,
            {} if self._live is None else self._live.counts(),
            active=listener is not None,
            starved_by="" if listener is None else listener.starved_by,
        )
        statuses.append(lifecycle_status(self._state_label(), self._fault, memory_in_use()))
        if self._memory is not None:
            statuses.append(memory_status(len(self._memory), self._memory.counts))
        if self._outputs is not None:
            statuses.append(output_status(self._outputs.unheard()))
        for status in statuses:
            status.name = f"{self.get_fully_qualified_name().lstrip('/')}: {status.name}"  # robots share the topic
        message = DiagnosticArray(status=statuses)
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    def _state_label(self) -> str:
        if self._active_pipeline() is not None:
            return "active"
        if self._finalized:
            return "finalized"
        return "unconfigured" if self._outputs is None else "inactive"


def main(arguments: list[str] | None = None) -> int:
    """The executable `node`."""

    def make(stop: threading.Event) -> ReferentNode:
        return ReferentNode()

    return run(make, arguments)


if __name__ == "__main__":
    sys.exit(main())
