"""The worker that a configuration asks for: which grounders, where they run, how they are checked and recorded."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

from referent.config import GrounderConfig
from referent.errors import ConfigError, GrounderUnavailable, UnreadableReply
from referent.grounding import backends
from referent.grounding.backends.qwen3_vl import check_model
from referent.grounding.calibration import Convention, calibrate, calibration_note, expected_of
from referent.grounding.fallback import FallbackGrounder, FallbackWorker, in_order, name_of
from referent.grounding.process_worker import ProcessWorker
from referent.grounding.recordings import RecordingWorker
from referent.grounding.workers import Check, ReplayWorker, ThreadWorker
from referent.ports import Grounder, Worker

log = logging.getLogger(__name__)


def replay_worker_from(config: GrounderConfig, *, latency_ns: int) -> Worker:
    """For replay: asks at once, hands the answer over `latency_ns` of frame time after its question.

    Raises ConfigError, also for a grounder whose coordinates are refused, and WeightsMissing.
    """
    grounders = [(name_of(each), _made_and_checked(each)) for each in in_order(config)]
    grounder = grounders[0][1] if len(grounders) == 1 else FallbackGrounder(grounders)
    return _recorded(ReplayWorker(grounder, latency_ns=latency_ns), config)


def live_worker_from(config: GrounderConfig) -> Worker:
    """For a robot: local models run in a process of their own, servers are waited for on a thread.

    Raises ConfigError for an unknown backend, WeightsMissing for a local model that is not there, and whatever else a
    backend raises that lacks what it needs.
    """
    configs = in_order(config)
    for each in configs:  # here and now: the worker would tell only when first asked
        backends.check(each)
        if each.backend in backends.THREADED:
            backends.create(each).close()
        elif each.backend == "qwen3_vl":
            check_model(each)
    members = [(name_of(each), _live(each), each.timeout_s) for each in configs]
    return _recorded(members[0][1] if len(members) == 1 else FallbackWorker(members), config)


def calibrated(config: GrounderConfig) -> str:
    """That a grounder's boxes are where they should be. Raises ConfigError when not, UnreadableReply when unclear.

    Also raises what making and asking it raises.
    """
    grounder = backends.create(config)
    try:
        found = calibrate(grounder, expected=convention_of(config))
    finally:
        grounder.close()
    if found.fits is None:
        raise UnreadableReply(found.text)
    if not found.fits:
        raise ConfigError(found.text)
    return found.text


def convention_of(config: GrounderConfig) -> Convention | None:
    """How a backend of ours takes its model's numbers to be written; None where that is not known."""
    if config.backend in backends.SERVERS:
        return expected_of(config.coordinate_space, config.coordinate_order)
    return expected_of("rel1000", "xyxy") if config.backend == "qwen3_vl" else None


def check_from(config: GrounderConfig) -> Check | None:
    """The look at its coordinates that a new grounder gets; None = none.

    Wrong boxes of a server are refused: which model it serves and how it resizes pictures is out of our hands, and a
    robot acts on them. Installed backends are only warned of, since they convert coordinates themselves. Ours are left
    alone: their family writes thousandths however pictures are resized, and a start would take a few answers longer.
    """
    mode = config.calibrate
    if mode == "auto":
        mode = (
            "refuse" if config.backend in backends.SERVERS else "off" if config.backend in backends.BACKENDS else "warn"
        )
    if mode == "off" or config.backend == "scripted":
        return None
    return partial(calibration_note, expected=convention_of(config), refuse=mode == "refuse")


def _live(config: GrounderConfig) -> Worker:
    make_grounder = partial(backends.create, config)
    check = check_from(config)
    if config.backend in backends.THREADED:
        return ThreadWorker(make_grounder, timeout_s=config.timeout_s, check=check)
    return ProcessWorker(make_grounder, timeout_s=config.timeout_s, threads=config.threads, check=check)


def _made_and_checked(config: GrounderConfig) -> Grounder:
    grounder = backends.create(config)
    check = check_from(config)
    try:
        if check is not None:
            log.info("%s: %s", name_of(config), check(grounder))
    except GrounderUnavailable as error:
        log.warning("%s: not checked: %s", name_of(config), error)
    return grounder


def _recorded(worker: Worker, config: GrounderConfig) -> Worker:
    return RecordingWorker(worker, Path(config.record)) if config.record else worker
