"""Faces cut out for SqueezeFacePoseNet: by their box, as its paper does, or aligned by landmarks."""

from typing import Literal

import cv2
import numpy as np

from oneshot.geometry import warp_face
from oneshot.types import Floats, Image

SIDE = 113
"""Pixels: the side of the crops."""

MARGIN = 1.3
"""Times the box: the paper's 30 % more."""

SHORTER, WINDOW = 256, 224
"""The widened box is scaled to this shorter side, and a square of that side cut out of it."""

Crop = Literal["aligned", "box"]


def box_crop(image: Image, box: Floats, rng: np.random.Generator | None = None, side: int = SIDE) -> Image:
    """The paper's crop: box + 30 %, shorter side 256, a square of 224 in its middle, that at 113.

    The box is made square by its longer side first, as the authors' example crops must have been: they show
    1.0 to 1.1 times the height of MTCNN's box, and on LFW a square by the shorter side costs a point and a
    half. What would lie beyond the picture is left out. It is all done in one step, on the same pixels.

    Args:
        image: (H, W, 3) uint8.
        box: (4,) x0 y0 x1 y1 in its pixels.
        rng: places the square anywhere in the widened box, as in the paper's training; None is the middle.

    Returns:
        (side, side, 3) uint8 in the colour order of `image`.
    """
    corners = np.asarray(box, np.float64).reshape(2, 2)
    centre, half = corners.mean(0), float((corners[1] - corners[0]).max()) * MARGIN / 2
    return window_crop(image, rng, side, (*(centre - half), *(centre + half)))


def window_crop(
    image: Image,
    rng: np.random.Generator | None = None,
    side: int = SIDE,
    within: tuple[float, float, float, float] | None = None,
) -> Image:
    """A square of 224, at `side`, out of a region whose shorter side counts as 256: (side, side, 3) uint8.

    within: x0 y0 x1 y1; None is the whole picture, where that is a face's widened box already. rng: see
    `box_crop`.
    """
    size = np.array(image.shape[1::-1], np.float64)
    region = np.array([0, 0, *size] if within is None else within).reshape(2, 2)
    low, high = np.clip(region[0], 0, size - 1), np.clip(region[1], 1, size)
    window = max(float((high - low).min()) * WINDOW / SHORTER, 1.0)
    slack = np.maximum(high - low - window, 0)
    start = low + slack * (0.5 if rng is None else rng.random(2))
    x0, y0 = np.minimum(np.round(start), size - 1).astype(int)
    x1, y1 = np.minimum(np.maximum(np.round(start + window), (x0 + 1, y0 + 1)), size).astype(int)
    how = cv2.INTER_AREA if window > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image[y0:y1, x0:x1], (side, side), interpolation=how), np.uint8)


def aligned_crop(image: Image, landmarks: Floats, side: int = SIDE) -> Image:
    """The face on the ArcFace template, as the paper's second training set has them: (side, side, 3) uint8.

    landmarks: (5, 2) in pixels of `image`.
    """
    return warp_face(image, landmarks, side)


def crop(image: Image, box: Floats, landmarks: Floats, how: Crop) -> Image:
    """One of the two, by name: "aligned" or "box"."""
    return aligned_crop(image, landmarks) if how == "aligned" else box_crop(image, box)
