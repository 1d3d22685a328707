"""An exponential moving average of a network's weights; it is what gets evaluated and shipped."""

import copy
from typing import Generic, TypeVar

import torch
from torch import nn

Net = TypeVar("Net", bound=nn.Module)


class Ema(Generic[Net]):
    """The averaged network is `self.net`; the decay ramps up, so that early steps are soon forgotten."""

    def __init__(self, net: Net, decay: float):
        self.net: Net = copy.deepcopy(net).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, net: nn.Module, step: int) -> None:
        """Move towards `net` after optimiser step number `step`, counted from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        average, current = self.net.state_dict(), net.state_dict()
        floats = [k for k, v in average.items() if v.is_floating_point()]
        torch._foreach_lerp_([average[k] for k in floats], [current[k] for k in floats], 1 - decay)
        for key in average.keys() - set(floats):
            average[key].copy_(current[key])
