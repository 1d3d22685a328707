"""From pixels to faces with the torch network: decode, suppress, refine, embed, as the ONNX graph does."""

import torch
from torch import Tensor
from torchvision.ops import nms

from oneshot.models.boxcode import anchor_points, decode_boxes, decode_landmarks, flatten_levels, level_sizes
from oneshot.models.network import OneShotNet


def decode(net: OneShotNet, image: Tensor) -> tuple[Tensor, Tensor, Tensor, tuple[Tensor, ...]]:
    """The dense half of the pass.

    Args:
        image: (1, H, W, 3) uint8 RGB, H and W multiples of 32.

    Returns:
        Boxes (A, 4) xyxy, scores (A,), coarse landmarks (A, 5, 2) of every cell, in pixels of the image;
        and the maps that faces are sampled from.
    """
    maps = net.backbone(image.permute(0, 3, 1, 2).float())
    raw = flatten_levels(net.detect(maps))[0].float()
    points, strides = anchor_points(level_sizes(image.shape[1], image.shape[2]), image.device)
    boxes = decode_boxes(raw[:, :4], points, strides)
    landmarks = decode_landmarks(raw[:, 5:], points, strides)
    sampled = net.thinned(maps.s2, maps.s4, maps.s8)
    cells = (maps.s8, maps.s16, maps.s32) if net.config.form == "cell" else ()
    return boxes, raw[:, 4].sigmoid(), landmarks, (*sampled, *cells)


def describe(net: OneShotNet, sampled: tuple[Tensor, ...], landmarks: Tensor) -> tuple[Tensor, Tensor]:
    """The per-face half: coarse landmarks (N, 5, 2) to refined ones and embeddings (N, 1000)."""
    for _ in range(net.config.refinements):
        landmarks = net.refine(sampled[1], sampled[2], landmarks)
    return landmarks, net.embed(sampled, landmarks)


def suppress(
    boxes: Tensor, scores: Tensor, score_threshold: float, iou_threshold: float, max_faces: int
) -> Tensor:
    """Rows that survive the score threshold and non-maximum suppression, best first."""
    rows = torch.nonzero(scores > score_threshold).squeeze(1)
    return rows[nms(boxes[rows], scores[rows], iou_threshold)[:max_faces]]


@torch.inference_mode()
def one_pass(
    net: OneShotNet, image: Tensor, score_threshold: float, iou_threshold: float, max_faces: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Boxes (N, 4), scores (N,), landmarks (N, 5, 2), embeddings (N, 1000) of (1, H, W, 3) uint8 RGB."""
    boxes, scores, landmarks, sampled = decode(net, image)
    rows = suppress(boxes, scores, score_threshold, iou_threshold, max_faces)
    if not len(rows):
        return boxes[:0], scores[:0], landmarks[:0], boxes.new_zeros(0, 1000)
    refined, embeddings = describe(net, sampled, landmarks[rows])
    return boxes[rows], scores[rows], refined, embeddings
