"""The worker that a configuration asks for: where its grounder runs, and whether its answers are written down."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from referent.config import GrounderConfig
from referent.grounding import backends
from referent.grounding.recordings import RecordingWorker
from referent.grounding.workers import ProcessWorker, ReplayWorker, ThreadWorker
from referent.types import Worker


def replay_worker_from(config: GrounderConfig, *, latency_ns: int) -> Worker:
    """For replay: asks at once, hands the answer over `latency_ns` of frame time after its question."""
    return _recorded(ReplayWorker(backends.create(config), latency_ns=latency_ns), config)


def live_worker_from(config: GrounderConfig) -> Worker:
    """For a robot: local models run in a process of their own, servers are waited for on a thread.

    Raises ConfigError for an unknown backend.
    """
    backends.check(config)  # here and now: the worker would tell only when first asked
    make_grounder = partial(backends.create, config)
    if config.backend in backends.THREADED:
        return _recorded(ThreadWorker(make_grounder), config)
    return _recorded(ProcessWorker(make_grounder, timeout_s=config.timeout_s), config)


def _recorded(worker: Worker, config: GrounderConfig) -> Worker:
    return RecordingWorker(worker, Path(config.record)) if config.record else worker
