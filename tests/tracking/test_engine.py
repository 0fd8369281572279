"""The engine: one batch of objects is what each is alone, which is what the official `track_step` makes of it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from clips import a_clip
from official_parts import an_official_model, assert_close
from torch import Tensor

from referent.config import TrackerConfig
from referent.tracking.engine import Sam2Engine, Sightings, Signal
from referent.tracking.features import FrameFeatures
from referent.tracking.masks import fill_small_holes
from referent.tracking.memory import MemoryEntry, MemoryReading
from referent.tracking.preprocess import image_from_rgb
from referent.tracking.prompts import PromptInputs
from referent.tracking.sam2_tracker import Sam2Tracker
from referent.types import Array, Prompt
from referent.weights import resolve

BOX = PromptInputs(torch.tensor([[[8.0, 42.0], [42.0, 86.0]]]), torch.tensor([[2, 3]], dtype=torch.int32))
pytestmark = pytest.mark.usefixtures("one_thread_no_gradients")
POINT = PromptInputs(torch.tensor([[[100.0, 80.0]]]), torch.tensor([[1]], dtype=torch.int32))


@pytest.fixture(scope="module")
def official() -> Any:
    """Whose objects are mostly in view."""
    model = an_official_model()
    with torch.no_grad():
        model.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.add_(4.0)
    return model


@pytest.fixture(scope="module")
def engine(official: Any) -> Sam2Engine:
    return Sam2Engine(copy.deepcopy(official))


def seen_by(engine: Sam2Engine, index: int) -> FrameFeatures:
    frame = a_clip(index + 1)[index]
    return FrameFeatures(index, frame.stamp_ns, frame.rgb.shape[:2], engine.encode(frame.rgb))


def a_reading(engine: Sam2Engine, *, frames: int, prompt: PromptInputs = BOX) -> MemoryReading:
    """What frame `frames` reads of an object prompted in frame 0 and tracked since."""
    entries = [engine.start(seen_by(engine, 0), prompt).memories[0]]
    for index in range(1, frames):
        entries += engine.follow(seen_by(engine, index), [reading_of(entries)]).memories
    return reading_of(entries)


def reading_of(entries: Sequence[MemoryEntry]) -> MemoryReading:
    """The first is the conditioning frame, the last the one just before; all are recent enough to be read."""
    first, *tracked = entries
    ages = [(len(tracked) - i, entry) for i, entry in enumerate(tracked)]
    pointers = [(age, entry.pointer) for age, entry in reversed(ages)]
    return MemoryReading(((0, first), *ages), ((len(entries), first.pointer), *pointers))


def rows(sightings: Sightings) -> list[tuple[Tensor, ...]]:
    """Logits, signals, memory and pointer of each object."""
    return [
        (logits, signals, entry.features.float(), entry.pointer)
        for logits, signals, entry in zip(sightings.low_res_logits, sightings.signals, sightings.memories, strict=True)
        if entry.features is not None
    ]


def assert_alike(one: tuple[Tensor, ...], other: tuple[Tensor, ...]) -> None:
    """Sums in another order differ in the last bits, and so may memories rounded to bfloat16."""
    logits, signals, memory, pointer = one
    assert_close(logits, other[0], relative=1e-4)
    assert_close(signals[Signal.OBJECT_SCORE], other[1][Signal.OBJECT_SCORE], relative=1e-4)
    torch.testing.assert_close(signals, other[1], rtol=1e-4, atol=0.01)  # a pixel at the threshold more or less
    assert_close(memory, other[2], relative=2**-7)
    assert (memory == other[2]).float().mean() > 0.98
    assert_close(pointer, other[3], relative=1e-4)


@pytest.fixture(scope="module")
def readings(engine: Sam2Engine) -> list[MemoryReading]:
    """Of objects prompted one, four and six frames ago."""
    with torch.inference_mode():
        return [
            a_reading(engine, frames=1),
            a_reading(engine, frames=6, prompt=POINT),
            a_reading(engine, frames=4),
        ]


def test_objects_of_different_memories_are_followed_in_one_batch_as_alone(
    engine: Sam2Engine, readings: list[MemoryReading]
) -> None:
    assert len({len(reading.spatial) for reading in readings}) == len(readings)
    frame = seen_by(engine, 7)
    together = rows(engine.follow(frame, readings))
    assert len(together) == len(readings)
    for row, reading in zip(together, readings, strict=True):
        assert_alike(row, rows(engine.follow(frame, [reading]))[0])


def test_the_order_of_the_objects_is_theirs(engine: Sam2Engine, readings: list[MemoryReading]) -> None:
    frame = seen_by(engine, 7)
    forward = rows(engine.follow(frame, readings))
    backward = rows(engine.follow(frame, readings[::-1]))
    for row, other in zip(forward, reversed(backward), strict=True):
        assert_alike(row, other)
    scale = forward[0][0].abs().max()
    assert (forward[0][0] - forward[1][0]).abs().max() > 0.01 * scale, "objects that are alike prove nothing"


def test_objects_of_equal_memories_need_no_bias_and_are_followed_as_alone(
    engine: Sam2Engine, readings: list[MemoryReading]
) -> None:
    equal = [readings[2], a_reading(engine, frames=4, prompt=POINT)]
    frame = seen_by(engine, 7)
    for row, reading in zip(rows(engine.follow(frame, equal)), equal, strict=True):
        assert_alike(row, rows(engine.follow(frame, [reading]))[0])


# Against the official model


class OfficialObject:
    """One object followed by the official `track_step`, with memories in bfloat16 as the predictor keeps them."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.outputs: dict[str, dict[int, Any]] = {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}

    def step(
        self, index: int, prompt: PromptInputs | None = None, *, previous: Tensor | None = None, is_first: bool = False
    ) -> dict[str, Any]:
        model, clip = self.model, a_clip(index + 1)
        picture = model.forward_image(image_from_rgb(clip[index].rgb, size_px=model.image_size))
        _, features, positions, sizes = model._prepare_backbone_features(picture)
        points = None
        if prompt is not None and prompt.points_xy is not None:
            points = {"point_coords": prompt.points_xy, "point_labels": prompt.point_labels}
        found = model.track_step(
            index,
            is_first,
            features,
            positions,
            sizes,
            points,
            None if prompt is None else prompt.mask,
            self.outputs,
            num_frames=100,
            prev_sam_mask_logits=previous,
            run_mem_encoder=prompt is None,
        )
        if prompt is not None:  # prompted frames are remembered by their low-resolution masks, hard
            found["maskmem_features"], found["maskmem_pos_enc"] = model._encode_new_memory(
                features, sizes, self._high_res(found["pred_masks"]), found["object_score_logits"], True
            )
        found["maskmem_features"] = found["maskmem_features"].bfloat16()
        self.outputs["non_cond_frame_outputs" if prompt is None else "cond_frame_outputs"][index] = found
        return found

    def _high_res(self, low_res: Tensor) -> Tensor:
        size = (self.model.image_size, self.model.image_size)
        return torch.nn.functional.interpolate(low_res, size=size, mode="bilinear", align_corners=False)


