"""Chunks of any size and rate become the same samples as the whole would."""

from __future__ import annotations

import numpy as np
import pytest

from referent.errors import BadMessage
from referent.speech.audio import RATE_HZ, PcmReader, pcm16_from
from referent.types import Array

TONE_HZ = 440.0
SECONDS = 1.0


def a_tone(rate_hz: int, channels: int = 1) -> Array:
    tone = 0.5 * np.sin(2 * np.pi * TONE_HZ * np.arange(round(SECONDS * rate_hz)) / rate_hz)
    return np.repeat(tone, channels)


def read_in_chunks(reader: PcmReader, pcm: bytes, chunk: int) -> Array:
    return np.concatenate([reader.read(pcm[at : at + chunk]) for at in range(0, len(pcm), chunk)])


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("chunk", [333, 4096])
def test_a_tone_is_the_same_tone_at_any_rate_and_in_chunks_of_any_size(rate_hz: int, chunk: int) -> None:
    read = read_in_chunks(PcmReader(rate_hz), pcm16_from(a_tone(rate_hz)), chunk)
    expected = a_tone(RATE_HZ)
    assert SECONDS - 0.1 < len(read) / RATE_HZ <= SECONDS + 0.1
    inner = slice(RATE_HZ // 10, RATE_HZ * 8 // 10)
    delay = _best_delay(read, expected)
    assert np.abs(read[inner] - np.roll(expected, delay)[inner]).max() < 0.01


def _best_delay(read: Array, expected: Array) -> int:
    size = RATE_HZ // 2
    errors = [np.abs(read[2000 : 2000 + size] - np.roll(expected, d)[2000 : 2000 + size]).max() for d in range(500)]
    return int(np.argmin(errors))


def test_channels_are_heard_as_their_mean() -> None:
    left_only = np.stack([a_tone(RATE_HZ), np.zeros(RATE_HZ)], axis=1).reshape(-1)
    read = PcmReader(RATE_HZ, channels=2).read(pcm16_from(left_only))
    np.testing.assert_allclose(read, a_tone(RATE_HZ) / 2, atol=1e-4)


def test_half_a_sample_waits_for_its_other_half() -> None:
    pcm = pcm16_from(a_tone(RATE_HZ))
    assert np.array_equal(read_in_chunks(PcmReader(RATE_HZ), pcm, 7), PcmReader(RATE_HZ).read(pcm))


def test_what_is_no_audio_is_refused_by_name() -> None:
    with pytest.raises(BadMessage, match="list is no 16-bit PCM"):
        PcmReader(RATE_HZ).read([1, 2])  # type: ignore[arg-type]
