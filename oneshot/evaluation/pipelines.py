"""Complete pipelines, from picture to embeddings, behind one call that says how long each stage took.

To add one: a function from Settings to a Pipeline, raising OneShotError if what it needs is not there, in
PIPELINES.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from oneshot.errors import OneShotError
from oneshot.evaluation.peers import Detector, EdgeFace, SFace, Yunet, aligned_crops
from oneshot.types import Image


@dataclass(frozen=True, slots=True)
class Settings:
    """What every pipeline is given alike.

    keep: None lets each pipeline take all faces that it finds at its own default threshold; a number makes
    it take exactly that many, the best, at a threshold low enough to have them: the same work for everyone.
    """

    side: int
    threads: int = 1
    keep: int | None = None
    weights: Path | None = None  # of oneshot; None: the shipped ones
    peers: Path = Path("peers")
    models: Path = Path("../shared/models")


@dataclass(frozen=True, slots=True)
class Run:
    """One image done: how many faces, and milliseconds by stage (empty where there are no stages)."""

    found: int
    stages: dict[str, float] = field(default_factory=dict)


Pipeline = Callable[[Image], Run]
LOW_SCORE = 0.1
"""Where `keep` asks for a number of faces, they are taken from this score up."""


@dataclass(frozen=True, slots=True)
class TwoStage:
    """Detect, cut every face out, recognise them in one call."""

    detect: Detector
    embed: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
    keep: int | None

    def __call__(self, image: Image) -> Run:
        start = time.perf_counter()
        faces = self.detect(image).best(self.keep)
        detected = time.perf_counter()
        crops = aligned_crops(image, faces.landmarks)
        cropped = time.perf_counter()
        embeddings = self.embed(crops)
        end = time.perf_counter()
        seconds = {"detect": detected - start, "crop": cropped - detected, "embed": end - cropped}
        return Run(len(embeddings), {stage: 1000 * s for stage, s in seconds.items()})


def _yunet(settings: Settings) -> Yunet:
    # OpenCV has one thread setting for the whole process, and crops are cut by OpenCV in every pipeline.
    cv2.setNumThreads(settings.threads)
    if settings.keep is None:
        return Yunet(settings.peers, settings.side)
    return Yunet(settings.peers, settings.side, score=LOW_SCORE)


def yunet_edgeface(settings: Settings) -> Pipeline:
    return TwoStage(_yunet(settings), EdgeFace(settings.models, settings.threads), settings.keep)


def yunet_sface(settings: Settings) -> Pipeline:
    return TwoStage(_yunet(settings), SFace(settings.peers), settings.keep)


def oneshot(settings: Settings) -> Pipeline:
    from oneshot.predictor import OneShot

    cv2.setNumThreads(settings.threads)
    network = OneShot(settings.weights, side=settings.side, threads=settings.threads)
    if settings.keep is not None:
        network.score_threshold, network.max_faces = LOW_SCORE, settings.keep
    return lambda image: Run(len(network(image).scores))


PIPELINES: dict[str, Callable[[Settings], Pipeline]] = {
    "oneshot": oneshot,
    "yunet+edgeface-xxs": yunet_edgeface,
    "yunet+sface": yunet_sface,
}
REFERENCE = "yunet+edgeface-xxs"
"""Ratios are times over this pipeline's, on the same image in the same run."""


def build(names: Sequence[str], settings: Settings) -> tuple[dict[str, Pipeline], dict[str, str]]:
    """The pipelines of these names that can be built, and for each of the others why it cannot."""
    built: dict[str, Pipeline] = {}
    absent: dict[str, str] = {}
    for name in names:
        try:
            built[name] = PIPELINES[name](settings)
        except OneShotError as error:
            absent[name] = str(error)
    return built, absent
