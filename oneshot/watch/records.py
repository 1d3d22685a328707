"""Who was seen: face by face as records, and from when to when as a summary."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from oneshot.media.video import Frame
from oneshot.types import Faces, Match

GAP = 1.0
"""Seconds: whoever is not seen for longer has been away."""


@dataclass
class Sighting:
    """A stretch of time in which one person was in view.

    Attributes:
        name: who, or None: people who are not known, taken together.
        start, end: seconds of the first and the last frame.
        frames: in how many frames.
        similarity: the greatest of the stretch.
    """

    name: str | None
    start: float
    end: float
    frames: int
    similarity: float


class Sightings:
    """Collects who is in each frame; `intervals` tells the stretches.

    Args:
        gap: seconds without a person that end their stretch. Give more where frames are further apart.
    """

    def __init__(self, gap: float = GAP):
        self.gap = gap
        self._all: list[Sighting] = []
        self._last: dict[str | None, Sighting] = {}

    def add(self, time: float, matches: Sequence[Match]) -> None:
        """The people of the frame at `time` seconds; frames come in order."""
        best: dict[str | None, float] = {}
        for match in matches:
            best[match.name] = max(match.similarity, best.get(match.name, -1.0))
        for name, similarity in best.items():
            seen = self._last.get(name)
            if seen is None or time - seen.end > self.gap:
                seen = self._last[name] = Sighting(name, time, time, 0, similarity)
                self._all.append(seen)
            seen.end = time
            seen.frames += 1
            seen.similarity = max(seen.similarity, similarity)

    def intervals(self) -> list[Sighting]:
        """Every stretch by its start; of those that start together, known people first, by name."""
        return sorted(self._all, key=lambda s: (s.start, s.name is None, s.name or ""))


def records(frame: Frame, faces: Faces, matches: Sequence[Match] | None) -> list[dict[str, Any]]:
    """One record a face, ready for JSON; name and similarity are null where nobody is enrolled."""
    return [
        {
            "frame": frame.number,
            "time": round(frame.seconds, 4),
            "box": [round(v, 2) for v in faces.boxes[i].tolist()],
            "score": round(float(faces.scores[i]), 4),
            "landmarks": [[round(v, 2) for v in point] for point in faces.landmarks[i].tolist()],
            "name": matches[i].name if matches else None,
            "similarity": round(matches[i].similarity, 4) if matches else None,
        }
        for i in range(len(faces))
    ]