def assert_as_officially(sightings: Sightings, found: dict[str, Any]) -> None:
    ((logits, signals, memory, pointer),) = rows(sightings)
    true_memory = found["maskmem_features"].float().flatten(2).transpose(1, 2)[0]
    true_signals = signals.clone()
    true_signals[Signal.OBJECT_SCORE] = found["object_score_logits"][0, 0]
    assert_alike(
        (logits, signals, memory, pointer), (found["pred_masks"][0], true_signals, true_memory, found["obj_ptr"][0])
    )


@pytest.mark.parametrize("prompt", [BOX, POINT], ids=["box", "point"])
def test_a_prompted_object_is_started_and_followed_as_officially(
    prompt: PromptInputs, engine: Sam2Engine, official: Any
) -> None:
    truth = OfficialObject(official)
    started = engine.start(seen_by(engine, 0), prompt)
    assert_as_officially(started, truth.step(0, prompt, is_first=True))
    entries = list(started.memories)
    for index in range(1, 6):
        sightings = engine.follow(seen_by(engine, index), [reading_of(entries)])
        assert_as_officially(sightings, truth.step(index))
        entries += sightings.memories


def test_a_correction_of_a_tracked_frame_is_the_official_one(engine: Sam2Engine, official: Any) -> None:
    truth = OfficialObject(official)
    truth.step(0, BOX, is_first=True)
    tracked = [truth.step(index) for index in range(1, 5)]
    previous = tracked[-1]["pred_masks"]
    del truth.outputs["non_cond_frame_outputs"][4]
    found = truth.step(4, POINT, previous=previous.clamp(-32, 32))
    refined = engine.refine(seen_by(engine, 4), POINT, a_reading(engine, frames=4), previous)
    assert_as_officially(refined, found)


