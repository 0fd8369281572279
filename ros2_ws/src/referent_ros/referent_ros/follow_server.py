"""The action ~/follow: each goal watches its own targets until it is done, cancelled, late or replaced."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from geometry_msgs.msg import PoseStamped
from rclpy.action import ActionServer, CancelResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from referent_msgs.action import Follow
from referent_msgs.msg import TrackedObject, TrackedObjectArray
from std_msgs.msg import Header

from referent.errors import ReferentError
from referent.live import LivePipeline
from referent.pipeline import Pipeline
from referent.types import FrameResult
from referent_ros.following import Followed, Progress, check_goal
from referent_ros.waiting import answered, next_wake, wake

MAX_GOALS = 8  # ends told at once must fit in the queue of a ROS service, which holds 10
RESULTS_KEPT_S = 60
INBOX = 8  # results that wait for the executor; the newest win
LOOK_AROUND_S = 0.1  # how often deadlines are looked at
NOT_ACTIVE = "the node is not active: configure and activate it"
LEAVES_TARGETS = (Follow.Result.DONE, Follow.Result.REPLACED, Follow.Result.STOPPED)


@dataclass(eq=False)
class _Run:
    """One goal at work. `followed` and `inbox` are filled by the pipeline's thread."""

    goal: Follow.Goal
    begun_ns: int
    progress: Progress
    followed: Followed | None = None
    inbox: deque[tuple[FrameResult, TrackedObjectArray]] = field(default_factory=lambda: deque(maxlen=INBOX))
    stopped: str = ""  # why the node gave it up
    forgotten: set[str] = field(default_factory=set)  # ids of its targets that somebody had forgotten
    header: Header = field(default_factory=Header)
    objects: list[TrackedObject] = field(default_factory=list)


@dataclass(frozen=True)
class _Ending:
    outcome: int
    reason: str


