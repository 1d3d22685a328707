"""CFP (Sengupta et al. 2016): frontal photos compared with frontal ones (FF) and with profiles (FP), end to
end, and how far the landmarks lie from those that people set.

Whole photo in; the face whose box is nearest the photo's middle is the person, as on LFW. The landmarks are
of each photo's best face at a low score: were only those judged that pass the score threshold, a network
that leaves out its worst would look better than one that finds them.
"""

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oneshot.errors import OneShotError
from oneshot.evaluation.data import Pairs, TarImages, cfp_set
from oneshot.evaluation.lfw import NO_LANDMARKS, central_face, stacked
from oneshot.evaluation.pipelines import OnePass, Pipeline, network
from oneshot.evaluation.pose import Measure
from oneshot.evaluation.verification import cosine, missed, undecided, verify
from oneshot.inference.predictor import OneShot
from oneshot.types import AnyFloats, Detected, Faces, Image

Detector = Callable[[Image], Detected]
POSES = ("frontal", "profile")
PARTS = ("eye", "nose", "mouth")


@dataclass(frozen=True, slots=True)
class Photos:
    """The photos to pass, and the pairs that each protocol ("FF", "FP") makes of them."""

    names: tuple[str, ...]
    pose: NDArray[np.str_]  # (P,), of POSES
    points: AnyFloats  # (P, 3, 2): the visible eye, nose tip and mouth corner, pixels
    places: NDArray[np.int64]  # (P, 3): which of the five landmarks they are
    pairs: dict[str, Pairs]


def photos(folder: str | Path, every: int = 1) -> tuple[Photos, TarImages]:
    """The set, or every N-th of its pairs and just the photos that they need.

    A face that `faces` right shows the eye and the mouth corner on the picture's left.
    """
    records, images = cfp_set(folder)
    try:
        kept = records["pairs"][::every]
        names = sorted({pair[side] for pair in kept for side in "ab"})
        known = [records["photos"][name] for name in names]
        index = {name: i for i, name in enumerate(names)}
        protocols = sorted({pair["protocol"] for pair in kept})
        return Photos(
            tuple(names),
            np.array([photo["pose"] for photo in known]),
            np.array([[photo[part] for part in PARTS] for photo in known], float),
            np.array([(0, 2, 3) if photo["faces"] == "right" else (1, 2, 4) for photo in known]),
            {name: _pairs(names, index, [p for p in kept if p["protocol"] == name]) for name in protocols},
        ), images
    except (KeyError, TypeError, ValueError) as error:
        raise OneShotError(
            f"{Path(folder) / 'cfp_eval.json'}: not CFP's index ({error!r}); fetch it again"
        ) from error


def _pairs(names: list[str], index: Mapping[str, int], rows: list[dict[str, Any]]) -> Pairs:
    first, second = (np.array([index[row[side]] for row in rows]) for side in "ab")
    same, fold = np.array([row["same"] for row in rows], bool), np.array([row["fold"] for row in rows])
    return Pairs(tuple(names), first, second, same, fold)


def stages(pipeline: Pipeline) -> dict[str, Detector]:
    """What finds landmarks: the pipeline as it is ("last"), and of a network run by torch the steps before:
    "coarse", "corrected_1", …
    """
    if not isinstance(pipeline, OnePass):
        return {"last": network(pipeline)}
    one: Any = pipeline.network
    net = getattr(one.backend, "net", None)  # torch's alone
    steps = range(net.config.refinements if net is not None else 0)
    names = [f"corrected_{step}" if step else "coarse" for step in steps]
    before: dict[str, Detector] = {
        name: _corrected(one, step) for name, step in zip(names, steps, strict=True)
    }
    return {**before, "last": partial(one, embed=False)}


def _corrected(whole: OneShot, times: int) -> Detector:
    """The same network, with its landmarks corrected only so many times; nothing is described."""
    part = copy.copy(whole)
    backend: Any = copy.copy(whole.backend)
    part.backend, backend.net = backend, copy.copy(backend.net)
    backend.net.config = replace(backend.net.config, refinements=times)
    return partial(part, embed=False)


def run(
    network: Callable[[Image], Faces], finders: Mapping[str, Detector], images: Iterable[Image]
) -> tuple[AnyFloats, dict[str, AnyFloats]]:
    """Embeddings (P, D) of the central faces; by finder the landmarks (P, 5, 2) of the best. NaN: no face."""
    rows: list[AnyFloats] = []
    points: dict[str, list[AnyFloats]] = {name: [] for name in finders}
    for image in images:
        rows.append(central_face(network, image)[0])
        for name, find in finders.items():
            faces = find(image)
            points[name].append(faces.landmarks[0] if len(faces.scores) else NO_LANDMARKS)
    return stacked(rows), {name: np.array(found).reshape(-1, 5, 2) for name, found in points.items()}


def figures(
    photos: Photos, embeddings: AnyFloats, landmarks: Mapping[str, AnyFloats], measure: Measure = cosine
) -> dict[str, Any]:
    """Each protocol's figures and, by pose, photos, missed and undecided ones, and errors of the landmarks.

    Percent, thresholds apart. A pair with a missed photo is an error; an undecided face (an embedding of
    zeros) is not missed, and matches nobody. Landmarks: see `landmark_errors`.
    """
    result: dict[str, Any] = {}
    for name, pairs in photos.pairs.items():
        scores = measure(embeddings[pairs.first], embeddings[pairs.second])
        found = verify(scores, pairs.same, pairs.fold, ("1e-2",))
        result[name] = {
            "accuracy": found.accuracy,
            "std": found.std,
            "eer": found.eer,
            "tar": found.tar,
            "threshold": found.threshold,
            "missed_pairs": found.missed_pairs,
            "pairs": found.pairs,
        }
    for pose in POSES:
        mine = photos.pose == pose
        result[pose] = {
            "photos": int(mine.sum()),
            "missed": int(missed(embeddings[mine]).sum()),
            "undecided": int(undecided(embeddings[mine]).sum()),
            "landmark_error": {
                name: landmark_errors(photos, points, mine) for name, points in landmarks.items()
            },
        }
    return result


def landmark_errors(photos: Photos, landmarks: AnyFloats, mine: NDArray[np.bool_]) -> dict[str, float | None]:
    """Mean distance of landmarks (P, 5, 2) from people's, over these photos' (P,) distance from eye to mouth.

    In percent, of all three points and of each; None where none of the photos has a face.
    """
    seen = np.take_along_axis(landmarks, photos.places[:, :, None], axis=1)
    sizes = np.linalg.norm(photos.points[:, 0] - photos.points[:, 2], axis=1)
    errors = 100 * np.linalg.norm(seen - photos.points, axis=2) / sizes[:, None]
    errors = errors[mine & ~np.isnan(errors).any(1)]
    if not len(errors):
        return dict.fromkeys(("all", *PARTS))
    return {
        "all": float(errors.mean()),
        **{part: float(value) for part, value in zip(PARTS, errors.mean(0), strict=True)},
    }
