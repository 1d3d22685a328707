"""A stem bridge's linear part by least squares: what it would take training hours to come near."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from oneshot.models.identity.from_picture import FromPicture
from oneshot.models.identity.from_pyramid import FromPyramid
from oneshot.models.network import OneShotNet
from oneshot.models.sampling import POSE, SampledMap
from oneshot.training.stages.identity import IdentityStage

STEPS = 2
RIDGE = 1e-2
"""Added to each of the normal equations' own coefficients; the samples of a cell are much alike."""

Seen = tuple[Tensor, Tensor, Tensor]


@torch.no_grad()
def fit_stem_bridge(net: OneShotNet, stage: IdentityStage) -> float | None:
    """Fit a `StemBridge` that maps nothing yet to the teacher's stem, on the views of some steps.

    Where the backbone has linear filters for it, they first become those of all 3x3 filters that tell most of
    what the teacher's make and the picture's samples do not. The matrices are fitted to all samples.

    Returns:
        The share of the variance of the teacher's features that it explains there; None where there is
        nothing to fit.
    """
    if not isinstance(net.identity, FromPicture | FromPyramid):
        return None
    bridge = net.identity.bridge
    if bool(bridge.linear.weight.any()):
        return None
    net.to(stage.device).eval()
    norm = stage.teacher.net.stem[1]
    bridge.norm_out.load_state_dict(norm.state_dict())
    filters = net.backbone.linear
    if filters is not None:
        every = torch.eye(27, device=stage.device).view(27, 3, 3, 3)
        filters.weight.copy_(_telling_most(_seen(net, stage, every), len(filters.weight)))
    seen = list(_seen(net, stage))
    cells = torch.cat([samples.transpose(0, 1).flatten(1) for samples, _, _ in seen], 1)
    bridge.norm.running_mean, bridge.norm.running_var = cells.mean(1), cells.var(1)
    normed = ((bridge.norm(samples), poses, wanted) for samples, poses, wanted in seen)
    by_pose = _solved(*_equations(normed)).float()
    bridge.set_linear(by_pose[:, :-1].transpose(1, 2), by_pose[:, -1])
    missed = whole = torch.zeros((), device=stage.device)
    for samples, poses, wanted in seen:
        hints = norm(wanted)
        missed = missed + (bridge(samples, poses) - hints).square().sum((0, 2, 3)) / hints.var((0, 2, 3))
        whole = whole + hints[:, 0].numel()
    return 1 - float((missed / whole).mean())


def _seen(net: OneShotNet, stage: IdentityStage, filters: Tensor | None = None) -> Iterator[Seen]:
    """Of each canvas of some steps: samples (N, F, 28, 28), poses (N, POSE), and what the filters of the
    teacher's stem make there (N, C, 28, 28).

    filters: (F', 3, 3, 3) whose output is sampled instead of the backbone's own map at stride 2.
    """
    for step in range(STEPS):
        for views, truth in stage.views(stage.rows(step), torch.Generator().manual_seed(step)):
            sampled = net.sampled_of(views)
            if filters is not None:
                map2 = F.conv2d(net.backbone.normalised(views), filters, stride=2, padding=1)
                sampled = sampled._replace(own=(sampled.own[0], SampledMap(map2, 2)))
            wanted = stage.teacher.filtered(stage.teacher.crop(views, truth))
            samples, *_, poses = net.identity.samples(sampled, truth)
            yield samples, poses, wanted


def _equations(seen: Iterator[Seen]) -> tuple[Tensor, Tensor]:
    """Normal equations, float64, of one row a cell: its samples and a one, times each number of its face's
    pose. (POSE * (F + 1), the same) and (POSE * (F + 1), C); of all rows at once they would be gigabytes."""
    products = targets = torch.zeros(())
    for samples, poses, wanted in seen:
        inputs = F.pad(samples.flatten(2).transpose(1, 2), (0, 1), value=1.0)
        rows = (poses[:, None, :, None] * inputs[:, :, None]).flatten(2).flatten(0, 1).double()
        products = products.to(rows) + rows.T @ rows
        targets = targets.to(rows) + rows.T @ wanted.flatten(2).transpose(1, 2).flatten(0, 1).double()
    return products, targets


def _solved(products: Tensor, targets: Tensor) -> Tensor:
    """(POSE, F + 1, C) of `_equations`."""
    own = torch.eye(len(products), dtype=products.dtype, device=products.device)
    return torch.linalg.solve(products + RIDGE * own, targets).unflatten(0, (POSE, -1))


def _telling_most(seen: Iterator[Seen], count: int) -> Tensor:
    """So many filters (count, 3, 3, 3): of the samples of all 27 pixels of a window, which come after the
    picture's own, the directions of which most of the fit is made (a reduced-rank regression, the parts of a
    cell and the poses side by side)."""
    products, targets = _equations(seen)
    found, moments = _solved(products, targets), products.unflatten(0, (POSE, -1)).unflatten(2, (POSE, -1))
    moments = moments / moments[0, -1, 0, -1]
    weighs = torch.stack([moments[k, -1, k, -1] for k in range(POSE)]).sqrt()
    mean = moments[0, :-1, 0, -1]
    spread = moments[0, :-1, 0, :-1] - mean[:, None] * mean
    own = len(spread) // 10  # three channels of thirty are the picture's
    # What the picture's samples tell already of the windows' is taken out.
    known = torch.linalg.solve(spread[:own, :own] + 1e-6 * torch.eye(own).to(spread), spread[:own, own:])
    new = (spread[own:, own:] - spread[own:, :own] @ known).unflatten(0, (27, -1)).unflatten(2, (27, -1))
    new = torch.stack([new[:, part, :, part] for part in range(new.shape[1])]).mean(0)
    reads = (found[:, own:-1] * weighs[:, None, None]).unflatten(1, (27, -1)).transpose(0, 1).flatten(1)
    # As many directions of the windows, each weighed by how much it varies, as carry most of the fit.
    sizes, axes = torch.linalg.eigh(new)
    root = sizes.clamp(min=float(sizes[-1]) * 1e-9).sqrt()
    left = torch.linalg.svd((axes * root) @ axes.T @ reads, full_matrices=False)[0][:, :count]
    return ((axes / root) @ axes.T @ left).T.reshape(-1, 3, 3, 3).float()
