"""Augmented views of crops, made in batches on the training device (nothing is fed by CPU workers)."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from oneshot.geometry import TEMPLATE_SIDE
from oneshot.training.data.crops import CROP_SIDE

CROP_SCALE = 88 / TEMPLATE_SIDE
"""Crop pixels a template pixel: how large the face is in a crop."""

SWAPPED = (1, 0, 2, 4, 3)
"""Order of the landmarks after a mirror: left and right change places."""


ANY_WAY = 0.15
"""Share of the views that are turned by anything; the rest are about upright."""


def _uniform(n: int, low: float, high: float, rng: torch.Generator, device: torch.device) -> Tensor:
    return torch.rand(n, generator=rng).to(device) * (high - low) + low


def make_views(
    pixels: Tensor,
    landmarks: Tensor,
    canvas: int,
    scales: tuple[float, float],
    rng: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Random scale, rotation, shift and mirror, then colour, blur, grey and noise.

    Args:
        pixels: (B, 3, 128, 128) uint8 RGB crops. landmarks: (B, 5, 2) crop pixels.
        canvas: side of the views. scales: range of the face's size, 1 = the 112-pixel template.
        rng: a CPU generator; the same state gives the same views.

    Returns:
        Views (B, 3, canvas, canvas) float32 RGB 0..255, and landmarks (B, 5, 2) in view pixels.
    """
    device, n = pixels.device, len(pixels)
    source = pixels.float()
    zoom = torch.exp(_uniform(n, math.log(scales[0]), math.log(scales[1]), rng, device)) / CROP_SCALE
    upright = torch.randn(n, generator=rng).to(device).clamp(-3, 3) * math.radians(12)
    any_way = _uniform(n, -math.pi, math.pi, rng, device)
    angle = torch.where(_uniform(n, 0, 1, rng, device) < ANY_WAY, any_way, upright)
    shift = (torch.rand(n, 2, generator=rng).to(device) * 2 - 1) * (10 / 128 * canvas)
    mirror = torch.rand(n, generator=rng).to(device) < 0.5

    # Crop to view: p_view = zoom R (p_crop - c) + canvas / 2 + shift, mirrored in x first where asked.
    a, b = zoom * torch.cos(angle), zoom * torch.sin(angle)
    flip = torch.where(mirror, -1.0, 1.0)
    centred = landmarks - CROP_SIDE / 2
    x, y = centred[..., 0] * flip[:, None], centred[..., 1]
    moved = torch.stack((a[:, None] * x - b[:, None] * y, b[:, None] * x + a[:, None] * y), -1)
    moved = moved + canvas / 2 + shift[:, None]
    moved = torch.where(mirror[:, None, None], moved[:, list(SWAPPED)], moved)

    if scales[1] / CROP_SCALE < 0.7:
        # Bilinear sampling further down than a half would alias, which no letterboxed photo does.
        source = F.avg_pool2d(source, 2)
    norm = a * a + b * b
    ia, ib = a / norm, b / norm
    # View to crop, in grid_sample's units (both images span -1..1).
    ratio = canvas / CROP_SIDE
    dx, dy = shift[:, 0] / (CROP_SIDE / 2), shift[:, 1] / (CROP_SIDE / 2)
    theta = torch.stack(
        (
            torch.stack((ia * ratio * flip, ib * ratio * flip, -(ia * dx + ib * dy) * flip), 1),
            torch.stack((-ib * ratio, ia * ratio, -(-ib * dx + ia * dy)), 1),
        ),
        1,
    )
    grid = F.affine_grid(theta, [n, 3, canvas, canvas], align_corners=False)
    views = F.grid_sample(source, grid, align_corners=False)
    return _photometric(views, rng).clamp_(0, 255), moved


def _photometric(x: Tensor, rng: torch.Generator) -> Tensor:
    n, device = len(x), x.device

    def one(low: float, high: float) -> Tensor:
        return _uniform(n, low, high, rng, device).view(n, 1, 1, 1)

    def some(share: float) -> Tensor:
        return (torch.rand(n, generator=rng).to(device) < share).view(n, 1, 1, 1)

    luma = torch.tensor([0.299, 0.587, 0.114], device=device).view(1, 3, 1, 1)
    grey = (x * luma).sum(1, keepdim=True)
    saturation = torch.where(some(0.1), torch.zeros_like(one(0, 1)), one(0.6, 1.4))
    x = grey + (x - grey) * saturation
    mean = grey.mean((2, 3), keepdim=True)
    x = (x - mean) * one(0.7, 1.3) + mean * one(0.7, 1.3)
    x = x * (1 + (torch.rand(n, 3, 1, 1, generator=rng).to(device) - 0.5) * 0.2)
    soft = some(0.25)
    sigma = one(0.4, 1.4)
    side = torch.exp(-0.5 / sigma**2)
    kernel = torch.cat((side, torch.ones_like(side), side), -1) / (1 + 2 * side)
    weight = (kernel.view(n, 3, 1) * kernel.view(n, 1, 3)).repeat_interleave(3, 0).unsqueeze(1)
    chosen = torch.nonzero(soft.flatten()).squeeze(1)
    if len(chosen):
        picked = x[chosen].reshape(1, -1, *x.shape[2:])
        rows = (chosen[:, None] * 3 + torch.arange(3, device=device)).flatten()
        blurred = F.conv2d(F.pad(picked, (1, 1, 1, 1), mode="replicate"), weight[rows], groups=len(rows))
        x = x.index_copy(0, chosen, blurred.view(len(chosen), *x.shape[1:]))
    # One noise picture a step, scaled for each view: drawing one each costs more than the warp itself.
    noise = torch.randn(x.shape[1:], generator=rng).to(device)
    return x + noise * torch.where(some(0.3), one(1, 10), torch.zeros_like(one(0, 1)))


def jitter_landmarks(landmarks: Tensor, rng: torch.Generator, points: float, whole: float) -> Tensor:
    """Landmarks as a coarse head would give them.

    Args:
        landmarks: (B, 5, 2) pixels.
        points: largest deviation of the noise of each point, as a share of the inter-ocular distance.
        whole: largest deviation of shift (same unit), log-scale and rotation (radians) of all five together.

    Returns:
        (B, 5, 2); each face draws its own level of noise between none and the largest.
    """
    n, device = len(landmarks), landmarks.device
    centre = landmarks.mean(1, keepdim=True)
    # The spread of the points stands for the inter-ocular distance: in profile the eyes are close together.
    spread = (landmarks - centre).norm(dim=2).mean(1).view(n, 1, 1) * 1.45
    level = torch.rand(n, 1, 1, generator=rng).to(device)
    noise = torch.randn(n, 5, 2, generator=rng).to(device) * points * level * spread
    shift, turn = torch.randn(n, 1, 2, generator=rng).to(device), torch.randn(n, 2, generator=rng).to(device)
    grow = torch.exp(turn[:, :1] * whole * level[:, 0])
    angle = turn[:, 1:] * whole * level[:, 0]
    x, y = (landmarks - centre).unbind(-1)
    cos, sin = torch.cos(angle) * grow, torch.sin(angle) * grow
    turned = torch.stack((cos * x - sin * y, sin * x + cos * y), -1)
    return centre + turned + noise + shift * whole * level * spread
