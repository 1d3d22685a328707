"""The path that one pass replaces, behind the same call: find faces, cut each out, describe it."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, overload

import numpy as np

from oneshot.errors import OneShotError
from oneshot.geometry import normalised
from oneshot.inference.backend import portable, weights_file
from oneshot.inference.crop import SIDE, Crop, crop
from oneshot.inference.predictor import check_range, threshold_in
from oneshot.media.images import check_image, least_side
from oneshot.types import Detected, Faces, Image

Detector = Callable[[Image], Detected]
"""Faces of a BGR picture, in its own pixels, best first."""

WEIGHTS = "squeezefaceposenet-dwc"
"""The form of the authors' file; the other three (-plain, -gdc, -dwc+gdc) are not in the wheel."""


class TwoStage:
    """MTCNN finds every face, SqueezeFacePoseNet describes each crop; needs torch and facenet-pytorch.

    Args:
        weights: a shipped network ("squeezefaceposenet-dwc", None is that, too; -plain, -gdc, -dwc+gdc), or a
            .safetensors of SqueezeFacePoseNet, as scripts/import_squeezefaceposenet.py writes it.
        detector: instead of MTCNN, at settings of its own: the four below are MTCNN's.
        side: pixels; a picture whose longest side is longer is scaled down to it before faces are sought.
        min_side: pixels; a picture whose longest side is shorter is scaled up to it. None is 256, or `side`
            where that is less.
        score_threshold: faces less certain than this are left out; None is MTCNN's own 0.7.
        max_faces: the most faces in one picture, the best kept.
        crop: "aligned" by the landmarks, or "box", the paper's. Crops are cut from the picture at full size.
        threads: CPU threads; None is the backends' own choice.

    Attributes:
        info: the facts that the weights carry about themselves.
        thresholds: cosine similarity by false accept rate on LFW, where they were measured.
        side: the largest picture's side, in which faces are described as they are.
        weights, settings: what it was made with; it is pickled as these.

    Raises:
        OneShotError: a package or the weights are missing or foreign, or a setting makes no sense.
    """

    def __init__(
        self,
        weights: str | Path | None = None,
        *,
        detector: Detector | None = None,
        side: int = 640,
        min_side: int | None = None,
        score_threshold: float | None = None,
        max_faces: int = 200,
        crop: Crop = "aligned",
        threads: int | None = None,
    ):
        check_range("side", side, 32, 1 << 14)
        min_side = least_side(min_side, side)
        check_range("min_side", min_side, 0, side)
        check_range("max_faces", max_faces, 1, 1 << 20)
        check_range("threads", 1 if threads is None else threads, 1, 1024)
        if crop not in ("aligned", "box"):
            raise OneShotError(f'crop={crop!r}: no such crop; choose "aligned" or "box"')
        # Not at the top: `import oneshot` must not import torch.
        from oneshot.inference.crop_recogniser import CropRecogniser
        from oneshot.inference.mtcnn import SCORE_THRESHOLD, Mtcnn

        self.score_threshold = threshold_in("score_threshold", score_threshold, {}, SCORE_THRESHOLD)
        file = two_stage_weights(weights)
        self.recognise = CropRecogniser(file, threads)
        self.detect = detector or Mtcnn(side, min_side, self.score_threshold, threads)
        self.crop: Crop = crop
        self.max_faces = max_faces
        self.side = 1 << 14  # for finding faces `side` holds; they are described at full size
        # A gallery remembers this: other crops make other embeddings.
        sha = f"{self.recognise.info['weights_sha256']}-{crop}"
        self.info: dict[str, Any] = {**self.recognise.info, "weights_sha256": sha}
        self.thresholds: dict[str, float] = dict(self.info.get("thresholds", {}))
        self.weights = portable(weights, file)
        self.settings: dict[str, Any] = {
            "detector": detector,
            "side": side,
            "min_side": min_side,
            "score_threshold": score_threshold,
            "max_faces": max_faces,
            "crop": crop,
            "threads": threads,
        }

    def __reduce__(self) -> tuple[Any, ...]:
        """As `OneShot`; a `detector` that was given must be one that can be pickled, too."""
        return partial(type(self), self.weights, **self.settings), ()

    @overload
    def __call__(self, image: Image, *, embed: bool = True) -> Faces: ...
    @overload
    def __call__(self, image: Sequence[Image], *, embed: bool = True) -> list[Faces]: ...
    def __call__(self, image: Image | Sequence[Image], *, embed: bool = True) -> Faces | list[Faces]:
        """The faces of a BGR uint8 picture (H, W, 3), in its own pixels; of several pictures, one Faces each.

        Boxes are clipped to the picture; embeddings are (N, 1000), L2-normalised, and without `embed` (N, 0).

        Raises:
            OneShotError: a picture is not such an array.
        """
        if isinstance(image, (list, tuple)):
            return [self._faces(check_image(one), embed) for one in image]
        return self._faces(check_image(image), embed)

    def side_for(self, image: Image) -> int:
        """As `OneShot`: faces are described as they are in the picture at full size."""
        return self.side

    def _faces(self, image: Image, embed: bool) -> Faces:
        found = self.detect(image)
        boxes, scores, landmarks = (
            rows[: self.max_faces] for rows in (found.boxes, found.scores, found.landmarks)
        )
        height, width = image.shape[:2]
        corners = boxes.reshape(-1, 2, 2).clip(0, (width, height)).reshape(-1, 4).astype(np.float32)
        if not embed:
            return Faces(corners, scores, landmarks, np.empty((len(scores), 0), np.float32))
        crops = [crop(image, b, points, self.crop) for b, points in zip(boxes, landmarks, strict=True)]
        rows = self.recognise(np.stack(crops) if crops else np.empty((0, SIDE, SIDE, 3), np.uint8))
        return Faces(corners, scores, landmarks, normalised(rows))


def two_stage_weights(given: str | Path | None) -> Path:
    """The file that `given` names, a path or a shipped network; OneShotError where it is of another kind."""
    path = weights_file(given, WEIGHTS, ".safetensors")
    if path.suffix != ".safetensors":
        raise OneShotError(f"{path}: weights of the two-stage path end in .safetensors; give such a file")
    return path
