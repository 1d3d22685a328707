"""Faces as records, ready for JSON."""

from collections.abc import Sequence
from typing import Any

from oneshot.types import Faces, Frame, Match


def records(frame: Frame, faces: Faces, matches: Sequence[Match] | None) -> list[dict[str, Any]]:
    """One record a face; name and similarity are null where nobody is enrolled."""
    place = {"frame": frame.number, "time": round(frame.seconds, 4)}
    return [
        place | face_record(faces, i) | match_record(matches[i] if matches else None)
        for i in range(len(faces))
    ]


def face_record(faces: Faces, index: int) -> dict[str, Any]:
    """Where one of the faces is, and how sure that is."""
    return {
        "box": [round(v, 2) for v in faces.boxes[index].tolist()],
        "score": round(float(faces.scores[index]), 4),
        "landmarks": [[round(v, 2) for v in point] for point in faces.landmarks[index].tolist()],
    }


def match_record(match: Match | None) -> dict[str, Any]:
    """Who a face is; the margin is null where there is no second person, the reason where none is needed."""
    return {
        "name": match.name if match else None,
        "similarity": round(match.similarity, 4) if match else None,
        "margin": rounded(match.margin) if match else None,
        "reason": (match.reason or None) if match else None,
    }


def rounded(value: float | None) -> float | None:
    """To four digits."""
    return None if value is None else round(value, 4)
