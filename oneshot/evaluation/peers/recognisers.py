"""Other people's recognisers, each from aligned crops to embeddings.

SFace comes through OpenCV's own class (OpenCV zoo); MobileFaceNet is InsightFace's (buffalo_sc); EdgeFace is
Idiap's, in timm's architectures.
"""

import functools
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from oneshot.errors import OneShotError
from oneshot.evaluation.peers.files import present, session
from oneshot.geometry import TEMPLATE_SIDE, warp_face
from oneshot.models.edgeface import EDGEFACE
from oneshot.types import Image


@functools.cache
def _edgeface_onnx(models: Path, recogniser: str) -> bytes:
    """One of timm's architectures with EdgeFace's weights as an ONNX file's bytes, batch dynamic."""
    try:
        import timm
        import torch
        from safetensors.torch import load_file

        from oneshot.inference.torch import as_onnx
    except ImportError as error:
        raise OneShotError(
            f"EdgeFace: {error.name} is not installed; pip install 'oneshot-face[train]'"
        ) from error
    kind = EDGEFACE[recogniser]
    net = timm.create_model(kind.timm, num_classes=512).eval()
    net.load_state_dict(load_file(present(models / kind.file)))
    return as_onnx(net.float(), torch.zeros(2, 3, 112, 112))


class EdgeFaceOnCrops:
    """EdgeFace, "xxs" or "xs", on aligned crops, one batch: (N, 112, 112, 3) BGR uint8 → (N, 512),
    L2-normalised."""

    def __init__(self, models: Path, threads: int, recogniser: str = "xxs") -> None:
        self.session = session(_edgeface_onnx(models, recogniser), threads)

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        return _described(self.session, crops)


class MobileFaceNet:
    """InsightFace's w600k_mbf (buffalo_sc): (N, 112, 112, 3) BGR uint8 → (N, 512), L2-normalised."""

    def __init__(self, folder: Path, threads: int) -> None:
        self.session = session(folder / "w600k_mbf.onnx", threads)

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        return _described(self.session, crops)


def _described(session: onnxruntime.InferenceSession, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """One batch through a network of 512 numbers that wants RGB from -1 to 1."""
    if len(crops) == 0:
        return np.empty((0, 512), np.float32)
    x = (crops[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32) - 127.5) / 127.5
    rows = session.run(None, {session.get_inputs()[0].name: np.ascontiguousarray(x)})[0]
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


class SFace:
    """OpenCV's FaceRecognizerSF: crops (its class takes one a call, no batch) → (N, 128), L2-normalised."""

    def __init__(self, folder: Path) -> None:
        self.net = cv2.FaceRecognizerSF.create(
            str(present(folder / "face_recognition_sface_2021dec.onnx")), ""
        )

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        rows = [self.net.feature(crop).copy() for crop in crops]
        stacked = np.concatenate(rows) if rows else np.empty((0, 128), np.float32)
        return stacked / np.linalg.norm(stacked, axis=1, keepdims=True)


def aligned_crops(
    image: Image, landmarks: NDArray[np.float32], side: int = TEMPLATE_SIDE
) -> NDArray[np.uint8]:
    """All faces (N, 5, 2) warped to the ArcFace template: (N, side, side, 3)."""
    crops = [warp_face(image, points, side) for points in landmarks]
    return np.stack(crops) if crops else np.empty((0, side, side, 3), np.uint8)