def a_square_mask(side: int) -> Tensor:
    """With a hole of four low-resolution pixels and one of many."""
    mask = torch.zeros(1, 1, side, side)
    mask[..., 16:112, 16:112] = 1
    mask[..., 32:40, 32:40] = 0
    mask[..., 64:96, 64:96] = 0
    return mask


def test_a_given_mask_is_started_as_officially(engine: Sam2Engine, official: Any) -> None:
    given = PromptInputs(mask=a_square_mask(engine.image_size))
    sightings = engine.start(seen_by(engine, 0), given)
    assert_as_officially(sightings, OfficialObject(official).step(0, given, is_first=True))
    (signals,) = sightings.signals
    assert signals[Signal.PREDICTED_IOU] == signals[Signal.STABILITY] == signals[Signal.ALTERNATIVE_IOU] == 1
    assert signals[Signal.AREA].item() == pytest.approx((96**2 - 8**2 - 32**2) / 128**2)


def test_a_given_mask_corrects_without_a_look_at_memory(engine: Sam2Engine, readings: list[MemoryReading]) -> None:
    given, frame = PromptInputs(mask=a_square_mask(engine.image_size)), seen_by(engine, 4)
    refined = engine.refine(frame, given, readings[0], torch.zeros(1, 1, 32, 32))
    assert_alike(rows(refined)[0], rows(engine.start(frame, given))[0])


def test_small_holes_are_filled_in_what_is_shown_and_in_what_is_remembered(official: Any) -> None:
    filling = Sam2Engine(copy.deepcopy(official), fill_hole_area=4)
    exact = Sam2Engine(copy.deepcopy(official))
    given, frame = PromptInputs(mask=a_square_mask(128)), seen_by(filling, 0)
    shown, with_holes = filling.start(frame, given), exact.start(frame, given)
    assert torch.equal(shown.low_res_logits, fill_small_holes(with_holes.low_res_logits, 4))
    holes_filled = (shown.low_res_logits > 0) & ~(with_holes.low_res_logits > 0)
    assert holes_filled.nonzero().tolist() == [[0, 0, y, x] for y in (8, 9) for x in (8, 9)], "the large one stays"
    whole = a_square_mask(128)
    whole[..., 32:40, 32:40] = 1
    remembered, truth = (rows(s)[0][2] for s in (shown, exact.start(frame, PromptInputs(mask=whole))))
    other = rows(with_holes)[0][2]
    assert (remembered - truth).abs().mean() < 0.5 * (other - truth).abs().mean()


def test_an_embedding_starts_an_object_as_the_point_it_was_made_of(engine: Sam2Engine, official: Any) -> None:
    sparse, _ = official.sam_prompt_encoder(points=(BOX.points_xy, BOX.point_labels), boxes=None, masks=None)
    frame = seen_by(engine, 0)
    by_embedding = engine.start(frame, PromptInputs(embedding=sparse))
    # A box is decoded to one mask, as embeddings are.
    assert_alike(rows(by_embedding)[0], rows(engine.start(frame, BOX))[0])


# In bfloat16


def tracked_masks(precision: str) -> Iterator[tuple[Array, Array]]:
    """(mask, truth) by frame: the bundled model on a simulated clip, prompted once with the true box."""
    from referent.sources.simulation.scenes import named_scene
    from referent.sources.simulation.simulate import simulate

    tracker = Sam2Tracker(TrackerConfig(precision=precision), resolve("referent-sam2-small"))
    frames = simulate(named_scene("tabletop", 100), frames=20, width=320, height=240)
    for index, simulated in enumerate(frames):
        found: Any = tracker.step(simulated.frame)
        target = simulated.truth.objects[0]
        if index == 0:
            box = np.asarray(target.box_xyxy, np.float32)
            found = [tracker.prompt(Prompt("target", simulated.frame.stamp_ns, box_xyxy=box))]
        yield found[0].mask, simulated.truth.instance_ids == target.instance_id


def iou(one: Array, other: Array) -> float:
    return float((one & other).sum() / max((one | other).sum(), 1))


def test_in_bfloat16_the_bundled_model_sees_the_same_masks_for_twenty_frames() -> None:
    precise, low = list(tracked_masks("fp32")), list(tracked_masks("bf16"))
    agreement = [iou(a, b) for (a, _), (b, _) in zip(precise, low, strict=True)]
    assert min(agreement) >= 0.97, agreement
    assert len(agreement) == 20
    assert min(iou(mask, truth) for mask, truth in low) > 0.7
