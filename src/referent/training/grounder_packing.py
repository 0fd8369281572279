"""Pictures and their expressions as training rows: one picture, several dialogues that do not see each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from referent.grounding.prompts import chat_messages
from referent.sources.simulation.expressions import Expression, expressions_for
from referent.sources.simulation.truth import FrameTruth, ObjectTruth
from referent.sources.simulation.vocabulary import CATEGORIES, COLORS, MATERIALS
from referent.sources.simulation.wording import STRAY_WORDS
from referent.training.grounder_forward import CELLS, GRID, merged_order
from referent.training.grounder_model import BOX_NEXT, BOX_OPEN, MERGE, NUMBERS, PATCH, answer_text
from referent.training.grounder_stills import Example
from referent.types import Array, Turn

ROW_LENGTH = 256
IGNORED = -100
SIZES = ("", "small", "large")
# Dense labels of a patch: category, color, material, size (0 = no object), and its object's box.
LABEL_SIZES = (1 + len(CATEGORIES), 1 + len(COLORS), 1 + len(MATERIALS), 1 + len(SIZES))


@dataclass
class Row:
    """One picture's dialogues; every list has an entry per text position."""

    rgb: Array
    dense: Array  # (P, 4) int64 labels of patches
    boxes: Array  # (P, 4) float32 box (cx, cy, w, h in shares of the picture) of the patch's object
    ids: list[int] = field(default_factory=list)
    dialogue: list[int] = field(default_factory=list)  # 0 = prefix, 1.. = dialogue number
    position: list[int] = field(default_factory=list)
    target: list[int] = field(default_factory=list)  # the next token where the model shall answer
    looks_at: list[Array | None] = field(default_factory=list)  # (cells,) where it shall look
    box: list[Array | None] = field(default_factory=list)  # the box about to be written


@dataclass
class Batch:
    """Rows as tensors; T = ROW_LENGTH."""

    rgb: Tensor  # (B, H, W, 3) uint8
    dense: Tensor  # (B, P, 4)
    boxes: Tensor  # (B, P, 4)
    ids: Tensor  # (B, T)
    positions: Tensor  # (3, B, T)
    allowed: Tensor  # (B, T, T) bool
    target: Tensor  # (B, T), IGNORED where nothing is to be learnt
    looks_at: Tensor  # (B, T, cells); sums to 1 where there is something to look at, else 0
    box: Tensor  # (B, T, 4)
    has_box: Tensor  # (B, T) bool


