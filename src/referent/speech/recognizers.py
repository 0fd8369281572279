"""Recognisers by name; nothing is imported before it is chosen."""

from __future__ import annotations

from typing import Protocol

from referent.speech.vocabulary import load_vocabulary
from referent.speech_config import SpeechConfig
from referent.types import Array


class Recognizer(Protocol):
    """Writes down one utterance."""

    unknown_words: tuple[str, ...]  # of the vocabulary, which it cannot hear

    def recognize(self, samples: Array) -> tuple[str, float]:
        """Text and confidence in [0, 1] of (N,) float32 samples at audio.RATE_HZ; "" when nothing was said."""
        ...


def load_recognizer(config: SpeechConfig) -> Recognizer:
    """The configured recogniser. Raises ConfigError or WeightsMissing."""
    if config.recognizer == "pocketsphinx":
        from referent.speech.sphinx import SphinxRecognizer

        return SphinxRecognizer(load_vocabulary(config.vocabulary), config.model)
    from referent.speech.seq2seq import Seq2SeqRecognizer

    return Seq2SeqRecognizer(config.model, device=config.device, language=config.language)
