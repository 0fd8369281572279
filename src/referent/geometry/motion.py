"""How an object moves: a filter on SE(3) that rests with what rests, follows what moves and coasts unseen."""

from __future__ import annotations

import numpy as np

from referent.geometry.poses import rigid
from referent.geometry.registration import rotation_of, rotation_vector
from referent.geometry.symmetry import proper
from referent.types import Array

GATE = 16.8  # chi-square, 6 degrees of freedom, 99 %
_CREEPING = 16.8  # the same at 95 %
_RESTING = np.array([3e-4] * 3 + [2e-3] * 3)  # m and rad per root second: what rests may creep
_ACCELERATION = np.array([2.0] * 3 + [10.0] * 3)  # m/s^2 and rad/s^2 of what a hand or a conveyor does
_SET_OFF = np.array([0.05] * 3 + [0.35] * 3)  # m and rad: how far it may be when it is noticed to have set off
_SPEED = np.array([0.5] * 3 + [2.0] * 3)  # m/s and rad/s: how fast it may then be
_ANYWHERE = np.array([1.0] * 3 + [1.5] * 3)  # m and rad
_STILL = (0.004, 0.035)  # m and rad: what moves no more than this for a while rests
_KEPT = 0.7  # from frame to frame of what the frames before said
_REST_NS = 500_000_000
_UNSEEN_RAD = 0.025  # a turn less sure than this in one frame
_FADING_S = 0.2  # fades away in this time
_HIDDEN_FADING_S = (
    2.0  # or in this, of what has a turn that is only hidden, as that of a mug behind which its handle is
)
_CARRIED_S = 0.3  # so long the velocity last seen is believed
_LONGEST_STEP_S = 2.0  # after a longer gap nothing more is known than after this


