"""Where audio comes from when there is no ROS, and the queue before a slow recogniser."""

from __future__ import annotations

import threading
import wave
from pathlib import Path

import pytest

from referent.errors import BadMessage, ConfigError
from referent.speech.sources import ChunkQueue, Microphone, WavFile


def a_wav(path: Path, *, width: int = 2) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(width)
        file.setframerate(8000)
        file.writeframes(bytes(range(256)) * 20 * width)
    return path


def an_arecord(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = folder / "arecord"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_a_wav_file_comes_in_chunks_and_says_its_rate(tmp_path: Path) -> None:
    file = WavFile(a_wav(tmp_path / "said.wav"))
    assert (file.rate_hz, file.channels) == (8000, 2)
    assert b"".join(file.chunks()) == bytes(range(256)) * 40


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "said.mp3").write_bytes(b"ID3 no wav")
    with pytest.raises(ConfigError, match=r"said\.mp3: no wav file"):
        WavFile(tmp_path / "said.mp3")
    with pytest.raises(ConfigError, match="8-bit samples"):
        WavFile(a_wav(tmp_path / "coarse.wav", width=1))
    with pytest.raises(ConfigError, match=r"gone\.wav"):
        WavFile(tmp_path / "gone.wav")


def test_a_microphone_is_read_until_it_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    an_arecord(tmp_path, monkeypatch, 'echo "$@" > "$(dirname "$0")/told"; exec cat /dev/zero')
    microphone = Microphone("hw:1,0", 16_000, 1)
    assert microphone.read() == bytes(3200)
    microphone.close()
    assert "-D hw:1,0 -r 16000 -c 1" in (tmp_path / "told").read_text()


def test_a_recorder_that_complains_for_a_whole_shift_is_listened_to_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    complaint = "overrun!!! (at least 0.123 ms long)"
    an_arecord(tmp_path, monkeypatch, f"yes '{complaint}' | head -c 1000000 >&2; exec head -c 3200 /dev/zero")
    microphone = Microphone("default", 16_000, 1)
    heard: list[bytes] = []
    reading = threading.Thread(target=lambda: heard.append(microphone.read()), daemon=True)
    reading.start()
    reading.join(timeout=20)
    assert heard == [bytes(3200)], "it waits until somebody reads what it says"
    with pytest.raises(BadMessage, match=r"gives no sound: .*overrun!!!") as told:
        microphone.read()
    assert len(str(told.value)) < 1000
    microphone.close()


def test_a_machine_without_that_microphone_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    an_arecord(tmp_path, monkeypatch, "echo 'audio open error: No such file or directory' >&2; exit 1")
    microphone = Microphone("hw:7", 16_000, 1)
    with pytest.raises(BadMessage, match=r"'hw:7' gives no sound: audio open error.*arecord -L"):
        microphone.read()
    microphone.close()


def test_a_machine_without_a_recorder_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="alsa-utils"):
        Microphone("default", 16_000, 1)


def test_a_device_cannot_be_an_option_of_the_recorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    an_arecord(tmp_path, monkeypatch, "exit 0")
    with pytest.raises(ConfigError, match="no ALSA device"):
        Microphone("--help", 16_000, 1)


def test_the_oldest_audio_gives_way_and_is_counted() -> None:
    queue = ChunkQueue(max_bytes=25)
    for stamp in range(5):
        queue.put(bytes(10), stamp)
    queue.close()
    assert [queue.take(), queue.take(), queue.take()] == [(bytes(10), 3), (bytes(10), 4), None]
    assert queue.dropped == 3


def test_who_waits_for_audio_is_woken_when_none_comes_any_more() -> None:
    queue = ChunkQueue(max_bytes=10)
    taken: list[object] = []
    waiting = threading.Thread(target=lambda: taken.append(queue.take()))
    waiting.start()
    queue.close()
    waiting.join(timeout=5)
    assert taken == [None]
