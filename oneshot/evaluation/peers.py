"""What one pass is judged against: other people's detectors and recognisers, and the pipelines made of them.

Their files are not part of this project (shared/models/get_peers.py fetches them). A peer whose file or
package is not there raises OneShotError when it is built, so that a comparison can list it as absent.

Sources: YuNet and SFace through OpenCV's own classes (OpenCV zoo); SCRFD-500M and MobileFaceNet (InsightFace
buffalo_sc; the detector has nine outputs, two anchors a cell, distances in strides); EdgeFace (Idiap,
timm's architectures). dlib is in `dlib_peer`.
"""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from oneshot.align import TEMPLATE_SIDE, warp_face
from oneshot.errors import OneShotError
from oneshot.image import letterbox
from oneshot.models.edgeface import EDGEFACE
from oneshot.runtime.onnx import QUIET
from oneshot.types import Image

Floats = NDArray[np.floating]


class Found(NamedTuple):
    """Faces of one image in its pixels, best first."""

    boxes: NDArray[np.float32]  # (N, 4) x0, y0, x1, y1
    scores: NDArray[np.float32]  # (N,)
    landmarks: NDArray[np.float32]  # (N, 5, 2)


def session(model: Path | bytes, threads: int) -> onnxruntime.InferenceSession:
    """ONNX Runtime on the CPU with exactly `threads` threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = QUIET  # MobileFaceNet's file speaks of one face: a warning a batch
    source = model if isinstance(model, bytes) else str(_there(model))
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def _there(path: Path) -> Path:
    if not path.is_file():
        raise OneShotError(f"{path}: no such file; fetch it and name its folder (--peers, --models)")
    return path


class Yunet:
    """OpenCV's FaceDetectorYN, with its default threshold; its threads are OpenCV's (cv2.setNumThreads)."""

    def __init__(self, folder: Path, side: int, min_side: int = 0, score: float = 0.9) -> None:
        file = _there(folder / "face_detection_yunet_2023mar.onnx")
        self.side, self.min_side = side, min_side
        self.net = cv2.FaceDetectorYN.create(str(file), "", (side, side), score, 0.3, 5000)

    def __call__(self, image: Image) -> Found:
        padded, scale = letterbox(image, self.side, self.min_side)
        self.net.setInputSize(padded.shape[1::-1])
        _, found = self.net.detect(padded)  # None where there is no face
        rows = np.empty((0, 15), np.float32) if found is None else np.asarray(found, np.float32)
        rows = rows[np.argsort(-rows[:, 14], kind="stable")]
        corners = np.stack((rows[:, :2], rows[:, :2] + rows[:, 2:4]), 1)
        points = rows[:, 4:14].reshape(-1, 5, 2)
        return _in_image(corners, rows[:, 14], points, scale)


class Scrfd:
    """InsightFace's SCRFD-500M with its own thresholds: score 0.5, NMS 0.4."""

    def __init__(
        self, folder: Path, side: int, min_side: int = 0, score: float = 0.5, threads: int = 1
    ) -> None:
        self.session = session(folder / "scrfd_500m_bnkps.onnx", threads)
        self.side, self.min_side, self.score = side, min_side, score

    def __call__(self, image: Image) -> Found:
        padded, scale = letterbox(image, self.side, self.min_side)
        blob = cv2.dnn.blobFromImage(padded, 1 / 128, mean=(127.5, 127.5, 127.5), swapRB=True)
        outputs = self.session.run(None, {"input.1": blob})
        corners, scores, points = (
            np.concatenate(parts) for parts in zip(*self._levels(outputs, padded), strict=True)
        )
        boxes = np.concatenate((corners[:, 0], corners[:, 1] - corners[:, 0]), 1)
        # OpenCV's NMS returns the kept ones best first.
        order = cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), self.score, 0.4)
        kept = np.asarray(order, np.int64).ravel()
        return _in_image(corners[kept], scores[kept], points[kept], scale)

    def _levels(self, outputs: list[Floats], padded: Image) -> Iterator[tuple[Floats, Floats, Floats]]:
        """Candidates above the threshold of each stride: corners (n, 2, 2), scores (n,), points (n, 5, 2)."""
        for level, stride in enumerate((8, 16, 32)):
            scores = outputs[level].reshape(-1)
            keep = np.flatnonzero(scores >= self.score)
            columns = padded.shape[1] // stride
            cell = keep // 2  # two anchors a cell
            anchor = (np.stack((cell % columns, cell // columns), 1) * stride).astype(np.float32)
            distances = outputs[3 + level].reshape(-1, 2, 2)[keep] * stride
            corners = anchor[:, None] + distances * np.array([[-1], [1]], np.float32)
            points = anchor[:, None] + outputs[6 + level].reshape(-1, 5, 2)[keep] * stride
            yield corners, scores[keep], points


def _in_image(corners: Floats, scores: Floats, points: Floats, scale: NDArray[np.float64]) -> Found:
    """Back from the letterbox: corners (n, 2, 2) and points (n, 5, 2) divided by its scale."""
    boxes, landmarks = (corners / scale).reshape(-1, 4), points / scale
    return Found(boxes.astype(np.float32), scores.astype(np.float32), landmarks.astype(np.float32))


@functools.cache
def _edgeface_onnx(models: Path, recogniser: str) -> bytes:
    """One of timm's architectures with EdgeFace's weights as an ONNX file's bytes, batch dynamic."""
    try:
        import timm
        import torch
        from safetensors.torch import load_file

        from oneshot.runtime.torch import as_onnx
    except ImportError as error:
        raise OneShotError(
            f"EdgeFace: {error.name} is not installed; pip install 'oneshot-face[train]'"
        ) from error
    kind = EDGEFACE[recogniser]
    net = timm.create_model(kind.timm, num_classes=512).eval()
    net.load_state_dict(load_file(_there(models / kind.file)))
    return as_onnx(net.float(), torch.zeros(2, 3, 112, 112))


class EdgeFace:
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
            str(_there(folder / "face_recognition_sface_2021dec.onnx")), ""
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
