"""The assigner against a slow, obvious version, and what it promises."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from oneshot.models.boxcode import STRIDES, anchor_points, level_sizes
from oneshot.training.assign import (
    CENTRE_RADIUS,
    LEVEL_RANGES,
    MIN_FACE,
    SEAT_REACH,
    SEAT_ROUNDS,
    Assignment,
    assign,
)

SIDE = 160
SIZES = level_sizes(SIDE, SIDE)
NONE = torch.zeros(1, 0, 4), torch.zeros(1, 0, dtype=torch.bool)


def _random_boxes(generator: torch.Generator, count: int, crowd: bool) -> Tensor:
    """Boxes of 3 to 150 pixels anywhere, or of 5 to 12 pixels close together."""
    centre = torch.rand(count, 2, generator=generator) * (30 if crowd else SIDE)
    spread, low = (math.log(2.4), math.log(5)) if crowd else (math.log(50), math.log(3))
    size = torch.exp(torch.rand(count, 1, generator=generator) * spread + low)
    half = size / 2 * (0.8 + 0.4 * torch.rand(count, 2, generator=generator))
    return torch.cat([centre - half, centre + half], 1).clamp(0, SIDE)


def _size(box: list[float]) -> float:
    return math.sqrt((box[2] - box[0]) * (box[3] - box[1]))


def _slow(boxes: list[list[float]], regions: list[list[float]]) -> tuple[list[int], list[float]]:
    """One picture, cell by cell and face by face."""
    regions = regions + [box for box in boxes if _size(box) < MIN_FACE]
    faces, weights = [], []
    for (rows, columns), stride, (low, high) in zip(SIZES, STRIDES, LEVEL_RANGES, strict=True):
        points = [((j + 0.5) * stride, (i + 0.5) * stride) for i in range(rows) for j in range(columns)]

        def away(
            cell: int, box: list[float], points: list[tuple[float, float]] = points
        ) -> tuple[float, float]:
            x, y = points[cell]
            return abs(x - (box[0] + box[2]) / 2), abs(y - (box[1] + box[3]) / 2)

        def inside(cell: int, box: list[float], points: list[tuple[float, float]] = points) -> bool:
            x, y = points[cell]
            return box[0] < x < box[2] and box[1] < y < box[3]

        def nearest(box: list[float], cells: list[int]) -> int:
            return min(cells, key=lambda cell: math.hypot(*away(cell, box)))  # noqa: B023

        everywhere = list(range(len(points)))
        seen = [f for f, box in enumerate(boxes) if _size(box) >= MIN_FACE]
        own = [f for f in seen if low <= _size(boxes[f]) <= high]
        winner: dict[int, int] = {}
        for _ in range(SEAT_ROUNDS):
            wishes: dict[int, int] = {}
            for f in [f for f in own if f not in winner.values()]:
                free = [c for c in everywhere if c not in winner]
                cell = nearest(boxes[f], free)
                distance = math.hypot(*away(cell, boxes[f]))
                if distance > SEAT_REACH * stride:
                    continue
                if cell not in wishes or distance < math.hypot(*away(cell, boxes[wishes[cell]])):
                    wishes[cell] = f
            winner |= wishes
        for cell in everywhere:
            radius = CENTRE_RADIUS * stride
            near = [f for f in own if inside(cell, boxes[f]) and max(away(cell, boxes[f])) < radius]
            if near and cell not in winner:
                winner[cell] = min(near, key=lambda f: math.hypot(*away(cell, boxes[f])))

            hidden = any(inside(cell, box) or cell == nearest(box, everywhere) for box in regions)
            foreign = any(
                (inside(cell, boxes[f]) and max(away(cell, boxes[f])) < radius)
                or cell == nearest(boxes[f], everywhere)
                for f in seen
                if f not in own
            )
            faces.append(winner.get(cell, -1))
            weights.append(1.0 if cell in winner or not (hidden or foreign) else 0.0)
    return faces, weights


def _one(boxes: Tensor, regions: Tensor | None = None) -> Assignment:
    """Assign faces (M, 4) and regions (K, 4) of a single picture."""
    ignore = NONE if regions is None else (regions[None], torch.ones(1, len(regions), dtype=torch.bool))
    return assign(boxes[None], torch.ones(1, len(boxes), dtype=torch.bool), *ignore, SIZES)


@pytest.mark.parametrize("seed", range(6))
def test_agrees_with_the_slow_version(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    boxes = torch.stack([_random_boxes(generator, 12, crowd) for crowd in (False, True)])
    regions = torch.stack([_random_boxes(generator, 3, False) for _ in range(2)])
    valid = torch.rand(2, 12, generator=generator) < 0.7
    region_valid = torch.rand(2, 3, generator=generator) < 0.7
    result = assign(boxes, valid, regions, region_valid, SIZES)
    for picture in range(2):
        kept = torch.nonzero(valid[picture])[:, 0].tolist()
        faces, weights = _slow(
            boxes[picture, kept].tolist(), regions[picture][region_valid[picture]].tolist()
        )
        assert result.face[picture].tolist() == [kept[f] if f >= 0 else -1 for f in faces]
        assert result.weight[picture].tolist() == weights


def test_every_visible_face_has_a_cell() -> None:
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        boxes = _random_boxes(generator, 10, crowd=seed % 2 == 0)
        visible = {i for i, box in enumerate(boxes.tolist()) if _size(box) >= MIN_FACE}
        assert visible <= set(_one(boxes).face.unique().tolist())


def test_two_faces_in_one_cell_both_find_a_seat() -> None:
    faces = _one(torch.tensor([[1.0, 1.0, 7.0, 7.0], [2.0, 2.0, 8.5, 8.5]])).face[0, : 20 * 20]
    assert {0, 1} <= set(faces.tolist())
    assert faces[0] == 0  # its centre is exactly the anchor point's


def test_levels_by_size() -> None:
    strides = anchor_points(SIZES)[1]
    for side, expected in ((20, {8}), (36, {8, 16}), (80, {16}), (104, {16, 32}), (140, {32})):
        low, high = (SIDE - side) / 2 + 1, (SIDE + side) / 2 + 1
        face = _one(torch.tensor([[low, low, high, high]])).face[0]
        assert set(strides[face >= 0].int().tolist()) == expected


def test_a_face_too_small_to_see_is_ignored() -> None:
    result = _one(torch.tensor([[40.0, 40.0, 44.0, 44.0]]))
    assert (result.face == -1).all()
    assert 3 <= (result.weight == 0).sum() <= 12  # the nearest cell of each level, or the equally near


def test_ignore_region_silences_its_cells_but_no_face() -> None:
    region = torch.tensor([[30.0, 30.0, 120.0, 120.0]])
    result = _one(torch.tensor([[60.0, 60.0, 84.0, 84.0]]), region)
    points = anchor_points(SIZES)[0]
    inside = ((points > 30) & (points < 120)).all(1)
    positive = result.face[0] >= 0
    assert positive.any() and (result.weight[0][positive] == 1).all()
    assert (result.weight[0][inside & ~positive] == 0).all()
    assert (result.weight[0][~inside] == 1).all()


def test_nothing_to_assign() -> None:
    result = assign(*NONE, *NONE, SIZES)
    assert (result.face == -1).all() and (result.weight == 1).all()
    assert result.face.shape == (1, sum(rows * columns for rows, columns in SIZES))
