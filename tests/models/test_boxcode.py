"""Anchor points, and codes of boxes and landmarks there and back."""

from __future__ import annotations

import torch

from oneshot.models import boxcode


def _cells() -> tuple[torch.Tensor, torch.Tensor]:
    return boxcode.anchor_points(boxcode.level_sizes(64, 96))


def test_anchor_points_are_cell_centres_row_by_row() -> None:
    points, strides = _cells()
    assert points.shape == (8 * 12 + 4 * 6 + 2 * 3, 2)
    assert points[0].tolist() == [4, 4] and points[1].tolist() == [12, 4] and points[12].tolist() == [4, 12]
    assert points[96].tolist() == [8, 8] and points[-1].tolist() == [80, 48]
    assert strides.unique(return_counts=True)[1].tolist() == [96, 24, 6]


def test_flattened_maps_follow_the_anchor_points() -> None:
    sizes = boxcode.level_sizes(64, 96)
    points, _ = _cells()
    maps = [
        level.T.reshape(1, 2, *size) for level, size in zip(points.split([96, 24, 6]), sizes, strict=True)
    ]
    assert torch.equal(boxcode.flatten_levels(maps)[0], points)


def test_boxes_come_back() -> None:
    points, strides = _cells()
    generator = torch.Generator().manual_seed(0)
    low = torch.rand(len(points), 2, generator=generator) * 90
    boxes = torch.cat([low, low + 1 + torch.rand(len(points), 2, generator=generator) * 300], 1)
    back = boxcode.decode_boxes(boxcode.encode_boxes(boxes, points, strides), points, strides)
    torch.testing.assert_close(back, boxes, atol=1e-3, rtol=0)


def test_landmarks_come_back() -> None:
    points, strides = _cells()
    landmarks = torch.rand(len(points), 5, 2, generator=torch.Generator().manual_seed(0)) * 200 - 50
    code = ((landmarks - points[:, None]) / (2 * strides[:, None, None])).flatten(1)
    back = boxcode.decode_landmarks(code, points, strides)
    torch.testing.assert_close(back, landmarks, atol=1e-3, rtol=0)


def test_code_is_the_contract() -> None:
    point, stride = torch.tensor([[20.0, 12.0]]), torch.tensor([8.0])
    box = torch.tensor([[8.0, 4.0, 40.0, 36.0]])  # centre (24, 20), 32 × 32
    torch.testing.assert_close(boxcode.encode_boxes(box, point, stride), torch.tensor([[0.5, 1.0, 0.0, 0.0]]))
    landmarks = torch.tensor([[28.0, 12.0]]).expand(1, 5, 2)
    code = torch.tensor([[0.5, 0.0] * 5])
    torch.testing.assert_close(boxcode.decode_landmarks(code, point, stride), landmarks)


def test_wild_codes_stay_finite() -> None:
    points, strides = _cells()
    code = torch.full((len(points), 4), 1e4)
    assert boxcode.decode_boxes(code, points, strides).isfinite().all()
    assert boxcode.encode_boxes(torch.zeros(len(points), 4), points, strides).isfinite().all()
