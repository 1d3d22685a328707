"""What the one pass is compared with on the same photos: its own network at given landmarks, and its teacher.

Between the teacher on the aligned crop and the one pass lie two losses: imitating the teacher (teacher →
given landmarks) and finding the landmarks itself (given landmarks → end to end).
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from oneshot.errors import OneShotError
from oneshot.evaluation.lfw import Aligned, central_landmarks
from oneshot.evaluation.peers.detectors import Scrfd
from oneshot.evaluation.peers.recognisers import EdgeFaceOnCrops
from oneshot.geometry import warp_face
from oneshot.inference.crop import aligned_crop
from oneshot.media.images import least_side, letterbox
from oneshot.types import AnyFloats, Image


def given_landmarks(peers: Path, threads: int) -> Callable[[Image], AnyFloats]:
    """SCRFD-500M's landmarks of a photo's most central face, (5, 2).

    At side 480 it misses none of the photos of LFW's pairs (at their own 250 and at 320, one).
    """
    detector = scrfd(peers, threads)
    return lambda photo: central_landmarks(detector, photo)


def scrfd(peers: Path, threads: int) -> Scrfd:
    """SCRFD-500M as given landmarks are made with it."""
    return Scrfd(peers, side=480, min_side=480, threads=threads)


def student(weights: Path, side: int, min_side: int | None, threads: int) -> Aligned:
    """The network's embedding of a face in a whole photo, landmarks given; needs torch weights."""
    file = weights.with_suffix(".safetensors")
    if not file.is_file():
        raise OneShotError(
            f"{file}: no such file; given landmarks need the torch weights beside {weights.name}"
        )
    try:
        from oneshot.inference.torch import TorchBackend
    except ImportError as error:
        raise OneShotError(
            f"{file}: {error.name} is not installed; pip install 'oneshot-face[train]'"
        ) from error
    backend = TorchBackend(file, threads)

    def embed(photo: Image, landmarks: AnyFloats) -> AnyFloats:
        padded, scale = letterbox(photo, side, least_side(min_side, side))
        rgb = np.ascontiguousarray(padded[None, ..., ::-1])
        return backend.embed(rgb, (landmarks * np.asarray(scale))[None].astype(np.float32))[0]

    return embed


def teacher(models: Path, threads: int, recogniser: str) -> Aligned:
    """EdgeFace, "xxs" or "xs", on the 112 × 112 crop aligned by the landmarks."""
    network = EdgeFaceOnCrops(models, threads, recogniser)
    return lambda photo, landmarks: network(warp_face(photo, landmarks)[None])[0]


def squeezefaceposenet(weights: Path, threads: int) -> Aligned:
    """SqueezeFacePoseNet on the 113 × 113 crop aligned by the landmarks: the descriptor, not normalised."""
    from oneshot.inference.crop_recogniser import CropRecogniser

    network = CropRecogniser(weights, threads)
    return lambda photo, landmarks: network(aligned_crop(photo, landmarks)[None])[0]


def available(builders: Mapping[str, Callable[[], Any]]) -> tuple[dict[str, Any], list[str]]:
    """Build what can be built, and say in a sentence each what cannot."""
    built, notes = {}, []
    for name, build in builders.items():
        try:
            built[name] = build()
        except OneShotError as error:
            notes.append(f"{name} left out: {error}")
    return built, notes
