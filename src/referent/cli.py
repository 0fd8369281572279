"""One command, `referent`, with sub-commands. Exit codes: 0 done, 2 the input is wrong, 1 a fault."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from referent import __version__
from referent.benching import add_bench, write_json
from referent.comparing import add_compare
from referent.config import Config, load_config
from referent.config_options import add_config_options, config_from
from referent.errors import ConfigError, ReferentError
from referent.posing.command import add_pose
from referent.settings import flatten

Command = Callable[[argparse.Namespace], int]
DONE, WRONG_INPUT, INTERRUPTED = 0, 2, 130
WRONG_PATHS = (PermissionError, NotADirectoryError, FileNotFoundError, FileExistsError, IsADirectoryError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one sub-command; wrong input is one line on stderr."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except ReferentError as error:
        print(f"referent: {error}", file=sys.stderr)
        return WRONG_INPUT
    except WRONG_PATHS as error:
        print(f"referent: {error.filename}: {error.strerror}", file=sys.stderr)
        return WRONG_INPUT
    except BrokenPipeError:  # `referent config show | head`: whoever reads has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        print("referent: interrupted", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="referent", description="Instruction-driven perception for robots.")
    parser.add_argument("--version", action="version", version=f"referent {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (
        _add_demo, _add_simulate, _add_bag, _add_replay, add_compare, _add_evaluate, _add_ground, add_pose, add_bench,
        _add_models, _add_config,
    ):  # fmt: skip
        add(commands)
    return parser


def _add(commands: Any, name: str, run: Command, meaning: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=meaning, description=meaning)
    parser.set_defaults(run=run)
    return parser


def _add_demo(commands: Any) -> None:
    parser = _add(commands, "demo", _demo, "simulated camera, node and client as ROS 2 processes; writes a report")
    parser.add_argument("--output", type=Path, default=Path("out/demo"), metavar="DIR")
    parser.add_argument("--seconds", type=float, default=12.0, metavar="N")
    parser.add_argument("--scene", default="tabletop", metavar="NAME")
    parser.add_argument("--instruction", default="pick up the red mug", metavar="TEXT")


def _demo(options: argparse.Namespace) -> int:
    from referent.demo import run_demo

    return run_demo(options.output, seconds=options.seconds, scene=options.scene, instruction=options.instruction)


def _add_simulate(commands: Any) -> None:
    parser = _add(commands, "simulate", _simulate, "write a rosbag2 (MCAP) of a simulated scene with ground truth")
    parser.add_argument("--scene", default="tabletop", metavar="NAME")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--seconds", type=float, default=5.0, metavar="S")
    parser.add_argument("--fps", type=float, default=30.0, metavar="HZ")
    parser.add_argument("--output", type=Path, required=True, metavar="BAG")


def _simulate(options: argparse.Namespace) -> int:
    from referent.sources.simulated_bag import write_simulated_bag

    write_simulated_bag(options.scene, options.seed, options.seconds, options.output, fps=options.fps)
    print(f"wrote {options.output}")
    return DONE


def _add_bag(commands: Any) -> None:
    parser = _add(commands, "bag", _bag, "turn a folder of color/, depth/ and camera.json into a rosbag2 (MCAP)")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--output", type=Path, required=True, metavar="BAG")
    parser.add_argument("--fps", type=float, default=30.0, metavar="HZ")
    parser.add_argument(
        "--depth-unit", type=float, metavar="M", help="metres per count of depth, if camera.json is silent"
    )


def _bag(options: argparse.Namespace) -> int:
    from referent.sources.folder import folder_to_bag

    folder_to_bag(options.folder, options.output, fps=options.fps, depth_unit_m=options.depth_unit)
    print(f"wrote {options.output}")
    return DONE


def _add_replay(commands: Any) -> None:
    parser = _add(commands, "replay", _replay, "the whole pipeline over a bag, every frame in order, deterministic")
    parser.add_argument("bag", type=Path, metavar="BAG")
    parser.add_argument("--instruction", metavar="TEXT")
    parser.add_argument("--prompt-box", type=float, nargs=4, metavar=("X1", "Y1", "X2", "Y2"), help="pixels")
    parser.add_argument("--at", type=float, default=0.0, metavar="S", help="seconds after the first frame")
    parser.add_argument("--output", type=Path, default=Path("out/replay"), metavar="DIR")
    parser.add_argument("--grounder-latency", type=float, metavar="S", help="simulated delay of the grounder")
    for kind in ("color", "depth", "info", "depth-info"):
        parser.add_argument(f"--{kind}-topic", metavar="TOPIC", help="where the bag has several")
    add_config_options(parser)


def _replay(options: argparse.Namespace) -> int:
    from referent.evaluation.report import summary_table, write_report
    from referent.replay import ReplayJob, replay

    latency = {} if options.grounder_latency is None else {"grounding.replay_latency_s": options.grounder_latency}
    topics = {f"{kind}_topic": getattr(options, f"{kind}_topic") for kind in ("color", "depth", "info", "depth_info")}
    job = ReplayJob(
        bag=options.bag,
        output=options.output,
        config=config_from(options, **latency),
        instruction=options.instruction,
        prompt_box_xyxy=None if options.prompt_box is None else tuple(options.prompt_box),
        at_s=options.at,
        topics={name: topic for name, topic in topics.items() if topic},
    )
    summary = replay(job)
    write_report(options.output)
    print(summary_table(summary))
    return DONE


def _add_evaluate(commands: Any) -> None:
    parser = _add(commands, "evaluate", _evaluate, "metrics over simulated suites with ground truth")
    parser.add_argument("--suite", default="demo", metavar="NAME")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--output", type=Path, metavar="DIR", help="heldout, regrounding, poses: table and pictures")
    parser.add_argument(
        "--scenes",
        type=int,
        metavar="N",
        help="heldout: pictures, 150; regrounding: of each trial, 3; poses: clips, 8",
    )
    parser.add_argument("--first-seed", type=int, metavar="N", help="of these: 20000; below 10000 to develop")
    parser.add_argument("--parts", metavar="NAMES", help="heldout: of tracker,grounder,pipeline,first_mask")
    add_config_options(parser)


def _evaluate(options: argparse.Namespace) -> int:
    from referent.evaluation.run import run_suite

    wishes = {name: getattr(options, name) for name in ("output", "scenes", "first_seed", "parts")}
    measured, table = run_suite(options.suite, config_from(options), **wishes)
    print(table)
    write_json(options.json, measured)
    return DONE


def _add_ground(commands: Any) -> None:
    parser = _add(commands, "ground", _ground, "one picture, one phrase: boxes, points or masks")
    parser.add_argument("image", type=Path, metavar="IMAGE", nargs="?")
    parser.add_argument("text", metavar="TEXT", nargs="?")
    parser.add_argument(
        "--calibrate", action="store_true", help="no picture: see whether boxes come out where they are"
    )
    parser.add_argument("--grounder", metavar="NAME", help="backend, as setting grounder.backend")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_config_options(parser)


def _ground(options: argparse.Namespace) -> int:
    from referent.grounding.picture import ground_picture, grounding_lines
    from referent.grounding.worker_choice import calibrated

    backend = {"grounder.backend": options.grounder} if options.grounder else {}
    config = config_from(options, **backend).grounder
    if options.calibrate:
        print(calibrated(config))
        return DONE
    if options.image is None or options.text is None:
        raise ReferentError('ground: IMAGE and TEXT are needed, such as photo.jpg "the red mug"; or --calibrate')
    grounding = ground_picture(options.image, options.text, config)
    print(grounding_lines(grounding, as_json=options.json))
    return DONE


def _add_models(commands: Any) -> None:
    parser = _add(commands, "models", _models, "the models in models/models.yaml")
    parser.add_argument("action", choices=("list", "verify", "fetch"))
    parser.add_argument("name", nargs="?", help="one model; without it, all (list, verify)")


def _models(options: argparse.Namespace) -> int:
    from referent import weights

    if options.action == "fetch":
        if options.name is None:
            raise ReferentError("models fetch: a name is needed; `referent models list` shows them")
        weights.fetch(options.name, on_progress=_progress)
    known = weights.registry()
    if options.name is not None and options.name not in known:
        raise ReferentError(f"no model {options.name!r} in models.yaml; known: {', '.join(known)}")
    states = {name: weights.status(known[name]) for name in ([options.name] if options.name else known)}
    for name, state in states.items():
        print(f"{name:24s} {known[name].kind:9s} {known[name].license:12s} {state}")
    broken = [name for name, state in states.items() if state not in ("ready", "not downloaded")]
    return WRONG_INPUT if options.action == "verify" and broken else DONE


def _progress(file: str, done_bytes: int, total_bytes: int) -> None:
    """A line that counts megabytes, on a terminal only."""
    if sys.stderr.isatty():
        end = "\n" if done_bytes == total_bytes else ""
        print(f"\r{file}: {done_bytes / 1e6:.0f} of {total_bytes / 1e6:.0f} MB", end=end, file=sys.stderr, flush=True)


def _add_config(commands: Any) -> None:
    parser = _add(commands, "config", _config_command, "every setting with default, bounds, unit and meaning")
    parser.add_argument("action", choices=("show", "check"))
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE")


def _config_command(options: argparse.Namespace) -> int:
    if options.action == "check" and options.file is None:
        raise ConfigError("config check: a FILE is needed")
    config = load_config(options.file)
    print(f"{options.file} is a valid configuration" if options.action == "check" else describe(config))
    return DONE


def describe(config: Config) -> str:
    """Every setting as commented YAML that can be saved and changed."""
    lines: list[str] = []
    group = ""
    for item in flatten(config):
        section, key = item.name.split(".", 1)
        if section != group:
            group = section
            lines += [*([""] if lines else []), f"{section}:"]
        info = item.info
        low, high = ("" if bound is None else f"{bound:g}" for bound in (info.low, info.high))
        bounds = ", ".join(info.choices) or (f"{low}..{high}" if low or high else "")
        notes = [note for note in (info.unit, bounds, f"default {json.dumps(item.default)}") if note]
        lines.append(f"  {key}: {json.dumps(item.value)}  # {info.meaning} [{'; '.join(notes)}]")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
