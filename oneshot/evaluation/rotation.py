"""Faces turned in the picture's plane: LFW's photos at every 15 degrees, end to end.

A photo is turned about its middle and keeps its size: LFW's face, in the middle of it, stays whole, and the
corners that come in from outside hold the photo's own mirror image. The face whose box is nearest the middle
is the person, as on LFW upright. Every pipeline is judged by cosine.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from oneshot.evaluation.data import Pairs
from oneshot.evaluation.lfw import central_face, stacked
from oneshot.evaluation.verification import all_pairs_thresholds, cosine, missed, tar_at, undecided
from oneshot.types import AnyFloats, Faces, Image

ANGLES = tuple(range(0, 360, 15))
"""Degrees, counter-clockwise; the first has to be 0."""

MISREAD = 0.2
"""Of the distance between the eyes: landmarks further off than this are of another face than the one seen."""

UP_TO = 60
"""Degrees either way, of which a summary is made beside that of all angles."""


def turned(photo: Image, angle: float) -> Image:
    """The photo turned counter-clockwise about its middle, at its own size."""
    if angle == 0:
        return photo
    height, width = photo.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2 - 0.5, height / 2 - 0.5), angle, 1)
    corners = cv2.BORDER_REFLECT_101
    return np.asarray(cv2.warpAffine(photo, matrix, (width, height), borderMode=corners), np.uint8)


def turned_back(points: AnyFloats, angle: float, photo: Image) -> AnyFloats:
    """Points (..., 2) of the turned photo where they are in the photo itself; pixel i spans [i, i + 1)."""
    middle = np.array(photo.shape[1::-1]) / 2
    sine, cosine_ = np.sin(np.radians(angle)), np.cos(np.radians(angle))
    # Y points down: counter-clockwise as it is seen is x' = cx + sy, y' = cy - sx; this is the way back.
    return (points - middle) @ np.array([[cosine_, sine], [-sine, cosine_]]) + middle


@dataclass(frozen=True, slots=True)
class Turns:
    """What P photos gave at each of A angles; NaN where no face was found."""

    angles: Sequence[int]
    embeddings: AnyFloats  # (A, P, D)
    landmarks: AnyFloats  # (A, P, 5, 2), turned back into the upright photo's pixels


def run(network: Callable[[Image], Faces], photos: Iterable[Image], angles: Sequence[int] = ANGLES) -> Turns:
    """Pass every photo once at each angle."""
    rows: list[list[AnyFloats]] = [[] for _ in angles]
    points: list[list[AnyFloats]] = [[] for _ in angles]
    for photo in photos:
        for place, angle in enumerate(angles):
            embedding, landmarks = central_face(network, turned(photo, angle))
            rows[place].append(embedding)
            points[place].append(turned_back(landmarks, angle, photo))
    flat = stacked([embedding for row in rows for embedding in row])
    return Turns(angles, flat.reshape(len(angles), -1, flat.shape[1]), np.array(points))


def figures(turns: Turns, pairs: Pairs, shipped: float | None = None) -> dict[str, Any]:
    """By angle and, worst of ±60° and of all, in percent:

    - lost: photos without a face. undecided: photos whose face was found and not described.
    - misread: of the photos with a face here and upright, those whose landmarks, turned back, lie more than
      MISREAD from the upright photo's.
    - tar: same-person pairs accepted, one photo upright and the other turned, either way round.
    - strangers: of all pairs of photos of different people, both turned alike, those accepted.

    `shipped` is the network's own threshold for a FAR of 1e-3; without one it is what all pairs of different
    people's upright photos give.
    """
    if shipped is None:
        threshold = all_pairs_thresholds(_unit(turns.embeddings[0]), pairs.people, ("1e-3",))["1e-3"]
    else:
        threshold = shipped
    by_angle = {str(angle): _at(turns, place, pairs, threshold) for place, angle in enumerate(turns.angles)}
    near = [str(angle) for angle in turns.angles if min(angle, 360 - angle) <= UP_TO]
    return {
        "threshold": threshold,
        "threshold_of": "these photos, upright" if shipped is None else "the weights",
        f"worst_to_{UP_TO}": _worst([by_angle[angle] for angle in near]),
        "worst": _worst(list(by_angle.values())),
        "by_angle": by_angle,
        "photos": len(pairs.names),
        "pairs": int(pairs.same.sum()),
    }


def _unit(rows: AnyFloats) -> AnyFloats:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def strangers_accepted(embeddings: AnyFloats, people: Sequence[str], threshold: float) -> float:
    """The share of pairs of different people, of all photos (P, D), whose cosine reaches the threshold.

    A pair with a face that was not found, or not described, is not accepted.
    """
    rows = _unit(np.nan_to_num(embeddings))
    _, person = np.unique(people, return_inverse=True)
    different = np.triu(person[:, None] != person)
    return float((rows @ rows.T >= threshold)[different].mean()) if different.any() else float("nan")


def _at(turns: Turns, place: int, pairs: Pairs, threshold: float) -> dict[str, float]:
    upright, here = turns.embeddings[0], turns.embeddings[place]
    first, second = pairs.first[pairs.same], pairs.second[pairs.same]
    genuine = np.concatenate((cosine(upright[first], here[second]), cosine(here[first], upright[second])))
    off = np.linalg.norm(turns.landmarks[place] - turns.landmarks[0], axis=2).mean(1)
    eyes = np.linalg.norm(turns.landmarks[0, :, 0] - turns.landmarks[0, :, 1], axis=1)
    off = (off / eyes)[~np.isnan(off)]
    return {
        "lost": 100 * float(missed(here).mean()),
        "undecided": 100 * float(undecided(here).mean()),
        "misread": 100 * float((off > MISREAD).mean()) if len(off) else float("nan"),
        "tar": 100 * tar_at(threshold, genuine),
        "strangers": 100 * strangers_accepted(here, pairs.people, threshold),
    }


def _worst(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The greatest of each figure, but of `tar` the least; NaN where none could be measured."""
    worst = {}
    for name in rows[0]:
        known = [row[name] for row in rows if not np.isnan(row[name])]
        worst[name] = (min if name == "tar" else max)(known, default=float("nan"))
    return worst
