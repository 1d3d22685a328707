"""LFW end to end: whole photo in, one pass, the most central face; and where accuracy is lost."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from oneshot.evaluation.data import Pairs
from oneshot.evaluation.verification import all_pairs_thresholds, cosine, tar_at, verify
from oneshot.types import AnyFloats, Detected, Faces, Image

Aligned = Callable[[Image, AnyFloats], AnyFloats]
"""(photo, landmarks (5, 2) in its pixels) → one embedding (D,)."""

NO_LANDMARKS: AnyFloats = np.full((5, 2), np.nan)


@dataclass(frozen=True, slots=True)
class Passes:
    """What the photos gave, a row each; NaN where no face was found."""

    embeddings: AnyFloats  # (P, D): end to end
    aligned: dict[str, AnyFloats]  # (P, D') by recogniser: at given landmarks
    landmark_error: AnyFloats  # (P,): mean distance to the given landmarks / their distance between the eyes


def central(boxes: AnyFloats, image: Image) -> int | None:
    """Which of the boxes (N, 4) has its centre nearest the image's; None if there are none."""
    if len(boxes) == 0:
        return None
    middle = np.array([image.shape[1], image.shape[0]]) / 2
    return int(np.argmin(np.linalg.norm((boxes[:, :2] + boxes[:, 2:]) / 2 - middle, axis=1)))


def scaled(photo: Image, side: int | None) -> Image:
    """The photo with its longest side brought to `side`; None leaves it."""
    longest = max(photo.shape[:2])
    if side is None or side == longest:
        return photo
    size = (max(1, round(photo.shape[1] * side / longest)), max(1, round(photo.shape[0] * side / longest)))
    how = cv2.INTER_AREA if side < longest else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(photo, size, interpolation=how), np.uint8)


def mirrored(image: Image, landmarks: AnyFloats) -> tuple[Image, AnyFloats]:
    """Left and right exchanged; the points (5, 2) stay named by where they are seen."""
    flipped = landmarks[[1, 0, 2, 4, 3]].copy()
    flipped[:, 0] = image.shape[1] - flipped[:, 0]
    return np.ascontiguousarray(image[:, ::-1]), flipped


def joined(parts: list[AnyFloats]) -> AnyFloats:
    """The mean direction of the embeddings that are there, a single view's as it is; NaN if none is."""
    if len(parts) == 1:
        return parts[0]
    there = [part for part in parts if not np.isnan(part).any()]
    if not there:
        return parts[0]
    mean = np.mean(there, axis=0)
    return mean / max(float(np.linalg.norm(mean)), 1e-12)


def central_landmarks(detector: Callable[[Image], Detected], photo: Image) -> AnyFloats:
    """(5, 2) of the most central face in the photo's pixels; NaN if there is none."""
    faces = detector(photo)
    i = central(faces.boxes, photo)
    return NO_LANDMARKS if i is None else faces.landmarks[i]


def run(
    network: Callable[[Image], Faces],
    photos: Iterable[tuple[Image, AnyFloats]],
    *,
    photo_side: int | None = None,
    mirror: bool = False,
    aligned: Mapping[str, Aligned] | None = None,
) -> Passes:
    """Pass every photo once (twice with its mirror image), decoding it once.

    photos: each with the landmarks (5, 2) of its face from elsewhere, NO_LANDMARKS if not known. They
    belong to the photo at its own size and are scaled with it: what a perfect detection head would give,
    not what another detector makes of a small photo. The recognisers of `aligned` are run on them.
    """
    aligned = aligned or {}
    embeddings, errors = [], []
    others: dict[str, list[AnyFloats]] = {name: [] for name in aligned}
    for photo, landmarks in photos:
        small = scaled(photo, photo_side)
        given = landmarks * (small.shape[1] / photo.shape[1])
        views = [(small, given), mirrored(small, given)] if mirror else [(small, given)]
        passes = [central_face(network, view) for view, _ in views]
        embeddings.append(joined([embedding for embedding, _ in passes]))
        errors.append(_error(passes[0][1], given))
        for name, embed in aligned.items():
            others[name].append(joined([_aligned(embed, *view) for view in views]))
    return Passes(stacked(embeddings), {k: stacked(rows) for k, rows in others.items()}, np.array(errors))


def central_face(network: Callable[[Image], Faces], image: Image) -> tuple[AnyFloats, AnyFloats]:
    """Its embedding (D,) and landmarks (5, 2); a missed face is one NaN, widened later, and NaN points."""
    faces = network(image)
    i = central(faces.boxes, image)
    if i is None:
        return np.full(1, np.nan), NO_LANDMARKS
    return faces.embeddings[i], faces.landmarks[i]


def _aligned(embed: Aligned, image: Image, landmarks: AnyFloats) -> AnyFloats:
    return np.full(1, np.nan) if np.isnan(landmarks).any() else embed(image, landmarks)


def _error(points: AnyFloats, given: AnyFloats) -> float:
    return float(np.linalg.norm(points - given, axis=1).mean() / np.linalg.norm(given[0] - given[1]))


def stacked(embeddings: list[AnyFloats]) -> AnyFloats:
    """(P, D) float32 of embeddings (D,) and lone NaNs for what was missed."""
    width = max((len(embedding) for embedding in embeddings), default=0)
    rows = np.full((len(embeddings), width), np.nan, np.float32)
    for row, embedding in zip(rows, embeddings, strict=True):
        row[:] = embedding  # a lone NaN fills the row
    return rows


def figures(passes: Passes, pairs: Pairs) -> dict[str, Any]:
    """LFW's figures end to end; then accuracy and TAR at given landmarks of the network's own recogniser and
    its teacher ("given_landmarks", "teacher"), None where they were left out.

    Percent, but thresholds (cosines) and landmark_error (a fraction of the distance between the eyes).
    `missed` counts photos without a face, `missed_pairs` the pairs that they spoil. `tar` at a FAR of 1e-3
    hangs on the three likest of 3,000 different pairs; `tar_all_pairs` is of the same-person pairs at the
    thresholds that every pair of photos of different people gives.
    """
    scores = _scores(passes.embeddings, pairs)
    own = verify(scores, pairs.same, pairs.fold)
    parts = {
        name: verify(_scores(passes.aligned[name], pairs), pairs.same, pairs.fold)
        if name in passes.aligned
        else None
        for name in ("given_landmarks", "teacher")
    }
    measured = passes.landmark_error[~np.isnan(passes.landmark_error)]
    thresholds = all_pairs_thresholds(passes.embeddings, pairs.people)
    return {
        "accuracy": own.accuracy,
        "std": own.std,
        "eer": own.eer,
        "tar": own.tar,
        "threshold": own.threshold,
        "threshold_all_pairs": thresholds,
        "tar_all_pairs": {far: 100 * tar_at(limit, scores[pairs.same]) for far, limit in thresholds.items()},
        "missed": int(np.isnan(passes.embeddings).any(1).sum()),
        "missed_pairs": own.missed_pairs,
        "photos": len(pairs.names),
        "pairs": own.pairs,
        **{f"accuracy_{name}": part.accuracy if part else None for name, part in parts.items()},
        **{f"tar_{name}": part.tar if part else None for name, part in parts.items()},
        "landmark_error": float(measured.mean()) if len(measured) else None,
    }


def _scores(embeddings: AnyFloats, pairs: Pairs) -> AnyFloats:
    return cosine(embeddings[pairs.first], embeddings[pairs.second])
