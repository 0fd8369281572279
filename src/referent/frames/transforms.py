"""Where coordinate frames were to each other at a moment: a bounded, interpolating buffer of transform trees.

It is fed from `/tf` by the node and from the bag by replay. A transform that is not known at the stamp asked for is an
error, never the latest one and never extrapolated.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field
from threading import Lock

import numpy as np
from scipy.spatial.transform import Rotation

from referent.errors import BadMessage, TransformUnavailable
from referent.types import Array

_MAX_EDGES = 2000  # a tree larger than this is a stream of frames that never come back
_ORTHONORMAL_TOLERANCE = 0.02  # rounded or barely unnormalised quaternions are repaired, anything else is refused


@dataclass(frozen=True, eq=False, order=False)
class _Sample:
    stamp_ns: int
    parent: str
    parent_from_child: Array  # (4, 4) float64


@dataclass(eq=False)
class _Edge:
    """What is known about one child frame; samples are in time order, a static edge has one that holds at all times."""

    static: bool
    samples: list[_Sample] = field(default_factory=list)


class TransformBuffer:
    """The recent transforms of a tree of frames; every method may be called from any thread."""

    def __init__(self, max_age_s: float = 10.0, max_samples: int = 4000) -> None:
        """Keeps `max_age_s` per edge, and at most `max_samples`; static edges are kept for good."""
        self._max_age_ns = round(max_age_s * 1e9)
        self._max_samples = max_samples
        self._edges: dict[str, _Edge] = {}
        self._lock = Lock()
        self._counts = {"added": 0, "expired": 0, "resets": 0}

    @property
    def counts(self) -> dict[str, int]:
        """Samples added and expired, and how often time jumped back, since the start."""
        with self._lock:
            return dict(self._counts)

    def add(self, parent: str, child: str, stamp_ns: int, parent_from_child: Array, *, static: bool = False) -> None:
        """Take one (4, 4) transform; a child that changes its parent keeps its past under the old one.

        A sample older than everything kept of its edge means that time started again: all moving edges are forgotten.
        Raises BadMessage for a matrix that is not rigid and for frame names that make no edge.
        """
        parent, child = _frame_name(parent), _frame_name(child)
        if parent == child:
            raise BadMessage(f"transform: frame {child!r} cannot be its own parent")
        sample = _Sample(int(stamp_ns), parent, _as_rigid(parent_from_child, parent, child))
        with self._lock:
            self._counts["added"] += 1
            if static:
                self._edges[child] = _Edge(True, [sample])
            else:
                self._add_moving(child, sample)

    def lookup(self, target: str, source: str, stamp_ns: int) -> Array:
        """`target_from_source` (4, 4) at `stamp_ns`, interpolated between its neighbours in time.

        Raises TransformUnavailable, naming both frames, the stamp and what is known.
        """
        target, source = _frame_name(target), _frame_name(source)
        if target == source:
            return np.eye(4)
        with self._lock:
            from_source, fault = self._ancestors(source, stamp_ns)
            from_target, target_fault = self._ancestors(target, stamp_ns)
        for frame, frame_from_source in from_source.items():  # nearest first
            if frame in from_target:
                return np.asarray(_inverse(from_target[frame]) @ frame_from_source)
        reason = fault or target_fault or f"{_ends(from_source)} and {_ends(from_target)} are not connected"
        raise TransformUnavailable(
            f"no transform from {source!r} to {target!r} at {_seconds(stamp_ns)}: {reason}; "
            "publish it on /tf or /tf_static for that time"
        )

    def newest_ns(self, target: str, source: str, until_ns: int) -> int:
        """The newest time, `until_ns` at most, up to which the way between both frames is known.

        `lookup` at that time may fail all the same: where there is no way, or nothing as old as `until_ns`.
        """
        with self._lock:
            up, down = (self._edges_above(_frame_name(frame)) for frame in (source, target))
            shared = {child for child, _ in up} & {child for child, _ in down}
            way = [edge for child, edge in (*up, *down) if child not in shared and not edge.static]
            return min([until_ns, *(edge.samples[-1].stamp_ns for edge in way)])

    def can_lookup(self, target: str, source: str, stamp_ns: int) -> bool:
        """Whether `lookup` would find it."""
        try:
            self.lookup(target, source, stamp_ns)
        except TransformUnavailable:
            return False
        return True

    def clear(self) -> None:
        """Forget all moving edges, as after a jump back in time; static ones hold at any time and stay."""
        with self._lock:
            self._forget_moving()

    def _add_moving(self, child: str, sample: _Sample) -> None:
        edge = self._edges.get(child)
        if edge is not None and not edge.static and sample.stamp_ns < edge.samples[-1].stamp_ns - self._max_age_ns:
            self._forget_moving()
            edge = None
        if edge is None or edge.static:
            self._make_room()
            edge = self._edges[child] = _Edge(False)
        at = bisect_left(edge.samples, sample.stamp_ns, key=_stamp)
        if at < len(edge.samples) and edge.samples[at].stamp_ns == sample.stamp_ns:
            edge.samples[at] = sample
        else:
            insort(edge.samples, sample, key=_stamp)
        self._expire(edge)

    def _expire(self, edge: _Edge) -> None:
        oldest_ns = edge.samples[-1].stamp_ns - self._max_age_ns
        gone = max(bisect_left(edge.samples, oldest_ns, key=_stamp), len(edge.samples) - self._max_samples)
        if gone > 0:
            del edge.samples[:gone]
            self._counts["expired"] += gone

    def _make_room(self) -> None:
        """Drop the moving edge heard of longest ago when there are too many."""
        moving = [name for name, edge in self._edges.items() if not edge.static]
        if len(moving) >= _MAX_EDGES:
            stalest = min(moving, key=lambda name: self._edges[name].samples[-1].stamp_ns)
            self._counts["expired"] += len(self._edges.pop(stalest).samples)

    def _forget_moving(self) -> None:
        self._edges = {child: edge for child, edge in self._edges.items() if edge.static}
        self._counts["resets"] += 1

    def _edges_above(self, frame: str) -> list[tuple[str, _Edge]]:
        """Every edge from a frame up to the root as it is now, by the child's name."""
        found: dict[str, _Edge] = {}
        while frame not in found and (edge := self._edges.get(frame)) is not None:
            found[frame] = edge
            frame = edge.samples[-1].parent
        return list(found.items())

    def _ancestors(self, frame: str, stamp_ns: int) -> tuple[dict[str, Array], str]:
        """`ancestor_from_frame` of every frame above `frame` at the stamp, and why the walk ended early, if it did."""
        found, above_from_frame = {frame: np.eye(4)}, np.eye(4)
        while (edge := self._edges.get(frame)) is not None:
            step = _at(edge, stamp_ns)
            if isinstance(step, str):
                return found, f"{frame!r} {step}"
            frame, above_from_frame = step.parent, step.parent_from_child @ above_from_frame
            if frame in found:
                return found, f"the transforms form a loop through {frame!r}"
            found[frame] = above_from_frame
        return found, ""


