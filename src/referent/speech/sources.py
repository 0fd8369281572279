"""Audio without ROS: a wav file, a microphone of this machine; and the bounded queue before a slow recogniser."""

from __future__ import annotations

import shutil
import subprocess
import threading
import wave
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from referent.errors import BadMessage, ConfigError

CHUNK_S = 0.1
RECORDER = "arecord"
SAMPLE_BYTES = 2
SAID_LINES, SAID_CHARS = 4, 200  # the last that a recorder said: of every overrun it says a line
STOP_TIMEOUT_S = 2.0


class WavFile:
    """16-bit PCM of a wav file. Raises ConfigError when it is none."""

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)
        with self._open() as file:
            self.rate_hz, self.channels, width = file.getframerate(), file.getnchannels(), file.getsampwidth()
        if width != SAMPLE_BYTES:
            raise ConfigError(f"speech.file: {path}: {8 * width}-bit samples; convert it to 16-bit PCM")

    def chunks(self) -> Iterator[bytes]:
        """The file, CHUNK_S at a time."""
        with self._open() as file:
            while chunk := file.readframes(round(CHUNK_S * self.rate_hz)):
                yield chunk

    def _open(self) -> wave.Wave_read:
        try:
            return wave.open(str(self._path), "rb")
        except (OSError, wave.Error, EOFError) as error:
            raise ConfigError(f"speech.file: {self._path}: no wav file that can be read ({error})") from error


class Microphone:
    """Records with ALSA's `arecord` until closed. Raises ConfigError where there is no such program."""

    def __init__(self, device: str, rate_hz: int, channels: int) -> None:
        program = shutil.which(RECORDER)
        if program is None:
            raise ConfigError("speech.source: microphone: `arecord` is needed; apt-get install alsa-utils")
        if device.startswith("-") or not device:
            raise ConfigError(f"speech.microphone: {device!r} is no ALSA device; `arecord -L` lists them")
        self._device = device
        self._chunk_bytes = round(CHUNK_S * rate_hz) * channels * SAMPLE_BYTES
        options = ["-q", "-t", "raw", "-f", "S16_LE", "-D", device, "-r", str(rate_hz), "-c", str(channels)]
        self._process = subprocess.Popen(
            [program, *options], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self._said: deque[str] = deque(maxlen=SAID_LINES)
        self._reading = threading.Thread(target=self._read_what_it_says, name="arecord", daemon=True)
        self._reading.start()

    def read(self) -> bytes:
        """The next CHUNK_S. Raises BadMessage, with what arecord said, when there is no more."""
        assert self._process.stdout is not None
        chunk = self._process.stdout.read(self._chunk_bytes)
        if chunk:
            return chunk
        self._reading.join(timeout=STOP_TIMEOUT_S)
        said = " ".join(" ".join(self._said).split())
        raise BadMessage(f"speech.microphone: {self._device!r} gives no sound: {said or 'it ended'}; see `arecord -L`")

    def close(self) -> None:
        """End the recording."""
        self._process.terminate()
        try:
            self._process.wait(timeout=STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reading.join(timeout=STOP_TIMEOUT_S)
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def _read_what_it_says(self) -> None:
        """Keep the last of it; a pipe that nobody reads would fill up and stop the recorder."""
        assert self._process.stderr is not None
        while said := self._process.stderr.readline(SAID_CHARS):
            self._said.append(said.decode(errors="replace"))


class ChunkQueue:
    """Chunks with their stamps between two threads; the oldest give way when there are too many bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._chunks: deque[tuple[bytes, int]] = deque()
        self._bytes = 0
        self._closed = False
        self._changed = threading.Condition()
        self.dropped = 0

    def put(self, pcm16: bytes, stamp_ns: int) -> None:
        """Add a chunk; one that is larger than everything allowed is dropped itself."""
        with self._changed:
            self._chunks.append((pcm16, stamp_ns))
            self._bytes += len(pcm16)
            while self._bytes > self._max_bytes:
                self._bytes -= len(self._chunks.popleft()[0])
                self.dropped += 1
            self._changed.notify()

    def take(self) -> tuple[bytes, int] | None:
        """The oldest chunk, waited for; None once the queue is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._chunks or self._closed)
            if not self._chunks:
                return None
            chunk = self._chunks.popleft()
            self._bytes -= len(chunk[0])
            return chunk

    def close(self, *, forget: bool = False) -> None:
        """Nothing more comes; `forget`: what waits is not wanted either."""
        with self._changed:
            self._closed = True
            if forget:
                self._chunks.clear()
                self._bytes = 0
            self._changed.notify_all()
