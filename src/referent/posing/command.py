"""The command `referent pose`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from referent.config_options import add_config_options, config_from

DONE = 0


def add_pose(commands: Any) -> None:
    """Add the command to those of `referent`."""
    meaning = "a masked RGB-D picture to pose, size and covariance of what each mask covers"
    parser = commands.add_parser("pose", help=meaning, description=meaning)
    parser.set_defaults(run=_pose)
    parser.add_argument("--color", type=Path, required=True, metavar="F", help="PNG or JPEG")
    parser.add_argument(
        "--depth", type=Path, required=True, metavar="F", help="16-bit PNG or TIFF in mm; float .npy or TIFF in m"
    )
    parser.add_argument(
        "--mask",
        type=Path,
        required=True,
        nargs="+",
        metavar="F",
        help="picture or .npy, not 0 inside; several: a list of poses",
    )
    parser.add_argument("--mask-value", type=int, metavar="N", help="the object's value in a label image")
    parser.add_argument(
        "--camera",
        type=Path,
        required=True,
        metavar="F",
        help="JSON or YAML: width, height, fx, fy, cx, cy (and depth_unit_m), or a camera_info",
    )
    parser.add_argument(
        "--depth-camera", type=Path, metavar="F", help="camera of depth that is not registered to color"
    )
    parser.add_argument(
        "--color-from-depth",
        type=Path,
        metavar="F",
        help="JSON: translation_m and quaternion_xyzw between both cameras",
    )
    parser.add_argument("--model", type=Path, metavar="F", help="CAD model of the object: obj, ply, stl, or points")
    parser.add_argument("--model-unit", choices=("auto", "mm", "m"), default="auto", help="of the model's file")
    parser.add_argument("--up", type=float, nargs=3, metavar=("X", "Y", "Z"), help="against gravity, in camera axes")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_config_options(parser)


def _pose(options: argparse.Namespace) -> int:
    from referent.posing.from_files import PosePictures, poses_from_files

    config = config_from(options)
    names = ("color", "depth", "camera", "depth_camera", "color_from_depth")
    poses = poses_from_files(
        PosePictures(**{name: getattr(options, name) for name in names}),
        options.mask,
        mask_value=options.mask_value,
        model=options.model,
        model_unit=options.model_unit,
        up_in_camera=options.up,
        config=config.geometry,
        inputs=config.input,
        warn=lambda line: print(f"referent: {line}", file=sys.stderr),
    )
    if options.json:
        print(json.dumps(poses[0] if len(poses) == 1 else poses))
    else:
        print("\n\n".join(map(_pose_lines, poses)))
    return DONE


def _pose_lines(pose: dict[str, Any] | None) -> str:
    if pose is None:
        return "no pose"
    convention = "" if pose["orientation_known"] else "   by convention"
    sigma_mm = [1000 * pose["covariance"][7 * axis] ** 0.5 for axis in range(3)]
    return "\n".join(
        [
            f"position  {_numbers(pose['position_m'])} m   1-sigma {_numbers(sigma_mm, 1)} mm",
            f"rotation  {_numbers(pose['quaternion_xyzw'])} (xyzw){convention}",
            f"size      {_numbers(pose['size_m'])} m",
            f"points    {pose['point_count']}",
        ]
    )


def _numbers(values: Sequence[float], digits: int = 4) -> str:
    return " ".join(f"{value:.{digits}f}" for value in values)
