"""The node `speech`: audio on a topic, or from a file, becomes an instruction; what is not sure is asked for again."""

from __future__ import annotations

import threading
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from painted import painted
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from referent_msgs.msg import TrackedObject
from robot import a_robot
from std_msgs.msg import Int16MultiArray, String, UInt8MultiArray
from voices import Speaker

from referent.errors import ConfigError, ReferentError
from referent.speech.listener import Listener
from referent.speech_config import SpeechConfig
from referent_ros.speech import SpeechNode

CHUNK = 1600
RED = {"red": (10, 10, 24, 24)}
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class ScriptedRecognizer:
    """Hears what it is told to, one answer for each utterance."""

    unknown_words: tuple[str, ...] = ()

    def __init__(self, *answers: tuple[str, float]) -> None:
        self._answers = list(answers)

    def recognize(self, samples: Any) -> tuple[str, float]:
        return self._answers.pop(0)


class Room:
    """Somebody who speaks, and who hears what comes of it."""

    def __init__(self, executor: SingleThreadedExecutor, node: SpeechNode, kind: type) -> None:
        self.node, self._executor, self._kind = node, executor, kind
        self.instructions: list[str] = []
        self.states: list[str] = []
        self._own = rclpy.create_node("room")
        self._voice = self._own.create_publisher(kind, "audio", 100)
        self._own.create_subscription(String, "instruction", lambda each: self.instructions.append(each.data), 10)
        self._own.create_subscription(String, "speech/status", lambda each: self.states.append(each.data), LATCHED)
        executor.add_node(self._own)

    def speak(self, samples: Any) -> None:
        """Publish samples as a sound card would."""
        self.wait_for(lambda: self._voice.get_subscription_count())
        for at in range(0, len(samples), CHUNK):
            raw = samples[at : at + CHUNK]
            data = raw.tolist() if self._kind is Int16MultiArray else raw.tobytes()
            self._voice.publish(self._kind(data=data))
            self._executor.spin_once(timeout_sec=0.01)

    def wait_for(self, condition: Callable[[], Any], *, seconds: float = 20.0) -> None:
        """Spin until the condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, (self.instructions, self.states)
            self._executor.spin_once(timeout_sec=0.05)

    def close(self) -> None:
        self._own.destroy_node()


@contextmanager
def a_room(*answers: tuple[str, float], kind: type = UInt8MultiArray, **settings: object) -> Iterator[Room]:
    """The node with a recogniser that gives these answers; with none, the configured one."""
    rclpy.init()
    try:
        overrides = [Parameter(f"speech.{name}", value=value) for name, value in settings.items()]
        listener = Listener(SpeechConfig(), ScriptedRecognizer(*answers)) if answers else None
        node = SpeechNode(threading.Event(), listener, parameter_overrides=overrides)
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        room = Room(executor, node, kind)
        try:
            node.start()
            yield room
        finally:
            node.close()
            executor.shutdown()
            room.close()
            node.destroy_node()
    finally:
        rclpy.try_shutdown()


@pytest.fixture(scope="module")
def said() -> Any:
    """Somebody says "find the red mug"."""
    return Speaker().say("find the red mug")


def test_an_instruction_that_is_heard_is_put_on_the_topic(said: Any) -> None:
    with a_room() as room:
        room.speak(said)
        room.wait_for(lambda: room.instructions)
        assert room.instructions == ["find the red mug"]
        room.wait_for(lambda: any(state.startswith("heard 0.") for state in room.states))
        assert room.states[0] == "listening"


def test_what_is_said_ends_in_a_mask(said: Any) -> None:
    with a_robot() as robot:
        robot.show(painted(0, RED))
        speech = SpeechNode(threading.Event())
        voice = robot.publisher(UInt8MultiArray, "audio")
        robot.node.executor.add_node(speech)
        speech.start()
        robot.wait_for(lambda: voice.get_subscription_count() and robot.node.count_publishers("instruction") == 2)
        robot.spin(0.2)
        voice.publish(UInt8MultiArray(data=said.tobytes()))
        robot.wait_for(lambda: speech._counts["heard"])
        robot.spin(0.2)
        (track,) = robot.show(painted(1, RED)).objects
        assert (track.expression, track.state) == ("the red mug", TrackedObject.TRACKING)
        (mask,) = robot.about(painted(1, RED), "masks")
        assert np.count_nonzero(np.frombuffer(mask.data, np.uint8) == track.mask_value) > 0
        speech.close()
        robot.node.executor.remove_node(speech)
        speech.destroy_node()


def test_what_is_not_sure_is_asked_for_again_and_not_done(said: Any) -> None:
    with a_room(("find the red mug", 0.4), ("find the red mug", 0.9)) as room:
        room.speak(said)
        room.wait_for(lambda: "please repeat 0.40: find the red mug" in room.states)
        assert room.instructions == []
        room.speak(said)
        room.wait_for(lambda: room.instructions == ["find the red mug"])


def test_samples_may_come_as_numbers_too(said: Any) -> None:
    with a_room(("undo", 0.9), kind=Int16MultiArray, message_type="std_msgs/Int16MultiArray") as room:
        room.speak(said)
        room.wait_for(lambda: room.instructions == ["undo"])


def test_a_microphone_that_is_gone_ends_the_node_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "arecord").write_text("#!/bin/sh\necho 'no such card' >&2\nexit 1\n")
    (tmp_path / "arecord").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with (
        pytest.raises(ReferentError, match="'default' gives no sound: no such card"),
        a_room(("undo", 0.9), source="microphone") as room,
    ):
        room.wait_for(room.node._stop.is_set)


def test_a_recogniser_that_breaks_does_not_leave_a_deaf_node(said: Any) -> None:
    def ends_after_its_script() -> None:
        with a_room(("undo", 0.9)) as room:
            room.speak(said)
            room.wait_for(lambda: room.instructions)
            room.speak(said)  # the script has no second answer
            room.wait_for(room.node._stop.is_set)

    with pytest.raises(IndexError):
        ends_after_its_script()


def test_silence_says_nothing() -> None:
    with a_room(("undo", 0.9)) as room:
        room.speak(np.zeros(16_000, np.int16))
        time.sleep(0.2)
        room.wait_for(lambda: room.states)
        assert (room.instructions, set(room.states)) == ([], {"listening"}), "latched, it may come twice"


def a_recording(said: Any, folder: Path) -> str:
    with wave.open(str(folder / "said.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(said.tobytes())
    return str(folder / "said.wav")


def test_a_wav_file_waits_for_ears_and_then_ends_the_node(said: Any, tmp_path: Path) -> None:
    with a_room(("undo", 0.9), source="file", file=a_recording(said, tmp_path)) as room:
        room.wait_for(lambda: room.instructions == ["undo"])
        room.wait_for(room.node._stop.is_set)


def test_a_wav_file_in_which_nothing_is_understood_says_so(
    said: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with a_room(("", 0.0), source="file", file=a_recording(said, tmp_path)) as room:
        room.wait_for(room.node._stop.is_set)
        assert room.instructions == []
    log = capfd.readouterr().err
    assert "playing as soon as somebody listens to /instruction" in log
    assert "said.wav: nothing was understood; 1 utterances were no sentence of speech.vocabulary, 0 sounds" in log


@pytest.mark.parametrize(
    ("settings", "said_of_it"),
    [
        ({"message_type": "audio_common_msgs/AudioData"}, "ros-jazzy-audio-common-msgs"),
        ({"source": "file", "file": "gone.wav"}, r"gone\.wav"),
        ({"min_confidense": 0.5}, "min_confidence"),
        ({"source": "microphone", "microphone": ""}, "arecord"),
    ],
)
def test_what_cannot_be_listened_to_is_said_at_the_start(settings: dict[str, object], said_of_it: str) -> None:
    with pytest.raises(ReferentError, match=said_of_it) as caught, a_room(("undo", 0.9), **settings):
        pass
    assert isinstance(caught.value, ConfigError)
