"""The offline recogniser: pocketsphinx, told by a grammar what can be said. Its model comes inside its wheel.

Confidence compares how the words sound with a loop over all phones, frame by frame (a likelihood ratio, as in keyword
spotting): what was not said by the grammar is explained much better by phones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from referent.errors import ConfigError, WeightsMissing
from referent.speech.audio import RATE_HZ, pcm16_from
from referent.speech.grammar import grammar_of, words_of_grammar
from referent.speech.pronunciation import pronunciations_for
from referent.speech.vocabulary import Vocabulary
from referent.types import Array

# Fewer, longer words [measured on synthesised speech]; pocketsphinx' own 0.65 puts "on" and "all" in between.
WORD_INSERTION = 0.005
PHONE_WEIGHT = 1.0
PHONE_SCALE = 1024.0  # phone loop scores are shifted by 10 bits (SENSCR_SHIFT), those of words are not
# Log likelihood ratio per frame at which words are as likely right as wrong, and how sharp that is [measured].
EVEN_RATIO = -4.5
SHARPNESS = 2.0
SEARCH = "instruction"


class SphinxRecognizer:
    """Hears sentences of a vocabulary. Not to be shared by threads."""

    def __init__(self, vocabulary: Vocabulary, model: str = "") -> None:
        """`model`: folder of an acoustic model with its dictionary; empty = US English from the wheel.

        Raises ConfigError when no sentence can be said, WeightsMissing when the model is not there.
        """
        self._decoder = _decoder(model, lm=None, wip=WORD_INSERTION)
        words = words_of_grammar(grammar_of(vocabulary))
        phones = pronunciations_for(words, self._decoder.lookup_word, vocabulary.pronunciations)
        self.unknown_words = tuple(word for word, known in phones.items() if known is None)
        for word, known in phones.items():
            if known is not None:
                self._decoder.add_word(word, known, True)
        grammar = grammar_of(without_words(vocabulary, self.unknown_words))
        self._decoder.add_jsgf_string(SEARCH, grammar)
        self._decoder.activate_search(SEARCH)
        self._grammar = self._decoder.get_fsg(SEARCH)
        self._phones = _decoder(model, lm=None, allphone=str(_phone_model(model)), lw=PHONE_WEIGHT)

    def recognize(self, samples: Array) -> tuple[str, float]:
        """What (N,) float32 samples at RATE_HZ in [-1, 1] say, and the confidence; "" and 0 when it is no sentence."""
        pcm = pcm16_from(samples)
        _decode(self._decoder, pcm)
        heard = self._decoder.hyp()
        if heard is None or not heard.hypstr:
            return "", 0.0
        # The best path may end inside a sentence ("the red mug on the"): said, but not understood.
        if not self._grammar.accept(heard.hypstr):
            return heard.hypstr, 0.0
        words = [each for each in self._decoder.seg() if each.word[0] not in "<[("]
        _decode(self._phones, pcm)
        return heard.hypstr, confidence_of(word_ratios(words, list(self._phones.seg())))


def word_ratios(words: Sequence[Any], phones: Sequence[Any]) -> list[tuple[float, int]]:
    """Per word: log likelihood ratio per frame against the phone loop, and its length in frames."""
    length = max(each.end_frame for each in (*words, *phones)) + 1
    of_phones = np.zeros(length)
    for phone in phones:
        frames = phone.end_frame - phone.start_frame + 1
        of_phones[phone.start_frame : phone.end_frame + 1] = PHONE_SCALE * _log(phone.ascore) / frames
    ratios = []
    for word in words:
        frames = word.end_frame - word.start_frame + 1
        by_phones = float(of_phones[word.start_frame : word.end_frame + 1].sum())
        ratios.append(((_log(word.ascore) - by_phones) / frames, frames))
    return ratios


def confidence_of(ratios: Sequence[tuple[float, int]]) -> float:
    """In [0, 1], from the ratios of the words and their lengths in frames."""
    mean = sum(ratio * frames for ratio, frames in ratios) / sum(frames for _, frames in ratios)
    return 1 / (1 + math.exp(-SHARPNESS * (mean - EVEN_RATIO)))


def without_words(vocabulary: Vocabulary, unknown: Sequence[str]) -> Vocabulary:
    """The vocabulary without entries that hold a word nobody can pronounce. Raises ConfigError when none is left."""
    groups = {item.name for item in fields(Vocabulary)} - {"pronunciations"}
    kept: dict[str, Any] = {
        group: tuple(entry for entry in getattr(vocabulary, group) if not set(entry.split()) & set(unknown))
        for group in groups
    }
    if not kept["things"]:
        raise ConfigError(f"speech.vocabulary: no thing is in the dictionary; {', '.join(unknown)} need pronunciations")
    return replace(vocabulary, **kept)


def _decoder(model: str, **settings: Any) -> Any:
    import pocketsphinx

    if model:
        settings |= {"hmm": str(Path(model)), "dict": str(_in_folder(model, "*.dict"))}
    return pocketsphinx.Decoder(samprate=RATE_HZ, loglevel="FATAL", **settings)


def _phone_model(model: str) -> Path:
    import pocketsphinx

    return _in_folder(model, "*phone*") if model else Path(pocketsphinx.get_model_path("en-us/en-us-phone.lm.bin"))


def _in_folder(model: str, pattern: str) -> Path:
    found = sorted(Path(model).glob(pattern))
    if not found:
        raise WeightsMissing(
            f"speech.model: {model}: no {pattern} there; an acoustic model, *.dict, *phone*.lm.bin are"
        )
    return found[0]


def _decode(decoder: Any, pcm: bytes) -> None:
    decoder.start_utt()
    decoder.process_raw(pcm, full_utt=True)
    decoder.end_utt()


def _log(likelihood: float) -> float:
    return math.log(likelihood) if likelihood > 0 else -700.0  # below what a double holds
