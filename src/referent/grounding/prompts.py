"""The words in which a multimodal LLM is asked: a grounding request as chat messages.

Format instructions follow the Qwen3-VL cookbook (QwenLM/Qwen3-VL, "2d_grounding"): boxes in JSON under "bbox_2d". The
bundled `referent-qwen3vl-tiny` is trained on exactly this text, so a change here needs a new training run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from referent.grounding.coordinates import numbers_from
from referent.types import GroundingRequest, LiveTrack, Turn

SYSTEM = "You are the eyes of a robot. You locate the objects that its user speaks of."
QUESTION_HEAD = 'Locate every object that matches the description "'
QUESTION_TAIL = '" in the image. Report bbox coordinates in JSON format. If nothing matches, answer [].'
TRACKS_HEAD = " The robot follows these already, by number: "

# Templates mark turns and pictures as <|im_start|>, <image>, [INST], {{...}}: words hold no such brackets.
_WORDS = str.maketrans({'"': "'", "<": "(", ">": ")", "[": "(", "]": ")", "{": "(", "}": ")"})
_ANSWER = str.maketrans({"<": "(", ">": ")"})  # which is JSON as a rule
_MARKS = re.compile(r"\[(?=/?INST)|\{(?=[{%])")  # that JSON does not have

Message = dict[str, Any]


def tidy_expression(expression: str) -> str:
    """`expression` on one line, without what would end the quotation or, in a chat template, the turn."""
    return " ".join(expression.translate(_WORDS).split()).strip(" .!?,;:")


def tidy_answer(answer: str) -> str:
    """A grounder's earlier answer without the marks of a chat template."""
    return _MARKS.sub("(", answer.translate(_ANSWER))


def question(expression: str) -> str:
    """The question about one expression."""
    return f"{QUESTION_HEAD}{tidy_expression(expression)}{QUESTION_TAIL}"


def chat_messages(expression: str, history: Sequence[Turn] = ()) -> list[Message]:
    """Chat messages with one `{"type": "image"}` part, the picture of now, before the first question.

    The picture comes first so that system text and picture are one shared prefix of a whole dialogue.
    """
    questions = [turn.question for turn in history] + [expression]
    messages: list[Message] = [{"role": "system", "content": [_text(SYSTEM)]}]
    for index, asked in enumerate(questions):
        picture: list[Message] = [{"type": "image"}] if index == 0 else []
        messages.append({"role": "user", "content": [*picture, _text(question(asked))]})
        if index < len(history):
            messages.append({"role": "assistant", "content": [_text(tidy_answer(history[index].answer))]})
    return messages


def messages_from_request(request: GroundingRequest) -> list[Message]:
    """The chat messages of `request`."""
    return chat_messages(request.expression, request.history)


def tracks_note(tracks: Sequence[LiveTrack], *, scale: tuple[float, float], order: str) -> str:
    """What is followed already, as numbered boxes in the coordinates that the model writes; "" when nothing is.

    `scale` holds pixels per unit, x and y; see `coordinates`.
    """
    if not tracks:
        return ""
    return TRACKS_HEAD + "; ".join(_numbered(track, scale, order) for track in tracks) + "."


def _numbered(track: LiveTrack, scale: tuple[float, float], order: str) -> str:
    x1, y1, x2, y2 = (float(value) for value in track.box_xyxy / np.tile(np.asarray(scale, np.float64), 2))
    decimals = 3 if max(x1, y1, x2, y2) <= 1 else 0
    numbers = ", ".join(f"{value:.{decimals}f}" for value in numbers_from((x1, y1, x2, y2), order))
    return f'{track.id} "{tidy_expression(track.label)}" [{numbers}]'


def _text(text: str) -> Message:
    return {"type": "text", "text": text}