def _at(edge: _Edge, stamp_ns: int) -> _Sample | str:
    """The edge at the stamp, or the words for why it has no value then."""
    samples = edge.samples
    if edge.static:
        return samples[0]
    at = bisect_left(samples, stamp_ns, key=_stamp)
    if at < len(samples) and samples[at].stamp_ns == stamp_ns:
        return samples[at]
    if at in (0, len(samples)):
        return f"is known from {_seconds(samples[0].stamp_ns)} to {_seconds(samples[-1].stamp_ns)} only"
    before, after = samples[at - 1], samples[at]
    if before.parent != after.parent:
        return f"moved from {before.parent!r} to {after.parent!r} around that time"
    return _between(before, after, stamp_ns)


def _between(before: _Sample, after: _Sample, stamp_ns: int) -> _Sample:
    """Translation in a straight line, rotation about one fixed axis at constant speed (slerp)."""
    share = (stamp_ns - before.stamp_ns) / (after.stamp_ns - before.stamp_ns)
    a, b = before.parent_from_child, after.parent_from_child
    turn = Rotation.from_matrix(a[:3, :3].T @ b[:3, :3]).as_rotvec()
    middle = np.eye(4)
    middle[:3, :3] = a[:3, :3] @ Rotation.from_rotvec(share * turn).as_matrix()
    middle[:3, 3] = (1 - share) * a[:3, 3] + share * b[:3, 3]
    return _Sample(stamp_ns, before.parent, middle)


def _as_rigid(matrix: Array, parent: str, child: str) -> Array:
    """A read-only, exactly rigid (4, 4) copy; BadMessage when the matrix is too far from one."""
    rigid = np.array(matrix, np.float64)
    what = f"transform from {child!r} to {parent!r}"
    if rigid.shape != (4, 4) or not np.isfinite(rigid).all():
        raise BadMessage(f"{what}: 4x4 finite numbers are needed, got shape {rigid.shape}: {rigid.ravel()[:16]}")
    rotation = rigid[:3, :3]
    error = float(np.abs(rotation.T @ rotation - np.eye(3)).max())
    if error > _ORTHONORMAL_TOLERANCE or np.linalg.det(rotation) < 0 or not np.allclose(rigid[3], [0, 0, 0, 1]):
        raise BadMessage(f"{what} is not rigid (off by {error:.3g}); its quaternion must have length 1")
    u, _, v = np.linalg.svd(rotation)
    rigid[:3, :3] = u @ v
    rigid.setflags(write=False)
    return rigid


def _frame_name(name: str) -> str:
    """The name without the leading slash that ROS 1 bags carry; BadMessage for an empty one."""
    bare = name.lstrip("/")
    if not bare:
        raise BadMessage(f"transform: {name!r} is no frame name")
    return bare


def _inverse(a_from_b: Array) -> Array:
    inverse = np.eye(4)
    inverse[:3, :3] = a_from_b[:3, :3].T
    inverse[:3, 3] = -inverse[:3, :3] @ a_from_b[:3, 3]
    return inverse


def _stamp(sample: _Sample) -> int:
    return sample.stamp_ns


def _ends(ancestors: dict[str, Array]) -> str:
    """The frame a walk started from and the root it reached."""
    first, last = next(iter(ancestors)), next(reversed(ancestors))
    return f"{first!r}" if first == last else f"{first!r} (under {last!r})"


def _seconds(stamp_ns: int) -> str:
    return f"{stamp_ns // 10**9}.{stamp_ns % 10**9:09d} s"