class Packer:
    """Turns examples into rows with the tokenizer and chat template of the bundle."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, chat_template: str) -> None:
        self.tokenizer = tokenizer
        self.template = chat_template
        head, _ = self._chat("x", ()).split("<|vision_end|>")
        picture = "<|image_pad|>" * (CELLS[0] * CELLS[1] - 1)
        self.prefix: list[int] = self._ids(f"{head}{picture}<|vision_end|>")
        self.picture_start = self.prefix.index(tokenizer.convert_tokens_to_ids("<|image_pad|>"))
        self._box_starts = set(self._ids(BOX_OPEN) + self._ids(BOX_NEXT))
        self._end = tokenizer.convert_tokens_to_ids("<|im_end|>")
        self._assistant = self._ids("assistant\n")[0]

    def row(self, example: Example, rng: np.random.Generator, mix: Mapping[str, float]) -> Row:
        """`example` with as many dialogues as fit, kinds drawn by `mix`."""
        dense, boxes = dense_labels(example.truth)
        row = Row(example.rgb, dense, boxes)
        self._add_prefix(row)
        for number, expression in enumerate(_drawn(example.truth, rng, mix), start=1):
            if not self._add_dialogue(row, number, expression, example.truth, rng):
                break
        return row

    def _add_prefix(self, row: Row) -> None:
        cells = CELLS[0] * CELLS[1]
        after = self.picture_start + max(CELLS)
        rest = len(self.prefix) - self.picture_start - cells
        row.ids += self.prefix
        row.dialogue += [0] * len(self.prefix)
        row.position += [*range(self.picture_start), *[self.picture_start] * cells, *range(after, after + rest)]
        row.target += [IGNORED] * len(self.prefix)
        row.looks_at += [None] * len(self.prefix)
        row.box += [None] * len(self.prefix)

    def _add_dialogue(
        self, row: Row, number: int, expression: Expression, truth: FrameTruth, rng: np.random.Generator
    ) -> bool:
        meant = _in_reading_order([thing for thing in truth.objects if thing.instance_id in expression.instance_ids])
        grid_boxes = [_thousandths(thing) for thing in meant]
        answer = answer_text(grid_boxes, [f"{thing.color} {thing.category}" for thing in meant])
        text = _with_stray_words(expression.text, rng)
        asked = self._ids(self._chat(text, ()).split("<|vision_end|>")[1])
        answered = [*self._ids(answer), self._end]
        if len(row.ids) + len(asked) + len(answered) > ROW_LENGTH:
            return False
        ids = [*asked, *answered]
        first = row.position[len(self.prefix) - 1] + 1
        row.ids += ids
        row.dialogue += [number] * len(ids)
        row.position += range(first, first + len(ids))
        row.target += [*[IGNORED] * (len(asked) - 1), *answered, IGNORED]
        looks, boxes = self._guidance(answered, meant, truth)
        row.looks_at += [*[None] * (len(asked) - 1), *looks, None]
        row.box += [*[None] * (len(asked) - 1), *boxes, None]
        return True

    def _guidance(
        self, answered: Sequence[int], meant: Sequence[ObjectTruth], truth: FrameTruth
    ) -> tuple[list[Array | None], list[Array | None]]:
        """Where to look and which box comes, for the positions whose next tokens are `answered`."""
        if not meant:
            return [None] * len(answered), [None] * len(answered)
        maps = [_cell_shares(truth.instance_ids, thing.instance_id) for thing in meant]
        looks: list[Array | None] = []
        boxes: list[Array | None] = []
        index, fresh = -1, False
        for token in answered:
            looks.append(np.mean(maps, axis=0) if index < 0 else maps[index])
            boxes.append(_center_box(meant[index]) if fresh else None)
            fresh = token in self._box_starts
            index += fresh
        return looks, boxes

    def _chat(self, text: str, history: Sequence[Turn]) -> str:
        chat = self.tokenizer.apply_chat_template(
            chat_messages(text, history), chat_template=self.template, tokenize=False, add_generation_prompt=True
        )
        return str(chat)

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def batch(self, rows: Sequence[Row]) -> Batch:
        """`rows` padded to one length."""
        count, cells = len(rows), CELLS[0] * CELLS[1]
        ids = np.full((count, ROW_LENGTH), self.tokenizer.pad_token_id, np.int64)
        dialogue = np.full((count, ROW_LENGTH), -1, np.int64)
        position = np.zeros((3, count, ROW_LENGTH), np.int64)
        target = np.full((count, ROW_LENGTH), IGNORED, np.int64)
        looks = np.zeros((count, ROW_LENGTH, cells), np.float32)
        box = np.zeros((count, ROW_LENGTH, 4), np.float32)
        has_box = np.zeros((count, ROW_LENGTH), bool)
        for n, row in enumerate(rows):
            length = len(row.ids)
            ids[n, :length], dialogue[n, :length], target[n, :length] = row.ids, row.dialogue, row.target
            position[:, n, :length] = row.position
            for t in range(length):
                if (look := row.looks_at[t]) is not None:
                    looks[n, t] = look
                if (corner := row.box[t]) is not None:
                    box[n, t], has_box[n, t] = corner, True
        start, end = self.picture_start, self.picture_start + cells
        position[1, :, start:end] += np.repeat(np.arange(CELLS[0]), CELLS[1])
        position[2, :, start:end] += np.tile(np.arange(CELLS[1]), CELLS[0])
        same = (dialogue[:, None, :] == 0) | (dialogue[:, None, :] == dialogue[:, :, None])
        allowed = same & np.tril(np.ones((ROW_LENGTH, ROW_LENGTH), bool))[None]
        arrays = (
            np.stack([row.rgb for row in rows]), np.stack([row.dense for row in rows]),
            np.stack([row.boxes for row in rows]), ids, position, allowed, target, looks, box, has_box,
        )  # fmt: skip
        return Batch(*(torch.from_numpy(array) for array in arrays))


def dense_labels(truth: FrameTruth) -> tuple[Array, Array]:
    """What each patch shows, (P, 4) int64 and (P, 4) float32, in the order of `merged_order`."""
    labels = np.zeros((GRID[0] * GRID[1], 4), np.int64)
    boxes = np.zeros((GRID[0] * GRID[1], 4), np.float32)
    blocks = truth.instance_ids.reshape(GRID[0], PATCH, GRID[1], PATCH).transpose(0, 2, 1, 3)
    patches = blocks.reshape(GRID[0] * GRID[1], -1)
    best = np.full(len(patches), 0.2 * PATCH * PATCH)
    for thing in truth.objects:
        covered = (patches == thing.instance_id).sum(1)
        mine = covered > best
        best = np.where(mine, covered, best)
        if thing.box_xyxy is not None and mine.any():
            labels[mine] = (
                1 + CATEGORIES.index(thing.category),
                1 + list(COLORS).index(thing.color),
                1 + MATERIALS.index(thing.material),
                1 + SIZES.index(thing.size_word),
            )
            boxes[mine] = _center_box(thing)
    order = merged_order().numpy()
    return labels[order], boxes[order]


def _drawn(truth: FrameTruth, rng: np.random.Generator, mix: Mapping[str, float]) -> list[Expression]:
    """Expressions in random order, kinds weighted by `mix` (Gumbel top-k)."""
    made = [e for e in expressions_for(truth, rng, per_kind=6) if mix.get(e.kind, 0) > 0]
    keys = [np.log(mix[e.kind]) + rng.gumbel() for e in made]
    return [made[i] for i in np.argsort(keys)[::-1]]


def _with_stray_words(text: str, rng: np.random.Generator) -> str:
    """At times a word that means nothing here, or an unknown one, before or after the sentence."""
    if rng.random() > 0.12:
        return text
    letters = "abcdefghijklmnopqrstuvwxyz"
    known = rng.random() < 0.75
    unknown = "".join(rng.choice(list(letters), rng.integers(3, 7)))
    word = STRAY_WORDS[rng.integers(len(STRAY_WORDS))] if known else unknown
    return f"{word} {text}" if rng.random() < 0.5 else f"{text} {word}"


def _in_reading_order(things: list[ObjectTruth]) -> list[ObjectTruth]:
    """From left to right, so that a list of boxes has one right order."""
    return sorted(things, key=lambda thing: 0.0 if thing.box_xyxy is None else float(thing.box_xyxy[0]))


def _thousandths(thing: ObjectTruth) -> list[int]:
    width, height = GRID[1] * PATCH, GRID[0] * PATCH
    assert thing.box_xyxy is not None
    scaled = np.asarray(thing.box_xyxy, np.float64) * (1000 / np.array([width, height, width, height]))
    return [int(v) for v in np.clip(np.rint(scaled), 0, NUMBERS - 1)]


def _center_box(thing: ObjectTruth) -> Array:
    x1, y1, x2, y2 = np.asarray(_thousandths(thing), np.float32) / 1000
    return np.array([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], np.float32)


def _cell_shares(ids: Array, instance_id: int) -> Array:
    """(cells,) how the object's pixels are spread over the picture's tokens; sums to 1."""
    side = PATCH * MERGE
    counts = (ids == instance_id).reshape(CELLS[0], side, CELLS[1], side).sum((1, 3)).reshape(-1).astype(np.float32)
    return counts / max(counts.sum(), 1)
