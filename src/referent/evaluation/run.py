"""Measures any suite by its name: scenes through the whole pipeline, or the held-out judgement."""

from __future__ import annotations

from pathlib import Path

from referent.config import Config
from referent.errors import ConfigError
from referent.evaluation.evaluate import evaluate, evaluation_table
from referent.evaluation.lines import Line
from referent.evaluation.suites import HELDOUT, POSES, REGROUNDING


def run_suite(
    suite: str,
    config: Config,
    *,
    output: Path | None = None,
    scenes: int | None = None,
    first_seed: int | None = None,
    parts: str | None = None,
) -> tuple[Line, str]:
    """What was measured as JSON values, and as a table for a terminal. None = as the suite has it.

    Raises ReferentError for an unknown suite, ConfigError for wishes it cannot meet, WeightsMissing.
    """
    numbers = {"scenes": scenes, "first_seed": first_seed}
    wishes = {name: value for name, value in numbers.items() if value is not None}
    if suite == HELDOUT:
        from referent.evaluation.heldout.judge import judge, judgement_table, plan_from

        measured = judge(config, plan_from(parts, **wishes), output=output)
        return measured, judgement_table(measured)
    if suite == REGROUNDING and not parts:
        from referent.evaluation.regrounding.judge import Plan, judge_regrounding, regrounding_table

        measured = judge_regrounding(config, Plan.of(**wishes), output=output)
        return measured, regrounding_table(measured)
    if suite == POSES and not parts:
        from referent.evaluation.poses.judge import Plan as PosePlan
        from referent.evaluation.poses.judge import judge_poses, poses_table

        measured = judge_poses(config, PosePlan.of(**wishes), output=output)
        return measured, poses_table(measured)
    given = [*wishes, *(["output"] if output else []), *(["parts"] if parts else [])]
    if given:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise ConfigError(f"suite {suite!r} does not take {options}")
    measured = evaluate(suite, config)
    return measured, evaluation_table(measured)
