"""From pixels to faces with the torch network: decode, suppress, refine, embed, as the ONNX graph does."""

from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import nms

from oneshot.models.boxcode import anchor_points, decode_boxes, decode_landmarks, flatten_levels, level_sizes
from oneshot.models.direction import vector_of
from oneshot.models.network import OneShotNet
from oneshot.models.sampling import Places, places_of


class Cells(NamedTuple):
    """What the head says of a batch of images; row i is one cell, of all levels in order."""

    boxes: Tensor  # (B, A, 4) xyxy, pixels
    scores: Tensor  # (B, A)
    raw: Tensor  # (B, A, 15), the head's outputs
    points: Tensor  # (A, 2), anchor points, pixels
    strides: Tensor  # (A,)


def decode(net: OneShotNet, images: Tensor) -> tuple[Cells, tuple[Tensor, ...]]:
    """The dense half of the pass: images (B, H, W, 3) uint8 RGB, H and W multiples of 32.

    Returns:
        Every cell's box and score, and the maps that faces are sampled from.
    """
    maps = net.backbone(images.permute(0, 3, 1, 2).float())
    raw = flatten_levels(net.detect(maps)).float()
    points, strides = anchor_points(level_sizes(images.shape[1], images.shape[2]), images.device)
    boxes = decode_boxes(raw[..., :4], points, strides)
    sampled = net.thinned(*maps[:3])
    cells = (maps.s8, maps.s16, maps.s32) if net.config.form == "cell" else ()
    return Cells(boxes, raw[..., 4].sigmoid(), raw, points, strides), (*sampled, *cells)


def coarse_landmarks(raw: Tensor, points: Tensor, strides: Tensor) -> Tensor:
    """Coarse landmarks (N, 5, 2), pixels, of chosen rows of `Cells`."""
    return decode_landmarks(raw[:, 5:], points, strides)


def describe(
    net: OneShotNet,
    sampled: tuple[Tensor, ...],
    boxes: Tensor,
    landmarks: Tensor,
    places: Places | None = None,
) -> tuple[Tensor, Tensor]:
    """The per-face half: boxes (N, 4), coarse landmarks (N, 5, 2) to refined ones, embeddings (N, 1000).

    A face of which it cannot be told which way up it is has an embedding of zeros: like nobody's.
    """
    landmarks, decided = refined(net, sampled, boxes, landmarks, places)
    return landmarks, net.embed(sampled, landmarks, places) * decided


def refined(
    net: OneShotNet,
    sampled: tuple[Tensor, ...],
    boxes: Tensor,
    landmarks: Tensor,
    places: Places | None = None,
) -> tuple[Tensor, Tensor]:
    """Coarse landmarks (N, 5, 2) turned and corrected, and (N, 1): 1 where the way up is sure, else 0."""
    decided = landmarks.new_ones(len(landmarks), 1)
    if net.direction is not None:
        landmarks, sure = net.turn(boxes, landmarks, vector_of(net.look(sampled, boxes, places)))
        decided = sure.to(landmarks.dtype).unsqueeze(1)
    for _ in range(net.config.refinements):
        landmarks = net.refine(sampled, landmarks, places)
    return landmarks, decided


def suppress(
    boxes: Tensor, scores: Tensor, score_threshold: float, iou_threshold: float, max_faces: int
) -> Tensor:
    """Rows of one image that survive the score threshold and non-maximum suppression, best first."""
    rows = torch.nonzero(scores > score_threshold).squeeze(1)
    return rows[nms(boxes[rows], scores[rows], iou_threshold)[:max_faces]]


@torch.inference_mode()
def one_pass(
    net: OneShotNet,
    images: Tensor,
    score_threshold: float,
    iou_threshold: float,
    max_faces: int,
    embed: bool = True,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The faces of images (B, H, W, 3) uint8 RGB, at most `max_faces` of each.

    Returns:
        Boxes (N, 4), scores (N,), landmarks (N, 5, 2), embeddings (N, 1000) and the image that each face is
        of, (N,) int64: image after image, best first. Without `embed` the identity head is not run, and the
        embeddings are (N, 0).
    """
    cells, sampled = decode(net, images)
    kept = [
        suppress(boxes, scores, score_threshold, iou_threshold, max_faces)
        for boxes, scores in zip(cells.boxes, cells.scores, strict=True)
    ]
    rows = torch.cat(kept)
    which = torch.cat([torch.full_like(some, i) for i, some in enumerate(kept)])
    boxes, scores = cells.boxes[which, rows], cells.scores[which, rows]
    if not len(rows):
        return boxes, scores, boxes.new_zeros(0, 5, 2), boxes.new_zeros(0, 1000 if embed else 0), which
    coarse = coarse_landmarks(cells.raw[which, rows], cells.points[rows], cells.strides[rows])
    places = places_of(which, len(images))
    if embed:
        landmarks, embeddings = describe(net, sampled, boxes, coarse, places)
    else:
        landmarks, embeddings = (
            refined(net, sampled, boxes, coarse, places)[0],
            coarse.new_zeros(len(rows), 0),
        )
    return boxes, scores, landmarks, embeddings, which
