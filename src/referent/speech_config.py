"""The settings of the node `speech`: the group `speech` of `config.Config`."""

from __future__ import annotations

from dataclasses import dataclass

from referent.settings import setting


@dataclass(frozen=True)
class SpeechConfig:
    """How spoken instructions are heard; only the node `speech` reads it."""

    source: str = setting(
        "topic",
        "where audio comes from: a topic, a microphone of this machine, a wav file",
        choices=("topic", "microphone", "file"),
    )
    message_type: str = setting(
        "std_msgs/UInt8MultiArray",
        "type of the topic `audio`; bytes hold 16-bit little-endian PCM",
        choices=("std_msgs/UInt8MultiArray", "std_msgs/Int16MultiArray", "audio_common_msgs/AudioData"),
    )
    microphone: str = setting("default", "ALSA device, as `arecord -L` lists them")
    file: str = setting("", "wav file to listen to")
    sample_rate_hz: int = setting(
        16_000, "samples per second and channel of topic or microphone", low=8000, high=96_000
    )
    channels: int = setting(1, "interleaved channels of topic or microphone; their mean is heard", low=1, high=16)
    queue_s: float = setting(15.0, "audio that may wait for a slow recogniser", unit="s", low=1, high=120)
    recognizer: str = setting(
        "pocketsphinx",
        "who writes down what is said: offline by a grammar, or a model from transformers",
        choices=("pocketsphinx", "whisper", "moonshine"),
    )
    model: str = setting("", "folder of the recogniser's model; empty = the one inside pocketsphinx")
    vocabulary: str = setting(
        "", "YAML list of the words that pocketsphinx can hear; empty = referent/speech/words.yaml"
    )
    device: str = setting("auto", "where a model from transformers runs", choices=("auto", "cpu", "cuda"))
    language: str = setting("en", "what a multilingual Whisper is told to hear")
    min_confidence: float = setting(0.5, "below this nothing is done but asked to repeat", low=0, high=1)
    vad_strictness: int = setting(2, "how sure voice must be to count as such", low=0, high=3)
    pause_s: float = setting(0.6, "silence that ends an utterance", unit="s", low=0.1, high=5)
    min_utterance_s: float = setting(0.2, "voice shorter than this is a click or a cough", unit="s", low=0, high=5)
    max_utterance_s: float = setting(15.0, "speech is cut after this", unit="s", low=1, high=30)
