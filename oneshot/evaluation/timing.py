"""How long a picture takes: the same pictures for every pipeline, in turns."""

import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import cv2
import numpy as np

from oneshot.errors import OneShotError
from oneshot.evaluation import data
from oneshot.evaluation.pipelines import REFERENCE, Run
from oneshot.media import video
from oneshot.types import Image

Done = TypeVar("Done")

LFW_FACE = 150
"""Pixels: the middle of an LFW photo (250), holding its person's face and hardly ever another's."""


@dataclass(frozen=True, slots=True)
class Work:
    """Pictures of one kind, to be done at one side; faces: how many each holds, None where that differs."""

    pictures: str
    side: int
    faces: int | None
    images: Sequence[Image]

    def __str__(self) -> str:
        what = self.pictures if self.faces is None else f"{self.faces} face{'s' * (self.faces > 1)}"
        return f"{what}, side {self.side}"


def portraits(folder: Path | None, count: int) -> list[Image]:
    """Square pictures of one real face each: LFW people, or without data two from well-known wheels."""
    found = _packaged() if folder is None else [_middle(photo) for photo in photos(folder, count)]
    return [found[i % len(found)] for i in range(count)]


def photos(folder: Path, count: int) -> list[Image]:
    """So many of LFW's photos, whole."""
    tar = data.TarImages(folder / "lfw.tar")
    # Alphabetical order holds many photos of one person in a row: spread over everyone.
    return [tar[i] for i in _spread(len(tar), count)]


def scenes(folder: Path, count: int) -> list[Image]:
    """So many of the evaluation scenes that hold two faces or more."""
    dataset, tar = data.scenes(folder)
    faces = Counter(label["image_id"] for label in dataset["annotations"] if not label.get("iscrowd"))
    names = [record["file_name"] for record in dataset["images"] if faces[record["id"]] > 1]
    return list(data.chosen(tar, [names[i] for i in _spread(len(names), count)]))


def video_frames(file: str | Path, count: int) -> list[Image]:
    """So many frames of a video, from all of it."""
    total = video.frames(file).total or count
    return [frame.image for frame in islice(video.frames(file, every=max(1, total // count)), count)]


def _spread(available: int, count: int) -> list[int]:
    return [int(i) for i in np.linspace(0, available - 1, min(count, available))]


def _middle(photo: Image) -> Image:
    top, left = (photo.shape[0] - LFW_FACE) // 2, (photo.shape[1] - LFW_FACE) // 2
    return photo[top : top + LFW_FACE, left : left + LFW_FACE]


def _packaged() -> list[Image]:
    """Public-domain photos inside wheels: skimage's astronaut and matplotlib's Grace Hopper."""
    try:
        import matplotlib
        from skimage.data import astronaut
    except ImportError as error:
        raise OneShotError(
            f"the faces come from {error.name}, which is not installed; install it or give --data"
        ) from error
    hopper = cv2.imread(str(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"))
    if hopper is None:
        raise OneShotError("matplotlib: has lost its grace_hopper.jpg; reinstall it or give --data")
    eileen = np.ascontiguousarray(astronaut()[..., ::-1])
    return [eileen[35:195, 142:302], hopper[40:340, 110:410]]  # type: ignore[list-item]


def canvas(faces: Sequence[Image], side: int) -> Image:
    """A side × side picture with these square pictures in a grid, as large as they fit."""
    columns = int(np.ceil(np.sqrt(len(faces))))
    cell = side // columns
    picture = np.zeros((side, side, 3), np.uint8)
    for i, face in enumerate(faces):
        y, x = cell * (i // columns), cell * (i % columns)
        shrinks = cell < face.shape[0]
        resized = cv2.resize(
            face, (cell, cell), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        )
        picture[y : y + cell, x : x + cell] = resized
    return picture


def timed(
    pipelines: Mapping[str, Callable[[Image], Done]],
    images: Sequence[Image],
    rounds: int,
    clock: Callable[[], float] = perf_counter,
) -> dict[str, list[tuple[float, Done]]]:
    """(milliseconds, what was done) of each run, by pipeline.

    Every pipeline sees every image once to warm up. Then they take turns on each image, each round
    beginning with another one, so that a machine that slows down slows all of them alike.
    """
    for pipeline in pipelines.values():
        for image in images:
            pipeline(image)
    runs: dict[str, list[tuple[float, Done]]] = {name: [] for name in pipelines}
    names = list(pipelines)
    for turn in range(rounds):
        first = turn % len(names)
        for image in images:
            for name in names[first:] + names[:first]:
                start = clock()
                run = pipelines[name](image)
                runs[name].append((1000 * (clock() - start), run))
    return runs


def rows(
    runs: Mapping[str, Sequence[tuple[float, Run]]],
    work: Work,
    threads: int,
    reference: str = REFERENCE,
) -> list[dict[str, Any]]:
    """One row a pipeline, medians over all its runs; `ratio` is None where the reference did not run."""
    medians = {name: statistics.median(ms for ms, _ in done) for name, done in runs.items()}
    return [
        {
            "pipeline": name,
            "pictures": work.pictures,
            "side": work.side,
            "faces": work.faces,
            "found": statistics.fmean(run.found for _, run in done),
            "threads": threads,
            "ms": medians[name],
            "fps": 1000 / medians[name],
            "ratio": medians[name] / medians[reference] if reference in medians else None,
            "stages": {
                stage: statistics.median(run.stages[stage] for _, run in done) for stage in done[0][1].stages
            },
        }
        for name, done in runs.items()
    ]
