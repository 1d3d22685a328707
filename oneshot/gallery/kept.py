"""The picture of an enrolled face, kept where that is asked for: other weights can describe it anew."""

from pathlib import Path

import cv2
import numpy as np

from oneshot.errors import OneShotError
from oneshot.gallery.entries import Entry, sha256
from oneshot.geometry import described, iou
from oneshot.media.images import read_image
from oneshot.types import Faces, Floats, Image, Model

AROUND = 2.5
"""Sides of the face's box: what the picture shows, so that a network finds the face in it again."""

SIDE = 400
"""Pixels at most, which leaves 160 to the face."""

MOST_BYTES = 48_000
"""A text of Milvus holds no more."""


def crop_of(image: Image, box: Floats) -> bytes:
    """The face in a box (4,) of a BGR picture and what is around, as a JPEG with the face in its middle."""
    middle, reach = (box[:2] + box[2:]) / 2, max(1.0, AROUND * float((box[2:] - box[:2]).max()))
    side = min(SIDE, max(32, round(reach)))
    scale = side / reach
    if scale < 0.5:  # bilinear sampling would skip pixels
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        return crop_of(small, box * scale)  # type: ignore[arg-type]
    matrix = np.array([[scale, 0, side / 2 - scale * middle[0]], [0, scale, side / 2 - scale * middle[1]]])
    crop = cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_LINEAR)
    for quality in (92, 80, 60, 40):
        data = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        if len(data) <= MOST_BYTES:
            break
    return data


def described_anew(entry: Entry, model: Model) -> Floats:
    """The embedding (D,) of an enrolled face by another model: from its photo, or else from the crop.

    Raises:
        OneShotError: neither was kept, or the face is not found in it.
    """
    label = entry.file or entry.photo[:12]
    photo = Path(entry.path) if entry.path else None
    if photo is not None and photo.is_file() and sha256(photo.read_bytes()) == entry.photo:
        image, box = read_image(photo), np.array(entry.box, np.float32)
    elif entry.crop:
        decoded = cv2.imdecode(np.frombuffer(entry.crop, np.uint8), cv2.IMREAD_COLOR)
        if decoded is None:
            raise OneShotError(f"{label}: the kept picture is damaged; enroll the photo again")
        image = decoded  # type: ignore[assignment]
        half, reach = image.shape[0] / 2, image.shape[0] / AROUND / 2
        box = np.array([half - reach, half - reach, half + reach, half + reach], np.float32)
    else:
        raise OneShotError(f"{label}: no picture of it was kept; enroll the photo again")
    embedding = _face_at(model(image), box)
    if embedding is None:
        raise OneShotError(f"{label}: these weights do not describe the face in it; enroll another photo")
    return embedding


def _face_at(faces: Faces, box: Floats) -> Floats | None:
    if not len(faces):
        return None
    shared = iou(faces.boxes, box[None])[:, 0]
    best = int(shared.argmax())
    return faces.embeddings[best] if shared[best] > 0.2 and described(faces.embeddings[best]) else None
