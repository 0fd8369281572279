"""The node `speech`: audio from a topic, a microphone or a file becomes text on `instruction`."""

from __future__ import annotations

import importlib
import sys
import threading
from dataclasses import replace
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from std_msgs.msg import String

from referent.config import Config, SpeechConfig, load_config
from referent.errors import ConfigError
from referent.settings import flatten
from referent.speech.listener import Heard, Listener
from referent.speech.sources import SAMPLE_BYTES, ChunkQueue, Microphone, WavFile
from referent_ros.parameters import descriptor_of
from referent_ros.running import run

AUDIO_QUEUE = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)
INSTRUCTION_QUEUE = QoSProfile(depth=10)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
GROUP = "speech."
LOG_PERIOD_S = 5.0
PERIOD_S = 1.0
LISTENER_PERIOD_S = 0.1


class SpeechNode(Node):
    """Listens on the executor's thread (or a recorder's), recognises on one of its own."""

    def __init__(self, stop: threading.Event, listener: Listener | None = None, **node_options: Any) -> None:
        super().__init__("speech", **node_options)
        self._stop = stop
        self._config = declare_speech(self)
        self._file = WavFile(self._config.file) if self._config.source == "file" else None
        if self._file is not None:
            self._config = replace(self._config, sample_rate_hz=self._file.rate_hz, channels=self._file.channels)
        self._listener = listener or Listener(self._config)
        self._rate_bytes = self._config.sample_rate_hz * self._config.channels * SAMPLE_BYTES
        self._queue = ChunkQueue(round(self._config.queue_s * self._rate_bytes))
        self._microphone: Microphone | None = None
        self._failure: Exception | None = None
        self._counts = {"heard": 0, "asked_to_repeat": 0, "chunks": 0}
        self._threads: list[threading.Thread] = []
        self._voice = self.create_publisher(String, "instruction", INSTRUCTION_QUEUE)
        self._status = self.create_publisher(String, "~/status", LATCHED)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", QoSProfile(depth=10))

    def start(self) -> None:
        """Begin to listen. Raises ReferentError when there is nothing to listen to."""
        for word in self._listener.recognizer.unknown_words:
            self.get_logger().warning(f"{word!r} is not in the dictionary and not heard; give its pronunciation")
        self._tell("listening")
        self.create_timer(PERIOD_S, self._tell_diagnostics)
        self._run(self._recognize)
        if self._file is not None:
            self.get_logger().info(f"playing as soon as somebody listens to {self._voice.topic_name}")
            self._waiting = self.create_timer(LISTENER_PERIOD_S, self._play_when_heard)
        elif self._config.source == "microphone":
            self._microphone = Microphone(self._config.microphone, self._config.sample_rate_hz, self._config.channels)
            self._run(self._record)
        else:
            self._subscribe()

    def close(self) -> None:
        """Stop listening. Raises what ended the node, if something did."""
        self._stop.set()
        self._queue.close(forget=True)
        if self._microphone is not None:
            self._microphone.close()
        for thread in self._threads:
            thread.join()
        if self._failure is not None:
            raise self._failure

    def _subscribe(self) -> None:
        self.create_subscription(
            message_type(self._config.message_type),
            "audio",
            lambda message: self._put(pcm16_of(message)),
            AUDIO_QUEUE,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    def _put(self, pcm16: bytes) -> None:
        """A chunk whose last sample is of now."""
        self._counts["chunks"] += 1
        dropped = self._queue.dropped
        begun_ns = self.get_clock().now().nanoseconds - round(len(pcm16) * 1e9 / self._rate_bytes)
        self._queue.put(pcm16, begun_ns)
        if self._queue.dropped > dropped:
            self.get_logger().warning(
                "the recogniser is too slow: audio was dropped", throttle_duration_sec=LOG_PERIOD_S
            )

    def _record(self) -> None:
        assert self._microphone is not None
        while not self._stop.is_set():
            self._put(self._microphone.read())

    def _play_when_heard(self) -> None:
        """A file is short: what is said before anybody listens would be lost."""
        if self._voice.get_subscription_count() > 0:
            self._waiting.cancel()
            self._run(self._play)

    def _play(self) -> None:
        """The whole file as fast as it is recognised, then the end."""
        assert self._file is not None
        for chunk in self._file.chunks():
            if self._stop.is_set():
                return
            self._hear(chunk, self.get_clock().now().nanoseconds)
        for heard in self._listener.finish():
            self._say(heard)
        if not self._counts["heard"] + self._counts["asked_to_repeat"]:
            self.get_logger().warning(
                f"{self._config.file}: nothing was understood; {self._listener.without_words} utterances were no "
                f"sentence of speech.vocabulary, {self._listener.too_short} sounds too short"
            )
        self._stop.set()

    def _recognize(self) -> None:
        while (chunk := self._queue.take()) is not None:
            self._hear(*chunk)

    def _hear(self, pcm16: bytes, stamp_ns: int) -> None:
        was_hearing = self._listener.is_hearing
        for heard in self._listener.hear(pcm16, stamp_ns):
            self._say(heard)
        if self._listener.is_hearing and not was_hearing:
            self._tell("hearing")

    def _say(self, heard: Heard) -> None:
        """Sure enough: an instruction. Otherwise whoever spoke is asked to say it again."""
        if heard.confidence >= self._config.min_confidence:
            self._counts["heard"] += 1
            self._voice.publish(String(data=heard.text))
            told = f"heard {heard.confidence:.2f}: {heard.text}"
        else:
            self._counts["asked_to_repeat"] += 1
            told = f"please repeat {heard.confidence:.2f}: {heard.text}"
        self.get_logger().info(told)
        self._tell(told)

    def _tell(self, text: str) -> None:
        self._status.publish(String(data=text))

    def _tell_diagnostics(self) -> None:
        counts = {
            **self._counts,
            "without_words": self._listener.without_words,
            "too_short": self._listener.too_short,
            "dropped_chunks": self._queue.dropped,
        }
        waits = self._config.source == "topic" and not self._counts["chunks"]
        status = DiagnosticStatus(
            level=DiagnosticStatus.WARN if waits or self._queue.dropped else DiagnosticStatus.OK,
            name="speech: audio",
            message=f"no audio on {self.resolve_topic_name('audio')} yet" if waits else "listening",
            hardware_id=self._config.source,
            values=[KeyValue(key=key, value=str(value)) for key, value in counts.items()],
        )
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    def _run(self, work: Any) -> None:
        def guarded() -> None:
            try:
                work()
            except Exception as error:  # whatever it is: a deaf node must not go on as if it listened
                if not self._stop.is_set():  # a recorder that is ended says so
                    self._failure = error
                    self._stop.set()

        thread = threading.Thread(target=guarded, name=f"speech {work.__name__}")
        self._threads.append(thread)
        thread.start()


def declare_speech(node: Node) -> SpeechConfig:
    """Declare the settings of speech as read-only parameters; as launched. Raises ConfigError."""
    given = {name: value.value for name, value in node._parameter_overrides.items() if name.startswith(GROUP)}
    known = {item.name: item for item in flatten(Config()) if item.name.startswith(GROUP)}
    # rclpy ignores a misspelt parameter silently; here it is an error, as in a settings file.
    load_config(None, {name: value for name, value in given.items() if name not in known})
    try:
        values = {
            name: node.declare_parameter(name, item.default, descriptor_of(item)).value for name, item in known.items()
        }
    except ParameterException as error:
        raise ConfigError(str(error)) from error
    return load_config(None, values).speech


def message_type(name: str) -> type:
    """A message class by `package/Name`. Raises ConfigError where its package is not installed."""
    package, kind = name.split("/")
    try:
        return getattr(importlib.import_module(f"{package}.msg"), kind)
    except ImportError as error:
        raise ConfigError(
            f"speech.message_type: {name}: {package} is not installed; apt-get install ros-jazzy-"
            f"{package.replace('_', '-')}, or publish std_msgs/UInt8MultiArray"
        ) from error


def pcm16_of(message: Any) -> bytes:
    """The bytes of an audio message, whose `data` is an array of bytes or of 16-bit samples."""
    return message.data.tobytes()


def main(arguments: list[str] | None = None) -> int:
    """The executable `speech`."""
    return run(SpeechNode, arguments)


if __name__ == "__main__":
    sys.exit(main())
