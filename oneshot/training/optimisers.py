"""What a step does to the weights: AdamW, Muon, and their rates.

Muon's steps have equal length in every direction of a weight matrix: Jordan et al. 2024
(https://kellerjordan.github.io/posts/muon/); a step's length is Liu et al.'s 2025
(arXiv:2502.16982), that AdamW's rates fit. `torch.optim.Muon` takes no convolutions.
"""

import math

import torch
from torch import Tensor, nn

from oneshot.models.network import OneShotNet
from oneshot.training.config import TrainConfig

MOMENTUM = 0.95
ROOT_MEAN_SQUARE = 0.2
"""Of a step at rate 1, about as AdamW's are."""


def orthogonal(matrix: Tensor) -> Tensor:
    """Nearly the nearest matrix with orthonormal rows or columns: five Newton-Schulz iterations.

    Their quintic's coefficients are Jordan et al.'s; all singular values come to lie in about 0.7 to 1.2.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x.T if tall else x


def is_matrix(parameter: nn.Parameter) -> bool:
    """Weights that mix channels: convolutions and linear layers, but not depth-wise ones."""
    return parameter.ndim > 1 and parameter.shape[1] > 1


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, made orthogonal; a convolution is a matrix of its filters' rows.

    Args:
        groups: parameter groups with `lr` and `weight_decay` (decoupled, as AdamW's) of their own.
    """

    def __init__(self, groups: list[dict[str, object]]):
        super().__init__(groups, {"lr": 0.0, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step; parameters without a gradient stay."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                momentum = state.setdefault("momentum", torch.zeros_like(parameter))
                momentum.lerp_(parameter.grad, 1 - MOMENTUM)
                direction = orthogonal(parameter.grad.lerp(momentum, MOMENTUM).flatten(1))
                length = ROOT_MEAN_SQUARE * max(direction.shape) ** 0.5
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(direction.view_as(parameter), alpha=-group["lr"] * length)


def optimisers(net: nn.Module, centres: nn.Parameter, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """AdamW, and Muon for what mixes channels where the config says so; no decay on biases and norms."""
    settings = config.optimiser
    detection = ("head.", *(f"backbone.fire{number}" for number in range(4, 10)))
    stride4 = ("thin4.",) if isinstance(net, OneShotNet) and net.identity.reads_coarse else ()
    if config.stage == "detection":
        detection = (*detection, "refinement.", *(() if stride4 else ("thin4.",)))
    deep = ("identity.deep.", *(f"fire{number}." for number in range(5, 10)), "conv10.", "gdc.")
    trunk = ("backbone.stem.", "backbone.fire", *stride4) if settings.freeze_trunk else ()
    parts = {"deep": deep, "detection": detection, "trunk": trunk}
    rates = {"front": settings.lr, "deep": settings.lr_deep, "detection": settings.lr_head, "trunk": 0.0}
    by_muon = {"front": settings.muon, "deep": settings.muon_deep, "detection": settings.muon, "trunk": 0.0}
    adamw: dict[tuple[str, bool], list[nn.Parameter]] = {}
    muon: dict[str, list[nn.Parameter]] = {}
    for name, parameter in net.named_parameters():
        kind = next((kind for kind, names in parts.items() if name.startswith(names)), "front")
        if by_muon[kind] and is_matrix(parameter):
            muon.setdefault(kind, []).append(parameter)
        else:
            adamw.setdefault((kind, parameter.ndim > 1), []).append(parameter)

    def group(params: list[nn.Parameter], kind: str, times: float, decay: bool) -> dict[str, object]:
        weight_decay = settings.weight_decay if decay else 0.0
        return {"params": params, "kind": kind, "rate": times * rates[kind], "weight_decay": weight_decay}

    groups = [group(params, kind, 1.0, decay) for (kind, decay), params in adamw.items()]
    if centres.numel():
        groups.append(group([centres], "front", 10.0, False))
    found: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, betas=(0.9, 0.98))]
    if muon:
        found.append(Muon([group(params, kind, by_muon[kind], True) for kind, params in muon.items()]))
    return found


def rate_factor(step: int, config: TrainConfig, kind: str) -> float:
    """Linear warm-up, then a cosine to zero; the deep half starts its own after its frozen share."""
    settings = config.optimiser
    start = int(settings.freeze_deep * config.steps) if kind == "deep" else 0
    if step < start:
        return 0.0
    warm = min(1.0, (step - start + 1) / max(1, settings.warmup))
    return warm * 0.5 * (1 + math.cos(math.pi * step / config.steps))
