"""Augmented views: pixels and landmarks must move together, and a seed must fix everything."""

import pytest
import torch

from oneshot.geometry import ARCFACE_TEMPLATE
from oneshot.training.data.views import CROP_SCALE, jitter_landmarks, make_views

LANDMARKS = (torch.from_numpy(ARCFACE_TEMPLATE) - 56) * CROP_SCALE + 64


def dotted(n: int) -> torch.Tensor:
    """Black crops with a bright 5x5 dot of one colour channel at each of the two eyes and the nose."""
    pixels = torch.zeros(n, 3, 128, 128, dtype=torch.uint8)
    for channel in range(3):
        x, y = LANDMARKS[channel].int().tolist()
        pixels[:, channel, y - 2 : y + 3, x - 2 : x + 3] = 255
    return pixels


@pytest.mark.parametrize(("canvas", "scales"), [(64, (0.4, 0.5)), (128, (0.7, 1.1)), (160, (1.0, 1.3))])
def test_landmarks_follow_the_pixels(canvas: int, scales: tuple[float, float]) -> None:
    rng = torch.Generator().manual_seed(3)
    views, landmarks = make_views(dotted(64), LANDMARKS.expand(64, 5, 2), canvas, scales, rng)
    y, x = torch.meshgrid(torch.arange(canvas) + 0.5, torch.arange(canvas) + 0.5, indexing="ij")
    checked = mirrored = 0
    for view, points in zip(views, landmarks, strict=True):
        nose = view[2]
        mass = (nose - nose.amax() * 0.6).clamp(min=0)
        inside = (points[2] > 8).all() and (points[2] < canvas - 8).all()
        grey = (view.amax(0) - view.amin(0)).amax() < 60
        if inside and not grey:
            centre = torch.stack(((mass * x).sum(), (mass * y).sum())) / mass.sum()
            assert (centre - points[2]).norm() < 1.5, (centre, points)
            checked += 1
            mirrored += bool(
                view[0, int(points[1, 1]), int(points[1, 0])] > view[1, int(points[1, 1]), int(points[1, 0])]
            )
        # Left stays left: the swap follows the mirror.
        assert points[0, 0] < points[1, 0] + 0.5 * canvas
    assert checked > 30 and 5 < mirrored < checked - 5


def test_a_seed_fixes_the_views() -> None:
    pixels, points = dotted(4), LANDMARKS.expand(4, 5, 2)
    one = make_views(pixels, points, 96, (0.4, 0.8), torch.Generator().manual_seed(5))
    same = make_views(pixels, points, 96, (0.4, 0.8), torch.Generator().manual_seed(5))
    other = make_views(pixels, points, 96, (0.4, 0.8), torch.Generator().manual_seed(6))
    assert torch.equal(one[0], same[0]) and torch.equal(one[1], same[1])
    assert not torch.equal(one[0], other[0])


def test_jitter_has_the_size_that_was_asked_for() -> None:
    points = LANDMARKS.expand(4000, 5, 2)
    eyes = float((LANDMARKS[0] - LANDMARKS[1]).norm())
    noisy = jitter_landmarks(points, torch.Generator().manual_seed(0), 0.1, 0.0)
    # Gaussian, its level uniform in 0..0.1 of the eye distance, which the points' spread stands for.
    expected = 0.1 * eyes * (1 / 3) ** 0.5
    assert abs(float((noisy - points).std()) / expected - 1) < 0.2
    still = jitter_landmarks(points, torch.Generator().manual_seed(0), 0.0, 0.0)
    torch.testing.assert_close(still, points)
