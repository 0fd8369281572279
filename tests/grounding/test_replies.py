"""Replies as language models write them, against what they mean."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from referent.errors import ConfigError, UnreadableReply
from referent.grounding.coordinates import padded_size, padded_to_aspect, pixels_per_unit
from referent.grounding.replies import locate, read_reply

SIZE = (1280, 720)
REL1000 = pixels_per_unit("rel1000", size=SIZE)
MIDDLE = [640, 360, 960, 540]  # [500, 500, 750, 750] in thousandths of 1280x720

FOUND = {
    "qwen3 cookbook": '```json\n[\n\t{"bbox_2d": [500, 500, 750, 750], "label": "red mug"}\n]\n```',
    "prose around": 'Sure! Here it is: [{"bbox_2d": [500, 500, 750, 750], "label": "red mug"}] Hope that helps.',
    "single quotes": "[{'bbox_2d': [500, 500, 750, 750], 'label': 'red mug'}]",
    "trailing commas and comments": '[{"bbox_2d": [500, 500, 750, 750,], // x1, y1, x2, y2\n "label": "red mug",},]',
    "one object, no list": '{"bbox_2d": [500, 500, 750, 750], "label": "red mug"}',
    "numbers as text": '[{"bbox_2d": ["500", "500", "750", "750"], "label": "red mug"}]',
    "numbers as one text": '{"label": "red mug", "bbox": "[500, 500, 750, 750]"}',
    "list in list": '[{"bbox_2d": [[500, 500, 750, 750]], "label": "red mug"}]',
    "two corners": '[{"bbox_2d": [[500, 500], [750, 750]], "label": "red mug"}]',
    "corner names": '{"label": "red mug", "box": {"x1": 500, "y1": 500, "x2": 750, "y2": 750}}',
    "a score as fifth number": '[{"bbox_2d": [500, 500, 750, 750, 0.9], "label": "red mug"}]',
    "label cut off": '[{"bbox_2d": [500, 500, 750, 750], "label": "red m',
    "box and point": '<think>[1,2,3,4]?</think><answer>[{"bbox_2d": [500,500,750,750], "point_2d": [6,6]}]</answer>',
    "thought never opened": 'the mug is at [1, 2, 3, 4].</think>[{"bbox_2d": [500, 500, 750, 750]}]',
    "bare list": "[500, 500, 750, 750]",
    "swapped corners": '[{"bbox_2d": [750, 750, 500, 500], "label": "red mug"}]',
    "wrapped": '{"objects": [{"bbox_2d": [500, 500, 750, 750], "label": "red mug"}]}',
    "qwen2 tags": "<|object_ref_start|>red mug<|object_ref_end|><|box_start|>(500,500),(750,750)<|box_end|>",
    "qwen2 tags stripped": "red mug(500,500),(750,750)",
    "internvl": "<ref>red mug</ref><box>[[500, 500, 750, 750]]</box>",
    "deepseek": "<|ref|>red mug<|/ref|><|det|>[[500, 500, 750, 750]]<|/det|>",
    "the same box in a loop": '[{"bbox_2d": [500,500,750,750]}, {"bbox_2d": [500,500,751,750]}, {"bbox_2d": [500,5',
    "a broken one beside it": '[{"bbox_2d": {"language": "en"}}, {"bbox_2d": [500, 500, 750, 750]}]',
    "apostrophe in the label": "[{'bbox_2d': [500, 500, 750, 750], 'label': 'anna's mug'}]",
}  # fmt: skip


@pytest.mark.parametrize("name", FOUND)
def test_one_box_is_found_however_it_is_written(name: str) -> None:
    located = locate(FOUND[name], scale=REL1000, size=SIZE)
    boxes = [item.box_xyxy for item in located.items]
    np.testing.assert_allclose(boxes, [MIDDLE])


NOTHING = {
    "empty list": "[]",
    "empty list in a fence": "```json\n[]\n```",
    "empty object": "{}",
    "no objects": '{"objects": []}',
    "null box": '[{"bbox_2d": null, "label": "red mug"}]',
    "empty box": '[{"bbox_2d": [], "label": "red mug"}]',
    "zero box": '[{"bbox_2d": [0, 0, 0, 0], "label": "red mug"}]',
    "one word": "None",
    "list of one word": '["none"]',
    "a sentence": "There is no red mug in the image.",
    "another": "The red mug is not visible.",
    "and another": "I don't see any red mug, so there are none.",
    "after thinking": "<think>Is there a mug? [12, 30, 40, 50] is a can.</think><answer>[]</answer>",
}


@pytest.mark.parametrize("name", NOTHING)
def test_no_match_is_an_answer(name: str) -> None:
    located = locate(NOTHING[name], scale=REL1000, size=SIZE)
    assert located.items == ()
    assert located.nothing


UNREADABLE = {
    "no words": "",
    "chatter": "I would be glad to help you with that.",
    "refusal": "I'm sorry, but I can't help with this request.",
    "thinking only": "<think>The mug may be at [500, 500, 750, 750], or",
    "cut off before a box": '[{"bbox_2d": [500, 500, 75',
    "cut off at once": "[",
    "two of four numbers and more": '[{"bbox_2d": [500, "a", 3, {}]}]',
    "outside the picture": '[{"bbox_2d": [1200, 1200, 1300, 1300]}]',
    "no extent": '[{"bbox_2d": [500, 500, 500, 750]}]',
    "not numbers": '[{"bbox_2d": [NaN, Infinity, 3, 4]}]',
    "deep": "[" * 5000,
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_is_neither_is_a_fault_and_never_nothing(name: str) -> None:
    with pytest.raises(UnreadableReply):
        locate(UNREADABLE[name], scale=REL1000, size=SIZE)


def test_several_objects_keep_their_order_and_labels() -> None:
    text = '[{"bbox_2d": [100, 100, 200, 200], "label": "left"}, {"bbox_2d": [500, 500, 750, 750], "label": "right"}]'
    assert [item.label for item in locate(text, scale=REL1000, size=SIZE).items] == ["left", "right"]


def test_more_regions_than_allowed_are_cut_with_a_note() -> None:
    boxes = [{"bbox_2d": [10 * n, 10, 10 * n + 9, 20]} for n in range(40)]
    located = locate(json.dumps(boxes), scale=REL1000, size=SIZE, max_items=16)
    assert len(located.items) == 16
    assert any("40 regions" in note for note in located.notes)


def test_points_are_read_as_points() -> None:
    one = locate('[{"point_2d": [500, 500], "label": "mug"}]', scale=REL1000, size=SIZE).items
    np.testing.assert_allclose(one[0].points_xy, [[640, 360]])
    many = locate("[(0.5, 0.5), (0.25, 0.75)]", scale=pixels_per_unit("norm1", size=SIZE), size=SIZE).items
    assert [np.asarray(item.points_xy).tolist() for item in many] == [[[640, 360]], [[320, 540]]]


def test_a_box_over_the_edge_is_cut_with_a_note() -> None:
    located = locate('[{"bbox_2d": [900, 900, 1100, 1050]}]', scale=REL1000, size=SIZE)
    np.testing.assert_allclose(located.items[0].box_xyxy, [1152, 648, 1280, 720])
    assert any("edge" in note for note in located.notes)


def test_spaces_of_coordinates_agree_on_one_box() -> None:
    """Golden vectors of Qwen2.5-VL (1280x720 resized to 1288x728) and Qwen3-VL."""
    per_unit = pixels_per_unit("px_model", size=SIZE, model_size=(1288, 728))
    qwen25 = locate("[644, 364, 966, 546]", scale=per_unit, size=SIZE).items[0].box_xyxy
    np.testing.assert_allclose(qwen25, MIDDLE, atol=0.01)
    for space, unit in (("norm1", 1.0), ("pct100", 100.0), ("rel1000", 1000.0)):
        text = json.dumps([value * unit for value in (0.5, 0.5, 0.75, 0.75)])
        box = locate(text, scale=pixels_per_unit(space, size=SIZE), size=SIZE).items[0].box_xyxy
        np.testing.assert_allclose(box, MIDDLE)
    with pytest.raises(ConfigError, match="rel1000"):
        pixels_per_unit("rel10000", size=SIZE)


def test_padding_keeps_pixels_where_they_are() -> None:
    picture = np.arange(40 * 20 * 3, dtype=np.uint8).reshape(40, 20, 3)
    padded = padded_to_aspect(picture, 4 / 3)
    assert padded.shape[1::-1] == padded_size(20, 40, 4 / 3) == (53, 40)
    np.testing.assert_array_equal(padded[:40, :20], picture)


def test_the_span_of_a_region_holds_its_numbers() -> None:
    text = '```json\n[{"bbox_2d": [10, 20, 30, 40], "label": "a"}, {"bbox_2d": [50, 60, 70, 80]}]\n```'
    regions = read_reply(text).regions
    assert [text[region.start : region.end] for region in regions] == ["[10, 20, 30, 40]", "[50, 60, 70, 80]"]


coordinates = st.integers(0, 1000)
answers = st.lists(st.tuples(coordinates, coordinates, coordinates, coordinates, st.text(max_size=8)), max_size=4)


@given(answers, st.integers(0, 400), st.sampled_from(["", "```json\n", "<think>hm [1, 2] </think>", "Here: "]))
def test_a_reply_cut_anywhere_is_read_or_refused_and_never_leaves_the_picture(
    answer: list[tuple[int, int, int, int, str]], cut: int, before: str
) -> None:
    text = before + json.dumps([{"bbox_2d": list(item[:4]), "label": item[4]} for item in answer])
    try:
        located = locate(text[:cut], scale=REL1000, size=SIZE)
    except UnreadableReply:
        return
    for item in located.items:
        assert item.box_xyxy is not None or item.points_xy is not None
        corners = (item.box_xyxy if item.box_xyxy is not None else item.points_xy).reshape(-1, 2)
        assert (corners >= 0).all()
        assert (corners <= SIZE).all()


@given(st.text(alphabet="[]{}()\"'`,:0123456789. \nabx_2d<>/|think-box", max_size=200))
def test_no_text_at_all_breaks_the_reader(text: str) -> None:
    try:
        locate(text, scale=REL1000, size=SIZE)
    except UnreadableReply:
        return


@given(answers)
@example([(0, 0, 0, 0, "\\"), (0, 0, 0, 0, "")])
def test_whole_answers_lose_no_box(answer: list[tuple[int, int, int, int, str]]) -> None:
    text = json.dumps([{"bbox_2d": list(item[:4]), "label": item[4]} for item in answer])
    assert len(read_reply(text).regions) == len(answer)
