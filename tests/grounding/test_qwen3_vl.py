"""The Qwen3-VL adapter with real checkpoints of the architecture: an untrained one, and the bundled one."""

from __future__ import annotations

import json
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from questions import a_request

from referent.config import GrounderConfig
from referent.errors import (
    BadInstruction,
    BadMessage,
    ConfigError,
    GrounderUnavailable,
    UnreadableReply,
    WeightsMissing,
)
from referent.evaluation.heldout.grounder import OTHER_PICTURE, UNSEEN, judge_grounder
from referent.evaluation.heldout.questions import PLAIN
from referent.grounding.backends.qwen3_vl import Qwen3VLGrounder, load_model, picture_for_model, speak
from referent.grounding.confidence import Platt
from referent.grounding.picture import ground_picture, grounding_lines
from referent.grounding.prompts import chat_messages, question
from referent.grounding.score_calibration import FILE, Calibration, write_calibration
from referent.sources.simulation.scenes import named_scene
from referent.sources.simulation.simulate import simulate
from referent.sources.simulation.truth import SimulatedFrame
from referent.training.grounder_model import PICTURE_SIZES, build_model, build_processor, build_tokenizer, save_bundle
from referent.types import Grounding, Turn


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("untrained")
    tokenizer = build_tokenizer(["red", "mug", "pick", "up", "the"])
    save_bundle(build_model(tokenizer), build_processor(tokenizer), folder)
    return folder


def a_config(model: str | Path, **changes: Any) -> GrounderConfig:
    return replace(GrounderConfig(model=str(model), device="cpu", threads=1), **changes)


def test_the_question_quotes_the_expression_and_cannot_be_broken_out_of() -> None:
    assert '"pick up the red mug" in' in question("  pick up \n the red mug! ")
    assert question('the "red" mug').count('"') == 2


def test_history_becomes_earlier_turns_and_the_picture_comes_first() -> None:
    messages = chat_messages("no, the blue one", [Turn("the mug", "[]")])
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]
    kinds = [[part["type"] for part in message["content"]] for message in messages]
    assert kinds == [["text"], ["image", "text"], ["text"], ["text"]]


def test_an_untrained_model_rambles_and_that_is_a_fault_not_an_empty_answer(untrained: Path) -> None:
    grounder = Qwen3VLGrounder(a_config(untrained, max_new_tokens=8))
    with pytest.raises(UnreadableReply):
        grounder.ground(a_request("the red mug"))


def test_a_saved_checkpoint_says_the_same_words_with_probabilities(untrained: Path) -> None:
    model, processor = load_model(untrained, "cpu")
    rgb = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    first = speak(model, processor, rgb, chat_messages("the red mug"), max_new_tokens=6)
    again = speak(*load_model(untrained, "cpu"), rgb, chat_messages("the red mug"), max_new_tokens=6)
    assert first == again
    assert all(0 < probability <= 1 for _, probability in first)


def test_a_cancelled_answer_ends_at_the_next_word(untrained: Path) -> None:
    grounder = Qwen3VLGrounder(a_config(untrained, max_new_tokens=4000))
    threading.Timer(0.5, grounder.cancel).start()
    started = time.perf_counter()
    with pytest.raises(GrounderUnavailable, match="cancelled"):
        grounder.ground(a_request("the red mug"))
    assert time.perf_counter() - started < 10
    said = speak(
        *load_model(untrained, "cpu"),
        np.zeros((48, 64, 3), np.uint8),
        chat_messages("the red mug"),
        max_new_tokens=50,
        unwanted=lambda: True,
    )
    assert len(said) <= 1


def test_missing_weights_and_wrong_models_are_named() -> None:
    with pytest.raises(WeightsMissing, match="no-such-model"):
        Qwen3VLGrounder(a_config("no-such-model"))
    with pytest.raises(ConfigError, match="sam2"):
        Qwen3VLGrounder(a_config("referent-sam2-small"))


