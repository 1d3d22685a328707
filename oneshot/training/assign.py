"""Which cell of the detection head answers for which face.

The idea is that of FCOS (Tian et al., ICCV 2019): a face is learnt by the few cells around its centre, at the
level whose stride suits its size. Two things are added, because many faces here are smaller than one stride:

* Every face gets a *seat*, the cell nearest to its centre, before cells are shared out by distance. Where two
  faces want the same seat the nearer sits down and the other takes its next nearest free cell.
* What is left goes to the face with the *nearest centre* (ties to the smaller). FCOS lets the smaller win;
  but side by side, as people stand in crowds, faces are of one size, and the nearest centre cuts the ground
  between them evenly, whereas "smaller" lets one of two equals take all of it.

Confidence is not judged where the truth is unknown or a matter of taste: in ignore regions, on faces too
small to be seen, and around the centre of a face on a level that is not its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from oneshot.models.boxcode import STRIDES, anchor_points, box_side

# sqrt(width · height) in input pixels that each level learns; faces in an overlap belong to both levels
LEVEL_RANGES = ((0.0, 40.0), (32.0, 112.0), (96.0, float("inf")))
CENTRE_RADIUS = 1.5  # in strides, along either axis: 3 × 3 cells
MIN_FACE = 5.0  # sqrt(width · height) in pixels; below it a face is an ignore region
SEAT_REACH = 2.0  # in strides: how far from its centre a face that lost its nearest cell may sit
SEAT_ROUNDS = 3


@dataclass(frozen=True)
class FaceTargets:
    """The true faces of a batch, padded to the batch's largest number of faces M and ignore regions K."""

    boxes: Tensor  # (B, M, 4) float32 xyxy, pixels
    valid: Tensor  # (B, M) bool, False where padded
    landmarks: Tensor  # (B, M, 5, 2) float32, pixels
    landmark_valid: Tensor  # (B, M, 5) float32, how much each point counts: 0 where unknown or outside
    identity_ok: Tensor  # (B, M) bool, sharp and whole enough for the identity losses
    ignore: Tensor  # (B, K, 4) float32 xyxy, pixels
    ignore_valid: Tensor  # (B, K) bool

    def to(self, device: torch.device | str) -> FaceTargets:
        """The same targets on another device."""
        return FaceTargets(*(getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)))


@dataclass(frozen=True)
class Assignment:
    """What each of the A cells (all levels, order of `boxcode.anchor_points`) has to say."""

    face: Tensor  # (B, A) int64, index of the face the cell answers for, or -1
    weight: Tensor  # (B, A) float32, 1 where the confidence is judged, 0 where it is not


@torch.no_grad()
def assign(
    boxes: Tensor, valid: Tensor, ignore: Tensor, ignore_valid: Tensor, sizes: Sequence[tuple[int, int]]
) -> Assignment:
    """Share out the cells of all levels.

    boxes (B, M, 4) xyxy in pixels with mask valid (B, M); ignore regions (B, K, 4) with ignore_valid (B, K);
    sizes = (rows, columns) of each level, as `boxcode.level_sizes` gives them. M and K may be 0.

    Padding is dropped first: all faces of the batch are rows of one (N, cells) table, whatever their picture.
    """
    size = box_side(boxes)
    unseen = valid & (size < MIN_FACE)
    picture, column = torch.nonzero(valid & ~unseen, as_tuple=True)
    box, size = boxes[picture, column], size[picture, column]
    region_picture, row = torch.nonzero(torch.cat([ignore_valid, unseen], 1), as_tuple=True)
    region = torch.cat([ignore, boxes], 1)[region_picture, row]

    points, _ = anchor_points(sizes, boxes.device)
    cells = [rows * columns for rows, columns in sizes]
    faces, weights = [], []
    for level_points, stride, (low, high) in zip(points.split(cells), STRIDES, LEVEL_RANGES, strict=True):
        own = (size >= low) & (size <= high)
        x, y = _offsets(level_points, box)
        reach = (box[:, 2:] - box[:, :2]).div(2).clamp(max=CENTRE_RADIUS * stride)
        near = (x < reach[:, :1]) & (y < reach[:, 1:])
        distance = (x.square() + y.square()) / stride**2

        winner = torch.full((len(boxes), len(level_points)), -1, device=boxes.device)
        cost = distance + 1e-5 * size[:, None]  # the size only breaks ties
        _share(cost[own], near[own], picture[own], torch.nonzero(own)[:, 0], winner)
        face = torch.where(winner >= 0, column[winner], -1) if len(box) else winner

        ignored = torch.zeros_like(winner, dtype=torch.bool)
        _mark(ignored, picture, (near | _nearest(distance)) & ~own[:, None])
        # a region smaller than a stride may hold no anchor point; the nearest cell still looks at it
        x, y = _offsets(level_points, region)
        reach = (region[:, 2:] - region[:, :2]) / 2
        inside = (x < reach[:, :1]) & (y < reach[:, 1:])
        _mark(ignored, region_picture, inside | _nearest(x.square() + y.square()))
        faces.append(face)
        weights.append((~ignored | (face >= 0)).float())
    return Assignment(torch.cat(faces, 1), torch.cat(weights, 1))


def _offsets(points: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Distances (N, A) along x and along y from points (A, 2) to the centres of boxes (N, 4)."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    return (points[:, 0] - centre[:, :1]).abs(), (points[:, 1] - centre[:, 1:]).abs()


def _nearest(distance: Tensor) -> Tensor:
    """Marks in each row of distance (N, A) the least, or the equally small."""
    return distance == distance.amin(1, keepdim=True)


def _mark(marked: Tensor, picture: Tensor, cells: Tensor) -> None:
    """Set in marked (B, A) what rows of cells (N, A), which belong to pictures (N,), mark; in place."""
    row, cell = torch.nonzero(cells, as_tuple=True)
    marked[picture[row], cell] = True


def _share(cost: Tensor, near: Tensor, picture: Tensor, row: Tensor, winner: Tensor) -> None:
    """Give the cells of one level to its faces: seats first, then the rest by distance.

    cost (N, A), squared distance in strides; near (N, A), the cells a face may have without a seat;
    picture (N,); row (N,), by what number a face enters winner (B, A), which holds -1 where a cell is free
    and is filled in place.
    """
    standing = torch.ones_like(picture, dtype=torch.bool)
    for _ in range(SEAT_ROUNDS):
        reachable = cost.masked_fill((winner >= 0)[picture] | (cost > SEAT_REACH**2), torch.inf)
        wish, cell = reachable.min(1, keepdim=True)
        wish = wish.masked_fill(~standing[:, None], torch.inf)
        _settle(torch.full_like(cost, torch.inf).scatter(1, cell, wish), picture, row, winner)
        standing = standing & (winner[picture].gather(1, cell)[:, 0] != row)
    _settle(cost.masked_fill(~near, torch.inf), picture, row, winner)


def _settle(cost: Tensor, picture: Tensor, row: Tensor, winner: Tensor) -> None:
    """Give each free cell of winner (B, A) to the face of its picture with the least finite cost (N, A)."""
    best = torch.full_like(winner, torch.inf, dtype=cost.dtype)
    best.scatter_reduce_(0, picture[:, None].expand_as(cost), cost, "amin")
    wins = (cost == best[picture]) & cost.isfinite() & (winner < 0)[picture]
    face, cell = torch.nonzero(wins, as_tuple=True)
    winner[picture[face], cell] = row[face]
