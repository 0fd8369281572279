"""Several grounders in order: when one fails or is late, the next one is asked about the same frame.

One that failed is left alone for a while, so that a server that is down costs its deadline now and then and not with
every question. In replay there is no clock: there the next one is asked when the one before fails.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from referent.config import Config, GrounderConfig, load_config
from referent.errors import ConfigError, GrounderUnavailable, ReferentError
from referent.grounding.workers import Answer, health_of
from referent.ports import Grounder, GroundingFailure, Worker
from referent.types import GrounderHealth, Grounding, GroundingRequest

FIRST_REST_S = 2.0
LONGEST_REST_S = 60.0
# BACKEND[:MODEL][@URL]
_ENTRY = re.compile(r"(?P<backend>[^:@\s]+)(?::(?P<model>[^@\s]+))?(?:@(?P<url>https?://\S+))?")
_FILE = re.compile(r".+\.ya?ml", re.IGNORECASE)


def in_order(config: GrounderConfig) -> tuple[GrounderConfig, ...]:
    """`config` and those it falls back to. Raises ConfigError.

    `fallback` names them, separated by commas or blanks: BACKEND[:MODEL][@URL], everything else as in `config`; or a
    YAML file whose group `grounder` says what differs from `config`.
    """
    plain = replace(config, fallback="", record="")
    return (plain, *(_fallback(entry, plain) for entry in re.split(r"[,\s]+", config.fallback) if entry))


def name_of(config: GrounderConfig) -> str:
    """What a grounder is called in notes."""
    return f"{config.backend}:{config.model}"


def _fallback(entry: str, config: GrounderConfig) -> GrounderConfig:
    if _FILE.fullmatch(entry):
        return _from_file(Path(entry), config)
    match = _ENTRY.fullmatch(entry)
    if match is None:
        raise ConfigError(f"grounder.fallback: {entry!r} is neither BACKEND[:MODEL][@URL] nor a YAML file")
    backend, model, url = match.group("backend", "model", "url")
    return replace(config, backend=backend, model=model or config.model, url=url or config.url)


def _from_file(path: Path, config: GrounderConfig) -> GrounderConfig:
    """The settings of a file on top of `config`; it may speak of the grounder only."""
    changed = load_config(path, base=Config(grounder=config))
    if replace(changed, grounder=config) != Config(grounder=config):
        raise ConfigError(f"grounder.fallback: {path} may hold settings of the group 'grounder' only")
    if changed.grounder.fallback or changed.grounder.record:
        raise ConfigError(f"grounder.fallback: {path} may set neither fallback nor record: the first grounder does")
    return changed.grounder


class FallbackGrounder:
    """Asks one grounder after the other until one answers."""

    def __init__(self, grounders: Sequence[tuple[str, Grounder]]) -> None:
        self._grounders = tuple(grounders)

    def ground(self, request: GroundingRequest) -> Grounding:
        """The first answer. Raises GrounderUnavailable with every one's fault when there is none."""
        faults: list[str] = []
        for name, grounder in self._grounders:
            try:
                return _noted(grounder.ground(request), name, faults)
            except ReferentError as error:
                faults.append(f"{name}: {error}")
        raise GrounderUnavailable("; ".join(faults))

    def close(self) -> None:
        """Free all."""
        for _, grounder in self._grounders:
            grounder.close()


@dataclass
class _Member:
    """One worker of the order and how it has done lately."""

    name: str
    worker: Worker
    deadline_s: float
    failures: int = 0  # in a row
    resting_until_s: float = 0.0  # time.monotonic()

    def failed(self) -> None:
        """Let it rest, the longer the more often it failed."""
        rest_s = min(FIRST_REST_S * 2.0**self.failures, LONGEST_REST_S)
        self.failures, self.resting_until_s = min(self.failures + 1, 10), time.monotonic() + rest_s

    def answered(self) -> None:
        """All is well with it."""
        self.failures, self.resting_until_s = 0, 0.0


