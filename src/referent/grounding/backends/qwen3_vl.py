"""Qwen3-VL on this machine as a grounder: any checkpoint of that architecture, the bundled tiny one by default."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from referent.config import GrounderConfig
from referent.errors import ConfigError, GrounderUnavailable, WeightsMissing
from referent.grounding.confidence import Platt
from referent.grounding.coordinates import nearest_shape, padded_to_aspect, pixels_per_unit
from referent.grounding.prompts import Message, messages_from_request
from referent.grounding.replies import locate, with_scores
from referent.grounding.score_calibration import Calibration, read_calibration
from referent.grounding.token_scores import Token, nothing_score, region_score
from referent.types import Array, Grounding, GroundingRequest
from referent.weights import ModelEntry, resolve

KIND = "qwen3_vl"
NEAR_UNITS = 20  # thousandths of the picture: coordinates this far apart are as good as the same


class Qwen3VLGrounder:
    """Asks a local Qwen3-VL. One question at a time; the answer is greedy, so it is the same every time.

    calibration: of its scores; None = the one in the model's folder, if there is one.
    """

    def __init__(self, config: GrounderConfig, calibration: Calibration | None = None) -> None:
        entry = _resolved(config)
        self._config = config
        self._calibration = calibration or read_calibration(entry.folder, entry.weights_path)
        self._device = _device(config.device)
        self._model, self._processor = load_model(entry.folder, self._device)
        self._unwanted = threading.Event()
        sizes = getattr(self._model.config, "picture_sizes", None) or ()
        self._picture_sizes = tuple((int(width), int(height)) for width, height in sizes)

    def ground(self, request: GroundingRequest) -> Grounding:
        """Where the request's expression is in its frame. Raises UnreadableReply or GrounderUnavailable."""
        started = time.perf_counter()
        self._unwanted.clear()
        rgb = request.frame.rgb
        size = (rgb.shape[1], rgb.shape[0])
        shown, shown_size = picture_for_model(rgb, self._picture_sizes)
        tokens = self._speak(shown, messages_from_request(request))
        text = "".join(piece for piece, _ in tokens)
        # This family writes thousandths of the picture, however its processor resizes it.
        scale = pixels_per_unit("rel1000", size=shown_size)
        located = locate(text, scale=scale, size=size, max_items=self._config.max_items, label=request.expression)
        fitted = self._calibration
        sure = [_calibrated(region_score(tokens, span), fitted.score) for span in located.spans]
        return Grounding(
            request=request,
            items=with_scores(located.items, sure),
            nothing_reason=located.nothing,
            raw=text,
            notes=located.notes,
            nothing_score=_calibrated(nothing_score(tokens, located.spans), fitted.nothing),
            latency_s=time.perf_counter() - started,
        )

    def cancel(self) -> None:
        """Leave off after the word at hand, from another thread: the question then fails."""
        self._unwanted.set()

    def close(self) -> None:
        """Free the model."""
        self._model = None

    def _speak(self, rgb: Array, messages: Sequence[Message]) -> list[Token]:
        if self._model is None:
            raise GrounderUnavailable("the grounder is closed")
        try:
            with _threads(self._config.threads):
                tokens = speak(
                    self._model,
                    self._processor,
                    rgb,
                    messages,
                    max_new_tokens=self._config.max_new_tokens,
                    unwanted=self._unwanted.is_set,
                )
        except RuntimeError as error:  # torch reports memory and device faults so
            raise GrounderUnavailable(f"{self._config.model} failed on {self._device}: {error}") from error
        if self._unwanted.is_set():
            raise GrounderUnavailable("the question was cancelled")
        return tokens


def _calibrated(probability: float | None, fitted: Platt) -> float | None:
    return None if probability is None else fitted.of(probability)


def picture_for_model(rgb: Array, sizes: Sequence[tuple[int, int]]) -> tuple[Array, tuple[int, int]]:
    """The picture to show, and the size in pixels of `rgb` that it stands for.

    A model made for a few `sizes` (width, height) gets every picture padded to the nearest of these shapes and resized
    to it here: the processor's own resize rounds sides down to whole patches, which for an almost fitting shape changes
    the grid. Without sizes the processor decides.
    """
    if not sizes:
        return rgb, (rgb.shape[1], rgb.shape[0])
    from PIL import Image

    size = nearest_shape((rgb.shape[1], rgb.shape[0]), sizes)
    padded = padded_to_aspect(rgb, size[0] / size[1])
    resized = Image.fromarray(padded).resize(size, Image.Resampling.BICUBIC)
    return np.asarray(resized), (padded.shape[1], padded.shape[0])


