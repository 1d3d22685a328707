"""Complete pipelines, from picture to embeddings, behind one call that says how long each stage took.

To add one: a function from Settings to a Pipeline, raising OneShotError if what it needs is not there, in
PIPELINES.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from oneshot.errors import OneShotError
from oneshot.evaluation.peers.detectors import Scrfd, Yunet
from oneshot.evaluation.peers.recognisers import EdgeFaceOnCrops, MobileFaceNet, SFace, aligned_crops
from oneshot.types import Detected, Faces, Image, Model

PEERS, MODELS = Path("peers"), Path("models")
"""Where peers' files and EdgeFace's weights lie, unless told otherwise."""

LOW_SCORE = 0.1
"""Where `keep` asks for a number of faces, they are taken from this score up."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What every pipeline is given alike.

    keep: None lets each pipeline take all faces that it finds at its own default threshold; a number makes
    it take exactly that many, the best, at a threshold low enough to have them: the same work for everyone.
    score: the detectors' threshold where `keep` is None; None is each detector's own default.
    """

    side: int
    threads: int = 1
    keep: int | None = None
    score: float | None = None
    any_roll: bool = False  # of oneshot
    weights: Path | None = None  # of oneshot; None: the shipped ones
    squeezefaceposenet: Path | None = None  # the two-stage path's; None: the shipped ones
    peers: Path = PEERS
    models: Path = MODELS

    def threshold(self, usual: float, low: float = LOW_SCORE) -> float:
        """The score from which a detector takes faces: `usual` is its default, `low` finds many."""
        if self.keep is not None:
            return low
        return usual if self.score is None else self.score


@dataclass(frozen=True, slots=True)
class Run:
    """One image done: its faces, and milliseconds by stage (empty where there are no stages)."""

    faces: Faces
    stages: dict[str, float] = field(default_factory=dict)

    @property
    def found(self) -> int:
        """How many faces."""
        return len(self.faces)


Pipeline = Callable[[Image], Run]


def network(pipeline: Pipeline) -> Callable[[Image], Faces]:
    """A pipeline as accuracy is measured: its faces only."""
    return lambda image: pipeline(image).faces


Crops = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class TimedTwoStage:
    """Detect, cut every face out by its landmarks, recognise them in one call; each stage is timed."""

    detect: Callable[[Image], Detected]
    embed: Callable[[Crops], NDArray[np.float32]]
    keep: int | None
    cut: Callable[[Image, NDArray[np.float32]], Crops] = aligned_crops

    def __call__(self, image: Image) -> Run:
        start = time.perf_counter()
        found = self.detect(image)
        boxes, scores, landmarks = (a[: self.keep] for a in (found.boxes, found.scores, found.landmarks))
        detected = time.perf_counter()
        crops = self.cut(image, landmarks)
        cropped = time.perf_counter()
        embeddings = self.embed(crops)
        end = time.perf_counter()
        seconds = {"detect": detected - start, "crop": cropped - detected, "embed": end - cropped}
        faces = Faces(boxes, scores, landmarks, embeddings)
        return Run(faces, {stage: 1000 * s for stage, s in seconds.items()})


@dataclass(frozen=True, slots=True)
class OnePass:
    """All of it by one network, whose thresholds and stages can be asked for."""

    network: Model

    def __call__(self, image: Image) -> Run:
        return Run(self.network(image))


def thresholds(pipeline: Pipeline) -> dict[str, float]:
    """Cosine by false accept rate, as the weights carry it; nothing where a pipeline has no such weights."""
    return pipeline.network.thresholds if isinstance(pipeline, OnePass) else {}


def _yunet(settings: Settings) -> Yunet:
    # OpenCV has one thread setting for the whole process, and crops are cut by OpenCV in every pipeline.
    cv2.setNumThreads(settings.threads)
    return Yunet(settings.peers, settings.side, score=settings.threshold(0.9))


def _scrfd(settings: Settings) -> Scrfd:
    cv2.setNumThreads(settings.threads)
    return Scrfd(settings.peers, settings.side, score=settings.threshold(0.5), threads=settings.threads)


def yunet_edgeface(settings: Settings, recogniser: str = "xxs") -> Pipeline:
    """OpenCV's detector, EdgeFace."""
    return TimedTwoStage(
        _yunet(settings), EdgeFaceOnCrops(settings.models, settings.threads, recogniser), settings.keep
    )