def test_a_damaged_checkpoint_is_named(untrained: Path, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((untrained / name).read_bytes())
    with pytest.raises(WeightsMissing, match="whole Qwen3-VL"):
        Qwen3VLGrounder(a_config(tmp_path))


def test_no_gpu_where_one_is_demanded_is_a_setting_to_change(untrained: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ConfigError, match="cuda"):
        Qwen3VLGrounder(a_config(untrained, device="cuda"))


def test_pictures_that_are_none_and_empty_texts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadMessage, match="cannot be read"):
        ground_picture(tmp_path / "none.png", "the red mug", GrounderConfig())
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(BadMessage, match="no picture"):
        ground_picture(tmp_path / "text.png", "the red mug", GrounderConfig())
    with pytest.raises(BadInstruction):
        ground_picture(tmp_path / "text.png", " ", GrounderConfig())


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (1280, 720), (333, 257), (31, 200), (1000, 1000)])
@pytest.mark.parametrize("known", [((256, 192),), PICTURE_SIZES])
def test_every_shape_of_picture_reaches_a_model_on_a_grid_it_knows(
    untrained: Path, size: tuple[int, int], known: tuple[tuple[int, int], ...]
) -> None:
    """A marked pixel stays where it is told to be: padding and resizing agree with the scale of the coordinates."""
    _, processor = load_model(untrained, "cpu")
    width, height = size
    rgb = np.zeros((height, width, 3), np.uint8)
    y, x = height * 3 // 4, width // 4
    rgb[max(0, y - 8) : y + 8, max(0, x - 8) : x + 8] = 255
    shown, (wide, high) = picture_for_model(rgb, known)
    shown_size = (shown.shape[1], shown.shape[0])
    assert shown_size in known
    grid = processor.image_processor(images=[Image.fromarray(shown)])["image_grid_thw"][0].tolist()
    assert grid == [1, shown_size[1] // 16, shown_size[0] // 16]
    assert wide / high == pytest.approx(shown_size[0] / shown_size[1], rel=0.02)
    ys, xs = np.nonzero(shown[..., 0] > 200)
    assert abs(xs.mean() / shown_size[0] * wide - x) <= 1.5 * wide / shown_size[0]
    assert abs(ys.mean() / shown_size[1] * high - y) <= 1.5 * high / shown_size[1]


def test_a_picture_is_shown_in_the_nearest_shape_and_hardly_padded() -> None:
    for size, shape in (((640, 480), (256, 192)), ((1280, 720), (288, 160)), ((480, 640), (192, 256))):
        shown, (wide, high) = picture_for_model(np.zeros((size[1], size[0], 3), np.uint8), PICTURE_SIZES)
        assert (shown.shape[1], shown.shape[0]) == shape
        assert wide * high <= 1.02 * size[0] * size[1]


@pytest.fixture(scope="module")
def bundled() -> Qwen3VLGrounder:
    return Qwen3VLGrounder(a_config("referent-qwen3vl-tiny"))


@pytest.fixture(scope="module")
def tabletop() -> SimulatedFrame:
    return next(iter(simulate(named_scene("tabletop"), frames=1)))


def iou(a: np.ndarray, b: np.ndarray) -> float:
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    shared = np.prod(np.clip(high - low, 0, None))
    return float(shared / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared))


def truth_box(simulated: SimulatedFrame, category: str, color: str) -> np.ndarray:
    (found,) = [t for t in simulated.truth.objects if (t.category, t.color) == (category, color)]
    return np.asarray(found.box_xyxy)


def only_box(grounding: Grounding) -> np.ndarray:
    assert len(grounding.items) == 1, grounding.raw
    return np.asarray(grounding.items[0].box_xyxy)


@pytest.mark.parametrize("text", ["pick up the red mug", "find the red mug please", "Where is the red mug?"])
def test_the_bundled_model_finds_the_red_mug_on_the_table(
    bundled: Qwen3VLGrounder, tabletop: SimulatedFrame, text: str
) -> None:
    grounding = bundled.ground(a_request(text, tabletop.frame.rgb))
    assert iou(only_box(grounding), truth_box(tabletop, "mug", "red")) > 0.5
    assert grounding.items[0].score is not None
    assert grounding.items[0].label == "red mug"


def test_the_bundled_model_says_nothing_when_it_is_not_there(
    bundled: Qwen3VLGrounder, tabletop: SimulatedFrame
) -> None:
    grounding = bundled.ground(a_request("pick up the purple banana", tabletop.frame.rgb))
    assert grounding.items == ()
    assert grounding.raw == "[]"
    assert grounding.nothing_score is not None
    assert 0.5 < grounding.nothing_score <= 1


