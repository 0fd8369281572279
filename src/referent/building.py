"""A pipeline as a configuration wants it: its tracker, and a worker for its grounder."""

from __future__ import annotations

from collections.abc import Callable

from referent.config import Config
from referent.frames.transforms import TransformBuffer
from referent.grounding.worker_choice import live_worker_from, replay_worker_from
from referent.grounding.workers import NoWorker
from referent.pipeline import Pipeline
from referent.ports import Worker
from referent.tracking.sam2_tracker import Sam2Tracker
from referent.weights import resolve


def no_worker(config: Config) -> Worker:
    """No grounder: only what is given as a box is followed."""
    return NoWorker()


def replay_worker(config: Config) -> Worker:
    """For replay: an answer comes `grounding.replay_latency_s` of frame time after its question."""
    latency_ns = round(config.grounding.replay_latency_s * 1e9)
    return replay_worker_from(config.grounder, latency_ns=latency_ns)


def live_worker(config: Config) -> Worker:
    """For a robot: local models run in a process of their own, servers are waited for on a thread.

    Raises ConfigError for an unknown backend.
    """
    return live_worker_from(config.grounder)


def build_pipeline(
    config: Config, *, make_worker: Callable[[Config], Worker] = live_worker, transforms: TransformBuffer | None = None
) -> Pipeline:
    """A pipeline with the tracker and the grounder that `config` names. Raises WeightsMissing, ConfigError."""
    tracker = Sam2Tracker(config.tracker, resolve(config.tracker.model))
    return Pipeline(config, tracker=tracker, worker=make_worker(config), transforms=transforms)