class FollowServer:
    """Belongs to the executor's thread, but for `on_result`. `live` gives the pipeline while the node is active."""

    def __init__(self, node: Node, live: Callable[[], LivePipeline | None]) -> None:
        self._node = node
        self._live = live
        self._runs: tuple[_Run, ...] = ()
        self._newest_words = ""
        self._server = ActionServer(
            node,
            Follow,
            "~/follow",
            self._execute,
            handle_accepted_callback=self._take,
            cancel_callback=lambda _: CancelResponse.ACCEPT,
            callback_group=ReentrantCallbackGroup(),
            result_timeout=RESULTS_KEPT_S,
        )
        # An executor without a timeout of its own would look at deadlines only when something else happens.
        node.create_timer(LOOK_AROUND_S, lambda: None, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def note_words(self, words: str) -> None:
        """Remember what was said last, to tell goals what replaced them."""
        self._newest_words = words

    def note_forgotten(self, object_id: str = "") -> None:
        """Somebody asks that an object, or everything, be followed no more: told to goals that end by it."""
        for run in self._runs:
            ids = frozenset() if run.followed is None else run.followed.ids
            run.forgotten |= ids & {object_id} if object_id else ids

    def on_result(self, result: FrameResult, tracks: TrackedObjectArray) -> None:
        """Take the news of one picture, from the pipeline's thread."""
        watching = [run for run in self._runs if run.followed is not None]
        for run in watching:
            run.inbox.append((result, tracks))
        if watching:
            wake(self._node)

    def stop(self, reason: str) -> None:
        """Give up every goal."""
        for run in self._runs:
            run.stopped = reason
        wake(self._node)

    def destroy(self) -> None:
        """Leave the network."""
        self._server.destroy()

    def _take(self, handle: ServerGoalHandle) -> None:
        """Begin a goal at once: what stops the node before the executor comes to it stops the goal, too."""
        run, live = _Run(handle.request, self._now_ns(), Progress(handle.request)), self._live()
        if live is not None and len(self._runs) < MAX_GOALS:
            self._runs += (run,)
        handle.execute(partial(self._execute, run=run, live=live))

    async def _execute(self, handle: ServerGoalHandle, *, run: _Run, live: LivePipeline | None) -> Follow.Result:
        ending = await self._ending(run, handle, live)
        if ending.outcome == Follow.Result.DONE:
            handle.succeed()
        elif ending.outcome == Follow.Result.CANCELED:
            handle.canceled()
        else:
            handle.abort()
        result = Follow.Result(outcome=ending.outcome, reason=ending.reason, header=run.header)
        if run.objects:
            result.has_object, result.object, result.others = True, run.objects[0], run.objects[1:]
        return result

    async def _ending(self, run: _Run, handle: ServerGoalHandle, live: LivePipeline | None) -> _Ending:
        if live is None:
            return _Ending(Follow.Result.STOPPED, NOT_ACTIVE)
        if run not in self._runs:
            return _Ending(Follow.Result.REFUSED, f"{MAX_GOALS} goals run already: cancel one")
        ending = _Ending(Follow.Result.STOPPED, "internal fault")
        try:
            ending = await self._begun_and_watched(run, handle, live)
        finally:
            self._runs = tuple(each for each in self._runs if each is not run)
            if ending.outcome not in LEAVES_TARGETS:
                self._let_go(run, live)
        return ending

    async def _begun_and_watched(self, run: _Run, handle: ServerGoalHandle, live: LivePipeline) -> _Ending:
        try:
            check_goal(run.goal)
            self._newest_words = run.goal.instruction
            await answered(live.ask(partial(_begin, run)), self._node)
        except ReferentError as error:
            outcome = Follow.Result.STOPPED if run.stopped else Follow.Result.REFUSED
            return _Ending(outcome, run.stopped or str(error))
        while True:
            ending = self._due(run, handle) or self._news(run, handle)
            if ending is not None:
                return ending
            await next_wake()

    def _due(self, run: _Run, handle: ServerGoalHandle) -> _Ending | None:
        """Whether it ends without any news."""
        if handle.is_cancel_requested:
            return _Ending(Follow.Result.CANCELED, "cancelled")
        if run.stopped:
            return _Ending(Follow.Result.STOPPED, run.stopped)
        now_ns, timeout = self._now_ns(), run.goal.timeout
        run.begun_ns = min(run.begun_ns, now_ns)  # a bag that begins again takes ROS time back
        timeout_ns = timeout.sec * 1_000_000_000 + timeout.nanosec
        if timeout_ns and now_ns - run.begun_ns >= timeout_ns:
            last = f"; {run.objects[0].expression!r}: {run.objects[0].reason}" if run.objects else "; no picture came"
            return _Ending(Follow.Result.TIMED_OUT, f"not done within {timeout_ns / 1e9:g} s{last}")
        return None

    def _news(self, run: _Run, handle: ServerGoalHandle) -> _Ending | None:
        """Take what came since, and tell the client of it."""
        while run.inbox and run.followed is not None:
            result, tracks = run.inbox.popleft()
            own = run.followed.among(result.objects)
            if not own:
                return _Ending(Follow.Result.REPLACED, self._why_replaced(run))
            ids = [each.target.id for each in own]
            run.header, run.objects = tracks.header, [each for each in tracks.objects if each.id in ids]
            done = run.progress.take(own)
            handle.publish_feedback(_feedback(run))
            if done:
                return _Ending(Follow.Result.DONE, "found" if run.goal.mode == Follow.Goal.UNTIL_FOUND else "followed")
        return None

    def _why_replaced(self, run: _Run) -> str:
        if run.followed is not None and run.followed.ids <= run.forgotten:
            return f"what {run.goal.instruction!r} means was forgotten"
        return f"{self._newest_words!r} took its place"

    def _let_go(self, run: _Run, live: LivePipeline) -> None:
        """Stop following what no other goal follows."""
        if run.followed is None:
            return
        others = frozenset(i for each in self._runs if each.followed is not None for i in each.followed.ids)
        unwanted = sorted(run.followed.ids - others)
        live.ask(lambda pipeline: [pipeline.forget(object_id) for object_id in unwanted])

    def _now_ns(self) -> int:
        return int(self._node.get_clock().now().nanoseconds)


def _begin(run: _Run, pipeline: Pipeline) -> None:
    """On the pipeline's thread, so that the next result is the first that is news."""
    run.followed = Followed(pipeline.follow(run.goal.instruction))


def _feedback(run: _Run) -> Follow.Feedback:
    first = run.objects[0]
    feedback = Follow.Feedback(
        header=run.header,
        id=first.id,
        state=first.state,
        reason=first.reason,
        has_score=first.has_score,
        score=first.score,
        has_pose=first.has_pose,
        candidates=first.candidates,
        question=first.reason if first.candidates else "",
        frames=run.progress.frames,
    )
    if first.has_pose:
        header = Header(stamp=run.header.stamp, frame_id=first.pose_frame)
        feedback.pose = PoseStamped(header=header, pose=first.pose.pose)
    return feedback
