"""Pictures and their expressions as training rows: one picture, several dialogues that do not see each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from referent.grounding.answers import answer_text, thousandths
from referent.grounding.prompts import chat_messages
from referent.sources.simulation.dialogues import dialogue_for
from referent.sources.simulation.expressions import KINDS, Expression, boxes_of, expressions_for
from referent.sources.simulation.truth import FrameTruth, ObjectTruth
from referent.sources.simulation.vocabulary import CATEGORIES, COLORS, MATERIALS, PARTS
from referent.sources.simulation.wording import STRAY_WORDS
from referent.training.grounder_forward import Grid, cells_of, grid_of, merged_order
from referent.training.grounder_model import BOX_NEXT, BOX_OPEN, MERGE, PATCH
from referent.training.grounder_stills import Example
from referent.types import Array, Turn

ROW_LENGTH = 288
IGNORED = -100
FOLLOW_UP = "follow-up"
DIALOGUES = 3  # follow-ups drawn for a picture, of which as many are used as their weight asks for
HISTORY_JITTER = 0.012  # standard deviation of an earlier answer's edges, in shares of the picture: models err
SIZES = ("", "small", "large")
# Dense labels of a patch: category, color, material, size (0 = no object), and its object's box.
LABEL_SIZES = (1 + len(CATEGORIES), 1 + len(COLORS), 1 + len(MATERIALS), 1 + len(SIZES))


@dataclass(frozen=True, eq=False)
class Asked:
    """A question to be learnt: what is said, after what was said and answered before."""

    expression: Expression
    history: tuple[Turn, ...] = ()


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

    @property
    def grid(self) -> Grid:
        """Its patches."""
        return grid_of(self.rgb.shape[1], self.rgb.shape[0])


@dataclass
class Batch:
    """Rows of one grid as tensors; T = ROW_LENGTH."""

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

    @property
    def grid(self) -> Grid:
        """The patches of its pictures."""
        return grid_of(self.rgb.shape[2], self.rgb.shape[1])

    def to(self, device: str) -> Batch:
        """The same batch on a device."""
        return Batch(*(getattr(self, each.name).to(device) for each in fields(self)))


class Packer:
    """Turns examples into rows with the tokenizer and chat template of the bundle."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, chat_template: str) -> None:
        self.tokenizer = tokenizer
        self.template = chat_template
        self._head, _ = self._chat("x", ()).split("<|vision_end|>")
        self.picture_start = self._ids(self._head).index(tokenizer.convert_tokens_to_ids("<|image_pad|>"))
        self._box_starts = set(self._ids(BOX_OPEN) + self._ids(BOX_NEXT))
        self._end = tokenizer.convert_tokens_to_ids("<|im_end|>")

    def row(self, example: Example, rng: np.random.Generator, mix: Mapping[str, float]) -> Row:
        """`example` with as many dialogues as fit, kinds drawn by `mix`."""
        dense, boxes = dense_labels(example.truth)
        row = Row(example.rgb, dense, boxes)
        self._add_prefix(row)
        for number, asked in enumerate(_drawn(example.truth, rng, mix), start=1):
            if not self._add_dialogue(row, number, asked, example.truth, rng):
                break
        return row

    def _add_prefix(self, row: Row) -> None:
        rows, columns = cells_of(row.grid)
        cells = rows * columns
        picture = "<|image_pad|>" * (cells - 1)
        prefix = self._ids(f"{self._head}{picture}<|vision_end|>")
        after = self.picture_start + max(rows, columns)
        rest = len(prefix) - self.picture_start - cells
        row.ids += prefix
        row.dialogue += [0] * len(prefix)
        row.position += [*range(self.picture_start), *[self.picture_start] * cells, *range(after, after + rest)]
        row.target += [IGNORED] * len(prefix)
        row.looks_at += [None] * len(prefix)
        row.box += [None] * len(prefix)

    def _add_dialogue(self, row: Row, number: int, asked: Asked, truth: FrameTruth, rng: np.random.Generator) -> bool:
        size = (row.rgb.shape[1], row.rgb.shape[0])
        expression = asked.expression
        grid_boxes = [thousandths(box, size) for box in boxes_of(expression, truth)]
        answer = answer_text(grid_boxes, [_label(truth, number, expression.part) for number in expression.instance_ids])
        text = _with_stray_words(expression.text, rng)
        said = self._ids(self._chat(text, asked.history).split("<|vision_end|>")[1])
        answered = [*self._ids(answer), self._end]
        if len(row.ids) + len(said) + len(answered) > ROW_LENGTH:
            return False
        ids = [*said, *answered]
        first = row.position[row.dialogue.count(0) - 1] + 1
        row.ids += ids
        row.dialogue += [number] * len(ids)
        row.position += range(first, first + len(ids))
        row.target += [*[IGNORED] * (len(said) - 1), *answered, IGNORED]
        looks, boxes = self._guidance(answered, expression, grid_boxes, truth)
        row.looks_at += [*[None] * (len(said) - 1), *looks, None]
        row.box += [*[None] * (len(said) - 1), *boxes, None]
        return True

    def _guidance(
        self, answered: Sequence[int], expression: Expression, grid_boxes: Sequence[Sequence[int]], truth: FrameTruth
    ) -> tuple[list[Array | None], list[Array | None]]:
        """Where to look and which box comes, for the positions whose next tokens are `answered`."""
        if not expression.instance_ids:
            return [None] * len(answered), [None] * len(answered)
        maps = [_cell_shares(_mask(truth, number, expression.part)) for number in expression.instance_ids]
        looks: list[Array | None] = []
        boxes: list[Array | None] = []
        index, fresh = -1, False
        for token in answered:
            looks.append(np.mean(maps, axis=0) if index < 0 else maps[index])
            boxes.append(_center_box(grid_boxes[index]) if fresh else None)
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
        """`rows`, all of one grid, padded to one length."""
        grid = cells_of(rows[0].grid)
        count, cells = len(rows), grid[0] * grid[1]
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
        position[1, :, start:end] += np.repeat(np.arange(grid[0]), grid[1])
        position[2, :, start:end] += np.tile(np.arange(grid[1]), grid[0])
        same = (dialogue[:, None, :] == 0) | (dialogue[:, None, :] == dialogue[:, :, None])
        allowed = same & np.tril(np.ones((ROW_LENGTH, ROW_LENGTH), bool))[None]
        arrays = (
            np.stack([row.rgb for row in rows]), np.stack([row.dense for row in rows]),
            np.stack([row.boxes for row in rows]), ids, position, allowed, target, looks, box, has_box,
        )  # fmt: skip
        return Batch(*(torch.from_numpy(array) for array in arrays))


