"""Alignment on features: landmarks to a similarity transform, the transform to a grid, the grid to samples.

Every map's cell (row i, column j) at stride s has its centre at x = s (j + 0.5) - 0.5 pixels (continuous,
pixel centres at + 0.5), y likewise: the 3x3 stem with stride 2 is centred on even pixels, and 2x2 pools keep
that half-pixel shift, which the picture itself (stride 1) does not have. `sample` uses the exact centre,
since half a pixel is two template pixels on a face of 28 pixels.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from oneshot.geometry import ARCFACE_TEMPLATE, TEMPLATE_SIDE

CELL_SHIFT = -0.5
TEMPLATE = torch.from_numpy(ARCFACE_TEMPLATE.copy())
"""The template's landmarks (5, 2), template pixels."""


def template_to_image(landmarks: Tensor, template: Tensor) -> Tensor:
    """The inverse of the least-squares similarity from landmarks to template, as (N, 4): p, q, tx, ty.

    A template point (x, y) lies at (p x + q y + tx, p y - q x + ty) in the image. The fit minimises the error
    in template pixels, as insightface's norm_crop does, and is then inverted. It is written as few products
    of matrices: in the exported graph every operation costs its microseconds.

    Args:
        landmarks: (N, 5, 2) pixels of the image.
        template: (5, 2) template pixels.
    """
    middle = template.mean(0)
    with torch.autocast(landmarks.device.type, enabled=False):
        centre = landmarks.mean(1)
        offset = (landmarks - centre.unsqueeze(1)).flatten(1)
        # Sums over the points of u . v and u x v, for u the centred landmarks and v the template.
        turn = offset @ _crossed(template - middle)[:2].T
        # Clamped: a face whose landmarks coincide would have no inverse.
        inverse = (offset * offset).sum(1, keepdim=True) / (turn * turn).sum(1, keepdim=True).clamp(min=1e-6)
        rotation = turn * inverse
        return torch.cat((rotation, centre - rotation @ _crossed(middle[None])[:2]), 1)


def _crossed(points: Tensor) -> Tensor:
    """(4, 2 P) for points (P, 2): transforms (N, 4) times it are image points x0, y0, x1, y1, …"""
    x, y = points.unbind(1)
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    return torch.stack((torch.stack((x, y, one, zero)), torch.stack((y, -x, zero, one))), 2).flatten(1)


def apply_similarity(transform: Tensor, points: Tensor) -> Tensor:
    """Template points (P, 2) or (N, P, 2) to image pixels (N, P, 2) by transforms (N, 4)."""
    with torch.autocast(points.device.type, enabled=False):
        if points.ndim == 2:
            return (transform @ _crossed(points)).unflatten(1, (-1, 2))
        p, q = transform[:, None, :1], transform[:, None, 1:2]
        # (y, -x) turns a quarter: flip swaps, the signs follow.
        return p * points + q * points.flip(-1) * points.new_tensor([1.0, -1.0]) + transform[:, None, 2:]


def pixels_per_template_pixel(transform: Tensor) -> Tensor:
    """The scale of transforms (N, 4), (N,)."""
    return transform[:, :2].norm(dim=1)


POSE = 5
"""How many numbers `pose_of` gives."""

LARGEST, SMALLEST = 4.0, 0.15
"""Pixels a template pixel, beyond which `pose_of` does not tell sizes apart: training shows no such faces."""


def pose_of(transform: Tensor) -> Tensor:
    """What a linear function of samples may depend on, of transforms (N, 4): (N, POSE).

    One, the logarithm of the scale and its square, the cosine (less one) and sine of how far it is turned.
    """
    scale = pixels_per_template_pixel(transform).unsqueeze(1).clamp(min=1e-6)
    turn = transform[:, :2] / scale
    size = scale.clamp(SMALLEST, LARGEST).log()
    return torch.cat((torch.ones_like(size), size, size.square(), turn[:, :1] - 1, turn[:, 1:]), 1)


def grid_points(cells: int, reach: float = 1.0) -> Tensor:
    """Cell centres (cells * cells, 2) of a grid over the template, `reach` times as wide, row by row."""
    centres = ((torch.arange(cells) + 0.5) / cells - 0.5) * (TEMPLATE_SIDE * reach) + TEMPLATE_SIDE / 2
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    return torch.stack((x.flatten(), y.flatten()), 1)


def parts_of_cells(points: Tensor, parts: int) -> Tensor:
    """The same `grid_points`, grouped: of every `parts` by `parts` the first, of every one the second, …

    Sampled in this order, they are so many maps of `parts` times fewer cells a side without being moved, as
    `pixel_unshuffle` would make them.
    """
    cells = math.isqrt(len(points)) // parts
    return points.view(cells, parts, cells, parts, 2).permute(1, 3, 0, 2, 4).reshape(-1, 2)


