"""What the head says of every cell, and which cells are kept as faces."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import nms

from oneshot.models.boxcode import (
    anchor_points,
    decode_boxes,
    decode_landmarks,
    decode_upright_landmarks,
    flatten_levels,
    level_sizes,
)
from oneshot.models.direction import DECIDED, vector_of
from oneshot.models.head import OUTPUTS


class Cells(NamedTuple):
    """What the head says of a batch of images; row i is one cell, of all levels in order."""

    boxes: Tensor  # (B, A, 4) xyxy, pixels
    scores: Tensor  # (B, A)
    raw: Tensor  # (B, A, 15 or 23), the head's outputs
    points: Tensor  # (A, 2), anchor points, pixels
    strides: Tensor  # (A,)

    def landmarks(self, pictures: Tensor, rows: Tensor) -> Tensor:
        """Coarse landmarks (N, 5, 2), pixels, of these rows (N,) of these pictures (N,)."""
        return coarse_landmarks(self.raw[pictures, rows], self.points[rows], self.strides[rows])

    def decided(self, pictures: Tensor, rows: Tensor) -> Tensor:
        """(N, 1): 1 where it is sure which way up these faces are, else 0."""
        return decided(self.raw[pictures, rows])


def decode(levels: list[Tensor], height: int, width: int) -> Cells:
    """The head's maps (B, 15 or 23, H/s, W/s), stride 8 first, of images of height x width pixels."""
    raw = flatten_levels(levels).float()
    points, strides = anchor_points(level_sizes(height, width), raw.device)
    return Cells(decode_boxes(raw[..., :4], points, strides), raw[..., 4].sigmoid(), raw, points, strides)


def coarse_landmarks(raw: Tensor, points: Tensor, strides: Tensor) -> Tensor:
    """Coarse landmarks (N, 5, 2), pixels, of chosen rows of `Cells`."""
    if raw.shape[1] == OUTPUTS:
        return decode_landmarks(raw[:, 5:], points, strides)
    boxes = decode_boxes(raw[:, :4], points, strides)
    direction = F.normalize(vector_of(raw[:, OUTPUTS:]), eps=1e-6)
    return decode_upright_landmarks(raw[:, 5:OUTPUTS], boxes, direction)


def decided(raw: Tensor) -> Tensor:
    """(N, 1) of chosen rows of `Cells`: 1 where it is sure which way up a face is, else 0."""
    if raw.shape[1] == OUTPUTS:
        return raw.new_ones(len(raw), 1)
    return (vector_of(raw[:, OUTPUTS:]).norm(dim=1, keepdim=True) > DECIDED).to(raw.dtype)


def best(cells: Cells, score_threshold: float, iou_threshold: float, max_faces: int) -> tuple[Tensor, Tensor]:
    """The cells that are faces, at most `max_faces` of each image.

    Returns:
        Their images (N,) and rows (N,), int64: image after image, best first.
    """
    kept = [
        suppress(boxes, scores, score_threshold, iou_threshold, max_faces)
        for boxes, scores in zip(cells.boxes, cells.scores, strict=True)
    ]
    pictures = [torch.full_like(rows, i) for i, rows in enumerate(kept)]
    return torch.cat(pictures), torch.cat(kept)


def suppress(
    boxes: Tensor, scores: Tensor, score_threshold: float, iou_threshold: float, max_faces: int
) -> Tensor:
    """Rows of one image that survive the score threshold and non-maximum suppression, best first."""
    rows = torch.nonzero(scores > score_threshold).squeeze(1)
    return rows[nms(boxes[rows], scores[rows], iou_threshold)[:max_faces]]
