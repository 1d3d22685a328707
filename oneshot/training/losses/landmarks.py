"""The corrections of scenes' landmarks, from where the head puts them."""

import math

import torch
from torch import Tensor

from oneshot.models.boxcode import anchor_points, box_side, flatten_levels
from oneshot.models.cells import coarse_landmarks
from oneshot.models.direction import direction_of
from oneshot.models.network import OneShotNet
from oneshot.models.sampling import SampledMap
from oneshot.training.assign import Assignment, FaceTargets
from oneshot.training.data.views import jitter_landmarks
from oneshot.training.losses.identity import landmark_loss

COARSE_NOISE = (0.2, 0.18)
"""Largest noise of a point and of all five together that the refinement learns to take back."""

AGREES = math.cos(math.radians(30))
"""Cosine of the most that a direction may be off for corrections to start from the head's landmarks."""

SMALLEST = 10.0
"""Pixels: the square root of a face's box, below which its landmarks are not corrected in training."""


def scene_landmarks(
    net: OneShotNet,
    stride4: SampledMap,
    raw: list[Tensor],
    targets: FaceTargets,
    assignment: Assignment,
    faces: int,
    corrections: int,
    rng: torch.Generator,
) -> Tensor | None:
    """The loss of the corrections of some faces of each scene; None without any.

    They start from the head's coarse landmarks, or beside the true ones where those are far off.

    Args:
        stride4: the scenes' map that landmarks are placed by. raw: the head's outputs for them.
        faces: how many of each scene. corrections: how many in a row, each mends what the one before left.
    """
    usable = targets.valid & (targets.landmark_valid > 0).all(-1) & (box_side(targets.boxes) >= SMALLEST)
    rows, chosen = pick_faces(usable, faces, rng)
    if not bool(chosen.any()):
        return None
    truth, counts = (t.flatten(0, 1)[rows] for t in (targets.landmarks, targets.landmark_valid))
    start = head_landmarks([level.detach() for level in raw], assignment, targets).flatten(0, 1)[rows]
    template = net.refinement.grid.landmarks
    near = lies_near(start, truth)
    if net.config.direction:
        every = torch.ones_like(counts)
        ways = direction_of(start, every, template) * direction_of(truth, every, template)
        near = near & (ways.sum(1) > AGREES)
    start = torch.where(near.view(-1, 1, 1), start, jitter_landmarks(truth, rng, *COARSE_NOISE))
    found = []
    for _ in range(corrections):
        start = net.refinement(stride4, start.detach())
        found.append(start[chosen])
    times = len(found)
    return landmark_loss(
        torch.cat(found), truth[chosen].repeat(times, 1, 1), template, counts[chosen].repeat(times, 1)
    )


def lies_near(landmarks: Tensor, truth: Tensor) -> Tensor:
    """Whether landmarks (N, 5, 2) have about the place and size of the true ones, however turned, (N,)."""
    own, true = landmarks.mean(1, keepdim=True), truth.mean(1, keepdim=True)
    spread, wanted = (landmarks - own).norm(dim=2).mean(1), (truth - true).norm(dim=2).mean(1)
    ratio = spread / wanted.clamp(min=1e-3)
    return ((own - true).norm(dim=2)[:, 0] < wanted) & (ratio > 0.4) & (ratio < 2.5)


def pick_faces(usable: Tensor, faces: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """`faces` random usable faces of each picture.

    Args:
        usable: (B, M) bool.

    Returns:
        Rows (B * faces,) into the flattened (B * M) faces, and which of them are usable at all. A picture
        with too few fills up with others, so that every picture has the same number of grids to sample.
    """
    pictures, most = usable.shape
    if most == 0:
        return torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.bool)
    order = torch.rand(usable.shape, generator=rng).to(usable.device) + usable.float()
    best = order.topk(min(faces, most), 1)
    columns = best.indices[:, torch.arange(faces) % best.indices.shape[1]]
    fresh = (torch.arange(faces) < most).to(usable.device)
    rows = columns + torch.arange(pictures, device=usable.device)[:, None] * most
    return rows.flatten(), (usable.gather(1, columns) & fresh).flatten()


def head_landmarks(raw: list[Tensor], assignment: Assignment, targets: FaceTargets) -> Tensor:
    """The head's landmarks (B, M, 5, 2) of each face, by the most confident of its cells."""
    flat = flatten_levels([level.float() for level in raw])
    points, strides = anchor_points([(r.shape[2], r.shape[3]) for r in raw], flat.device)
    faces = torch.arange(targets.boxes.shape[1], device=flat.device)
    mine = assignment.face[:, None] == faces[None, :, None]
    cell = torch.where(mine, flat[:, None, :, 4], -torch.inf).argmax(2)
    chosen = flat.gather(1, cell[..., None].expand(-1, -1, flat.shape[2]))
    found = coarse_landmarks(chosen.flatten(0, 1), points[cell].flatten(0, 1), strides[cell].flatten())
    return found.unflatten(0, cell.shape)
