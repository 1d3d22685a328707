"""Which part of a picture the two crops show, read off pictures whose colours tell where they are."""

import numpy as np
import pytest

from oneshot.geometry import ARCFACE_TEMPLATE
from oneshot.inference.crop import SIDE, aligned_crop, box_crop, crop


def ruler(width: int = 250, height: int = 200) -> np.ndarray:
    """Blue is x, green is y."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0], image[..., 1] = np.arange(width), np.arange(height)[:, None]
    return image


def shown(face: np.ndarray) -> tuple[float, float, float, float]:
    """x0, y0, x1, y1 of the part of `ruler` in a crop, to about a pixel."""
    x, y = face[..., 0].mean(0), face[..., 1].mean(1)
    return float(x[0]), float(y[0]), float(x[-1]) + 1, float(y[-1]) + 1


def test_the_papers_crop_is_the_middle_of_the_box_and_a_third() -> None:
    face = box_crop(ruler(), np.array([60, 50, 120, 130]))
    assert face.shape == (SIDE, SIDE, 3) and face.dtype == np.uint8
    # 60 x 80 becomes 104 x 104; 224 / 256 of that are 91, about the centre (90, 90).
    np.testing.assert_allclose(shown(face), (90 - 45.5, 90 - 45.5, 90 + 45.5, 90 + 45.5), atol=1.1)


def test_the_training_crop_moves_within_the_wider_box() -> None:
    rng = np.random.default_rng(0)
    spots = np.array([shown(box_crop(ruler(), np.array([60, 50, 120, 130]), rng)) for _ in range(200)])
    assert np.allclose(spots[:, 2] - spots[:, 0], 91, atol=2)
    low, high = spots.min(0), spots.max(0)
    np.testing.assert_allclose(low[:2], (90 - 52, 90 - 52), atol=2)
    np.testing.assert_allclose(high[2:], (90 + 52, 90 + 52), atol=2)


@pytest.mark.parametrize(
    "box", [(-30, -20, 40, 60), (220, 150, 260, 230), (10, 10, 10, 10), (0, 0, 250, 200)]
)
def test_boxes_over_the_edge_and_empty_ones_give_a_crop_of_the_picture(box: tuple[int, ...]) -> None:
    face = box_crop(ruler(), np.array(box))
    assert face.shape == (SIDE, SIDE, 3)
    x0, y0, x1, y1 = shown(face)
    assert 0 <= x0 <= x1 <= 250 and 0 <= y0 <= y1 <= 200


def test_the_aligned_crop_has_the_landmarks_at_the_templates_place() -> None:
    landmarks = ARCFACE_TEMPLATE + np.array([40, 30])
    face = aligned_crop(ruler(), landmarks)
    assert face.shape == (SIDE, SIDE, 3)
    x, y = (ARCFACE_TEMPLATE[2] * SIDE / 112).astype(int)
    np.testing.assert_allclose(face[y, x, :2], landmarks[2], atol=1.5)
    assert np.array_equal(crop(ruler(), np.zeros(4), landmarks, "aligned"), face)
    box = np.array([60, 50, 120, 130])
    assert np.array_equal(crop(ruler(), box, landmarks, "box"), box_crop(ruler(), box))
