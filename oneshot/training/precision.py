"""The number format of training: bfloat16 where that is faster, float32 where it is not.

Bfloat16 halves what moves through memory, but not every processor multiplies it faster: with AMX, or
AVX512-BF16 on Zen 4, it does; on a Xeon whose AMX is switched off float32 takes less time.
"""

import functools
import time
from statistics import median
from typing import Literal

import torch

from oneshot.models.backbone import Fire

Precision = Literal["auto", "bf16", "fp32"]


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """The context that forward passes run in."""
    chosen = faster(device.type) if precision == "auto" else precision
    return torch.autocast(device.type, torch.bfloat16, enabled=chosen == "bf16")


@functools.cache
def faster(device: str) -> Literal["bf16", "fp32"]:
    """Which of the two this machine learns faster in: measured once a process, bf16 on anything but a CPU."""
    if device != "cpu":
        return "bf16"
    spent: dict[Literal["bf16", "fp32"], list[float]] = {"bf16": [], "fp32": []}
    for turn in range(6):
        for precision, times in spent.items():
            seconds = _step(precision)
            if turn:  # the first is for warming up
                times.append(seconds)
    return min(spent, key=lambda precision: median(spent[precision]))


def _step(precision: Literal["bf16", "fp32"]) -> float:
    """Seconds that a fire module takes to learn from the maps of a few faces."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        fire, maps = Fire(128, 32, 128), torch.randn(32, 128, 32, 32)
    fire = fire.to(memory_format=torch.channels_last)
    maps = maps.contiguous(memory_format=torch.channels_last).requires_grad_()
    start = time.perf_counter()
    # Whoever asks first may be evaluating.
    with torch.enable_grad(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        fire(maps).float().square().mean().backward()
    return time.perf_counter() - start
