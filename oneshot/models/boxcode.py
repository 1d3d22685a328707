"""The code in which the detection head speaks of boxes and landmarks, and its inverse.

A cell at stride s has its anchor point (ax, ay) in its middle, in pixels of the input. A box is coded as

    ((cx - ax) / s, (cy - ay) / s, log(w / 4s), log(h / 4s))

and a landmark as ((x - ax) / 2s, (y - ay) / 2s). A head that says which way up a face is codes a landmark by
its place in the upright face instead: from the box's centre, in halves of its side. So a face of the size a
level is meant for has codes near zero and within about ±1, and the head need not learn any scale.
Boxes are xyxy, x to the right, y down, in continuous pixels (pixel i spans [i, i + 1)).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

STRIDES = (8, 16, 32)
SIZE_UNIT = 4.0  # a box of 4 × 4 strides has size code (0, 0)
LANDMARK_UNIT = 2.0
FACE_UNIT = 0.5  # of a box's side, the square root of its area
MAX_LOG_SIZE = 5.0  # e^±5: from under a pixel to 4,700 pixels at stride 8, and exp() never overflows


def level_sizes(height: int, width: int) -> list[tuple[int, int]]:
    """(rows, columns) of each level's grid for an input of height × width pixels, multiples of 32."""
    return [(height // stride, width // stride) for stride in STRIDES]


def anchor_points(
    sizes: Sequence[tuple[int, int]], device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """Anchor points (A, 2) as x, y in pixels and strides (A,) of all cells: levels in order, row-major."""
    points, strides = [], []
    for (rows, columns), stride in zip(sizes, STRIDES, strict=True):
        y = (torch.arange(rows, device=device, dtype=torch.float32) + 0.5) * stride
        x = (torch.arange(columns, device=device, dtype=torch.float32) + 0.5) * stride
        points.append(torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).reshape(-1, 2))
        strides.append(torch.full((rows * columns,), float(stride), device=device))
    return torch.cat(points), torch.cat(strides)


def flatten_levels(raw: Sequence[Tensor]) -> Tensor:
    """The head's maps [(B, C, h, w), …] as one (B, A, C), cells in the order of `anchor_points`."""
    return torch.cat([level.flatten(2).transpose(1, 2) for level in raw], 1)


def encode_boxes(boxes: Tensor, points: Tensor, strides: Tensor) -> Tensor:
    """Boxes (…, 4) in pixels → box codes (…, 4) at points (…, 2) with strides (…)."""
    unit = strides[..., None]
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2
    size = boxes[..., 2:] - boxes[..., :2]
    log_size = (size / (SIZE_UNIT * unit)).log().clamp(-MAX_LOG_SIZE, MAX_LOG_SIZE)
    return torch.cat([(centre - points) / unit, log_size], -1)


def decode_boxes(code: Tensor, points: Tensor, strides: Tensor) -> Tensor:
    """Box codes (…, 4) → boxes (…, 4) in pixels; the inverse of `encode_boxes`."""
    unit = strides[..., None]
    centre = points + code[..., :2] * unit
    half = code[..., 2:].clamp(-MAX_LOG_SIZE, MAX_LOG_SIZE).exp() * (SIZE_UNIT / 2) * unit
    return torch.cat([centre - half, centre + half], -1)


def decode_landmarks(code: Tensor, points: Tensor, strides: Tensor) -> Tensor:
    """Landmark codes (…, 10) → landmarks (…, 5, 2) in pixels."""
    offset = code.unflatten(-1, (5, 2)) * (LANDMARK_UNIT * strides[..., None, None])
    return points[..., None, :] + offset


def decode_upright_landmarks(code: Tensor, boxes: Tensor, direction: Tensor) -> Tensor:
    """Landmark codes (…, 10) of upright faces → landmarks (…, 5, 2) in pixels.

    boxes: (…, 4) in pixels. direction: (…, 2), the unit vector along which the face's right lies.
    """
    centre, side = (boxes[..., :2] + boxes[..., 2:]) / 2, box_side(boxes)
    x, y = (code.unflatten(-1, (5, 2)) * (FACE_UNIT * side[..., None, None])).split(1, -1)
    c, s = direction[..., None, :].split(1, -1)
    return centre[..., None, :] + torch.cat([x * c - y * s, x * s + y * c], -1)


def box_side(boxes: Tensor) -> Tensor:
    """The square roots (…) of the areas of boxes (…, 4)."""
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1).clamp(min=1e-6).sqrt()
