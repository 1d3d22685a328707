"""A picture looked at from all four sides, so that faces are found whichever way up they are."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from oneshot.geometry import iou
from oneshot.types import Faces

UPRIGHT = np.cos(np.deg2rad(60))
"""Cosine of the most that a face is turned in the view that it is taken from, if it can be."""


def turned_back(faces: Faces, turns: int, size: tuple[int, int]) -> Faces:
    """Faces of `np.rot90(picture, turns)` in the pixels of the picture, whose width and height are `size`."""
    width, height = size

    def back(points: NDArray[np.float32]) -> NDArray[np.float32]:
        x, y = points[..., 0], points[..., 1]
        places = {0: (x, y), 1: (width - y, x), 2: (width - x, height - y), 3: (y, height - x)}
        return np.stack(places[turns % 4], -1).astype(np.float32)

    corners = back(faces.boxes.reshape(-1, 2, 2))
    boxes = np.concatenate([corners.min(1), corners.max(1)], 1)
    return Faces(boxes, faces.scores, back(faces.landmarks), faces.embeddings)


def of_all_sides(views: Sequence[Faces], size: tuple[int, int], overlap: float, most: int) -> Faces:
    """The faces of a picture from those of its views, number k being `np.rot90(picture, k)`; best first.

    A face that several views show is taken from the one where it is upright and described, and from the one
    that is surest if there are several such.

    Args:
        size: the picture's width and height.
        overlap: intersection over union of two boxes of one face. most: faces.
    """
    every = Faces.joined([turned_back(faces, turns, size) for turns, faces in enumerate(views)])
    order = np.lexsort((-every.scores, ~np.concatenate([_read_well(faces) for faces in views])))
    same = iou(every.boxes, every.boxes) > overlap
    kept: list[int] = []
    for row in order:
        if not same[row, kept].any():
            kept.append(int(row))
    return every[kept].best(most)


def _read_well(faces: Faces) -> NDArray[np.bool_]:
    """Which faces (N,) are about upright, and described where any are to be."""
    eyes, mouth = faces.landmarks[:, :2].mean(1), faces.landmarks[:, 3:].mean(1)
    down = mouth - eyes
    upright = down[:, 1] > UPRIGHT * np.linalg.norm(down, axis=1)
    described = faces.embeddings.any(1) if faces.embeddings.shape[1] else np.ones(len(upright), bool)
    return np.asarray(upright & described)
