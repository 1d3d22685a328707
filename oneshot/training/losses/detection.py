"""Losses of the detection head: pure functions from raw maps and targets to a dict of named scalars.

Terms come unweighted, so that curves of different runs can be compared; `DETECTION_WEIGHTS` is a start.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import complete_box_iou_loss

from oneshot.models.boxcode import (
    anchor_points,
    box_side,
    decode_boxes,
    decode_landmarks,
    decode_upright_landmarks,
    encode_boxes,
    flatten_levels,
)
from oneshot.models.direction import classes_of, direction_of
from oneshot.models.head import OUTPUTS
from oneshot.models.sampling import TEMPLATE
from oneshot.training.assign import Assignment, FaceTargets

# The IoU term carries the box, smooth-L1 steadies it while boxes do not overlap yet. A landmark's error is a
# fraction of the face and is averaged over points, hence the larger factor for gradients of equal size.
DETECTION_WEIGHTS = {"box": 1.0, "iou": 2.0, "confidence": 1.0, "landmarks": 5.0, "direction": 1.0}
IMITATION_WEIGHTS = {"confidence": 1.0, "box": 1.0, "landmarks": 2.0}

LEAST_POINTS = 3
"""Known landmarks of a face that tell its direction."""

# Where smooth-L1 turns from square to linear. Codes are strides and logs, landmarks fractions of the face.
BOX_BETA, LANDMARK_BETA = 0.1, 0.02


def detection_losses(
    raw: Sequence[Tensor], targets: FaceTargets, assignment: Assignment
) -> dict[str, Tensor]:
    """Losses "box", "iou", "confidence", "landmarks" of a batch, and "direction" of a head that says it.

    Scalars in float32. raw: the head's maps over strides 8, 16, 32, each (B, 15 or 23, h, w). All terms are
    divided by the batch's number of positive cells (landmarks: of known points), at least 1: they are finite
    for a batch without faces, which then teaches the confidence alone.

    The target of a positive cell's confidence is the IoU of its box with the face (Generalized Focal Loss,
    Li et al. 2020; YOLOv5 likewise): the score then ranks boxes by how good they are, which is what average
    precision asks. Plain cross-entropy does: the prior-probability bias already keeps it in balance.
    """
    with torch.autocast(raw[0].device.type, enabled=False):
        sizes = [(level.shape[2], level.shape[3]) for level in raw]
        prediction = flatten_levels([level.float() for level in raw])
        points, strides = anchor_points(sizes, prediction.device)

        picture, cell = torch.nonzero(assignment.face >= 0, as_tuple=True)  # P positive cells
        face = assignment.face[picture, cell]
        positive, points, strides = prediction[picture, cell], points[cell], strides[cell]
        true_box = targets.boxes[picture, face]
        box = decode_boxes(positive[:, :4], points, strides)
        count = max(len(face), 1)

        code = encode_boxes(true_box, points, strides)
        box_loss = F.smooth_l1_loss(positive[:, :4], code, beta=BOX_BETA, reduction="sum")

        logit = prediction[..., 4]
        score = torch.zeros_like(logit)
        score[picture, cell] = paired_iou(box.detach(), true_box)
        confidence = F.binary_cross_entropy_with_logits(logit, score, assignment.weight, reduction="sum")

        size = box_side(true_box)[:, None, None]
        known, true_landmarks = (
            targets.landmark_valid[picture, face].float(),
            targets.landmarks[picture, face],
        )
        more: dict[str, Tensor] = {}
        if positive.shape[1] == OUTPUTS:
            landmarks = decode_landmarks(positive[:, 5:], points, strides)
        else:
            known = known * ((known > 0).sum(1, keepdim=True) >= LEAST_POINTS)
            direction = direction_of(true_landmarks, known, TEMPLATE.to(known.device))
            landmarks = decode_upright_landmarks(positive[:, 5:OUTPUTS], box.detach(), direction)
            says = F.cross_entropy(positive[:, OUTPUTS:], classes_of(direction), reduction="none")
            counts = known.mean(1)
            more["direction"] = (says * counts).sum() / counts.sum().clamp(min=1)
        return {
            **more,
            "box": box_loss / count,
            "iou": complete_box_iou_loss(box, true_box, reduction="sum") / count,
            "confidence": confidence / count,
            "landmarks": _landmarks(landmarks / size, true_landmarks / size, known),
        }


def imitation_losses(raw: Sequence[Tensor], taught: Sequence[Tensor]) -> dict[str, Tensor]:
    """How far the head's maps are from another head's: "confidence", "box", "landmarks", scalars in float32.

    raw, taught: maps over strides 8, 16, 32, each (B, 15 or 23, h, w), of the one that learns and of the one
    that teaches. Confidences are compared in every cell, in ignored regions too (the divergence of what is
    said from what was taught); box and landmark codes where a face is taught with 0.1 or more, in proportion,
    landmarks only if both code them alike. All are divided by the sum of the taught confidences, at least 1.
    """
    with torch.autocast(raw[0].device.type, enabled=False):
        own, theirs = (flatten_levels([level.float() for level in maps]) for maps in (raw, taught))
        logit, sure = theirs[..., 4], theirs[..., 4].sigmoid()
        count = sure.sum().clamp(min=1)
        cross, least = (
            F.binary_cross_entropy_with_logits(said, sure, reduction="sum") for said in (own[..., 4], logit)
        )
        weight = torch.where(sure >= 0.1, sure, 0.0)[..., None]

        def apart(channels: slice, beta: float) -> Tensor:
            loss = F.smooth_l1_loss(own[..., channels], theirs[..., channels], beta=beta, reduction="none")
            return (weight * loss).sum() / count

        return {
            "confidence": (cross - least) / count,
            "box": apart(slice(0, 4), 0.1),
            **({"landmarks": apart(slice(5, 15), 0.05)} if own.shape == theirs.shape else {}),
        }


def paired_iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of boxes a (N, 4) and b (N, 4), row by row → (N,)."""
    overlap = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(-1)
    union = (a[:, 2:] - a[:, :2]).prod(-1) + (b[:, 2:] - b[:, :2]).prod(-1) - overlap
    return overlap / union.clamp(min=1e-6)


def _landmarks(points: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """Smooth-L1 of points (P, 5, 2), in face sizes, averaged over the known ones (P, 5)."""
    loss = F.smooth_l1_loss(points, truth, beta=LANDMARK_BETA, reduction="none").sum(-1)
    return (loss * known).sum() / known.sum().clamp(min=1)
