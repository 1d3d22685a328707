"""MTCNN (Zhang et al. 2016, arXiv:1604.02878), the detector that SqueezeFacePoseNet's paper uses.

It is facenet-pytorch's, whose wheel brings the weights (MIT).
"""

import cv2
import numpy as np

from oneshot.errors import OneShotError
from oneshot.media.images import letterbox
from oneshot.types import Faces, Image

MIN_FACE = 20
"""Pixels: facenet-pytorch's default for the smallest face; a picture below it holds none."""

SCORE_THRESHOLD = 0.7
"""Its default for the last of its three networks."""


class Mtcnn:
    """Finds faces; the call gives them without embeddings, (N, 0).

    Args:
        side, min_side: pixels; a picture whose longest side is longer (shorter) is scaled to it.
        score_threshold: faces less certain than this are left out.
        threads: CPU threads of torch, for the whole process; None leaves them.

    Raises:
        OneShotError: facenet-pytorch is not installed.
    """

    def __init__(
        self,
        side: int = 640,
        min_side: int = 0,
        score_threshold: float = SCORE_THRESHOLD,
        threads: int | None = None,
    ):
        try:
            import torch
            from facenet_pytorch import MTCNN
        except ImportError as error:
            raise OneShotError(
                f"MTCNN: {error.name} is not installed; pip install 'oneshot-face[peers]', "
                "then pip install --no-deps facenet-pytorch"
            ) from None
        if threads is not None:
            torch.set_num_threads(threads)
        self.side, self.min_side = side, min_side
        self.net = MTCNN(
            min_face_size=MIN_FACE,
            thresholds=[0.6, 0.7, score_threshold],
            keep_all=True,
            select_largest=False,  # best first
        )

    def __call__(self, image: Image) -> Faces:
        """The faces of a BGR picture (H, W, 3), in its own pixels, best first."""
        padded, scale = letterbox(image, self.side, self.min_side)
        # Without the letterbox's black border, which the one pass needs and MTCNN does not.
        height, width = np.round(image.shape[:2] * scale[::-1]).astype(int)
        if min(height, width) < MIN_FACE:  # its pyramid would have no level
            return Faces.empty(0)
        rgb = cv2.cvtColor(padded[:height, :width], cv2.COLOR_BGR2RGB)
        boxes, scores, landmarks = self.net.detect(rgb, landmarks=True)
        if boxes is None:
            return Faces.empty(0)
        corners, points = (
            np.asarray(rows, np.float32).reshape(len(boxes), -1, 2) / scale for rows in (boxes, landmarks)
        )
        return Faces(
            corners.reshape(-1, 4).astype(np.float32),
            np.asarray(scores, np.float32),
            points.astype(np.float32),
            np.empty((len(boxes), 0), np.float32),
        )
