"""A stream of audio to sentences: resample, cut into utterances, recognise each."""

from __future__ import annotations

from dataclasses import dataclass

from referent.speech.audio import PcmReader
from referent.speech.endpoints import Endpointer, Utterance
from referent.speech.recognizers import Recognizer, load_recognizer
from referent.speech_config import SpeechConfig


@dataclass(frozen=True)
class Heard:
    """One utterance, written down; whether to act on it is for `speech.min_confidence` to say."""

    text: str
    confidence: float  # in [0, 1]
    stamp_ns: int  # of its first sample, on the clock of the chunks


class Listener:
    """Hears one stream. Belongs to one thread; recognising takes as long as it takes, so not the executor's."""

    def __init__(self, config: SpeechConfig, recognizer: Recognizer | None = None) -> None:
        """Loads the configured recogniser unless one is given. Raises ConfigError or WeightsMissing."""
        self.recognizer = recognizer or load_recognizer(config)
        self._config = config
        self.without_words = 0  # utterances that were no sentence
        self.reset()

    def reset(self) -> None:
        """A new stream begins."""
        self._reader = PcmReader(self._config.sample_rate_hz, self._config.channels)
        self._endpointer = Endpointer(self._config)

    @property
    def is_hearing(self) -> bool:
        """Whether somebody is speaking."""
        return self._endpointer.is_hearing

    @property
    def too_short(self) -> int:
        """Sounds that were too short to be an utterance."""
        return self._endpointer.too_short

    def hear(self, pcm16: bytes, stamp_ns: int) -> list[Heard]:
        """What was said to its end in this chunk; `stamp_ns` is the time of its first sample. Raises BadMessage."""
        return self._recognized(self._endpointer.add(self._reader.read(pcm16), stamp_ns))

    def finish(self) -> list[Heard]:
        """What was being said when the stream ended."""
        return self._recognized(self._endpointer.finish())

    def _recognized(self, utterances: list[Utterance]) -> list[Heard]:
        heard = [(*self.recognizer.recognize(each.samples), each.stamp_ns) for each in utterances]
        understood = [Heard(*each) for each in heard if each[0]]
        self.without_words += len(heard) - len(understood)
        return understood
