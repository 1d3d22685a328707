"""What comes between a face and the camera: masks, hands, glasses, visors. Landmarks stay where they are."""

from __future__ import annotations

import cv2
import numpy as np

from oneshot.training.data.warp import Array

SMALLEST = 8.0  # pixels between eyes and mouth; on smaller faces a cover is a few pixels of noise

# Of a face, from its eyes' middle (0, 0): x to its left and right, y towards the mouth, which is at (0, 1).
KINDS = {
    "mask": ((-0.95, 0.4), (0.95, 0.4), (0.8, 1.3), (0.3, 1.8), (-0.3, 1.8), (-0.8, 1.3)),
    "glasses": ((-0.85, -0.25), (0.85, -0.25), (0.8, 0.25), (-0.8, 0.25)),
    "visor": ((-1.1, -1.3), (1.1, -1.3), (1.0, -0.2), (-1.0, -0.2)),
    "side": ((0.0, -1.2), (1.4, -1.2), (1.4, 1.9), (0.0, 1.9)),
    "hand": ((-0.5, -0.2), (0.0, -0.5), (0.5, -0.2), (0.5, 0.6), (0.0, 0.9), (-0.5, 0.6)),
}


def covered(
    image: Array, landmarks: Array, known: Array, background: Array, share: float, rng: np.random.Generator
) -> Array:
    """The picture (H, W, 3) uint8 with something in front of a share of its faces.

    landmarks (M, 5, 2) in its pixels, known (M, 5): only faces with all five are covered. What covers them is
    plain, or a part of `background` (h, w, 3) uint8.
    """
    for points in landmarks[(known > 0).all(1)]:
        eyes, mouth = points[:2].mean(0), points[3:].mean(0)
        down = mouth - eyes
        if rng.random() >= share or np.linalg.norm(down) < SMALLEST:
            continue
        right = np.array([down[1], -down[0]])
        outline = np.array(KINDS[list(KINDS)[int(rng.integers(len(KINDS)))]])
        if rng.random() < 0.5:
            outline = outline * (-1, 1)
        outline = outline * rng.uniform(0.85, 1.15, 2) + rng.normal(0, 0.08, outline.shape)
        corners = eyes + outline @ np.stack((right, down))
        mask = np.zeros(image.shape[:2], np.uint8)
        cv2.fillConvexPoly(mask, corners.round().astype(np.int32), 255, cv2.LINE_AA)
        colour = rng.integers(0, 256, 3).astype(np.float32)
        texture = cv2.resize(background, image.shape[1::-1]) if rng.random() < 0.5 else colour
        x, y, width, height = cv2.boundingRect(mask)
        window = np.s_[y : y + height, x : x + width]
        over = texture[window] if texture is not colour else colour
        shade = rng.uniform(0.6, 1.0)
        opacity = mask[window][..., None] / np.float32(255)
        image[window] = image[window] + (over * shade - image[window]) * opacity
    return image
