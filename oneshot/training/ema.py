"""An exponential moving average of a network's weights; it is what gets evaluated and shipped."""

import copy
from collections.abc import Callable, Iterable
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


@torch.no_grad()
def refresh_statistics(net: Net, see: Callable[[Net, int], object], steps: Iterable[int]) -> None:
    """Give an averaged network the batch-norm statistics that it has itself, on some training steps.

    Those that were averaged along the way belong to other weights, and a single step whose maps explode
    stays in them for thousands. So does stochastic weight averaging (arXiv:1803.05407, section 3.2).

    Args:
        net: in evaluation mode, and left so. Norms that `see` does not pass keep their statistics.
        see: a forward pass of the training step of that number.
    """
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    if not norms:
        return
    before = [(norm.momentum, copy.deepcopy(norm.state_dict())) for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean of all batches
    net.train()
    with torch.compiler.set_stance("force_eager"):  # compiling for a few steps would take a minute
        for step in steps:
            see(net, step)
    net.eval()
    for norm, (momentum, state) in zip(norms, before, strict=True):
        norm.momentum = momentum
        if not norm.num_batches_tracked:
            norm.load_state_dict(state)
