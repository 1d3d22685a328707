"""The ArcFace template, the similarity transform onto it, boxes and unit vectors (NumPy)."""

import cv2
import numpy as np
from numpy.typing import NDArray

from oneshot.types import Floats

TEMPLATE_SIDE = 112
"""Pixels: the template's landmarks are given in a crop of this side."""

ARCFACE_TEMPLATE: NDArray[np.float32] = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]],
    np.float32,
)
"""(5, 2) x, y: left eye, right eye, nose, left and right mouth corner (insightface's norm_crop)."""


def similarity(source: NDArray[np.floating], target: NDArray[np.floating]) -> NDArray[np.float64]:
    """Least-squares rotation, scale and shift of `source` (5, 2) to `target` (5, 2), as a (2, 3) matrix.

    Without reflection the problem is linear in (a, b, tx, ty) with x' = ax - by + tx, y' = bx + ay + ty.
    """
    p, q = np.asarray(source, np.float64), np.asarray(target, np.float64)
    p0, q0 = p.mean(0), q.mean(0)
    u, v = p - p0, q - q0
    norm = max(float((u * u).sum()), 1e-12)
    a = float((u * v).sum()) / norm
    b = float((u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]).sum()) / norm
    rotation = np.array([[a, -b], [b, a]])
    return np.hstack((rotation, (q0 - rotation @ p0)[:, None]))


def warp_face(
    image: NDArray[np.uint8], landmarks: NDArray[np.floating], size: int = TEMPLATE_SIDE
) -> NDArray[np.uint8]:
    """The face cut out and aligned: (size, size, 3) in the colour order of `image`.

    Landmarks (5, 2) are continuous pixels (a pixel's centre at +0.5), like everything here; OpenCV counts
    from pixel centres, hence the two half-pixel shifts.
    """
    matrix = similarity(landmarks, ARCFACE_TEMPLATE * (size / TEMPLATE_SIDE))
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    return cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR)  # type: ignore[return-value]


def iou(first: Floats, second: Floats) -> Floats:
    """Intersection over union of boxes (N, 4) and (M, 4), x0 y0 x1 y1: (N, M) in 0..1."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = (high - low).clip(0).prod(2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (first, second)]
    return np.asarray(shared / (areas[0][:, None] + areas[1][None] - shared).clip(1e-9), np.float32)


def described(embeddings: Floats) -> NDArray[np.bool_]:
    """Which of embeddings (…, D) say who a face is: one of zeros, or that is not finite, says nothing."""
    return np.isfinite(embeddings).all(-1) & (embeddings != 0).any(-1)


def normalised(vectors: Floats) -> Floats:
    """Vectors (…, D) scaled to length 1, so that their products are cosines; zeros stay zeros."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True).clip(1e-12)