def load_model(folder: Path, device: str) -> tuple[Any, Any]:
    """Model and processor of a checkpoint folder, offline. On a CPU bfloat16 weights are computed in float32.

    Raises WeightsMissing when the folder does not hold a Qwen3-VL checkpoint.
    """
    import torch
    from transformers import Qwen3VLForConditionalGeneration

    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    try:
        with _quiet_transformers():
            from referent.grounding.backends.qwen3_vl_processor import load_processor

            model = Qwen3VLForConditionalGeneration.from_pretrained(
                folder, dtype=dtype, local_files_only=True, use_safetensors=True
            )
            processor = load_processor(folder)
    except (OSError, ValueError, KeyError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise WeightsMissing(f"{folder} does not hold a whole Qwen3-VL checkpoint ({reason})") from error
    return model.to(device).eval(), processor


def speak(
    model: Any,
    processor: Any,
    rgb: Array,
    messages: Sequence[Message],
    *,
    max_new_tokens: int,
    unwanted: Callable[[], bool] = lambda: False,
) -> list[Token]:
    """The model's greedy answer about one picture (H, W, 3) uint8, token by token with probabilities.

    It is cut short when `unwanted` says so between two tokens.
    """
    import torch
    from PIL import Image

    text = processor.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
    # The processor also gives mm_token_type_ids; without them generate() silently uses wrong positions.
    inputs = processor(images=[Image.fromarray(rgb)], text=[text], return_tensors="pt").to(model.device)
    with torch.inference_mode():
        output = model.generate(
            **inputs,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            num_beams=1,
            return_dict_in_generate=True,
            output_logits=True,
            stopping_criteria=[lambda ids, _: torch.full((len(ids),), unwanted(), device=ids.device)],
        )
    ids = output.sequences[0, inputs["input_ids"].shape[1] :].tolist()
    tokenizer = processor.tokenizer
    numbers = _number_ids(tokenizer)
    sure = [_probability(row[0], i, numbers) for row, i in zip(output.logits, ids, strict=True)]
    kept = [(i, p) for i, p in zip(ids, sure, strict=True) if i not in tokenizer.all_special_ids]
    pieces = _pieces(tokenizer, [i for i, _ in kept])
    return list(zip(pieces, (p for _, p in kept), strict=True))


def _number_ids(tokenizer: Any) -> list[int] | None:
    """The tokens of 0..1000 where each is one token, as in the bundled model; else None (Qwen's own spell digits)."""
    vocabulary = tokenizer.get_vocab()
    ids = [vocabulary.get(str(number)) for number in range(1001)]
    return None if None in ids else [i for i in ids if i is not None]


def _probability(logits: Any, chosen: int, numbers: Sequence[int] | None) -> float:
    """How sure the model is of a token; of a whole number: that it lies within `NEAR_UNITS` of the one it wrote."""
    probabilities = logits.float().softmax(-1)
    if numbers is None or chosen not in numbers:
        return float(probabilities[chosen])
    value = numbers.index(chosen)
    near = list(numbers[max(0, value - NEAR_UNITS) : value + NEAR_UNITS + 1])
    return min(1.0, float(probabilities[near].sum()))


def _pieces(tokenizer: Any, ids: Sequence[int]) -> list[str]:
    """The text each token adds. Together they are the decoded whole, also where a character spans tokens."""
    pieces, before = [], ""
    for count in range(1, len(ids) + 1):
        text = tokenizer.decode(ids[:count], clean_up_tokenization_spaces=False).rstrip("\ufffd")
        pieces.append(text[len(before) :] if text.startswith(before) else "")
        before = text if text.startswith(before) else before
    return pieces


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """No progress bars and no advice to install torchvision, which nothing here needs."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """`count` torch threads for a while (0 = as they are): in a replay the tracker shares this process."""
    import torch

    before = torch.get_num_threads()
    if count:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def check_model(config: GrounderConfig) -> None:
    """That the model can be loaded, as far as its files' names and sizes tell. Raises WeightsMissing, ConfigError."""
    _resolved(config, contents=False)
    _device(config.device)


def _resolved(config: GrounderConfig, *, contents: bool = True) -> ModelEntry:
    entry = resolve(config.model, contents=contents)
    if entry.kind != KIND:
        raise ConfigError(
            f"grounder.model: {config.model!r} is a {entry.kind} model, the qwen3_vl backend needs one of {KIND}"
        )
    return entry


def _device(wanted: str) -> str:
    import torch

    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError("grounder.device: 'cuda' is set, but torch finds no GPU; use auto or cpu")
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return wanted
