"""16-bit PCM as it comes to mono float samples at one rate, chunk by chunk without seams."""

from __future__ import annotations

from math import gcd

import numpy as np

from referent.errors import BadMessage
from referent.types import Array

RATE_HZ = 16_000  # what every recogniser here was trained on
_FULL_SCALE = 32768.0
_CONTEXT_S = 0.02  # kept from chunk to chunk, longer than the filter of resample_poly


class PcmReader:
    """Turns chunks of one stream (little-endian, channels interleaved) into (N,) float32 in [-1, 1] at RATE_HZ.

    Delivers `_CONTEXT_S` late where it resamples, so that the filter has seen what follows.
    """

    def __init__(self, rate_hz: int, channels: int = 1) -> None:
        common = gcd(rate_hz, RATE_HZ)
        self._up, self._down = RATE_HZ // common, rate_hz // common
        self._channels = channels
        # A whole number of `_down` samples, so that chunks end on samples of the output.
        self._context = -(-round(_CONTEXT_S * rate_hz) // self._down) * self._down
        self._kept: Array = np.zeros(self._context, np.float32)
        self._rest = b""

    def read(self, pcm16: bytes) -> Array:
        """The next samples; an unfinished sample waits for its other half. Raises BadMessage for what is no bytes."""
        if not isinstance(pcm16, bytes | bytearray | memoryview):
            raise BadMessage(f"audio: {type(pcm16).__name__} is no 16-bit PCM; bytes are needed")
        raw = self._rest + bytes(pcm16)
        whole = len(raw) - len(raw) % (2 * self._channels)
        self._rest = raw[whole:]
        samples = np.frombuffer(raw[:whole], "<i2").reshape(-1, self._channels).mean(axis=1) / _FULL_SCALE
        return samples.astype(np.float32) if self._down == self._up else self._resampled(samples)

    def _resampled(self, samples: Array) -> Array:
        from scipy.signal import resample_poly

        known = np.concatenate([self._kept, samples]).astype(np.float32)
        ready = (len(known) - 2 * self._context) // self._down * self._down
        if ready <= 0:
            self._kept = known
            return np.zeros(0, np.float32)
        made = resample_poly(known[: ready + 2 * self._context], self._up, self._down)
        self._kept = known[ready:]
        first = self._context * self._up // self._down
        return made[first : first + ready * self._up // self._down].astype(np.float32)


def pcm16_from(samples: Array) -> bytes:
    """Samples in [-1, 1] as 16-bit PCM; louder ones are clipped."""
    return np.clip(np.round(samples * _FULL_SCALE), -32768, 32767).astype("<i2").tobytes()
