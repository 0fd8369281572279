"""Does depth lie where color says things are? Steps of depth are laid on edges of color, as given and moved."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import fft

from referent.types import Array, RgbdFrame

_WIDTH_PX = 200  # both pictures are shrunk to this width: what is looked for is many pixels large
_REACH_PX = 16  # largest shift tried, in shrunken pixels, each way
_AS_GIVEN = 8  # the place of scale 1 among the scales tried
_SCALES = np.exp(0.03 * (np.arange(27) - _AS_GIVEN))  # 0.79 to 1.72 about the middle: depth often sees the wider field
_STEP = 0.06  # a depth step is this share of depth over two shrunken pixels
_NEIGHBOURHOOD_PX = 21  # edges of color count against what is usual around them
_STRONGEST = 4.0  # so many times what is usual, and not more
# Chosen on 49 real registered pictures of five sensors (nothing is reported) and on those with depth moved or scaled.
_MIN_STEPS = 300
_MIN_SIGMA, _MIN_SIGMA_OF_SCALE = 5.5, 4.6  # the best place stands out of all tried, and of those of its scale
_MIN_STRENGTH = 0.3  # and edges are so much stronger there than usual
_MISFIT_SHARE = 0.65  # as given, edges agree less than this share of how they agree there
_FIT_SHARE = 0.9
_MIN_OFFSET_PX = 1 / 80  # of the picture's width: what registration of good cameras may be wrong by
_SAME_SHIFT_PX = 3 / 200  # two looks that find places nearer than this, as a share of the width, agree
_PERIODS_WHEN_FINE = 12  # what fits goes on fitting: the next look may wait
_LOOKS_PER_PERIOD_IN_DOUBT = 5


@dataclass(frozen=True)
class RegistrationShift:
    """Where depth fits color best: color pixel = middle + scale * (depth pixel - middle) + shift_px."""

    shift_px: tuple[float, float]  # x, y, in pixels of the picture
    scale: float
    offset_px: float  # how far that moves the median depth edge
    agreement: float  # of the edges as given, as a share of what it is there
    misfit: bool  # depth surely does not fit as given
    fit: bool  # it surely does

    def __str__(self) -> str:
        x, y = self.shift_px
        return (
            f"depth does not fit color: its edges agree {1 / max(self.agreement, 0.05):.1f} times better when depth is "
            f"scaled by {self.scale:.2f} and moved by ({x:.0f}, {y:.0f}) px; publish depth registered to color, or its "
            "own camera_info and transform, and check both calibrations"
        )


def registration_shift(rgb: Array, depth_m: Array) -> RegistrationShift | None:
    """Compare steps of depth (H, W) with edges of color (H, W, 3); None when there is too little of either to tell.

    Takes some tens of milliseconds, whatever the size of the pictures.
    """
    shrink = rgb.shape[1] / _WIDTH_PX
    size = (_WIDTH_PX, max(round(rgb.shape[0] / shrink), 2))
    small_m = cv2.resize(np.nan_to_num(depth_m, nan=0, posinf=0, neginf=0), size, interpolation=cv2.INTER_NEAREST)
    steps = _depth_steps(small_m)
    places = [np.argwhere(each)[:, ::-1] for each in steps]  # (N, 2) x, y
    if sum(map(len, places)) < _MIN_STEPS:
        return None
    scores = _scores(_color_edges(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)), places)
    if scores.max() <= 0:  # a picture without an edge
        return None
    best = np.unravel_index(int(scores.argmax()), scores.shape)
    scale, shift = float(_SCALES[best[0]]), np.array([best[2] - _REACH_PX, best[1] - _REACH_PX], np.float64)
    every = np.concatenate(places)
    offset_px = float(np.median(np.linalg.norm((scale - 1) * (every - np.array(size) / 2) + shift, axis=1)))
    agreement = float(max(_as_given(scores), 0) / scores[best])
    stands_out = _stands_out(scores, scores[best[0]])
    moved = offset_px > _MIN_OFFSET_PX * _WIDTH_PX
    return RegistrationShift(
        shift_px=(float(shift[0] * shrink), float(shift[1] * shrink)),
        scale=scale,
        offset_px=offset_px * shrink,
        agreement=agreement,
        misfit=stands_out and moved and agreement < _MISFIT_SHARE,
        fit=stands_out and agreement > _FIT_SHARE,
    )


class RegistrationWatch:
    """Looks at a frame now and then and warns when two looks in a row found the same misfit. Owned by one thread."""

    def __init__(self, period_s: float) -> None:
        """Looks every `period_s` of frame time, seldomer once depth is seen to fit; 0 = never."""
        self._period_ns = round(period_s * 1e9)
        self._next_ns: int | None = None
        self._last_ns: int | None = None
        self._suspicion: RegistrationShift | None = None
        self.warning: str | None = None

    def look(self, frame: RgbdFrame) -> None:
        """Take a frame; mostly that is all."""
        if self._last_ns is not None and frame.stamp_ns < self._last_ns:  # time began again
            self._next_ns = None
        self._last_ns = frame.stamp_ns
        if self._period_ns == 0 or frame.depth_m is None or frame.stamp_ns < (self._next_ns or frame.stamp_ns):
            return
        self._next_ns = frame.stamp_ns + self._period_ns
        found = registration_shift(frame.rgb, frame.depth_m)
        if found is not None:
            self._weigh(found, frame)

    def _weigh(self, found: RegistrationShift, frame: RgbdFrame) -> None:
        if found.fit:
            self.warning = self._suspicion = None
            self._next_ns = frame.stamp_ns + _PERIODS_WHEN_FINE * self._period_ns
        elif found.misfit:
            if self._suspicion is not None and _agree(found, self._suspicion, frame.rgb.shape[1]):
                self.warning = str(found)
            elif self.warning is None:
                self._next_ns = frame.stamp_ns + self._period_ns // _LOOKS_PER_PERIOD_IN_DOUBT
            self._suspicion = found


def _color_edges(rgb: Array) -> tuple[Array, Array]:
    """(h, w) strength of vertical and of horizontal edges, 1 = usual for the neighbourhood."""
    lab = cv2.GaussianBlur(cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB).astype(np.float32), (0, 0), 1.0)
    upright = np.abs(cv2.Scharr(lab, cv2.CV_32F, 1, 0)).max(axis=2)
    level = np.abs(cv2.Scharr(lab, cv2.CV_32F, 0, 1)).max(axis=2)
    return _against_usual(upright), _against_usual(level)


def _against_usual(edges: Array) -> Array:
    usual = cv2.blur(edges, (_NEIGHBOURHOOD_PX, _NEIGHBOURHOOD_PX)) + 0.3 * edges.mean() + 1e-6
    return np.asarray(np.minimum(edges / usual, _STRONGEST))


def _depth_steps(depth_m: Array) -> tuple[Array, Array]:
    """(h, w) True at vertical and at horizontal steps between two known pixels; 0 = unknown.

    Borders of what is unknown tell nothing: shadows of the projector lie beside objects, not on their outlines.
    """
    known = depth_m > 0
    logs = np.log(np.where(known, depth_m, 1))
    upright, level = np.zeros(depth_m.shape, bool), np.zeros(depth_m.shape, bool)
    upright[:, 1:-1] = (np.abs(logs[:, 2:] - logs[:, :-2]) > _STEP) & known[:, 2:] & known[:, :-2]
    level[1:-1] = (np.abs(logs[2:] - logs[:-2]) > _STEP) & known[2:] & known[:-2]
    return upright, level


def _scores(edges: tuple[Array, Array], places: list[Array]) -> Array:
    """(scales, shifts in y, shifts in x) mean strength of color's edges, less what is usual, below depth's steps."""
    height, width = edges[0].shape
    room = [fft.next_fast_len(side + 2 * _REACH_PX, real=True) for side in (height, width)]
    pictures = [fft.rfft2(each - each.mean(), room) for each in edges]
    count, middle = sum(map(len, places)), np.array([width, height]) / 2
    scores = np.empty((len(_SCALES), 2 * _REACH_PX + 1, 2 * _REACH_PX + 1), np.float32)
    for number, scale in enumerate(_SCALES):
        total = np.zeros_like(pictures[0])
        for picture, xy in zip(pictures, places, strict=True):
            moved = np.rint(middle + scale * (xy - middle)).astype(np.intp)
            moved = moved[((moved >= 0) & (moved < (width, height))).all(axis=1)]
            steps = np.zeros(room, np.float32)
            np.add.at(steps, (moved[:, 1], moved[:, 0]), 1)
            total += picture * np.conj(fft.rfft2(steps))
        around = np.roll(fft.irfft2(total, room), (_REACH_PX, _REACH_PX), axis=(0, 1))
        scores[number] = around[: 2 * _REACH_PX + 1, : 2 * _REACH_PX + 1] / count
    return scores


def _stands_out(scores: Array, of_scale: Array) -> bool:
    """Whether the best score is no chance find among so many places."""
    best = of_scale.max()
    sigmas = [(best - np.median(some)) / some.std() for some in (scores, of_scale)]
    return bool(sigmas[0] > _MIN_SIGMA and sigmas[1] > _MIN_SIGMA_OF_SCALE and best > _MIN_STRENGTH)


def _as_given(scores: Array) -> float:
    """The score of depth where it is, or within two shrunken pixels and one step of scale of it."""
    middle = slice(_REACH_PX - 2, _REACH_PX + 3)
    return float(scores[_AS_GIVEN - 1 : _AS_GIVEN + 2, middle, middle].max())


def _agree(one: RegistrationShift, other: RegistrationShift, width_px: int) -> bool:
    moved_px = np.linalg.norm(np.subtract(one.shift_px, other.shift_px)) + abs(one.scale - other.scale) * width_px / 4
    return bool(moved_px < _SAME_SHIFT_PX * width_px)
