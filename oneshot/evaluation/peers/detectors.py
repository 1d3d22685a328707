"""Other people's detectors, each from a picture to what it finds there.

YuNet comes through OpenCV's own class (OpenCV zoo). SCRFD-500M is InsightFace's (buffalo_sc), with nine
outputs, two anchors a cell, distances in strides.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from oneshot.evaluation.peers.files import present, session
from oneshot.media.images import letterbox
from oneshot.types import Image


class Found(NamedTuple):
    """Faces of one image in its pixels, best first."""

    boxes: NDArray[np.float32]  # (N, 4) x0, y0, x1, y1
    scores: NDArray[np.float32]  # (N,)
    landmarks: NDArray[np.float32]  # (N, 5, 2)


class Yunet:
    """OpenCV's FaceDetectorYN, with its default threshold; its threads are OpenCV's (cv2.setNumThreads)."""

    def __init__(self, folder: Path, side: int, min_side: int = 0, score: float = 0.9) -> None:
        file = present(folder / "face_detection_yunet_2023mar.onnx")
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

    def _levels(
        self, outputs: list[NDArray[np.floating]], padded: Image
    ) -> Iterator[tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating]]]:
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


def _in_image(
    corners: NDArray[np.floating],
    scores: NDArray[np.floating],
    points: NDArray[np.floating],
    scale: NDArray[np.float64],
) -> Found:
    """Back from the letterbox: corners (n, 2, 2) and points (n, 5, 2) divided by its scale."""
    boxes, landmarks = (corners / scale).reshape(-1, 4), points / scale
    return Found(boxes.astype(np.float32), scores.astype(np.float32), landmarks.astype(np.float32))
