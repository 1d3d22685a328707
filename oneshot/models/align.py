"""Alignment on features: landmarks to a similarity transform, the transform to a grid, the grid to samples.

Every map's cell (row i, column j) at stride s has its centre at x = s (j + 0.5) - 0.5 pixels (continuous,
pixel centres at + 0.5), y likewise: the 3x3 stem with stride 2 is centred on even pixels, and 2x2 pools keep
that half-pixel shift. `sample` uses the exact centre, since half a pixel is two template pixels on a face
of 28 pixels.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from oneshot.align import ARCFACE_TEMPLATE, TEMPLATE_SIDE

CELL_SHIFT = -0.5


def template_to_image(landmarks: Tensor, template: Tensor) -> Tensor:
    """The inverse of the least-squares similarity from landmarks to template, as (N, 4): a, b, tx, ty.

    Args:
        landmarks: (N, 5, 2) pixels of the image.
        template: (5, 2) template pixels.

    Returns:
        x_image = a x - b y + tx, y_image = b x + a y + ty for template coordinates x, y. The fit minimises
        the error in template pixels, as insightface's norm_crop does, and is then inverted.
    """
    centre = landmarks.mean(1, keepdim=True)
    u = landmarks - centre
    template_centre = template.mean(0)
    v = (template - template_centre).unsqueeze(0)
    norm = (u * u).sum((1, 2)).clamp(min=1e-6)
    a = (u * v).sum((1, 2)) / norm
    b = (u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]).sum(1) / norm
    # Clamped: a face whose landmarks coincide would have no inverse.
    scale = (a * a + b * b).clamp(min=1e-6)
    a, b = a / scale, -b / scale
    tx = centre[:, 0, 0] - (a * template_centre[0] - b * template_centre[1])
    ty = centre[:, 0, 1] - (b * template_centre[0] + a * template_centre[1])
    return torch.stack((a, b, tx, ty), 1)


def apply_similarity(transform: Tensor, points: Tensor) -> Tensor:
    """Template points (P, 2) or (N, P, 2) to image pixels (N, P, 2) by transforms (N, 4)."""
    a, b, tx, ty = (t.unsqueeze(1) for t in transform.unbind(1))
    x, y = points[..., 0], points[..., 1]
    return torch.stack((a * x - b * y + tx, b * x + a * y + ty), -1)


def grid_points(cells: int, reach: float = 1.0) -> Tensor:
    """Cell centres (cells * cells, 2) of a grid over the template, `reach` times as wide, row by row."""
    centres = ((torch.arange(cells) + 0.5) / cells - 0.5) * (TEMPLATE_SIDE * reach) + TEMPLATE_SIDE / 2
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    return torch.stack((x.flatten(), y.flatten()), 1)


def sample(feature_map: Tensor, points: Tensor, stride: int, cells: int) -> Tensor:
    """Bilinear samples of a map at image points, K faces an image in one call.

    Args:
        feature_map: (B, C, H, W) at `stride`.
        points: (B * K, cells * cells, 2) image pixels, faces of one image together.
        stride: pixels a cell.
        cells: side of the grid.

    Returns:
        (B * K, C, cells, cells); beyond the map its border is repeated.
    """
    batch, channels, height, width = feature_map.shape
    extent = torch.tensor([width, height], dtype=points.dtype, device=points.device) * stride
    grid = (points - CELL_SHIFT) * (2 / extent) - 1
    # Bfloat16 grids would place samples half a cell off, hence float32 throughout.
    with torch.autocast(feature_map.device.type, enabled=False):
        out = F.grid_sample(
            feature_map.float(),
            grid.reshape(batch, -1, cells, 2).float(),
            mode="bilinear",
            padding_mode="zeros",
            align_corners=False,
        )
    out = out.reshape(batch, channels, -1, cells, cells)
    return out.transpose(1, 2).reshape(-1, channels, cells, cells)


class Template(nn.Module):
    """The template's landmarks and sampling grids as buffers that move with the network."""

    landmarks: Tensor
    grid14: Tensor
    grid28: Tensor
    wide14: Tensor

    def __init__(self, reach: float = 1.25):
        super().__init__()
        self.register_buffer("landmarks", torch.from_numpy(ARCFACE_TEMPLATE.copy()), persistent=False)
        self.register_buffer("grid14", grid_points(14), persistent=False)
        self.register_buffer("grid28", grid_points(28), persistent=False)
        self.register_buffer("wide14", grid_points(14, reach), persistent=False)
