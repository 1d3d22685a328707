"""Faces drawn into a picture: box, landmarks, name."""

import unicodedata
import zlib
from collections.abc import Sequence

import cv2
import numpy as np

from oneshot.types import Faces, Floats, Image, Match

Colour = tuple[int, int, int]

UNKNOWN: Colour = (150, 150, 150)
PALETTE: tuple[Colour, ...] = (  # BGR; light enough for dark letters, apart from each other and from skin
    (120, 220, 80),
    (255, 190, 70),
    (90, 220, 255),
    (240, 150, 220),
    (210, 220, 60),
    (255, 160, 150),
    (110, 170, 255),
    (170, 230, 180),
)
INK: Colour = (25, 25, 25)
SHIFT = 3
"""Binary digits after the point in OpenCV's coordinates: boxes glide instead of jumping by pixels."""


def draw(image: Image, faces: Faces, matches: Sequence[Match] | None = None) -> Image:
    """A copy of a BGR picture with its faces drawn in; with `matches` (one a face), names and cosines too.

    Lines and letters grow with the picture. Whoever is known has their own colour, the same in every picture.

    Raises:
        ValueError: not as many matches as faces.
    """
    if matches is not None and len(matches) != len(faces):
        raise ValueError(f"{len(faces)} faces, but {len(matches)} matches")
    canvas = image.copy()
    unit = max(1.0, min(image.shape[:2]) / 400)  # the width of a line
    whose: Sequence[Match | None] = matches if matches is not None else [None] * len(faces)
    everyone = list(zip(faces, whose, strict=True))
    for face, match in reversed(everyone):  # the best face lies on top
        name = match.name if match is not None else None
        colour = PALETTE[0] if match is None else colour_of(name)
        _draw_box(canvas, face.boxes[0], colour, unit)
        _draw_points(canvas, face, colour, unit)
    for face, match in reversed(everyone):  # no box crosses a name
        if match is not None and match.name is not None:
            _draw_label(
                canvas, face.boxes[0], f"{match.name}  {match.similarity:.2f}", colour_of(match.name), unit
            )
        elif match is not None:
            _draw_label(canvas, face.boxes[0], "unknown", UNKNOWN, unit)
    return canvas


def colour_of(name: str | None) -> Colour:
    """A person's colour, which depends on nothing but the name."""
    return UNKNOWN if name is None else PALETTE[zlib.crc32(name.encode()) % len(PALETTE)]


def _fixed(point: Floats) -> tuple[int, int]:
    # OpenCV counts from the centre of a pixel, the boxes from its corner.
    x, y = np.round((point - 0.5) * (1 << SHIFT)).astype(int)
    return int(x), int(y)


def _draw_box(canvas: Image, box: Floats, colour: Colour, unit: float) -> None:
    """A thin frame with strong corners: it marks the face and leaves it visible."""
    thin, strong = max(1, round(unit)), max(2, round(2.5 * unit))
    cv2.rectangle(canvas, _fixed(box[:2]), _fixed(box[2:]), colour, thin, cv2.LINE_AA, SHIFT)
    reach = 0.22 * min(box[2] - box[0], box[3] - box[1])
    for x, dx in ((box[0], reach), (box[2], -reach)):
        for y, dy in ((box[1], reach), (box[3], -reach)):
            corner = np.array((x, y))
            for step in ((dx, 0), (0, dy)):
                cv2.line(canvas, _fixed(corner), _fixed(corner + step), colour, strong, cv2.LINE_AA, SHIFT)


def _draw_points(canvas: Image, face: Faces, colour: Colour, unit: float) -> None:
    side = float(np.sqrt(max(0.0, float(face.areas[0]))))
    radius = min(2.0 * unit, 0.03 * side)
    if radius < 0.7:  # on a tiny face they would hide it
        return
    for point in face.landmarks[0]:
        cv2.circle(canvas, _fixed(point), round((radius + 1) * (1 << SHIFT)), INK, -1, cv2.LINE_AA, SHIFT)
        cv2.circle(canvas, _fixed(point), round(radius * (1 << SHIFT)), colour, -1, cv2.LINE_AA, SHIFT)


def _draw_label(canvas: Image, box: Floats, text: str, colour: Colour, unit: float) -> None:
    """A filled tag on top of the box; within it where there is no room, and never outside the picture."""
    height, width = canvas.shape[:2]
    size = max(12, round(13 * unit))
    pad = max(3, size // 4)
    letters = text_width(text, size)
    tag_width, tag_height = letters + 2 * pad, size + 2 * pad
    x = int(np.clip(round(float(box[0])), 0, max(0, width - tag_width)))
    y = round(float(box[1])) - tag_height
    y = int(np.clip(y if y >= 0 else round(float(box[1])), 0, max(0, height - tag_height)))
    cv2.rectangle(canvas, (x, y), (x + tag_width - 1, y + tag_height - 1), colour, -1)
    put_text(canvas, text, (x + pad, y + pad + round(0.82 * size)), size)


# OpenCV 5 carries a good font with most scripts; OpenCV 4 only draws the strokes of ASCII.
_FONT = cv2.FontFace("sans") if hasattr(cv2, "FontFace") else None


def _strokes(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode() or "?"


def text_width(text: str, size: int) -> int:
    """Pixels that a text takes from left to right, `size` pixels high."""
    if _FONT is not None:
        return int(cv2.getTextSize((0, 0), text, (0, 0), _FONT, size, 600)[2])
    return int(cv2.getTextSize(_strokes(text), cv2.FONT_HERSHEY_SIMPLEX, size / 30, 1)[0][0])


def put_text(canvas: Image, text: str, origin: tuple[int, int], size: int) -> None:
    """Write dark letters, `size` pixels high, whose baseline begins at `origin` (x, y)."""
    if _FONT is not None:
        cv2.putText(canvas, text, origin, INK, _FONT, size, 600)
    else:
        font, width = cv2.FONT_HERSHEY_SIMPLEX, max(1, size // 14)
        cv2.putText(canvas, _strokes(text), origin, font, size / 30, INK, width, cv2.LINE_AA)
