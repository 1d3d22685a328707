"""Moving pixels and labels together: one affine map a photo, and what becomes of its faces.

Coordinates are continuous pixels (pixel i spans [i, i + 1)), boxes xyxy, landmarks in the order left eye,
right eye, nose, left and right mouth corner *as seen in the picture*: a mirror image swaps left and right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Window = tuple[int, int, int, int]  # x0, y0, x1, y1 in whole pixels of the scene

MIRRORED = (1, 0, 2, 4, 3)  # which landmark of the photo is which in its mirror image
MIN_VISIBLE = 0.4  # a face with less of its box in the frame becomes an ignore region

# The box of an upright face, from its five landmarks: unit is their root mean square distance r from their
# mean, u the nose's sideways offset from the middle between eyes' and mouth's centres (turned heads):
#   left, right = ∓HALF_WIDTH·r − TURN·u,  top = −ABOVE·r,  bottom = BELOW·r.
# Found by least absolute deviations on the 3,302 boxed faces ≥ 12 px of scenes_train with five landmarks and
# source `web` or `ilc` (`mask` boxes end below the eyebrows); mean IoU with the boxes 0.89 on `web` (0.83
# without TURN), 0.68 on `ilc` and `mask`, where all ten landmarks as regressors give no more than 0.69.
HALF_WIDTH, TURN, ABOVE, BELOW = 1.78, 1.41, 2.60, 2.06


@dataclass(frozen=True, slots=True)
class Labels:
    """Faces of one picture; row i is one face in every array but `ignore`."""

    boxes: Array  # (M, 4) float32
    landmarks: Array  # (M, 5, 2) float32, zero where unknown
    known: Array  # (M, 5) float32, how much each point counts: 0 unknown, 1 seen, between: on a hidden side
    enlarged: Array  # (M,) float32, pixels of the picture per pixel of the original photo
    ignore: Array  # (K, 4) float32

    @staticmethod
    def none() -> Labels:
        """Labels of a picture without faces."""
        return Labels(
            np.zeros((0, 4), np.float32),
            np.zeros((0, 5, 2), np.float32),
            np.zeros((0, 5), np.float32),
            np.zeros(0, np.float32),
            np.zeros((0, 4), np.float32),
        )

    def __add__(self, other: Labels) -> Labels:
        """Labels of two parts of one picture together."""
        return Labels(
            np.concatenate([self.boxes, other.boxes]),
            np.concatenate([self.landmarks, other.landmarks]),
            np.concatenate([self.known, other.known]),
            np.concatenate([self.enlarged, other.enlarged]),
            np.concatenate([self.ignore, other.ignore]),
        )


def boxes_from_landmarks(landmarks: Array) -> Array:
    """Boxes (N, 4) of about upright faces from their landmarks (N, 5, 2)."""
    centre = landmarks.mean(1)
    radius = np.sqrt(np.square(landmarks - centre[:, None]).sum((1, 2)) / 5)
    turn = landmarks[:, 2, 0] - (landmarks[:, :2, 0].mean(1) + landmarks[:, 3:, 0].mean(1)) / 2
    x = centre[:, 0] - TURN * turn
    edges = (
        x - HALF_WIDTH * radius,
        centre[:, 1] - ABOVE * radius,
        x + HALF_WIDTH * radius,
        centre[:, 1] + BELOW * radius,
    )
    return np.stack(edges, 1).astype(np.float32)


def similarity(scale: float, degrees: float, mirror: bool, source: Array, target: Array) -> Array:
    """The (2, 3) map that mirrors, turns and scales about `source` and takes it to `target` (x, y)."""
    cosine, sine = np.cos(np.radians(degrees)) * scale, np.sin(np.radians(degrees)) * scale
    linear = np.array([[cosine, -sine], [sine, cosine]]) @ np.diag([-1.0 if mirror else 1.0, 1.0])
    return np.column_stack([linear, np.asarray(target) - linear @ np.asarray(source)])


def warp_image(image: Array, matrix: Array, window: Window, fill: tuple[int, ...] = (0, 0, 0)) -> Array:
    """Image (H, W[, 3]) mapped by `matrix`; what falls into `window` (x0, y0, x1, y1) of the target."""
    x0, y0, x1, y1 = window
    linear = matrix[:, :2].copy()
    scale = float(np.sqrt(abs(np.linalg.det(linear))))
    # bilinear sampling skips pixels when it shrinks by more than two: average those first
    divisor = min(int(1 / scale), *image.shape[:2]) if scale <= 0.5 else 1
    if divisor > 1:
        height, width = max(image.shape[0] // divisor, 1), max(image.shape[1] // divisor, 1)
        linear = linear @ np.diag([image.shape[1] / width, image.shape[0] / height])
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    # OpenCV counts from the middle of the first pixel, we from its corner
    shift = matrix[:, 2] - (x0, y0) + linear @ (0.5, 0.5) - 0.5
    return cv2.warpAffine(
        image, np.column_stack([linear, shift]), (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR, borderValue=fill
    )


def warp_labels(labels: Labels, matrix: Array, window: Window) -> Labels:
    """Labels mapped by `matrix` and cut to `window`, still in coordinates of the target.

    Faces cut to less than MIN_VISIBLE of their area become ignore regions, others are clipped; landmarks
    outside the window become unknown; a mirroring matrix swaps left and right landmarks.
    """
    linear = matrix[:, :2]
    determinant = float(np.linalg.det(linear))
    boxes, visible = _clip(_turn(labels.boxes, matrix, ellipse=True), window)
    regions, region_visible = _clip(_turn(labels.ignore, matrix, ellipse=False), window)
    keep, cut = visible >= MIN_VISIBLE, (visible > 0) & (visible < MIN_VISIBLE)

    landmarks, known = labels.landmarks @ linear.T + matrix[:, 2], labels.known
    if determinant < 0:
        landmarks, known = landmarks[:, MIRRORED], known[:, MIRRORED]
    x0, y0, x1, y1 = window
    known = known * ((landmarks >= (x0, y0)) & (landmarks < (x1, y1))).all(-1)
    landmarks = np.where(known[..., None] > 0, landmarks, 0).astype(np.float32)
    return Labels(
        boxes[keep],
        landmarks[keep],
        known[keep],
        (labels.enlarged * np.sqrt(abs(determinant))).astype(np.float32)[keep],
        np.concatenate([regions[region_visible > 0], boxes[cut]]),
    )


def _turn(boxes: Array, matrix: Array, ellipse: bool) -> Array:
    """Boxes around boxes (N, 4) after the map: around their corners, or around the ellipses within them.

    A head is nearer to an ellipse than to a rectangle, whose corners would make turned boxes too large.
    """
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2 @ matrix[:, :2].T + matrix[:, 2]
    half = (boxes[:, 2:] - boxes[:, :2]) / 2
    linear = np.abs(matrix[:, :2]).T
    half = np.sqrt(np.square(half) @ np.square(linear)) if ellipse else half @ linear
    return np.concatenate([centre - half, centre + half], 1).astype(np.float32)


def _clip(boxes: Array, window: Window) -> tuple[Array, Array]:
    """Boxes (N, 4) cut to the window, and the part (N,) of each one's area that is left."""
    low, high = np.array(window[:2] * 2, np.float32), np.array(window[2:] * 2, np.float32)
    clipped = np.clip(boxes, low, high)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return clipped, (clipped[:, 2:] - clipped[:, :2]).prod(1) / np.maximum(area, 1e-6)
