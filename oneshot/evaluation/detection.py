"""How well faces are found: COCO's average precision on annotated scenes, and what it does not say.

Built on pycocotools, with three settings of our own: up to 200 detections a photo, one range of sizes in
pixels of the network's input (`min16`: faces whose smaller side is at least 16 px there; smaller ones
become ignore regions, and unmatched detections that small are not counted), and rates as fractions of 1.
"""

import contextlib
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oneshot.errors import OneShotError
from oneshot.types import Detected, Image

MAX_DETECTIONS = 200
MIN_FACE = 16
"""Network pixels: `ap50_min16` leaves out faces with a smaller side below it."""

LOW_SCORE = 0.02
"""Detections for average precision are taken from here up: the curve needs its far end."""

SIZES = {"all": (0.0, 1e5), "min16": (float(MIN_FACE), 1e5)}
"""Pycocotools calls them areas; here they are smaller sides, in network pixels."""


Record = dict[str, Any]


def detect_all(
    detector: Callable[[Image], Detected],
    records: Sequence[Record],
    images: Iterable[Image],
) -> dict[int, Detected]:
    """Run the detector on the photos of COCO's image records, in their order; what it found, by image id."""
    return {record["id"]: detector(image) for record, image in zip(records, images, strict=True)}


def evaluate_detection(
    dataset: Mapping[str, list[Record]],
    detections: Mapping[int, Detected],
    *,
    side: int,
    score_threshold: float,
    min_side: int = 0,
) -> dict[str, Any]:
    """Every figure of `detections` (by image id) against COCO-keypoints annotations.

    ap50, ap50_95, ap50_min16, ar (at IoU 0.5): over all detections. mean_iou and landmark_error (mean over
    the known points, by the label's distance between the eyes): over faces matched at IoU ≥ 0.5 with score
    ≥ score_threshold. `by_source`: the same for each value of the images' "source". NaN: nothing to
    measure. side, min_side: the network's letterbox; it says what 16 px of the network's input are in a
    photo.
    """

    def figures(images: list[Record]) -> dict[str, Any]:
        scales = {image["id"]: _scale(image, side, min_side) for image in images}
        truth = _labels(dataset["annotations"], scales)
        found, points = _detections(detections, scales)
        return _figures(_coco(images, truth), _coco(images, found), points, score_threshold)

    result = figures(dataset["images"])
    result["by_source"] = {
        source: figures([image for image in dataset["images"] if image.get("source") == source])
        for source in sorted({image["source"] for image in dataset["images"] if "source" in image})
    }
    return result


def _scale(image: Record, side: int, min_side: int) -> float:
    """The letterbox's: the longest side is brought down to `side`, up to `min_side`, or kept."""
    longest = max(image["width"], image["height"])
    return side / longest if longest > side else max(1.0, min_side / longest)


def _labels(annotations: Iterable[Record], scales: Mapping[int, float]) -> list[Record]:
    """Annotations of these images, sizes as areas, ids from 1 on (pycocotools takes id 0 for no match)."""
    here = [label for label in annotations if label["image_id"] in scales]
    return [
        {**label, "id": i, "category_id": 1, "area": min(label["bbox"][2:]) * scales[label["image_id"]]}
        for i, label in enumerate(here, start=1)
    ]


def _detections(
    detections: Mapping[int, Detected], scales: Mapping[int, float]
) -> tuple[list[Record], dict[int, NDArray[np.float64]]]:
    """The same form for detections, and each one's landmarks by id."""
    records: list[Record] = []
    points = {}
    for image_id, scale in scales.items():
        if image_id not in detections:
            raise OneShotError(f"image {image_id}: no detections were given; give an empty result for none")
        faces = detections[image_id]
        for box, score, landmarks in zip(faces.boxes, faces.scores, faces.landmarks, strict=True):
            x0, y0, x1, y1 = map(float, box)
            bbox = [x0, y0, x1 - x0, y1 - y0]
            record = {"id": len(records) + 1, "image_id": image_id, "category_id": 1, "iscrowd": 0}
            records.append({**record, "bbox": bbox, "area": min(bbox[2:]) * scale, "score": float(score)})
            points[len(records)] = np.asarray(landmarks, np.float64)
    return records, points


def _coco(images: list[Record], annotations: list[Record]) -> Any:
    from pycocotools.coco import COCO

    coco = COCO()
    coco.dataset = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "face"}]}
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints
        coco.createIndex()
    return coco


def _figures(
    truth: Any, found: Any, points: Mapping[int, NDArray[np.float64]], threshold: float
) -> dict[str, Any]:
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(truth, found, "bbox")
        evaluation.params.maxDets = [MAX_DETECTIONS]
        evaluation.params.areaRng, evaluation.params.areaRngLbl = list(SIZES.values()), list(SIZES)
        evaluation.evaluate()
        evaluation.accumulate()
    # IoU thresholds, recall steps, categories, sizes, detection limits; -1 where there is no face to find.
    precision = evaluation.eval["precision"][:, :, 0, :, 0]
    recall = evaluation.eval["recall"][:, 0, :, 0]
    matched = list(_matches(evaluation, threshold))
    ious = [_iou(found.anns[d]["bbox"], truth.anns[t]["bbox"]) for d, t in matched]
    errors = [_landmark_error(points[d], truth.anns[t].get("keypoints", ())) for d, t in matched]
    return {
        "ap50": _mean(precision[0, :, 0]),
        "ap50_95": _mean(precision[:, :, 0]),
        "ap50_min16": _mean(precision[0, :, 1]),
        "ar": _mean(recall[0, 0]),
        "mean_iou": _mean(np.array(ious)),
        "landmark_error": _mean(np.array([error for error in errors if error is not None])),
        "images": len(truth.imgs),
        "faces": sum(not label.get("iscrowd", 0) for label in truth.anns.values()),
    }


def _mean(values: NDArray[np.float64]) -> float:
    """COCO marks what cannot be measured by -1."""
    return float(np.mean(values)) if np.size(values) and np.min(values) >= 0 else float("nan")


def _matches(evaluation: Any, threshold: float) -> Iterator[tuple[int, int]]:
    """(detection id, label id) of matches at IoU 0.5: no ignore regions, scores from `threshold` up."""
    for image in evaluation.evalImgs:
        if image is None or image["aRng"] != SIZES["all"]:
            continue
        rows = zip(
            image["dtIds"], image["dtMatches"][0], image["dtIgnore"][0], image["dtScores"], strict=True
        )
        for detection, label, ignored, score in rows:
            if label > 0 and not ignored and score >= threshold:
                yield int(detection), int(label)


def _iou(first: Sequence[float], second: Sequence[float]) -> float:
    """Of two x, y, w, h boxes."""
    (ax, ay, aw, ah), (bx, by, bw, bh) = first, second
    overlap = max(min(ax + aw, bx + bw) - max(ax, bx), 0.0) * max(min(ay + ah, by + bh) - max(ay, by), 0.0)
    return overlap / (aw * ah + bw * bh - overlap)


def _landmark_error(points: NDArray[np.float64], keypoints: Sequence[float]) -> float | None:
    """Mean distance of (5, 2) points to the label's / its distance between the eyes; None if not labelled."""
    if len(keypoints) == 0:
        return None
    label = np.asarray(keypoints, np.float64).reshape(5, 3)
    known = label[:, 2] > 0
    eyes = float(np.linalg.norm(label[0, :2] - label[1, :2]))
    if not known[:2].all() or eyes == 0:
        return None
    return float(np.linalg.norm(points - label[:, :2], axis=1)[known].mean()) / eyes