class Motion:
    """Pose and velocity of one object in a frame that does not move; error state, velocity constant while it moves.

    Errors are, in this order, position in metres and rotation in radians about the fixed frame's axes at the object's
    origin, then the rates of both.
    """

    def __init__(self, pose: Array, covariance: Array, stamp_ns: int, *, moving: bool) -> None:
        self.pose = pose  # (4, 4) fixed_from_object
        self.velocity = np.zeros(6)
        self.moving = moving
        self._covariance = np.zeros((12, 12))
        self._covariance[:6, :6] = covariance
        self._covariance[6:, 6:] = np.diag(_SPEED**2) if moving else np.zeros((6, 6))
        self._stamp_ns = stamp_ns
        self._step_s = 0.0  # the last one
        self._stayed, self._stayed_ns = pose, stamp_ns  # where it has been since
        self._score, self._evidence = np.zeros(6), np.zeros((6, 6))  # of the last few measurements while it rests

    @property
    def covariance(self) -> Array:
        """(6, 6) of the pose."""
        return self._covariance[:6, :6]

    def predict(self, stamp_ns: int) -> None:
        """Move on to a later frame."""
        gap_s = max(0.0, (stamp_ns - self._stamp_ns) / 1e9)
        self._stamp_ns = stamp_ns
        step_s = min(gap_s, _LONGEST_STEP_S)
        if not self.moving:
            self._covariance[:6, :6] += np.diag(_RESTING**2) * step_s
            return
        self.pose = self._displaced(self.velocity * min(gap_s, _CARRIED_S))
        self._step_s = step_s
        if gap_s > _CARRIED_S:  # nothing goes on turning and sliding unseen for long
            self.velocity = np.zeros(6)
        ahead = np.eye(12)
        ahead[:6, 6:] = np.eye(6) * step_s
        self._covariance = ahead @ self._covariance @ ahead.T + _driven(step_s)
        self._rest_if_still(stamp_ns)

    def _rest_if_still(self, stamp_ns: int) -> None:
        """Come to rest once it has stayed in one place for a while; the velocity of each frame is too noisy to tell."""
        moved_m = np.linalg.norm(self.pose[:3, 3] - self._stayed[:3, 3])
        turned_rad = np.linalg.norm(rotation_vector(self.pose[:3, :3] @ self._stayed[:3, :3].T))
        if moved_m > _STILL[0] or turned_rad > _STILL[1]:
            self._stayed, self._stayed_ns = self.pose, stamp_ns
        elif stamp_ns - self._stayed_ns > _REST_NS:
            self._come_to_rest()

    def surprise(self, pose: Array, information: Array) -> float:
        """Squared Mahalanobis distance of a measured (4, 4) pose; directions without information do not count."""
        return self._squared(self._innovation(pose), information)

    def creeps(self, pose: Array, information: Array) -> bool:
        """Whether the last few measured poses of what rests say together that it moves: small surprises, all one way.

        To be asked once for each frame.
        """
        if self.moving:
            return False
        self._score = _KEPT * self._score + information @ self._innovation(pose)
        self._evidence = _KEPT * self._evidence + information
        mean = np.linalg.pinv(self._evidence, hermitian=True) @ self._score
        return self._squared(mean, self._evidence) > _CREEPING

    def set_off(self) -> None:
        """Take it to have begun to move: place and speed are much less sure."""
        self.moving = True
        self._score, self._evidence = np.zeros(6), np.zeros((6, 6))
        self._stayed, self._stayed_ns = self.pose, self._stamp_ns
        self._covariance[:6, :6] += np.diag(_SET_OFF**2)
        self._covariance[6:, 6:] += np.diag(_SPEED**2)

    def lose(self) -> None:
        """Take it to be anywhere, turned anyhow: it was out of sight and is not where it was."""
        self.moving = True
        self.velocity = np.zeros(6)
        self._stayed, self._stayed_ns = self.pose, self._stamp_ns
        self._covariance = np.diag(np.concatenate([_ANYWHERE**2, _SPEED**2]))

    def correct(self, pose: Array, information: Array, *, turns: bool = False) -> None:
        """Take a measured (4, 4) pose with its (6, 6) information, which may say nothing of some directions.

        `turns`: its turn is only hidden when it is not seen, and goes on for a while.
        """
        seen = np.zeros((12, 6))
        seen[:6] = np.eye(6)
        spread = self._covariance @ seen
        # K = P H^T (H P H^T + R)^-1 with R^-1 = information, so that directions without information are left alone.
        gain = spread @ np.linalg.solve(np.eye(6) + information @ self.covariance, information)
        update = gain @ self._innovation(pose)
        self.pose = self._displaced(update[:6])
        rest = self._covariance - gain @ spread.T
        self._covariance = (rest + rest.T) / 2
        if self.moving:
            self.velocity = self.velocity + update[6:]
            self.velocity[3:] = _faded(
                self.velocity[3:], information[3:, 3:], self._step_s / (_HIDDEN_FADING_S if turns else _FADING_S)
            )

    def _squared(self, innovation: Array, information: Array) -> float:
        prior = np.linalg.inv(self.covariance)
        weight = prior - prior @ np.linalg.solve(prior + information, prior)
        return float(innovation @ weight @ innovation)

    def _innovation(self, pose: Array) -> Array:
        turn = rotation_vector(pose[:3, :3] @ self.pose[:3, :3].T)
        return np.concatenate([pose[:3, 3] - self.pose[:3, 3], turn])

    def _displaced(self, change: Array) -> Array:
        return rigid(proper(rotation_of(change[3:]) @ self.pose[:3, :3]), self.pose[:3, 3] + change[:3])

    def _come_to_rest(self) -> None:
        self.moving = False
        self.velocity = np.zeros(6)
        self._covariance[6:, :] = 0.0
        self._covariance[:, 6:] = 0.0


def _faded(turning: Array, information: Array, steps: float) -> Array:
    """(3,) rad/s less, by so many e-foldings, of what is not measured, such as the turn of a bottle about itself."""
    weights, axes = np.linalg.eigh(information)
    kept = np.where(weights < 1 / _UNSEEN_RAD**2, np.exp(-steps), 1.0)
    return np.asarray(axes @ (kept * (axes.T @ turning)))


def _driven(step_s: float) -> Array:
    """(12, 12) process noise of white acceleration over a step."""
    squared = np.diag(_ACCELERATION**2)
    noise = np.zeros((12, 12))
    noise[:6, :6] = squared * step_s**4 / 4
    noise[:6, 6:] = noise[6:, :6] = squared * step_s**3 / 2
    noise[6:, 6:] = squared * step_s**2
    return noise
