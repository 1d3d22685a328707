"""What a pipeline's speed is worth: verification, identification and detection of one pipeline, end to end.

Every photo goes in whole and is passed once; the most central face is the person.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from oneshot.evaluation import data, detection
from oneshot.evaluation.identification import boxed_by_people, identification_figures
from oneshot.evaluation.lfw import central_face, stacked
from oneshot.evaluation.people import Photo
from oneshot.evaluation.pose import Measure
from oneshot.evaluation.verification import cosine, euclidean, verify
from oneshot.media.images import read_image
from oneshot.types import AnyFloats, Faces, Image

Network = Callable[[Image], Faces]
MEASURES: dict[str, Measure] = {"dlib": euclidean}
"""Of pipelines whose embeddings are not compared by cosine."""

Progress = Callable[[Iterable[Image], int], Iterable[Image]]


def passed(network: Network, photos: Iterable[Image]) -> tuple[AnyFloats, float]:
    """(P, D) embeddings of the central faces, NaN where there is none, and the median ms of a photo."""
    rows, times = [], []
    for photo in photos:
        start = time.perf_counter()
        rows.append(central_face(network, photo)[0])
        times.append(1000 * (time.perf_counter() - start))
    return stacked(rows), median(times) if times else float("nan")


def verification(
    network: Network, folder: Path, every: int, progress: Progress, measure: Measure = cosine
) -> dict[str, Any]:
    """LFW's accuracy and TAR in percent, photos without a face, and the median ms of a photo."""
    pairs = data.lfw_pairs(folder / "lfw_pairs.txt").every(every)
    photos = data.chosen(data.TarImages(folder / "lfw.tar"), pairs.names)
    rows, ms = passed(network, progress(photos, len(pairs.names)))
    found = verify(measure(rows[pairs.first], rows[pairs.second]), pairs.same, pairs.fold)
    missed = int(np.isnan(rows).any(1).sum())
    return {"lfw": found.accuracy, "tar": found.tar, "missed": missed, "pairs": found.pairs, "lfw_ms": ms}


def lfw_people(folder: Path, every: int) -> tuple[list[str], Iterator[Image]]:
    """Who is in each photo of LFW, and the photos; every: only each N-th person."""
    tar = data.TarImages(folder / "lfw.tar")
    names = set(sorted({name.split("/")[0] for name in tar.names})[::every])
    chosen = [name for name in sorted(tar.names) if name.split("/")[0] in names]
    return [name.split("/")[0] for name in chosen], data.chosen(tar, chosen)


def identification(
    network: Network,
    people: Sequence[str],
    photos: Iterable[Image],
    progress: Progress,
    measure: Measure = cosine,
    hold_out: int = 0,
) -> dict[str, Any]:
    """The seed's experiment: 1 and 3 photos enrolled, the rest queried (see `identification_figures`)."""
    rows, ms = passed(network, progress(photos, len(people)))
    enrolled = {str(n): identification_figures(rows, people, n, measure, hold_out) for n in (1, 3)}
    return {"enrolled": enrolled, "photos": len(people), "ms": ms, "fps": 1000 / ms}


def boxes(network: Network, folder: Path, side: int, every: int, progress: Progress) -> dict[str, Any]:
    """Recall and mean IoU, at IoU 0.5, of the faces that people boxed, each detector at its own threshold."""
    dataset, tar = data.scenes(folder)
    dataset = boxed_by_people(dataset)
    records = dataset["images"] = dataset["images"][::every]
    photos = data.chosen(tar, [record["file_name"] for record in records])
    return _overlap(network, dataset, photos, side, progress)


def set_boxes(
    network: Network, root: Path, photos: Sequence[Photo], side: int, progress: Progress
) -> dict[str, Any]:
    """The same on a set's photos that have boxes; nothing where none has."""
    boxed = [(photo, photo.box) for photo in photos if photo.box is not None]
    if not boxed:
        return {}
    records, labels = [], []
    for i, (photo, (x0, y0, x1, y1)) in enumerate(boxed):
        height, width = read_image(root / photo.file).shape[:2]
        records.append({"id": i, "width": width, "height": height})
        labels.append({"id": i, "image_id": i, "bbox": [x0, y0, x1 - x0, y1 - y0], "iscrowd": 0})
    images = (read_image(root / photo.file) for photo, _ in boxed)
    return _overlap(network, {"images": records, "annotations": labels}, images, side, progress)


def _overlap(
    network: Network, dataset: Mapping[str, Any], photos: Iterable[Image], side: int, progress: Progress
) -> dict[str, Any]:
    records = dataset["images"]
    found = detection.detect_all(network, records, progress(photos, len(records)))
    result = detection.evaluate_detection(dataset, found, side=side, score_threshold=-np.inf)
    return {"recall": result["ar"], "mean_iou": result["mean_iou"], "scenes": len(records)}
