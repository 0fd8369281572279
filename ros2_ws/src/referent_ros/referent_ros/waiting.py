"""Lets a callback wait for other threads without holding up the executor: rclpy resumes it whenever it wakes."""

from __future__ import annotations

import types
from collections.abc import Generator
from concurrent.futures import Future
from typing import Any, TypeVar

from rclpy.node import Node

Answer = TypeVar("Answer")


@types.coroutine
def next_wake() -> Generator[None, None, None]:
    """Come back when the executor wakes next."""
    yield


async def answered(answer: Future[Answer], node: Node) -> Answer:
    """What another thread answers, or raises what it raised."""
    answer.add_done_callback(lambda _: wake(node))
    while not answer.done():
        await next_wake()
    return answer.result()


def wake(node: Node, *_: Any) -> None:
    """Have the node's executor look around; from any thread."""
    executor = node.executor
    if executor is not None:
        executor.wake()
