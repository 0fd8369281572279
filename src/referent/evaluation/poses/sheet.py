"""The worst boxes drawn on their pictures, beside the true ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from referent.evaluation.poses.drawing import GIVEN, TRUTH, corners_m, draw_box
from referent.evaluation.poses.episodes import HEIGHT_PX, WIDTH_PX, Episode, scene_of
from referent.evaluation.poses.follow import TRACK
from referent.evaluation.poses.rows import Judged
from referent.evaluation.poses.worst import Case
from referent.geometry.camera import project
from referent.sources.simulation.simulate import simulate_many
from referent.types import Array, Intrinsics, RgbdFrame

COLUMNS, TILE_PX, TEXT_PX, HEAD_PX = 4, 300, 50, 34
MARGIN = 1.6  # of the box's outline


def sheet(found: Sequence[Case]) -> Image.Image:
    """A tile for each of the worst poses: the true box green, the given one orange, its x, y, z red, green, blue."""
    frames = _frames(found)
    tiles = [_tile(case, frames[_place(case.judged)]) for case in found]
    rows = max(1, -(-len(tiles) // COLUMNS))
    whole = Image.new("RGB", (COLUMNS * TILE_PX, HEAD_PX + rows * (TILE_PX + TEXT_PX)), "white")
    words = "The worst poses: true box green, given box orange with its x red, y green, z blue"
    ImageDraw.Draw(whole).text((8, 8), words, fill="black", font=ImageFont.load_default(size=16))
    for place, tile in enumerate(tiles):
        row, column = divmod(place, COLUMNS)
        whole.paste(tile, (column * TILE_PX, HEAD_PX + row * (TILE_PX + TEXT_PX)))
    return whole


def _place(one: Judged) -> tuple[Episode, int]:
    return one.followed.episode, one.followed.seen[one.place].index


def _frames(found: Sequence[Case]) -> dict[tuple[Episode, int], RgbdFrame]:
    """The frames that are shown, each drawn anew once."""
    wanted = {_place(case.judged) for case in found}
    scenes = {episode: scene_of(episode) for episode, _ in wanted}
    return {
        (episode, index): simulate_many([(scenes[episode], index)], fps=episode.fps, width=WIDTH_PX, height=HEIGHT_PX)[
            0
        ].frame
        for episode, index in wanted
    }


def _tile(case: Case, frame: RgbdFrame) -> Image.Image:
    one = case.judged
    followed, seen = one.followed, one.followed.seen[one.place]
    given = followed.poses[TRACK][one.place]
    assert given is not None
    picture = frame.rgb.copy()
    draw_box(picture, seen.camera_from_object, followed.size_m, frame.intrinsics, color=TRUTH)
    draw_box(picture, given.camera_from_object, given.size_m, frame.intrinsics, color=GIVEN, axes=True)
    corners = corners_m(seen.camera_from_object, followed.size_m)
    tile = Image.new("RGB", (TILE_PX, TILE_PX + TEXT_PX), "white")
    tile.paste(_cut(picture, corners, frame.intrinsics), (0, 0))
    text = (
        f"{case.measure} {case.value:.1f}: {followed.category} {followed.instance_id}, {100 * seen.share:.0f} % seen\n"
    )
    text += f"{followed.episode.scene} {followed.episode.seed}, frame {seen.index}, {given.source}"
    ImageDraw.Draw(tile).text((4, TILE_PX + 4), text, fill="black", font=ImageFont.load_default(size=13))
    return tile


def _cut(picture: Array, corners: Array, camera: Intrinsics) -> Image.Image:
    """A square around the corners (8, 3), as large as a tile."""
    pixels = project(corners, camera)
    middle = np.nanmean(pixels, axis=0)
    half = max(40.0, MARGIN * float(np.nanmax(np.abs(pixels - middle))))
    edges = [*(middle - half), *(middle + half)]
    left, top, right, bottom = (round(float(edge)) for edge in edges)
    return Image.fromarray(picture).crop((left, top, right, bottom)).resize((TILE_PX, TILE_PX))
