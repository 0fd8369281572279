"""Where an utterance begins and ends: voice activity (WebRTC's, in pocketsphinx), with what was just before kept."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from referent.speech.audio import RATE_HZ, pcm16_from
from referent.speech_config import SpeechConfig
from referent.types import Array

FRAME_S = 0.03
WINDOW_FRAMES = 8  # looked at for a beginning
BEGIN_FRAMES = 6  # of these must hold voice
LEAD_FRAMES = 14  # kept from before the voice was noticed; soft beginnings are in there
QUIET = 10 ** (-55 / 20)  # RMS below which nobody speaks, of full scale


@dataclass(frozen=True, eq=False)
class Utterance:
    """One stretch of speech."""

    samples: Array  # (N,) float32 at RATE_HZ
    stamp_ns: int  # of its first sample


class Endpointer:
    """Cuts utterances out of a stream. Holds at most `speech.max_utterance_s` of it."""

    def __init__(self, config: SpeechConfig) -> None:
        from pocketsphinx import Vad

        self._vad = Vad(mode=config.vad_strictness, sample_rate=RATE_HZ, frame_length=FRAME_S)
        self._size = self._vad.frame_bytes // 2
        self._pause_frames = round(config.pause_s / FRAME_S)
        self._max_frames = round(config.max_utterance_s / FRAME_S)
        self._min_voiced = round(config.min_utterance_s / FRAME_S)
        self._rest: Array = np.zeros(0, np.float32)
        self._lead: deque[Array] = deque(maxlen=LEAD_FRAMES)
        self._recent: deque[bool] = deque(maxlen=WINDOW_FRAMES)
        self._frames: list[Array] = []
        self._voiced = self._silent = 0
        self._stamp_ns = 0
        self.too_short = 0  # utterances that were dropped: a click, a cough

    @property
    def is_hearing(self) -> bool:
        """Whether somebody is speaking."""
        return bool(self._frames)

    def add(self, samples: Array, stamp_ns: int) -> list[Utterance]:
        """Utterances that ended in these samples; `stamp_ns` is the time of the first of them."""
        stamp_ns -= round(len(self._rest) * 1e9 / RATE_HZ)
        known = np.concatenate([self._rest, samples])
        count = len(known) // self._size
        self._rest = known[count * self._size :]
        ended = []
        for index in range(count):
            frame = known[index * self._size : (index + 1) * self._size]
            utterance = self._take(frame, stamp_ns + round(index * self._size * 1e9 / RATE_HZ))
            ended += [] if utterance is None else [utterance]
        return ended

    def finish(self) -> list[Utterance]:
        """What was being said when the stream ended."""
        utterance = self._end() if self._frames else None
        return [] if utterance is None else [utterance]

    def _take(self, frame: Array, stamp_ns: int) -> Utterance | None:
        voiced = self._is_voice(frame)
        if not self._frames:
            self._wait(frame, voiced, stamp_ns)
            return None
        self._frames.append(frame)
        self._voiced += voiced
        self._silent = 0 if voiced else self._silent + 1
        over = self._silent >= self._pause_frames or len(self._frames) >= self._max_frames
        return self._end() if over else None

    def _wait(self, frame: Array, voiced: bool, stamp_ns: int) -> None:
        self._lead.append(frame)
        self._recent.append(voiced)
        if sum(self._recent) >= BEGIN_FRAMES:
            self._frames = list(self._lead)
            self._voiced, self._silent = sum(self._recent), 0
            self._stamp_ns = stamp_ns - round((len(self._frames) - 1) * self._size * 1e9 / RATE_HZ)

    def _end(self) -> Utterance | None:
        samples, enough = np.concatenate(self._frames), self._voiced >= self._min_voiced
        self._frames = []
        self._lead.clear()
        self._recent.clear()
        self.too_short += not enough
        return Utterance(samples, self._stamp_ns) if enough else None

    def _is_voice(self, frame: Array) -> bool:
        loud = float(np.sqrt(np.mean(frame**2))) > QUIET
        return bool(self._vad.is_speech(pcm16_from(frame))) and loud
