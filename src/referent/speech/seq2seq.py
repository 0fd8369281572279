"""Recognisers from `transformers` that write what they hear, word piece by word piece: Whisper, Moonshine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from referent.errors import WeightsMissing
from referent.speech.audio import RATE_HZ
from referent.types import Array

MAX_TOKENS_PER_S = 6.5  # more is a model talking to itself (Moonshine's model card)


class Seq2SeqRecognizer:
    """A model of a local folder; nothing is downloaded. Confidence: geometric mean of its tokens'."""

    unknown_words: tuple[str, ...] = ()  # any word can be written

    def __init__(self, model: str, *, device: str = "auto", language: str = "en") -> None:
        """Raises WeightsMissing when `model` is no folder of a speech model in the format of transformers."""
        if not (Path(model) / "config.json").is_file():
            raise WeightsMissing(
                f"speech.model: {model!r} is no folder with a config.json; download e.g. openai/whisper-base.en or "
                "UsefulSensors/moonshine-base there and name the folder"
            )
        import torch
        from transformers import AutoModelForSpeechSeq2Seq, AutoProcessor

        self._device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        dtype = torch.float16 if self._device == "cuda" else torch.float32
        try:
            self._processor = AutoProcessor.from_pretrained(model, local_files_only=True, trust_remote_code=False)
            self._model = AutoModelForSpeechSeq2Seq.from_pretrained(
                model, local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype=dtype
            )
        except (OSError, ValueError, KeyError) as error:
            raise WeightsMissing(f"speech.model: {model}: {' '.join(str(error).split())[:300]}") from error
        self._model.eval().to(self._device)
        multilingual = getattr(self._model.generation_config, "is_multilingual", False)
        self._options = {"language": language, "task": "transcribe"} if multilingual else {}

    def recognize(self, samples: Array) -> tuple[str, float]:
        """What (N,) float32 samples at RATE_HZ say, as plain words, and the confidence; "" and 0 when nothing."""
        import torch

        inputs = self._processor(samples, sampling_rate=RATE_HZ, return_tensors="pt")
        inputs = inputs.to(self._device, self._model.dtype)
        limit = max(8, round(MAX_TOKENS_PER_S * len(samples) / RATE_HZ))
        with torch.inference_mode():
            made = self._model.generate(
                **inputs,
                **self._options,
                do_sample=False,
                max_new_tokens=limit,
                return_dict_in_generate=True,
                output_scores=True,
            )
            text = plain_words(self._processor.batch_decode(made.sequences, skip_special_tokens=True)[0])
            return (text, self._confidence(made)) if text else ("", 0.0)

    def _confidence(self, made: Any) -> float:
        scores = self._model.compute_transition_scores(made.sequences, made.scores, normalize_logits=True)
        known = scores[0][scores[0].isfinite()]
        return float(known.mean().exp()) if len(known) else 0.0


def plain_words(text: str) -> str:
    """Lower case without marks, as instructions are typed: commas stay, they part sentences."""
    kept = re.sub(r"[^\w', -]+", " ", text.lower())
    return " ".join(kept.split()).strip(" ,-'")