def test_a_found_thing_is_as_sure_to_be_there_as_nothing_is_unsure(
    bundled: Qwen3VLGrounder, tabletop: SimulatedFrame
) -> None:
    grounding = bundled.ground(a_request("pick up the red mug", tabletop.frame.rgb))
    assert grounding.nothing_score is not None
    assert 0 <= grounding.nothing_score < 0.5
    assert grounding.items[0].score is not None
    assert 0.5 < grounding.items[0].score <= 1


def test_a_calibration_changes_the_scores_and_nothing_else(tabletop: SimulatedFrame) -> None:
    config = a_config("referent-qwen3vl-tiny")
    straight = Qwen3VLGrounder(config, Calibration())
    bent = Qwen3VLGrounder(config, Calibration(score=Platt(2.0, -1.0), nothing=Platt(0.5, 0.3)))
    for text in ("pick up the red mug", "pick up the purple banana"):
        as_said, fitted = (grounder.ground(a_request(text, tabletop.frame.rgb)) for grounder in (straight, bent))
        assert fitted.raw == as_said.raw
        assert fitted.nothing_score == pytest.approx(Platt(0.5, 0.3).of(as_said.nothing_score or 0.0))
        for item, straight_item in zip(fitted.items, as_said.items, strict=True):
            assert item.score == pytest.approx(Platt(2.0, -1.0).of(straight_item.score or 0.0))


def test_a_models_own_calibration_is_used_and_one_of_other_weights_refused(untrained: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(untrained, tmp_path / "model"))
    weights = folder / "model.safetensors"
    write_calibration(folder / FILE, Calibration(), weights, {})
    Qwen3VLGrounder(a_config(folder))
    write_calibration(folder / FILE, Calibration(), folder / "config.json", {})
    with pytest.raises(WeightsMissing, match="of other weights"):
        Qwen3VLGrounder(a_config(folder))


def test_the_bundled_model_answers_about_unseen_pictures_in_unseen_sentences_and_does_look(
    bundled: Qwen3VLGrounder,
) -> None:
    """The card's numbers with room for a small sample."""
    outcomes = judge_grounder(bundled, first_seed=7000, scenes=10, shape_scenes=0).outcomes
    for case, kind, least in (
        (PLAIN, "attribute", 0.75),
        (PLAIN, "absent", 0.75),
        (UNSEEN, "attribute", 0.7),
        (UNSEEN, "absent", 0.7),
    ):
        right = [outcome.right for outcome in outcomes if (outcome.case, outcome.kind) == (case, kind)]
        assert len(right) > 5
        assert np.mean(right) >= least, (case, kind)
    assert np.mean([outcome.right for outcome in outcomes if outcome.case == OTHER_PICTURE]) <= 0.2


@pytest.mark.parametrize("cut", [(slice(None), slice(0, 360)), (slice(0, 360), slice(None))])
def test_other_shapes_than_4_to_3_keep_their_coordinates(
    bundled: Qwen3VLGrounder, tabletop: SimulatedFrame, cut: tuple[slice, slice]
) -> None:
    """A portrait and a 16:9 part of the picture: the same answer as on the whole, padded, in the part's own pixels."""
    part = np.ascontiguousarray(tabletop.frame.rgb[cut])
    mug = truth_box(tabletop, "mug", "red")
    if mug[2] > part.shape[1] or mug[3] > part.shape[0]:
        pytest.skip("the mug does not stand in this part of the picture")
    assert iou(only_box(bundled.ground(a_request("pick up the red mug", part))), mug) > 0.5


def test_one_picture_on_the_command_line(tabletop: SimulatedFrame, tmp_path: Path) -> None:
    import cv2

    path = tmp_path / "table.png"
    cv2.imwrite(str(path), tabletop.frame.rgb[..., ::-1])
    grounding = ground_picture(path, "the red mug", a_config("referent-qwen3vl-tiny"))
    told = json.loads(grounding_lines(grounding, as_json=True))
    assert iou(np.array(told["items"][0]["bbox_xyxy"]), truth_box(tabletop, "mug", "red")) > 0.5
    assert grounding_lines(grounding, as_json=False).startswith("red mug: box ")