def dense_labels(truth: FrameTruth) -> tuple[Array, Array]:
    """What each patch shows, (P, 4) int64 and (P, 4) float32, in the order of `merged_order`."""
    height, width = truth.instance_ids.shape
    rows, columns = grid_of(width, height)
    labels = np.zeros((rows * columns, 4), np.int64)
    boxes = np.zeros((rows * columns, 4), np.float32)
    blocks = truth.instance_ids.reshape(rows, PATCH, columns, PATCH).transpose(0, 2, 1, 3)
    patches = blocks.reshape(rows * columns, -1)
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
            boxes[mine] = _center_box(thousandths(thing.box_xyxy, (width, height)))
    order = merged_order((rows, columns)).numpy()
    return labels[order], boxes[order]


def _drawn(truth: FrameTruth, rng: np.random.Generator, mix: Mapping[str, float]) -> list[Asked]:
    """Questions in random order, kinds weighted by `mix` (Gumbel top-k)."""
    if not mix:
        return []
    wanted = [kind for kind in KINDS if mix.get(kind, 0) > 0]
    made = [Asked(expression) for expression in expressions_for(truth, rng, per_kind=5, kinds=wanted)]
    if mix.get(FOLLOW_UP, 0) > 0:
        made += _dialogues(truth, rng)
    keys = [np.log(mix[asked.expression.kind]) + rng.gumbel() for asked in made]
    return [made[i] for i in np.argsort(keys)[::-1]]


def _dialogues(truth: FrameTruth, rng: np.random.Generator) -> list[Asked]:
    """Follow-ups to earlier questions, each with the answer it got, right or wrong."""
    size = (truth.instance_ids.shape[1], truth.instance_ids.shape[0])
    found = []
    for _ in range(DIALOGUES):
        drawn = dialogue_for(truth, rng)
        if drawn is None:
            continue
        said, then = drawn
        boxes = [thousandths(_shaken(thing.box_xyxy, size, rng), size) for thing in _things(truth, said.answered_ids)]
        labels = [_label(truth, number, "") for number in said.answered_ids]
        found.append(Asked(then, (Turn(said.expression.text, answer_text(boxes, labels)),)))
    return found


def _things(truth: FrameTruth, numbers: Sequence[int]) -> list[ObjectTruth]:
    known = {thing.instance_id: thing for thing in truth.objects}
    return [known[number] for number in numbers]


def _label(truth: FrameTruth, number: int, part: str) -> str:
    """What the answer calls an object, or a part of it."""
    thing = _things(truth, [number])[0]
    return f"{thing.color} {thing.category} {part}".rstrip()


def _shaken(box: Array | None, size: tuple[int, int], rng: np.random.Generator) -> Array:
    """A box as a model would have given it."""
    assert box is not None
    scale = np.array([*size, *size])
    return np.clip(box + rng.normal(0, HISTORY_JITTER, 4) * scale, 0, scale)


def _with_stray_words(text: str, rng: np.random.Generator) -> str:
    """At times a word that means nothing here, or an unknown one, before or after the sentence."""
    if rng.random() > 0.12:
        return text
    letters = "abcdefghijklmnopqrstuvwxyz"
    known = rng.random() < 0.75
    unknown = "".join(rng.choice(list(letters), rng.integers(3, 7)))
    word = STRAY_WORDS[rng.integers(len(STRAY_WORDS))] if known else unknown
    return f"{word} {text}" if rng.random() < 0.5 else f"{text} {word}"


def _center_box(thousandths: Sequence[int]) -> Array:
    x1, y1, x2, y2 = np.asarray(thousandths, np.float32) / 1000
    return np.array([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], np.float32)


def _mask(truth: FrameTruth, number: int, part: str) -> Array:
    """The pixels of an object, or of a part of it."""
    mask: Array = truth.instance_ids == number
    if part and truth.part_ids is not None:
        mask = mask & (truth.part_ids == 1 + PARTS.index(part))
    return mask


def _cell_shares(mask: Array) -> Array:
    """(cells,) how pixels are spread over the picture's tokens; sums to 1."""
    side = PATCH * MERGE
    rows, columns = mask.shape[0] // side, mask.shape[1] // side
    counts = mask.reshape(rows, side, columns, side).sum((1, 3)).reshape(-1).astype(np.float32)
    return np.asarray(counts / max(counts.sum(), 1))
