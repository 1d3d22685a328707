"""Pasting a crop into a scene: its outline, its place, what it may hide."""

from __future__ import annotations

import cv2
import numpy as np

from oneshot.training.data.pool import Photo, photo_pixels
from oneshot.training.data.warp import Array, Window, warp_image

PASTE_COVERS = 0.05  # of a face already there, the part that a pasted crop may hide


def part(photo: Photo, side: int, rng: np.random.Generator) -> Array:
    """Some square of a photo, as side x side pixels."""
    image = photo_pixels(photo)
    least = min(image.shape[:2])
    extent = int(rng.integers(min(side // 4, least), least + 1))
    y, x = (int(rng.integers(length - extent + 1)) for length in image.shape[:2])
    square = image[y : y + extent, x : x + extent]
    way = cv2.INTER_AREA if extent > side else cv2.INTER_LINEAR
    return cv2.resize(square, (side, side), interpolation=way)


def scrambled(crop: Array, rng: np.random.Generator, cells: int = 4) -> Array:
    """A crop whose cells have changed places: a face's colours, and no face."""
    grid = [cell for band in np.split(crop, cells) for cell in np.split(band, cells, 1)]
    moved = [grid[i] for i in rng.permutation(len(grid))]
    return np.concatenate([np.concatenate(moved[i::cells], 1) for i in range(cells)])


def mask_of(crop: Array, box: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Opacity (H, W) uint8 of a crop, 255 on the face, and its extent xyxy.

    Its outline and softness vary, so that the edge of a paste is no mark by which faces could be found.
    """
    height, width = crop.shape[:2]
    outward, whole = np.array([-1, -1, 1, 1]), (width, height, width, height)
    margin = np.tile(box[2:] - box[:2], 2) * rng.uniform(0.05, 0.5, 4)
    x0, y0, x1, y1 = (int(edge) for edge in np.clip(box + margin * outward, 0, whole).round())
    mask = np.zeros((height, width), np.uint8)
    if rng.random() < 0.5:
        mask[y0:y1, x0:x1] = 255
    else:
        cv2.ellipse(mask, (((x0 + x1) / 2, (y0 + y1) / 2), (x1 - x0, y1 - y0), 0), 255, -1)
    softness = rng.uniform(0.5, 5)
    cv2.GaussianBlur(mask, (0, 0), softness, dst=mask)
    return mask, np.clip(np.array([x0, y0, x1, y1]) + 3 * softness * outward, 0, whole)


def window_of(region: Array, matrix: Array, side: int) -> Window | None:
    """The part of the frame that the mapped region touches, or None."""
    x0, y0, x1, y1 = region
    corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]) @ matrix[:, :2].T + matrix[:, 2]
    low = np.clip(np.floor(corners.min(0)), 0, side).astype(int)
    high = np.clip(np.ceil(corners.max(0)), 0, side).astype(int)
    if (high <= low).any():
        return None
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def hides(window: Window, boxes: Array) -> bool:
    """Whether the window covers more than PASTE_COVERS of any box (M, 4)."""
    low, high = np.maximum(boxes[:, :2], window[:2]), np.minimum(boxes[:, 2:], window[2:])
    covered = np.clip(high - low, 0, None).prod(1)
    return bool((covered > PASTE_COVERS * (boxes[:, 2:] - boxes[:, :2]).prod(1)).any())


def blend(image: Array, crop: Array, mask: Array, matrix: Array, window: Window) -> None:
    """Lay the mapped crop over the image, in place."""
    x0, y0, x1, y1 = window
    under = image[y0:y1, x0:x1].astype(np.float32)
    opacity = warp_image(mask, matrix, window)[..., None] * np.float32(1 / 255)
    image[y0:y1, x0:x1] = under + (warp_image(crop, matrix, window) - under) * opacity + 0.5
