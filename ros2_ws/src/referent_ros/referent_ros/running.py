"""How a process of ours starts, spins and ends: quietly, with an exit status that means something."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, cast

import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from referent.errors import ReferentError
from referent_ros.left_overs import remove_dead_segments

DONE, WRONG_INPUT = 0, 2
LAST_SPINS = 50
_TRANSITIONS = {
    Transition.TRANSITION_CONFIGURE: "configure",
    Transition.TRANSITION_CLEANUP: "cleanup",
    Transition.TRANSITION_ACTIVATE: "activate",
    Transition.TRANSITION_DEACTIVATE: "deactivate",
}


class Runnable(Protocol):
    """A node that runs until it is told to stop, or sets the event itself."""

    def start(self) -> None:
        """Begin, before the first spin. May raise ReferentError."""
        ...

    def close(self) -> None:
        """Finish what is at hand; nothing is called back any more."""
        ...

    def destroy_node(self) -> None:
        """Leave the network (rclpy's own)."""
        ...


def run(make: Callable[[threading.Event], Runnable], arguments: list[str] | None = None) -> int:
    """Spin until SIGINT, SIGTERM or the node's own end; wrong input is one line on stderr and status 2."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    remove_dead_segments()
    # rclpy's own handlers would pull the context away from under callbacks in flight.
    rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    try:
        _spin(make(stop), stop)
    except ReferentError as error:
        print(f"referent: {error}", file=sys.stderr)
        return WRONG_INPUT
    finally:
        rclpy.try_shutdown()
    return DONE


def _spin(runnable: Runnable, stop: threading.Event) -> None:
    executor = SingleThreadedExecutor()
    executor.add_node(cast(Node, runnable))  # no type says "a Node, and Runnable"
    try:
        runnable.start()
        while not stop.is_set():
            executor.spin_once(timeout_sec=0.1)
    except ExternalShutdownException:
        stop.set()
    finally:
        runnable.close()
        _finish(executor)
        executor.shutdown()
        runnable.destroy_node()


def _finish(executor: SingleThreadedExecutor) -> None:
    """Let answers to goals and requests that were ended by closing go out."""
    with suppress(ExternalShutdownException):
        for _ in range(LAST_SPINS):
            executor.spin_once(timeout_sec=0.0)


def refuse_illegal_transitions(node: LifecycleNode) -> None:
    """Answer a transition that is not possible now with `success: false`.

    rclpy 7.1 lets the error out of the service callback instead, which ends the executor.
    """
    service = next(each for each in node.services if each.srv_type is ChangeState)
    answer = service.callback

    def guarded(request: ChangeState.Request, response: ChangeState.Response) -> ChangeState.Response:
        try:
            return answer(request, response)
        except rclpy_implementation.RCLError as error:
            name = request.transition.label or _TRANSITIONS.get(request.transition.id, str(request.transition.id))
            label = node._state_machine.current_state[1]  # rclpy has no public way to ask
            node.get_logger().error(f"the transition {name!r} is refused: it does not begin at the state {label!r}")
            node.get_logger().debug(str(error))
            response.success = False
            return response

    service.callback = guarded
