"""The door for files: nothing is opened that promises more than it may hold."""

from __future__ import annotations

import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from referent.config import GrounderConfig
from referent.errors import BadMessage, ConfigError
from referent.types import Intrinsics


def a_huge_png(side: int) -> bytes:
    """A small file that promises side x side grey pixels, all black."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    )


def test_a_small_file_that_promises_a_huge_picture_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    from referent.grounding.picture import ground_picture
    from referent.memory.crops import rgb_from_jpeg
    from referent.messages import rgb_from_image
    from referent.posing.picture_files import read_depth
    from referent.sources.folder import PictureFolder

    bomb = a_huge_png(30_000)
    path = tmp_path / "color" / "000000.png"
    path.parent.mkdir()
    path.write_bytes(bomb)
    with pytest.raises(BadMessage, match="30000x30000"):
        ground_picture(path, "the mug", GrounderConfig())
    with pytest.raises(BadMessage, match="30000x30000"):
        read_depth(path, Intrinsics(8, 8, 8.0, 8.0, 4.0, 4.0), unit_m=0.001, max_depth_m=10.0)
    compressed = type("CompressedImage", (), {"format": "png", "data": bomb, "header": None})
    with pytest.raises(BadMessage, match="30000x30000"):
        rgb_from_image(compressed)
    assert rgb_from_jpeg(bomb) is None
    (tmp_path / "depth").mkdir()
    (tmp_path / "depth" / "000000.png").write_bytes(bomb)
    (tmp_path / "camera.json").write_text(json.dumps({"width": 8, "height": 8, "fx": 8, "fy": 8, "cx": 4, "cy": 4}))
    with pytest.raises(BadMessage, match="30000x30000"):
        list(PictureFolder(tmp_path))


def an_npy_that_promises(shape: tuple[int, ...], folder: Path) -> Path:
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f4", "fortran_order": False, "shape": shape})
    path = folder / "promise.npy"
    path.write_bytes(head.getvalue() + b"\0" * 64)
    return path


def test_an_array_is_no_larger_than_its_file(tmp_path: Path) -> None:
    from referent.geometry.models.loading import load_model
    from referent.posing.picture_files import read_depth

    path = an_npy_that_promises((1 << 20, 1 << 20), tmp_path)
    with pytest.raises(BadMessage, match="not a NumPy array"):
        read_depth(path, Intrinsics(8, 8, 8.0, 8.0, 4.0, 4.0), unit_m=0.001, max_depth_m=10.0)
    with pytest.raises(ConfigError, match="not a list of points"):
        load_model(an_npy_that_promises((1 << 40, 3), tmp_path))


def test_a_mesh_file_has_a_bound_and_must_hold_what_it_promises(tmp_path: Path) -> None:
    from referent.geometry.models import loading

    path = tmp_path / "huge.ply"
    with path.open("wb") as file:
        file.truncate(loading.LARGEST_BYTES + 1)  # sparse: takes no room
    with pytest.raises(ConfigError, match="bytes"):
        loading.load_model(path)
    promise = tmp_path / "promise.ply"
    promise.write_bytes(
        b"ply\nformat binary_little_endian 1.0\nelement vertex 4000000000\nproperty float x\nproperty float y\n"
        b"property float z\nend_header\n"
    )
    with pytest.raises(ConfigError):
        loading.load_model(promise)
