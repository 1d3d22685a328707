"""What a pipeline's speed is worth: verification, identification and detection of one pipeline, end to end.

Every photo goes in whole and is passed once; the most central face is the person.
"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oneshot.evaluation import data, detection
from oneshot.evaluation.identification import boxed_by_people, identification_figures
from oneshot.evaluation.lfw import central_face, stacked
from oneshot.evaluation.pose import Measure
from oneshot.evaluation.verification import cosine, euclidean, verify
from oneshot.types import Faces, Image

Network = Callable[[Image], Faces]
MEASURES: dict[str, Measure] = {"dlib": euclidean}
"""Of pipelines whose embeddings are not compared by cosine."""

Floats = NDArray[np.floating]
Progress = Callable[[Iterable[Image], int], Iterable[Image]]


def passed(network: Network, photos: Iterable[Image]) -> tuple[Floats, float]:
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


def identification(
    network: Network, folder: Path, every: int, progress: Progress, measure: Measure = cosine
) -> dict[str, Any]:
    """The seed's experiment on LFW: 1 and 3 photos enrolled; every: only each N-th person."""
    tar = data.TarImages(folder / "lfw.tar")
    names = sorted({name.split("/")[0] for name in tar.names})[::every]
    chosen = [name for name in sorted(tar.names) if name.split("/")[0] in set(names)]
    rows, ms = passed(network, progress(data.chosen(tar, chosen), len(chosen)))
    people = [name.split("/")[0] for name in chosen]
    enrolled = {str(n): identification_figures(rows, people, n, measure) for n in (1, 3)}
    return {"enrolled": enrolled, "photos": len(chosen), "ms": ms, "fps": 1000 / ms}


def boxes(network: Network, folder: Path, side: int, every: int, progress: Progress) -> dict[str, Any]:
    """Recall and mean IoU, at IoU 0.5, of the faces that people boxed, each detector at its own threshold."""
    dataset, tar = data.scenes(folder)
    dataset = boxed_by_people(dataset)
    records = dataset["images"] = dataset["images"][::every]
    photos = data.chosen(tar, [record["file_name"] for record in records])
    found = detection.detect_all(network, records, progress(photos, len(records)))
    result = detection.evaluate_detection(dataset, found, side=side, score_threshold=-np.inf)
    return {"recall": result["ar"], "mean_iou": result["mean_iou"], "scenes": len(records)}
