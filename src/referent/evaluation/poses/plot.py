"""Error and predicted standard deviation over time: an object a column, the centre above, the axes below."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PIL import Image, ImageDraw, ImageFont

from referent.evaluation.poses.compare import Errors, compare
from referent.evaluation.poses.follow import SINGLE, TRACK, Followed

PLOTTED = ("occlusion", "moving_camera")  # the camera rests and something passes; the camera moves
OBJECTS = 5
PANEL_PX, GAP_PX, LEFT_PX, TOP_PX = (250, 150), 34, 46, 64
MOST_MM, MOST_DEG = 40.0, 30.0  # what is above is drawn at the upper edge
INK, GRID, HIDDEN = "#1f2933", "#dddddd", "#eeeeee"
ERROR, SIGMA, ALONE = "#1b7837", "#b2182b", "#9aa5b1"
LEGEND = ((ERROR, "error of the track"), (SIGMA, "its predicted 1-sigma"), (ALONE, "error, single frame"))
Value = Callable[[Errors], float | None]


def plot(followed: Sequence[Followed]) -> Image.Image:
    """The objects of one scene; grey where too little is seen of the object for its pose to count."""
    shown = followed[:OBJECTS]
    size = (LEFT_PX + len(shown) * (PANEL_PX[0] + GAP_PX), TOP_PX + 2 * (PANEL_PX[1] + GAP_PX))
    picture = Image.new("RGB", (max(size[0], 620), size[1]), "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size=12)
    _legend(draw, font, shown)
    for column, one in enumerate(shown):
        left = LEFT_PX + column * (PANEL_PX[0] + GAP_PX)
        title = f"{one.category} {one.instance_id}"
        panel = _Panel(draw, font, (left, TOP_PX), one)
        panel.fill(f"{title}: centre, mm", MOST_MM, _center_mm, _center_sigma_mm)
        panel = _Panel(draw, font, (left, TOP_PX + PANEL_PX[1] + GAP_PX), one)
        panel.fill(f"{title}: axes, deg", MOST_DEG, _axis_deg, _axis_sigma_deg)
    return picture


def _center_mm(errors: Errors) -> float | None:
    return 1e3 * errors.center_m


def _center_sigma_mm(errors: Errors) -> float | None:
    return None if errors.center_sigma_m is None else 1e3 * errors.center_sigma_m


def _axis_deg(errors: Errors) -> float | None:
    return errors.axis_deg


def _axis_sigma_deg(errors: Errors) -> float | None:
    return errors.axis_sigma_deg


def _legend(
    draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, shown: Sequence[Followed]
) -> None:
    episode = shown[0].episode if shown else None
    draw.text((LEFT_PX, 8), f"{episode.scene}, seed {episode.seed}" if episode else "nothing seen", fill=INK, font=font)
    for place, (color, words) in enumerate(LEGEND):
        x = LEFT_PX + 170 * place
        draw.line([(x, 36), (x + 22, 36)], fill=color, width=3)
        draw.text((x + 28, 28), words, fill=INK, font=font)


class _Panel:
    """One small plot."""

    def __init__(
        self,
        draw: ImageDraw.ImageDraw,
        font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
        corner: tuple[int, int],
        followed: Followed,
    ) -> None:
        self._draw, self._font, self._corner, self._followed = draw, font, corner, followed

    def fill(self, title: str, most: float, value: Value, sigma: Value) -> None:
        """Draw everything in it."""
        left, top = self._corner
        self._shade()
        for share in (0.0, 0.5, 1.0):
            y = self._y(share)
            self._draw.line([(left, y), (left + PANEL_PX[0], y)], fill=GRID)
            self._draw.text((left - 26, y - 7), f"{share * most:g}", fill=INK, font=self._font)
        self._draw.text((left, top - 18), title, fill=INK, font=self._font)
        seconds = self._followed.seen[-1].index / self._followed.episode.fps
        self._draw.text((left + PANEL_PX[0] - 34, top + PANEL_PX[1] + 3), f"{seconds:.1f} s", fill=INK, font=self._font)
        for method, of, color in ((SINGLE, value, ALONE), (TRACK, sigma, SIGMA), (TRACK, value, ERROR)):
            self._curve(method, of, most, color)

    def _shade(self) -> None:
        top = self._corner[1]
        for place, seen in enumerate(self._followed.seen):
            if not self._followed.counts(place):
                x = self._x(seen.index)
                self._draw.rectangle([x, top, self._x(seen.index + 1), top + PANEL_PX[1]], fill=HIDDEN)

    def _curve(self, method: str, of: Value, most: float, color: str) -> None:
        one, points = self._followed, list[tuple[float, float]]()
        for seen, pose in zip(one.seen, one.poses[method], strict=True):
            value = None if pose is None else of(compare(pose, seen, one.category, one.size_m))
            if value is not None:
                points.append((self._x(seen.index), self._y(min(value / most, 1.0))))
            if value is None or seen is one.seen[-1]:
                self._draw.line(points, fill=color, width=2 if method == TRACK else 1)
                points = []

    def _x(self, index: int) -> float:
        return self._corner[0] + PANEL_PX[0] * index / max(self._followed.seen[-1].index, 1)

    def _y(self, share: float) -> float:
        return self._corner[1] + PANEL_PX[1] * (1 - share)