def yunet_sface(settings: Settings) -> Pipeline:
    """OpenCV's detector and OpenCV's recogniser."""
    return TimedTwoStage(_yunet(settings), SFace(settings.peers), settings.keep)


def scrfd_mobilefacenet(settings: Settings) -> Pipeline:
    """InsightFace's small pair."""
    return TimedTwoStage(_scrfd(settings), MobileFaceNet(settings.peers, settings.threads), settings.keep)


def scrfd_edgeface(settings: Settings, recogniser: str = "xxs") -> Pipeline:
    """InsightFace's detector, EdgeFace."""
    return TimedTwoStage(
        _scrfd(settings), EdgeFaceOnCrops(settings.models, settings.threads, recogniser), settings.keep
    )


def mtcnn_squeezefaceposenet(settings: Settings) -> Pipeline:
    """The path that one pass replaces, `oneshot.TwoStage`, stage by stage."""
    from oneshot.inference.crop import SIDE
    from oneshot.inference.crop_recogniser import CropRecogniser
    from oneshot.inference.mtcnn import SCORE_THRESHOLD, Mtcnn
    from oneshot.inference.two_stage import two_stage_weights

    cv2.setNumThreads(settings.threads)
    recogniser = CropRecogniser(two_stage_weights(settings.squeezefaceposenet), settings.threads)
    score = settings.threshold(SCORE_THRESHOLD)
    detector = Mtcnn(settings.side, score_threshold=score, threads=settings.threads)
    return TimedTwoStage(detector, recogniser, settings.keep, partial(aligned_crops, side=SIDE))


def dlib(settings: Settings) -> Pipeline:
    """What the package face_recognition does."""
    from oneshot.evaluation.peers.dlib import Dlib

    cv2.setNumThreads(settings.threads)  # dlib itself has one thread on a CPU
    parts = Dlib(settings.side, score=settings.threshold(0.0, low=-1.0))
    return TimedTwoStage(parts.detect, parts.embed, settings.keep, parts.cut)


def oneshot(settings: Settings, shipped: str | None = None) -> Pipeline:
    """One pass, of a shipped network if it is named."""
    from oneshot.inference.predictor import OneShot

    cv2.setNumThreads(settings.threads)
    network = OneShot(
        shipped or settings.weights,
        side=settings.side,
        any_roll=settings.any_roll,
        threads=settings.threads,
    )
    network.score_threshold = settings.threshold(network.score_threshold)
    network.max_faces = settings.keep or network.max_faces
    return OnePass(network)


PIPELINES: dict[str, Callable[[Settings], Pipeline]] = {
    "oneshot": oneshot,
    "oneshot-int8": partial(oneshot, shipped="oneshot-int8"),
    "oneshot-large": partial(oneshot, shipped="oneshot-large"),
    "oneshot-large-int8": partial(oneshot, shipped="oneshot-large-int8"),
    "oneshot-nano": partial(oneshot, shipped="oneshot-nano"),
    "oneshot-nano-int8": partial(oneshot, shipped="oneshot-nano-int8"),
    "mtcnn+squeezefaceposenet": mtcnn_squeezefaceposenet,
    "dlib": dlib,
    "yunet+sface": yunet_sface,
    "scrfd500m+mobilefacenet": scrfd_mobilefacenet,
    "scrfd500m+edgeface-xxs": scrfd_edgeface,
    "scrfd500m+edgeface-xs": partial(scrfd_edgeface, recogniser="xs"),
    "yunet+edgeface-xxs": yunet_edgeface,
    "yunet+edgeface-xs": partial(yunet_edgeface, recogniser="xs"),
}
REFERENCE = "mtcnn+squeezefaceposenet"
"""Ratios are times over this one's, on the same image in the same run: the path that one pass replaces."""


def build(names: Sequence[str], settings: Settings) -> tuple[dict[str, Pipeline], dict[str, str]]:
    """The pipelines of these names that can be built, and for each of the others why it cannot.

    Raises:
        OneShotError: there is no pipeline of a name.
    """
    unknown = [name for name in names if name not in PIPELINES]
    if unknown:
        raise OneShotError(f"{unknown[0]}: no such pipeline; there are {', '.join(PIPELINES)}")
    built: dict[str, Pipeline] = {}
    absent: dict[str, str] = {}
    for name in names:
        try:
            built[name] = PIPELINES[name](settings)
        except OneShotError as error:
            absent[name] = str(error)
    return built, absent
