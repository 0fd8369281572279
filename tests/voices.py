"""Synthesised speech: eSpeak NG, whose library and voices come inside the wheel of espeakng-loader."""

from __future__ import annotations

import ctypes
from typing import Any

import espeakng_loader
import numpy as np
from scipy.signal import resample_poly

SYNCHRONOUS, CHARACTERS, UTF8 = 2, 1, 1  # of speak_lib.h
RATE, PITCH = 1, 3
SILENCE_S = 0.3
ROOM_NOISE = 8.0  # standard deviation in counts, about -72 dB of full scale


class Speaker:
    """Says texts; there can be one in a process."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path().encode()
        self._rate_hz = self._library.espeak_Initialize(SYNCHRONOUS, 0, data, 0)
        self._said: list[Any] = []
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        self._callback = kind(self._on_samples)
        self._library.espeak_SetSynthCallback(self._callback)

    def say(self, text: str, *, voice: str = "en-us", words_per_minute: int = 160, rate_hz: int = 16_000) -> Any:
        """The text as (N,) int16 in a quiet room, with silence around it that ends an utterance."""
        self._said.clear()
        assert self._library.espeak_SetVoiceByName(voice.encode()) == 0, voice
        self._library.espeak_SetParameter(RATE, words_per_minute, 0)
        raw = text.encode()
        self._library.espeak_Synth(raw, ctypes.c_size_t(len(raw) + 1), 0, CHARACTERS, 0, UTF8, None, None)
        spoken = resample_poly(np.concatenate(self._said).astype(float) / 2, rate_hz, self._rate_hz)
        samples = np.pad(spoken, (round(SILENCE_S * rate_hz), round(3 * SILENCE_S * rate_hz)))
        noise = np.random.default_rng(len(text)).normal(0, ROOM_NOISE, len(samples))
        return np.clip(samples + noise, -32768, 32767).astype(np.int16)

    def _on_samples(self, samples: Any, count: int, _events: Any) -> int:
        if samples and count > 0:
            self._said.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0
