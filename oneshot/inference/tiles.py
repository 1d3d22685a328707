"""How large a picture is looked at, so that faces of a given size are found in it; tiles of large ones.

The network finds faces of LEAST_FACE pixels and more in its input. A picture is scaled to where the
smallest face that is wanted has that size; one that is then longer than a tile is looked at tile by tile,
and once as a whole for the faces that no tile holds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oneshot.geometry import iou
from oneshot.types import Faces

LEAST_FACE = 20
"""Pixels of the network's input."""

SIDE = 640
"""Pixels: a picture is never looked at smaller, unless it is."""

TILE = 2048
SAME = 0.3
"""Least intersection over union of a face's box in a tile with its box in the whole picture."""

OVERLAP = 256
"""Pixels of the network's input: a smaller face is whole in one of the tiles."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of a picture, in its pixels.

    Attributes:
        box: (4,) x0 y0 x1 y1.
        core: (4,) the part of it whose faces are this tile's, and no other's.
    """

    box: NDArray[np.int64]
    core: NDArray[np.float64]


def auto_side(width: int, height: int, min_face: int) -> int:
    """The side that a picture is scaled to, if larger, so that faces of `min_face` pixels are found."""
    return max(SIDE, round(max(width, height) * min(1.0, LEAST_FACE / min_face)))


def tiles(width: int, height: int, side: int) -> list[Tile]:
    """The tiles of a picture that is scaled to `side`; none where it is one itself."""
    scale = min(1.0, side / max(width, height))
    if max(width, height) * scale <= TILE:
        return []
    across, down = (_parts(length, scale) for length in (width, height))
    return [
        Tile(np.array([x[0], y[0], x[1], y[1]]), np.array([x[2], y[2], x[3], y[3]]))
        for y in down
        for x in across
    ]


def _parts(length: int, scale: float) -> list[tuple[int, int, float, float]]:
    """Start and end of each tile along one axis, and of its core."""
    part, overlap = TILE / scale, OVERLAP / scale
    count = max(1, int(np.ceil((length - overlap) / (part - overlap))))
    starts = [round(i * (length - part) / max(count - 1, 1)) for i in range(count)]
    ends = [min(length, round(start + part)) for start in starts]
    between = [(end + start) / 2 for end, start in zip(ends, starts[1:], strict=False)]
    return list(zip(starts, ends, [-np.inf, *between], [*between, np.inf], strict=True))


def joined(whole: Faces, parts: Sequence[tuple[Tile, Faces]], size: tuple[int, int], most: int) -> Faces:
    """The faces of a picture from those of its tiles and of the whole of it, best first.

    A tile's face counts where its middle is in the tile's core and no inner edge cuts it; a face of the whole
    where no tile has it.

    Args:
        parts: each tile's faces, in the tile's pixels.
        size: the picture's width and height.
        most: faces.
    """
    end = np.array([*size])
    found = []
    for tile, faces in parts:
        low = tile.box[:2]
        boxes = faces.boxes + np.tile(low, 2)
        middle = (boxes[:, :2] + boxes[:, 2:]) / 2
        mine = ((middle >= tile.core[:2]) & (middle < tile.core[2:])).all(1)
        cut = ((boxes[:, :2] < low + 1) & (low > 0)) | (
            (boxes[:, 2:] > tile.box[2:] - 1) & (tile.box[2:] < end)
        )
        kept = mine & ~cut.any(1)
        moved = Faces(boxes, faces.scores, faces.landmarks + low.astype(np.float32), faces.embeddings)
        found.append(moved[kept])
    taken = np.concatenate([faces.boxes for faces in found])
    found.append(whole[(iou(whole.boxes, taken) < SAME).all(1)])
    return Faces.joined(found).best(most)