class FallbackWorker:
    """Puts a question to the first of several workers that is free and not resting; then to those after it.

    `members`: name, worker and deadline in seconds, in order. The last one's own deadline is what counts for it.
    """

    def __init__(self, members: Sequence[tuple[str, Worker, float]]) -> None:
        self._members = [_Member(*member) for member in members]
        self._request: GroundingRequest | None = None
        self._at = 0  # who is asked
        self._asked_s = self._started_s = 0.0  # time.monotonic(): the one who is at it, and the first
        self._faults: list[str] = []

    @property
    def busy(self) -> bool:
        """True while a question is in flight, or when nobody could take one."""
        return self._request is not None or all(member.worker.busy for member in self._members)

    @property
    def health(self) -> GrounderHealth:
        """That of the one whose turn it is, with a word on the others."""
        states = [(member.name, health_of(member.worker)) for member in self._members]
        now_s = time.monotonic()
        words = [
            f"{name}: {'resting, ' if member.resting_until_s > now_s else ''}"
            + (f"{state.state}{f' ({state.note})' if state.note else ''}" if state else "there")
            for member, (name, state) in zip(self._members, states, strict=True)
        ]
        first = next((index for index, m in enumerate(self._members) if m.resting_until_s <= now_s), 0)
        present = states[self._at if self._request is not None else first][1]
        restarts = sum(state.restarts for _, state in states if state is not None)
        return GrounderHealth("ready" if present is None else present.state, "; ".join(words), restarts)

    def submit(self, request: GroundingRequest) -> None:
        """Ask the first who is free and not resting; when all rest, the first who is free."""
        self._request, self._faults = request, []
        now_s = self._started_s = time.monotonic()
        free = [index for index, member in enumerate(self._members) if not member.worker.busy]
        fresh = [index for index in free if self._members[index].resting_until_s <= now_s]
        self._ask((fresh or free)[0])

    def poll(self, now_ns: int) -> Answer | None:
        """The first answer that comes, or the failure of all."""
        answers = [member.worker.poll(now_ns) for member in self._members]  # those given up come back unheard
        if self._request is None:
            return None
        member, answer = self._members[self._at], answers[self._at]
        if isinstance(answer, Grounding):
            self._request = None
            member.answered()
            answer = replace(answer, latency_s=time.monotonic() - self._started_s)
            return _noted(answer, member.name, self._faults)
        if answer is not None:
            return self._next(answer.message)
        if self._free_after() and time.monotonic() - self._asked_s > member.deadline_s:
            member.worker.cancel()
            return self._next(f"no answer within {member.deadline_s:g} s")
        return None

    def cancel(self) -> None:
        """Throw away the question in flight, whoever is at it."""
        if self._request is not None:
            self._members[self._at].worker.cancel()
            self._request = None

    def close(self) -> None:
        """Stop all."""
        for member in self._members:
            member.worker.close()

    def _next(self, fault: str) -> Answer | None:
        """On to the next one who is free; the failure of all when there is none."""
        request, member = self._request, self._members[self._at]
        member.failed()
        self._faults.append(f"{member.name}: {fault}")
        free = self._free_after()
        if free and request is not None:
            self._ask(free[0])
            return None
        self._request = None
        latency_s = time.monotonic() - self._started_s
        return None if request is None else GroundingFailure(request, "; ".join(self._faults), latency_s)

    def _free_after(self) -> list[int]:
        """Those after the one who is asked who could take the question."""
        return [index for index in range(self._at + 1, len(self._members)) if not self._members[index].worker.busy]

    def _ask(self, index: int) -> None:
        self._at, self._asked_s = index, time.monotonic()
        if self._request is not None:
            self._members[index].worker.submit(self._request)


def _noted(answer: Grounding, name: str, faults: Sequence[str]) -> Grounding:
    """The answer with a note on who gave it and why not those before."""
    return replace(answer, notes=(*answer.notes, f"answered by {name}", *faults)) if faults else answer
