"""Which track each face of a frame continues."""

from collections.abc import Sequence

import numpy as np

from oneshot.geometry import iou
from oneshot.types import Faces, Floats

OVERLAP = 0.3
"""Least intersection over union of a box with the same face's box in the frame before."""

UNLIKE = 0.1
"""Cosine below which an overlapping face is somebody else: strangers are about 0, one person well above."""


def associate(
    faces: Faces, places: Sequence[Floats], templates: Sequence[Floats], threshold: float, near: bool = True
) -> list[int | None]:
    """The track that each face continues, None for a new one; each track goes to one face at most.

    A face continues a track whose last box it overlaps and whose template it is not unlike, or, wherever it
    is, whose template it is as like as one person is to themselves. The best pairs are taken first.

    Args:
        places: each track's last box, (4,) x0 y0 x1 y1.
        templates: each track's template, (D,), L2-normalised, or zeros: its place alone decides then.
        threshold: cosine at which two looks are said to be the same person.
        near: the frame before is recent; else places say nothing.
    """
    chosen: list[int | None] = [None] * len(faces)
    if not len(faces) or not places:
        return chosen
    overlap = near * iou(faces.boxes, np.array(places))
    known = np.array(templates)
    similar = np.nan_to_num(faces.embeddings @ known.T, nan=-1.0)
    told = np.logical_and.outer(faces.embeddings.any(1), known.any(1))  # else the place alone decides
    possible = ((overlap >= OVERLAP) & ((similar >= UNLIKE) | ~told)) | ((similar >= threshold) & told)
    value = np.where(possible, overlap + similar, -np.inf)
    taken: set[int] = set()
    for flat in np.argsort(-value, axis=None, kind="stable"):
        i, j = divmod(int(flat), len(places))
        if not np.isfinite(value[i, j]):
            break
        if chosen[i] is None and j not in taken:
            chosen[i] = j
            taken.add(j)
    return chosen
