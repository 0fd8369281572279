"""Goals at action servers, sent and awaited in coroutines that never hold up the executor, and cancelled together."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from rclpy.action import ActionClient
from rclpy.action.client import ClientGoalHandle
from rclpy.node import Node

from referent.errors import ReferentError
from referent_ros.waiting import next_wake

SERVER_WAIT_S = 10.0


class NotReached(ReferentError):
    """What was asked for was not done; says why."""


class Goals:
    """Clients of action servers by name, and the goals that run there."""

    def __init__(self, node: Node, kinds: Mapping[str, type]) -> None:
        self._clients = {name: ActionClient(node, kind, name) for name, kind in kinds.items()}
        self._sent: list[ClientGoalHandle] = []
        self.canceled = False

    async def send(self, name: str, goal: Any, feedback: Callable[[Any], None] | None = None) -> ClientGoalHandle:
        """The handle of a goal that the server took. Raises NotReached when nobody serves it, or refuses."""
        client = self._clients[name]
        await self.until_ready(client.server_is_ready, name)
        handle = await client.send_goal_async(goal, feedback_callback=feedback)
        if not handle.accepted:
            raise NotReached(f"{name} refuses the goal")
        self._sent.append(handle)
        if self.canceled:
            handle.cancel_goal_async()
        return handle

    async def ended(self, handle: ClientGoalHandle) -> Any:
        """Status and result of a goal, however it ended. Raises NotReached when everything was cancelled."""
        ended = await handle.get_result_async()
        if self.canceled:
            raise NotReached("cancelled")
        return ended

    async def until_ready(self, is_ready: Callable[[], bool], name: str) -> None:
        """Wait for a server. Raises NotReached after SERVER_WAIT_S, or when everything is cancelled."""
        deadline_s = time.monotonic() + SERVER_WAIT_S
        while not is_ready():
            if time.monotonic() > deadline_s:
                raise NotReached(f"nobody serves {name}")
            await next_wake()
            if self.canceled:
                raise NotReached("cancelled")

    def cancel(self) -> None:
        """Have every goal cancelled; those who wait for one hear when its server has answered."""
        self.canceled = True
        for handle in self._sent:
            handle.cancel_goal_async()  # nothing to one that has ended

    def destroy(self) -> None:
        """Let go of the servers."""
        for client in self._clients.values():
            client.destroy()
