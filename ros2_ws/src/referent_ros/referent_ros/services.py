"""The services that change what is followed: each hands a command to the pipeline and answers what became of it."""

from __future__ import annotations

import re
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from referent_msgs.srv import Correct, Forget, Reground, Reset

from referent.errors import BadInstruction, ReferentError
from referent.grounding.regions import GivenRegion, given_points
from referent.live import LivePipeline
from referent.memory import ObjectMemory
from referent.messages import mask_from_image
from referent.types import TrackState
from referent_ros.result_messages import STATES
from referent_ros.waiting import answered

NOT_ACTIVE = "the node is not active: configure and activate it"
MAX_NAME_CHARS = 128
Handler = Callable[[Any, Any], Awaitable[str]]


def answering(node: Node, handle: Handler) -> Handler:
    """Answers requests with what `handle` says was done, or why not; a request costs no more than itself."""

    async def callback(request: Any, response: Any) -> Any:
        try:
            response.message = await handle(request, response)
            response.success = True
        except ReferentError as error:
            response.message = str(error)
        except Exception as error:
            node.get_logger().error(traceback.format_exc())
            response.message = f"internal fault: {type(error).__name__}: {error}"
        return response

    return callback


class Services:
    """Answers in the executor's thread. `live` gives the pipeline while it works, `memory` while it is open."""

    def __init__(
        self,
        node: Node,
        live: Callable[[], LivePipeline | None],
        memory: Callable[[], ObjectMemory | None],
        note_forgotten: Callable[[str], None],
    ) -> None:
        self._node = node
        self._live = live
        self._memory = memory
        self._note_forgotten = note_forgotten  # is told what is about to be: an id, or "" for everything
        group = ReentrantCallbackGroup()  # a request that waits for the pipeline must not hold up others
        for kind, name, handle in (
            (Correct, "~/correct", self._correct),
            (Forget, "~/forget", self._forget),
            (Reground, "~/reground", self._reground),
            (Reset, "~/reset", self._reset),
        ):
            node.create_service(kind, name, answering(node, handle), callback_group=group)

    def _active(self) -> LivePipeline:
        live = self._live()
        if live is None:
            raise ReferentError(NOT_ACTIVE)
        return live

    async def _correct(self, request: Correct.Request, response: Correct.Response) -> str:
        live, object_id = self._active(), checked_name(request.id)
        text, region = request.text, region_of(request)
        stamp_ns = request.stamp.sec * 1_000_000_000 + request.stamp.nanosec or None
        response.state = STATES[TrackState.SEARCHING]
        state = await answered(
            live.ask(lambda pipeline: pipeline.correct(object_id, text=text, region=region, stamp_ns=stamp_ns)),
            self._node,
        )
        response.state = STATES[state]
        return "the grounder is asked; its answer comes on ~/tracks" if text else "followed from where it was shown"

    async def _forget(self, request: Forget.Request, response: Forget.Response) -> str:
        object_id, memory_id = checked_name(request.id), checked_name(request.memory_id)
        if not object_id and not memory_id:
            raise BadInstruction("say which object to forget by its id or memory_id; ~/reset forgets all")
        done = []
        if memory_id:
            memory = self._memory()
            if memory is None or not memory.forget(memory_id):
                raise BadInstruction(f"no object {memory_id!r} is remembered; see ~/query_objects")
            done.append(f"{memory_id!r} is not remembered any more")
        if object_id:
            live = self._active()
            self._note_forgotten(object_id)
            if not await answered(live.ask(lambda pipeline: pipeline.forget(object_id)), self._node):
                raise BadInstruction("; ".join([*done, f"no object {object_id!r} is followed; see ~/tracks"]))
            done.append(f"{object_id!r} is not followed any more")
        return "; ".join(done)

    async def _reground(self, request: Reground.Request, response: Reground.Response) -> str:
        live, object_id = self._active(), checked_name(request.id)
        response.ids = await answered(live.ask(lambda pipeline: pipeline.reground(object_id)), self._node)
        return f"the grounder is asked about {len(response.ids)} objects with the next pictures"

    async def _reset(self, request: Reset.Request, response: Reset.Response) -> str:
        live, memory = self._live(), self._memory() if request.memory else None
        if live is None and memory is None:
            raise ReferentError(NOT_ACTIVE)
        if memory is not None:
            memory.clear()
        if live is not None:
            self._note_forgotten("")
            await answered(live.ask(lambda pipeline: pipeline.reset()), self._node)
        return "nothing is followed" if memory is None else "nothing is followed, and nothing remembered"


def region_of(request: Correct.Request) -> GivenRegion | None:
    """The points, box or mask of a request; None when it has none. Raises BadInstruction, BadMessage."""
    if len(request.points_xy) or len(request.inside):
        points = given_points(request.points_xy, request.inside)
        extra = bool(len(request.box_xyxy) or len(request.mask.data))
    else:
        points, extra = None, bool(len(request.box_xyxy) and len(request.mask.data))
    if extra:
        raise BadInstruction("say what is meant by words, points, a box or a mask; exactly one of them")
    if points is None and len(request.box_xyxy):
        return GivenRegion(box_xyxy=np.array(request.box_xyxy, np.float32))
    if points is None and len(request.mask.data):
        return GivenRegion(mask=mask_from_image(request.mask))
    return points


def checked_name(name: str) -> str:
    """An id as objects have them, or ''. Raises BadInstruction for anything else, such as a path."""
    if len(name) > MAX_NAME_CHARS or not re.fullmatch(r"[\w-]*", name):
        raise BadInstruction(f"{name[:MAX_NAME_CHARS]!r} is no id: letters, digits, _ and - are taken")
    return name
