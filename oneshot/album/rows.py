"""A face as a row of an index."""

from typing import Any

from oneshot.gallery.quality import assess
from oneshot.types import Faces, Image, Model

Row = dict[str, Any]
"""One face, by the names of `face_fields`."""


def face_fields(pa: Any) -> list[tuple[str, Any]]:
    """A face's columns with pyarrow's types; of a photo's face, `seconds` is null."""
    numbers = pa.list_(pa.float32())
    return [
        ("face", pa.int32()),
        ("seconds", pa.float64()),
        ("box", numbers),
        ("score", pa.float32()),
        ("landmarks", numbers),
        ("quality", pa.float32()),
        ("embedding", numbers),
    ]


def row_of(image: Image, faces: Faces, i: int, model: Model) -> Row:
    """Face `i` of a picture."""
    return {
        "face": i,
        "box": faces.boxes[i],
        "score": float(faces.scores[i]),
        "landmarks": faces.landmarks[i].ravel(),
        "quality": assess(image, faces, i, model.side_for(image)).overall,
        "embedding": faces.embeddings[i],
    }
