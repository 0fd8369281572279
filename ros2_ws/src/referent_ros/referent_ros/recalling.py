"""The services about remembered objects: ~/query_objects, which may ask the grounder, and ~/reexpress."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from geometry_msgs.msg import PoseWithCovarianceStamped, Vector3
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from referent_msgs.msg import KnownObject
from referent_msgs.srv import QueryObjects, Reexpress
from std_msgs.msg import Header

from referent.errors import BadInstruction, ReferentError, TransformUnavailable
from referent.geometry.poses import rigid, rigid_inverse, rotation_from_quaternion, transform_pose
from referent.grounding.instructions import clean_instruction
from referent.live import LivePipeline
from referent.memory import ObjectMemory, Remembered, match_by_model
from referent.recall import asking
from referent.types import Array, TrackState
from referent_ros.result_messages import STATES, pose_message, time_from_ns
from referent_ros.services import answering
from referent_ros.waiting import Answer, answered

DEFAULT_LIMIT = 20
MAX_LAG_NS = 2_000_000_000  # of transforms behind pictures: what moves has not gone far
NO_MEMORY = "nothing is remembered: configure the node, with memory.frame set"


class RecallServices:
    """Answers in the executor's thread; the grounder is asked on a thread of its own, one request after the other.

    `memory` gives the memory while the node is configured, `live` the pipeline while it is active, `frame` the frame of
    the memory, `now_ns` the present time by the clock of the pictures.
    """

    def __init__(
        self,
        node: Node,
        memory: Callable[[], ObjectMemory | None],
        live: Callable[[], LivePipeline | None],
        frame: Callable[[], str],
        now_ns: Callable[[], int],
    ) -> None:
        self._node = node
        self._memory = memory
        self._live = live
        self._frame = frame
        self._now_ns = now_ns
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="recall")
        group = ReentrantCallbackGroup()
        for kind, name, handle in (
            (QueryObjects, "~/query_objects", self._query),
            (Reexpress, "~/reexpress", self._reexpress),
        ):
            node.create_service(kind, name, answering(node, handle), callback_group=group)

    def close(self) -> None:
        """Let the grounder's thread end; requests that wait for it are given up."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _query(self, request: QueryObjects.Request, response: QueryObjects.Response) -> str:
        memory, phrase = self._opened(), clean_instruction(request.phrase) if request.phrase.strip() else ""
        asked_from_fixed = self._way_to(request.frame)
        near_m, radius_m = _near(request, rigid_inverse(asked_from_fixed))
        find = partial(memory.find, near_m=near_m, radius_m=radius_m, now_ns=self._now_ns())
        found, note = await self._between_pictures(partial(find, phrase)), "by words"
        if request.ask_model and phrase and not any(each.match >= 1 for each in found):
            found, note = await self._by_model(phrase, find("")), "by the grounder's look at remembered pictures"
        followed = self._live() is not None
        chosen = found[: request.limit or DEFAULT_LIMIT]
        frame = request.frame or self._frame()
        response.objects = [_known(each, asked_from_fixed, frame, followed=followed) for each in chosen]
        return f"{len(chosen)} of {len(found)} that match {note}; {len(memory)} are remembered"

    async def _by_model(self, phrase: str, remembered: list[Remembered]) -> list[Remembered]:
        live = self._live()
        if live is None:
            raise ReferentError(
                "the grounder can be asked only while the node is active; without ask_model words decide"
            )
        answer = self._thread.submit(match_by_model, phrase, remembered, asking(live.ground))
        return await answered(answer, self._node)

    async def _reexpress(self, request: Reexpress.Request, response: Reexpress.Response) -> str:
        memory, t, q = self._opened(), request.new_from_old.translation, request.new_from_old.rotation
        xyzw = np.array([q.x, q.y, q.z, q.w])
        if not 0.9 < np.linalg.norm(xyzw) < 1.1:
            raise BadInstruction(f"quaternion {xyzw.tolist()} is no rotation")
        new_from_old = rigid(rotation_from_quaternion(xyzw), np.array([t.x, t.y, t.z]))
        since_ns = request.since.sec * 1_000_000_000 + request.since.nanosec
        await self._between_pictures(partial(memory.reexpress, new_from_old, since_ns=since_ns or None))
        return f"carried along; {len(memory)} are remembered"

    async def _between_pictures(self, use: Callable[[], Answer]) -> Answer:
        """Use the memory when every picture whose result was published is remembered, and none is being so."""
        live = self._live()
        return use() if live is None else await answered(live.ask(lambda _: use()), self._node)

    def _opened(self) -> ObjectMemory:
        memory = self._memory()
        if memory is None:
            raise ReferentError(NO_MEMORY)
        return memory

    def _way_to(self, frame: str) -> Array:
        """(4, 4) from the memory's frame to the one asked for, now or as near to it as is known."""
        if frame in ("", self._frame()):
            return np.eye(4)
        live = self._live()
        newest_ns = None if live is None else live.newest_ns
        if live is None or newest_ns is None:
            raise TransformUnavailable(f"no picture has come yet that says where {frame!r} is; leave frame empty")
        at_ns = live.transforms.newest_ns(frame, self._frame(), newest_ns)
        if newest_ns - at_ns > MAX_LAG_NS:
            at_ns = newest_ns  # which tells what is missing
        return live.transforms.lookup(frame, self._frame(), at_ns)


def _near(request: QueryObjects.Request, fixed_from_asked: Array) -> tuple[Array | None, float | None]:
    """Where to look, in the memory's frame; None = anywhere. Raises BadInstruction."""
    near = np.array([request.near.x, request.near.y, request.near.z, 1.0])
    if request.radius == 0 and not near[:3].any():
        return None, None
    if not np.isfinite([*near, request.radius]).all() or request.radius < 0:
        raise BadInstruction(f"near {near[:3].tolist()} with radius {request.radius}: finite numbers, radius 0 or more")
    return (fixed_from_asked @ near)[:3], request.radius or None


def _known(known: Remembered, asked_from_fixed: Array, frame: str, *, followed: bool) -> KnownObject:
    pose, covariance = transform_pose(asked_from_fixed, known.fixed_from_object, known.covariance)
    stamped = PoseWithCovarianceStamped(header=Header(stamp=time_from_ns(known.last_seen_ns), frame_id=frame))
    stamped.pose.pose, stamped.pose.covariance = pose_message(pose), covariance.ravel()
    width, depth, height = known.size_m.tolist()
    how = known.how
    return KnownObject(
        memory_id=known.memory_id,
        track_id=known.object_id if followed else "",
        label=known.label,
        expression=known.expression,
        state=STATES[known.state if followed else TrackState.LOST],
        gone=known.gone,
        how="" if how is None else f"{how.by}: {how.why}",
        pose=stamped,
        size=Vector3(x=width, y=depth, z=height),
        first_seen=time_from_ns(known.first_seen_ns),
        last_seen=time_from_ns(known.last_seen_ns),
        sightings=known.sightings,
        score=float(known.score),
        match=float(known.match),
    )
