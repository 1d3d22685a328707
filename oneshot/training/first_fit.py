"""A stem bridge's linear part by least squares: what it would take training hours to come near."""

import torch
from torch import Tensor
from torch.nn import functional as F

from oneshot.models.network import OneShotNet
from oneshot.models.stem_bridge import StemBridge
from oneshot.training.identity import IdentityStage

STEPS = 2
RIDGE = 1e-2
"""Added to each of the normal equations' own coefficients; the samples of a cell are much alike."""


@torch.no_grad()
def fit_stem_bridge(net: OneShotNet, stage: IdentityStage) -> float | None:
    """Fit a `StemBridge` that maps nothing yet to the teacher's features, on the views of some steps.

    Returns:
        The share of the features' variance that it explains there; None where there is nothing to fit.
    """
    bridge = getattr(net, "bridge", None)
    if not isinstance(bridge, StemBridge) or bool(bridge.linear.weight.any()):
        return None
    net.to(stage.device).eval()
    seen = [part for step in range(STEPS) for part in _samples_and_hints(net, stage, step)]
    cells = torch.cat([samples.flatten(2).transpose(0, 1).flatten(1) for samples, _, _ in seen], 1)
    bridge.norm.running_mean, bridge.norm.running_var = cells.mean(1), cells.var(1)
    products = targets = torch.zeros((), device=stage.device)
    for rows, wanted in (_equations(bridge, *part) for part in seen):  # of all at once they are gigabytes
        products, targets = products + rows.T @ rows, targets + rows.T @ wanted
    own = torch.eye(len(products), dtype=products.dtype, device=products.device)
    found = torch.linalg.solve(products + RIDGE * own, targets)
    by_pose = found.T.unflatten(1, (seen[0][1].shape[1], -1)).transpose(0, 1).float()
    bridge.set_linear(by_pose[..., :-1], by_pose[..., -1])
    hints = torch.cat([hints for _, _, hints in seen]).double()
    # Of the squares of what is missed, the rows themselves are not wanted again.
    missed = hints.square().sum((0, 2, 3)) - (found * (2 * targets - products @ found)).sum(0)
    return 1 - float((missed / cells.shape[1] / hints.var((0, 2, 3))).mean())


def _equations(bridge: StemBridge, samples: Tensor, poses: Tensor, hints: Tensor) -> tuple[Tensor, Tensor]:
    """A row a cell, float64: its normalised samples and a one, times each number of its face's pose; and what
    the teacher has there."""
    inputs = F.pad(bridge.norm(samples).flatten(2).transpose(1, 2), (0, 1), value=1.0)
    rows = (poses[:, None, :, None] * inputs[:, :, None]).flatten(2).flatten(0, 1)
    return rows.double(), hints.flatten(2).transpose(1, 2).flatten(0, 1).double()


def _samples_and_hints(net: OneShotNet, stage: IdentityStage, step: int) -> list[tuple[Tensor, ...]]:
    """Of each canvas of a step: samples (N, F, 28, 28), poses (N, POSE), hints (N, C, 28, 28)."""
    rng = torch.Generator().manual_seed(step)
    return [
        (*net.samples(net.sampled_maps(views), truth), stage.teacher(stage.teacher.crop(views, truth))[0])
        for views, truth in stage.views(stage.rows(step), rng)
    ]
