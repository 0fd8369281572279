"""How much arithmetic one frame takes, officially and in ours, and how fast this processor multiplies at best.

    python benchmarks/work_tracker.py [--model sam2.1-hiera-tiny] [--image-size 512] [--threads 2]

Counted by torch's FlopCounterMode in steady state (full memory, one object, multiplications and additions); ours is
counted with plain products in place of oneDNN's packed ones, which the counter does not know. Elementwise work is not
counted. The best product is the median of a 2048 x 2048 x 2048 one with packed weights.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from unittest import mock

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from referent.tracking.model import build_sam2
from referent.tracking.network import linear
from referent.tracking.network.sam2_network import Bank, Sam2Network
from referent.weights import registry

MEMORIES, POINTERS = 7, 16  # of an object that is long tracked: one conditioning frame and six, one pointer and fifteen


def counted(work: Callable[[], object]) -> float:
    """GFLOP of one call."""
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        work()
    return counter.get_total_flops() / 1e9


def official_work(model: str, image_size: int) -> float:
    """GFLOP of the parts the official predictor runs per frame and object."""
    net = build_sam2(registry()[model].config_path, image_size=image_size)
    side, dim, channels = image_size // 16, net.hidden_dim, net.mem_dim
    length = MEMORIES * side * side + POINTERS * dim // channels
    tokens, memory = torch.rand(side * side, 1, dim), torch.rand(length, 1, channels)

    def frame() -> None:
        maps = net.forward_image(torch.rand(1, 3, image_size, image_size))["backbone_fpn"]
        net.memory_attention([tokens], memory, [tokens], memory, POINTERS * dim // channels)
        net._forward_sam_heads(maps[-1], high_res_features=maps[:2], multimask_output=True)
        mask = torch.rand(1, 1, image_size, image_size)
        net._encode_new_memory([maps[-1].flatten(2).permute(2, 0, 1)], [(side, side)], mask, torch.ones(1, 1), False)

    return counted(frame)


def our_work(model: str, image_size: int) -> float:
    """GFLOP of the same in `Sam2Network`."""
    with mock.patch.object(linear, "_can_pack", return_value=False):
        net = Sam2Network(build_sam2(registry()[model].config_path, image_size=image_size), dtype=torch.float32)
        dim = net.heads.nothing_given.sparse.shape[-1]
        bank = Bank(
            spatial=torch.rand(1, MEMORIES, net.tokens, net.memory_channels),
            slots=torch.arange(MEMORIES)[None],
            pointers=torch.rand(1, POINTERS, dim),
            ages=torch.arange(float(POINTERS))[None],
            bias=None,
        )
        return counted(lambda: net.follow(net.encode(torch.rand(1, 3, image_size, image_size)), bank))


def best_product(*, side: int = 2048, repeats: int = 15) -> float:
    """GFLOP/s of a large float32 product."""
    layer, x = linear.Linear(torch.rand(side, side), torch.rand(side)), torch.rand(side, side)
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        layer(x)
        seconds.append(time.perf_counter() - started)
    return 2 * side**3 / statistics.median(seconds) / 1e9


def main() -> None:
    """Print the three figures and what follows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="sam2.1-hiera-tiny")
    parser.add_argument("--image-size", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with torch.inference_mode():
        official, ours = official_work(args.model, args.image_size), our_work(args.model, args.image_size)
        speed = best_product()
    print(f"official {official:.1f} GFLOP per frame, ours {ours:.1f} ({ours / official:.0%})")
    print(f"best product {speed:.0f} GFLOP/s with {args.threads} thread(s): ours takes at least {ours / speed:.3f} s")


if __name__ == "__main__":
    main()
