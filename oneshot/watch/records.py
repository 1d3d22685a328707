"""Faces as records."""

from collections.abc import Sequence
from typing import Any

from oneshot.types import Faces, Frame, Match


def records(frame: Frame, faces: Faces, matches: Sequence[Match] | None) -> list[dict[str, Any]]:
    """One record a face, ready for JSON; name and similarity are null where nobody is enrolled.

    The margin is null where there is no second person, the reason where none is needed.
    """
    return [
        {
            "frame": frame.number,
            "time": round(frame.seconds, 4),
            "box": [round(v, 2) for v in faces.boxes[i].tolist()],
            "score": round(float(faces.scores[i]), 4),
            "landmarks": [[round(v, 2) for v in point] for point in faces.landmarks[i].tolist()],
            "name": matches[i].name if matches else None,
            "similarity": round(matches[i].similarity, 4) if matches else None,
            "margin": _rounded(matches[i].margin) if matches else None,
            "reason": (matches[i].reason or None) if matches else None,
        }
        for i in range(len(faces))
    ]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
