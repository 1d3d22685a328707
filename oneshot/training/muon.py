"""Muon: steps of equal length in every direction of a weight matrix.

Jordan et al. 2024 (https://kellerjordan.github.io/posts/muon/); a step's length is Liu et al.'s 2025
(arXiv:2502.16982), that AdamW's rates fit. `torch.optim.Muon` takes no convolutions.
"""

import torch
from torch import Tensor, nn

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
