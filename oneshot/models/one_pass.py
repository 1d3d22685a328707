"""From pixels to faces with the torch network: decode, suppress, refine, embed, as the ONNX graph does."""

from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import nms

from oneshot.models.boxcode import anchor_points, decode_boxes, decode_landmarks, flatten_levels, level_sizes
from oneshot.models.network import OneShotNet


class Cells(NamedTuple):
    """What the head says of one image; row i is one cell, of all levels in order."""

    boxes: Tensor  # (A, 4) xyxy, pixels
    scores: Tensor  # (A,)
    raw: Tensor  # (A, 15), the head's outputs
    points: Tensor  # (A, 2), anchor points, pixels
    strides: Tensor  # (A,)


def decode(net: OneShotNet, image: Tensor) -> tuple[Cells, tuple[Tensor, ...]]:
    """The dense half of the pass: image (1, H, W, 3) uint8 RGB, H and W multiples of 32.

    Returns:
        Every cell's box and score, and the maps that faces are sampled from.
    """
    maps = net.backbone(image.permute(0, 3, 1, 2).float())
    raw = flatten_levels(net.detect(maps))[0].float()
    points, strides = anchor_points(level_sizes(image.shape[1], image.shape[2]), image.device)
    boxes = decode_boxes(raw[:, :4], points, strides)
    sampled = net.thinned(maps.s2, maps.s4, maps.s8)
    cells = (maps.s8, maps.s16, maps.s32) if net.config.form == "cell" else ()
    return Cells(boxes, raw[:, 4].sigmoid(), raw, points, strides), (*sampled, *cells)


def coarse_landmarks(raw: Tensor, points: Tensor, strides: Tensor) -> Tensor:
    """Coarse landmarks (N, 5, 2), pixels, of chosen rows of `Cells`."""
    return decode_landmarks(raw[:, 5:], points, strides)


def describe(net: OneShotNet, sampled: tuple[Tensor, ...], landmarks: Tensor) -> tuple[Tensor, Tensor]:
    """The per-face half: coarse landmarks (N, 5, 2) to refined ones and embeddings (N, 1000)."""
    landmarks = refined(net, sampled, landmarks)
    return landmarks, net.embed(sampled, landmarks)


def refined(net: OneShotNet, sampled: tuple[Tensor, ...], landmarks: Tensor) -> Tensor:
    """Coarse landmarks (N, 5, 2), corrected as often as the network does it."""
    for _ in range(net.config.refinements):
        landmarks = net.refine(sampled[1], sampled[2], landmarks)
    return landmarks


def suppress(
    boxes: Tensor, scores: Tensor, score_threshold: float, iou_threshold: float, max_faces: int
) -> Tensor:
    """Rows that survive the score threshold and non-maximum suppression, best first."""
    rows = torch.nonzero(scores > score_threshold).squeeze(1)
    return rows[nms(boxes[rows], scores[rows], iou_threshold)[:max_faces]]


@torch.inference_mode()
def one_pass(
    net: OneShotNet,
    image: Tensor,
    score_threshold: float,
    iou_threshold: float,
    max_faces: int,
    embed: bool = True,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Boxes (N, 4), scores (N,), landmarks (N, 5, 2), embeddings (N, 1000) of (1, H, W, 3) uint8 RGB.

    Without `embed` the identity head is not run, and the embeddings are (N, 0).
    """
    cells, sampled = decode(net, image)
    rows = suppress(cells.boxes, cells.scores, score_threshold, iou_threshold, max_faces)
    if not len(rows):
        return (
            cells.boxes[:0],
            cells.scores[:0],
            cells.boxes.new_zeros(0, 5, 2),
            cells.boxes.new_zeros(0, 1000 if embed else 0),
        )
    coarse = coarse_landmarks(cells.raw[rows], cells.points[rows], cells.strides[rows])
    if embed:
        landmarks, embeddings = describe(net, sampled, coarse)
    else:
        landmarks, embeddings = refined(net, sampled, coarse), coarse.new_zeros(len(rows), 0)
    return cells.boxes[rows], cells.scores[rows], landmarks, embeddings
