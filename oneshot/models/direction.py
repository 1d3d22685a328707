"""Which way up a face is, which the head says as a class of eight.

A regressed landmark of a face that may be read two ways lies between the two readings. So the head says the
direction as a class, and the landmarks as they lie in the upright face: `boxcode` turns these by it. The
classes' mean vector tells both the way up and, by its length, how sure that is.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

DIRECTIONS = 8
DECIDED = 0.75
"""Least length of a decided direction's vector. Two neighbours alike give 0.92, opposite ones 0."""


def vector_of(logits: Tensor) -> Tensor:
    """The mean direction (…, 2) of logits (…, DIRECTIONS); shorter than 1 where they are in doubt."""
    angle = torch.arange(DIRECTIONS, device=logits.device) * (2 * math.pi / DIRECTIONS)
    return logits.float().softmax(-1) @ torch.stack((angle.cos(), angle.sin()), 1)


def classes_of(direction: Tensor) -> Tensor:
    """Targets (N, DIRECTIONS) of unit vectors (N, 2): shared between the two nearest classes."""
    angle = torch.arange(DIRECTIONS, device=direction.device) * (2 * math.pi / DIRECTIONS)
    between = torch.atan2(direction[:, 1:], direction[:, :1]) - angle
    apart = (between + math.pi).remainder(2 * math.pi) - math.pi
    return (1 - apart.abs() * (DIRECTIONS / (2 * math.pi))).clamp(min=0)


def direction_of(landmarks: Tensor, counts: Tensor, template: Tensor) -> Tensor:
    """Along which unit vectors (N, 2) the right of upright faces lies in landmarks (N, 5, 2).

    That is the turn of the least-squares similarity from the template (5, 2), each point counted `counts`
    (N, 5) times. At least two different points must count.
    """
    share = counts / counts.sum(1, keepdim=True).clamp(min=1e-6)
    u = landmarks - (share.unsqueeze(2) * landmarks).sum(1, keepdim=True)
    v = template - (share @ template).unsqueeze(1)
    along = (share * (u * v).sum(2)).sum(1)
    across = (share * (v[..., 0] * u[..., 1] - v[..., 1] * u[..., 0])).sum(1)
    return F.normalize(torch.stack((along, across), 1), eps=1e-6)
