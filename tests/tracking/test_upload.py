"""Pictures reach the device unharmed, whoever owns their memory and whenever it is used again."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from referent.tracking.upload import BufferRotation, FrameUploader, tensor_from_picture
from referent.types import Array


class Copy:
    """A copy under way that notes when it is waited for."""

    def __init__(self) -> None:
        self.waits = 0

    def synchronize(self) -> None:
        self.waits += 1


def a_picture(height: int = 4, width: int = 6) -> Array:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3)).astype(np.uint8)


def rotation() -> BufferRotation:
    return BufferRotation(lambda shape: torch.zeros(shape, dtype=torch.uint8))


def test_two_buffers_take_turns_and_the_first_is_used_again() -> None:
    buffers = rotation()
    first, second, third = (buffers.take((4, 6, 3)) for _ in range(3))
    assert first is not second
    assert third is first


def test_a_buffer_is_not_overwritten_while_its_copy_is_under_way() -> None:
    buffers = rotation()
    copies = [Copy(), Copy(), Copy()]
    for number, copy in enumerate(copies):
        buffers.take((4, 6, 3)).in_flight = copy
        assert [c.waits for c in copies] == [1 if number >= 2 and c is copies[0] else 0 for c in copies]
    buffers.take((4, 6, 3))
    assert [copy.waits for copy in copies] == [1, 1, 0]


def test_a_buffer_whose_copy_was_waited_for_is_not_waited_for_twice() -> None:
    buffers, copy = rotation(), Copy()
    buffers.take((2, 2, 3)).in_flight = copy
    for _ in range(4):
        buffers.take((2, 2, 3))
    assert copy.waits == 1


def test_another_picture_size_gets_new_memory_only_after_the_old_was_copied() -> None:
    buffers, copy = rotation(), Copy()
    small = buffers.take((2, 2, 3))
    small.in_flight = copy
    buffers.take((2, 2, 3))
    large = buffers.take((4, 6, 3))
    assert copy.waits == 1
    assert large.pixels.shape == (4, 6, 3)
    assert large.in_flight is None


def test_on_the_cpu_a_picture_is_passed_through_without_a_copy() -> None:
    rgb = a_picture()
    assert FrameUploader("cpu").upload(rgb).data_ptr() == rgb.ctypes.data


def test_a_picture_that_may_not_be_written_is_copied() -> None:
    rgb = a_picture()
    rgb.setflags(write=False)
    tensor = tensor_from_picture(rgb)
    assert tensor.data_ptr() != rgb.ctypes.data
    assert (tensor.numpy() == rgb).all()


def test_views_that_torch_cannot_share_are_copied_and_others_are_not() -> None:
    rgb = a_picture()
    assert (tensor_from_picture(rgb[:, ::-1]).numpy() == rgb[:, ::-1]).all()
    assert tensor_from_picture(rgb[1:, 2:]).data_ptr() == rgb[1:, 2:].ctypes.data


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_every_picture_arrives_although_its_memory_changes_at_once() -> None:
    uploader, rgb = FrameUploader("cuda"), np.zeros((480, 640, 3), np.uint8)
    arrived = []
    for number in range(20):
        rgb[:] = number
        arrived.append(uploader.upload(rgb))
    assert [(picture == number).all().item() for number, picture in enumerate(arrived)] == [True] * 20
