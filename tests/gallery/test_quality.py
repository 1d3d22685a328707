"""Size, sharpness, turn; and which photos are odd ones out."""

import cv2
import numpy as np
import pytest
from fake import picture

from oneshot import Faces
from oneshot.gallery.enrolment import outliers
from oneshot.gallery.quality import Limits, Quality, assess, turn
from oneshot.geometry import ARCFACE_TEMPLATE

GOOD = Quality(size=112, sharpness=0.1, turn=0.02)


def face(points: np.ndarray, side: float = 100) -> Faces:
    box = np.array([[60, 60, 60 + side, 60 + side]])
    return Faces(box, np.ones(1), points[None], np.ones((1, 4)))  # type: ignore[arg-type]


def test_blur_lowers_sharpness_and_contrast_does_not() -> None:
    image = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    dim = (image * 0.5).astype(np.uint8)
    points = np.array([[90, 90], [130, 90], [110, 115], [95, 140], [125, 140]], np.float32)

    def sharpness(of: np.ndarray) -> float:
        return assess(of, face(points), 0, 640).sharpness

    blurred = [sharpness(cv2.GaussianBlur(image, (0, 0), sigma)) for sigma in (1, 2, 4)]
    assert sharpness(image) > blurred[0] > blurred[1] > blurred[2]
    assert sharpness(dim) == pytest.approx(sharpness(image), rel=0.1)
    assert sharpness(picture()) == 0  # a wall, and no division by nothing


def test_size_is_what_the_network_sees() -> None:
    points = ARCFACE_TEMPLATE
    image = np.zeros((300, 1280, 3), np.uint8)
    assert assess(image, face(points), 0, 640).size == pytest.approx(50)
    assert assess(image, face(points), 0, 1280).size == pytest.approx(100)
    assert assess(image[:, :300], face(points), 0, 640).size == pytest.approx(100)  # enlarging adds nothing


def test_turn_is_the_noses_offset_in_eye_to_mouth_heights() -> None:
    points = np.array([[30, 40], [70, 40], [50, 60], [35, 80], [65, 80]], np.float32)
    assert turn(points) == pytest.approx(0)
    aside = points.copy()
    aside[2, 0] += 10
    assert turn(aside) == pytest.approx(0.25)
    angle = np.deg2rad(30)  # a tilted head is not turned
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    assert turn((3 * aside @ rotation.T).astype(np.float32)) == pytest.approx(0.25, abs=1e-5)
    mirrored = aside * (-1, 1)
    assert turn(mirrored.astype(np.float32)) == pytest.approx(0.25)
    assert turn(np.zeros((5, 2), np.float32)) == np.inf


@pytest.mark.parametrize(
    ("poor", "reason"),
    [
        (Quality(20, 0.1, 0.02), "too small (20 pixels of 40)"),
        (Quality(112, 0.1, 0.4), "turned away (about 49 degrees)"),
        (Quality(112, 0.004, 0.02), "blurred"),
        (Quality(112, 0.1, np.inf), "turned away (about 90 degrees)"),
    ],
)
def test_limits_name_what_is_poor(poor: Quality, reason: str) -> None:
    assert Limits().fault(GOOD) is None
    assert reason in (Limits().fault(poor) or "")
    assert 0 <= poor.overall < GOOD.overall <= 1
    assert Limits(size=10, sharpness=0, turn=np.inf).fault(poor) is None


def unit(*vector: float) -> np.ndarray:
    return np.array(vector, np.float32) / np.linalg.norm(vector)


A, NEAR_A, B, C = unit(1, 0, 0), unit(1, 0.2, 0), unit(0, 1, 0), unit(0, 0, 1)


@pytest.mark.parametrize(
    ("new", "others", "odd"),
    [
        ([A], None, set()),
        ([A, NEAR_A], None, set()),
        ([A, B], None, {0, 1}),  # nobody can tell which
        ([A, NEAR_A, B], None, {2}),
        ([A, B, NEAR_A, C, A], None, {1, 3}),
        ([B], [A, NEAR_A], {0}),
        ([B], [A], {0}),  # what is enrolled is trusted
        ([NEAR_A, B], [A], {1}),
        ([A, B, C], None, {0, 1, 2}),
    ],
)
def test_the_odd_ones_out(new: list[np.ndarray], others: list[np.ndarray] | None, odd: set[int]) -> None:
    assert outliers(np.array(new), None if others is None else np.array(others), 0.5) == odd