class Places(NamedTuple):
    """Where N faces are in a batch of B pictures, each of which holds its own number of them.

    A picture has K slots, K the most faces that one of them holds: GridSample fills as many for each picture,
    and only those with a face of its own are read.
    """

    slots: Tensor  # (B, K) int64, the face in each slot; any face where there is none
    pictures: Tensor  # (N,) int64, the picture of each face
    columns: Tensor  # (N,) int64, its slot there


def places_of(pictures: Tensor, batch: int) -> Places:
    """The places of faces (N,) int64 that are sorted by picture; N at least 1."""
    counts = pictures.bincount(minlength=batch)
    faces = torch.arange(len(pictures), device=pictures.device)
    columns = faces - (counts.cumsum(0) - counts)[pictures]
    slots = pictures.new_zeros(batch, int(counts.max()))
    slots[pictures, columns] = faces
    return Places(slots, pictures, columns)


def by_slot(rows: Tensor, places: Places | None) -> Tensor:
    """Rows of faces (N, ...) as rows of slots (B * K, ...): the same rows where every slot has a face."""
    return rows if places is None else rows.index_select(0, places.slots.flatten())


def by_face(sampled: Tensor, places: Places | None) -> Tensor:
    """What was sampled in each picture (B, C, K, R, cells) as one batch of faces.

    (N, C, cells, cells) where R is `cells`; where it is so many times `cells`, there are so many maps a
    channel. Without places every slot has a face, and N is B * K.
    """
    channels, slots, height, cells = sampled.shape[1:]
    maps = channels * (height // cells)
    if places is None:
        return sampled.transpose(1, 2).reshape(-1, maps, cells, cells)
    # Gathering costs no more than turning the batch would, and leaves the empty slots behind.
    first = places.pictures * (channels * slots) + places.columns
    rows = first[:, None] + torch.arange(channels, device=first.device) * slots
    flat = sampled.reshape(-1, height * cells).index_select(0, rows.flatten())
    return flat.reshape(-1, maps, cells, cells)


class SampledMap(NamedTuple):
    """A map that faces are sampled from."""

    map: Tensor  # (B, C, H/stride, W/stride)
    stride: int  # pixels a cell


class Sampled(NamedTuple):
    """All maps of one batch that faces are sampled from."""

    coarse: SampledMap  # stride 4, which places landmarks
    own: tuple[SampledMap, ...]  # what identity alone reads


def sample(of: SampledMap, points: Tensor, cells: int) -> Tensor:
    """Bilinear samples of a map at image points, K faces an image in one call.

    Args:
        of: the map.
        points: (B * K, R * cells, 2) image pixels, faces of one image together.
        cells: samples in a row; R is as many, or that times the number of `parts_of_cells`.

    Returns:
        (B, C, K, R, cells); beyond the map there are zeros.
    """
    feature_map, stride = of
    batch, channels, height, width = feature_map.shape
    # Long rows of x0, y0, x1, …: pairs alone are slow to multiply by pairs.
    extent = torch.tensor([width, height], dtype=points.dtype, device=points.device) * stride
    factor = (2 / extent).repeat(points.shape[1])
    grid = points.flatten(1) * factor - (1 + (CELL_SHIFT if stride > 1 else 0.0) * factor)
    # Bfloat16 grids would place samples half a cell off, hence float32 throughout.
    with torch.autocast(feature_map.device.type, enabled=False):
        out = F.grid_sample(
            feature_map.float(),
            grid.reshape(batch, -1, cells, 2).float(),
            mode="bilinear",
            padding_mode="zeros",
            align_corners=False,
        )
    return out.reshape(batch, channels, -1, points.shape[1] // cells, cells)


class Grid(nn.Module):
    """A sampling grid over the template, and its landmarks: buffers that move with the network.

    Args:
        cells: of a side. reach: its width, in templates. parts: how many samples a side each cell has.
    """

    landmarks: Tensor
    points: Tensor

    def __init__(self, cells: int, reach: float = 1.0, parts: int = 1):
        super().__init__()
        self.cells = cells
        self.register_buffer("landmarks", TEMPLATE.clone(), persistent=False)
        points = parts_of_cells(grid_points(cells * parts, reach), parts)
        self.register_buffer("points", points, persistent=False)

    def forward(self, maps: Sequence[SampledMap], transform: Tensor, places: Places | None = None) -> Tensor:
        """Samples (N, F, cells, cells) where transforms (N, 4) lay the grid.

        F is the maps' channels together, times `parts` squared; `transform` as `template_to_image` gives it.
        """
        points = apply_similarity(by_slot(transform, places), self.points)
        sampled = [by_face(sample(each, points, self.cells), places) for each in maps]
        return torch.cat(sampled, 1) if len(sampled) > 1 else sampled[0]
