"""From a picture to its faces: choose the backend, fit the picture to it, bring the answers back."""

from collections.abc import Mapping, Sequence
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from oneshot.errors import OneShotError
from oneshot.inference.backend import Backend, portable, weights_file
from oneshot.inference.providers import Providers
from oneshot.inference.tiles import LEAST_FACE, SIDE, TILE, Tile, auto_side, joined, tiles
from oneshot.inference.turns import of_all_sides
from oneshot.media.images import check_image, least_side, letterbox
from oneshot.types import Faces, Image

Floats64 = NDArray[np.float64]

SCORE_THRESHOLD = 0.5
IOU_THRESHOLD = 0.45
"""Used where the weights do not carry values of their own, as in the middle of a training."""

MIN_FACE = 80
"""Pixels: with side="auto", a 12-megapixel photo is looked at at 1000 pixels, not at 640."""

TOGETHER = 8
"""Pictures of SIDE in one run at most, fewer of larger ones: a long list must not fill the memory."""


class OneShot:
    """Finds every face in a picture and describes each, in one pass of one network.

    Args:
        weights: a shipped network ("oneshot", which None is, too, the larger "oneshot-large" or the smaller
            "oneshot-nano"; each also in 8 bits, as "oneshot-int8"), or an .onnx, .ort or .safetensors file
            (the last needs torch).
        side: pixels; a picture whose longest side is longer is scaled down to it. "auto" chooses it for each
            picture, so that faces of `min_face` are found, at a price that grows with its area.
        min_face: pixels of the picture; only for side="auto".
        any_roll: look at each picture from all four sides, for faces that lie or are upside down: four times
            the time.
        min_side: pixels; a picture whose longest side is shorter is scaled up to it. None is 256, or `side`
            where that is less.
        score_threshold: faces less certain than this are left out; None is the weights' own value.
        iou_threshold: of boxes that overlap more than this, the best stays; None is the weights' own value.
        max_faces: the most faces in one picture, the best kept.
        threads: CPU threads; None is as many as this process may use (torch: its own choice).
        providers: what .onnx weights run on: names of ONNX Runtime's execution providers, short or full, in a
            text ("cuda,cpu") or a list, with options where wanted ("cuda:device_id=1", or pairs such as
            ("CUDAExecutionProvider", {"device_id": 1})). One that cannot be used is an error; None is the
            CPU.
        arena: ONNX Runtime keeps the memory of one run for the next: faster, but it holds what the largest
            picture needed.

    Attributes:
        info: the facts that the weights carry about themselves.
        thresholds: cosine similarity by false accept rate on LFW ("1e-3": one stranger in a thousand passes).
        side: as given; for "auto" the least.
        weights, settings: what it was made with. Pickled, it is these: others load the network anew.

    Raises:
        OneShotError: the weights are missing or foreign, or a setting makes no sense.
    """

    def __init__(
        self,
        weights: str | Path | None = None,
        *,
        side: int | Literal["auto"] = SIDE,
        min_face: int = MIN_FACE,
        any_roll: bool = False,
        min_side: int | None = None,
        score_threshold: float | None = None,
        iou_threshold: float | None = None,
        max_faces: int = 200,
        threads: int | None = None,
        providers: Providers | None = None,
        arena: bool = True,
    ):
        self.side: int = SIDE if isinstance(side, str) and side == "auto" else side  # type: ignore[assignment]
        check_range("side", self.side, 32, 1 << 14)
        check_range("min_face", min_face, LEAST_FACE, 1 << 14)
        self.min_face = min_face if isinstance(side, str) else None
        self.any_roll = any_roll
        self.min_side = least_side(min_side, self.side)
        check_range("min_side", self.min_side, 0, self.side)
        check_range("max_faces", max_faces, 1, 1 << 20)
        check_range("threads", 1 if threads is None else threads, 1, 1024)
        file = weights_file(weights)
        self.backend = _load(file, threads, providers, arena)
        self.info: dict[str, Any] = self.backend.info
        self.thresholds: dict[str, float] = dict(self.info.get("thresholds", {}))
        self.max_faces = max_faces
        self.score_threshold = threshold_in("score_threshold", score_threshold, self.info, SCORE_THRESHOLD)
        self.iou_threshold = threshold_in("iou_threshold", iou_threshold, self.info, IOU_THRESHOLD)
        self.weights = portable(weights, file)
        self.settings: dict[str, Any] = {
            "side": side,
            "min_face": min_face,
            "any_roll": any_roll,
            "min_side": min_side,
            "score_threshold": score_threshold,
            "iou_threshold": iou_threshold,
            "max_faces": max_faces,
            "threads": threads,
            "providers": providers,
            "arena": arena,
        }

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled, it is the weights' name and the settings: whoever opens it loads the network anew."""
        return partial(type(self), self.weights, **self.settings), ()

    @overload
    def __call__(self, image: Image, *, embed: bool = True) -> Faces: ...
    @overload
    def __call__(self, image: Sequence[Image], *, embed: bool = True) -> list[Faces]: ...
    def __call__(self, image: Image | Sequence[Image], *, embed: bool = True) -> Faces | list[Faces]:
        """The faces of a BGR uint8 picture (H, W, 3), in its own pixels; of several pictures, one Faces each.

        Boxes are clipped to the picture. Pictures of a list may differ in size; those that the letterbox
        brings to one size share a run. Without `embed` faces are found but not described, which is faster:
        the embeddings are (N, 0), which a gallery refuses.

        Raises:
            OneShotError: a picture is not such an array.
        """
        if isinstance(image, (list, tuple)):
            return self._of_sides([check_image(one) for one in image], embed)
        return self._of_sides([check_image(image)], embed)[0]

    def side_for(self, image: Image) -> int:
        """The side that a picture is scaled to, if it is larger."""
        if self.min_face is None:
            return self.side
        return auto_side(image.shape[1], image.shape[0], self.min_face)

    def _of_sides(self, images: Sequence[Image], embed: bool) -> list[Faces]:
        if not self.any_roll:
            return self._faces(images, embed)
        views = self._faces([np.rot90(image, turns) for image in images for turns in range(4)], embed)
        return [
            of_all_sides(views[4 * i : 4 * i + 4], image.shape[1::-1], self.iou_threshold, self.max_faces)
            for i, image in enumerate(images)
        ]

    def _faces(self, images: Sequence[Image], embed: bool) -> list[Faces]:
        looks: list[tuple[Image, int]] = []
        parts: list[list[Tile]] = []
        for image in images:
            side = self.side_for(image)
            parts.append(tiles(image.shape[1], image.shape[0], side) if self.min_face else [])
            looks.append((image, SIDE if parts[-1] else side))
            for x0, y0, x1, y1 in (tile.box for tile in parts[-1]):
                looks.append((image[y0:y1, x0:x1], TILE))
        found = iter(self._looked_at(looks, embed))
        result = []
        for image, cut in zip(images, parts, strict=True):
            faces = next(found)
            if cut:
                size = image.shape[1], image.shape[0]
                faces = joined(faces, [(tile, next(found)) for tile in cut], size, self.max_faces)
            result.append(faces)
        return result

    def _looked_at(self, looks: Sequence[tuple[Image, int]], embed: bool) -> list[Faces]:
        """The faces of pictures, each scaled to a side of its own."""
        images = [image for image, _ in looks]
        found: dict[int, Faces] = {}
        waiting: dict[tuple[int, ...], list[tuple[int, Image, Floats64]]] = {}
        for number, (image, side) in enumerate(looks):
            padded, scale = letterbox(image, side, self.min_side)
            group = waiting.setdefault(padded.shape, [])
            group.append((number, padded, scale))
            most = TOGETHER * SIDE**2 // (padded.shape[0] * padded.shape[1])
            if len(group) >= min(TOGETHER, most):
                found |= self._run(images, waiting.pop(padded.shape), embed)
        for group in waiting.values():
            found |= self._run(images, group, embed)
        return [found[number] for number in range(len(images))]

    def _run(
        self, images: Sequence[Image], group: list[tuple[int, Image, Floats64]], embed: bool
    ) -> dict[int, Faces]:
        rgb = np.ascontiguousarray(np.stack([padded[..., ::-1] for _, padded, _ in group]))
        boxes, scores, landmarks, embeddings, which = self.backend.run(
            rgb, self.score_threshold, self.iou_threshold, self.max_faces, embed
        )
        found = {}
        for place, (number, _, scale) in enumerate(group):
            mine = slice(*np.searchsorted(which, (place, place + 1)))
            height, width = images[number].shape[:2]
            corners = (boxes[mine].reshape(-1, 2, 2) / scale).clip(0, (width, height))
            points = (landmarks[mine] / scale).astype(np.float32)
            found[number] = Faces(
                corners.reshape(-1, 4).astype(np.float32), scores[mine], points, embeddings[mine]
            )
        return found


def _load(path: Path, threads: int | None, providers: Providers | None, arena: bool) -> Backend:
    if path.suffix in (".onnx", ".ort"):
        from oneshot.inference.onnx import OnnxBackend

        return OnnxBackend(path, threads, providers, arena)
    if path.suffix != ".safetensors":
        raise OneShotError(
            f"{path}: weights end in .onnx, .ort or .safetensors; give such a file, or a shipped network"
        )
    if providers is not None:
        raise OneShotError(f"{path}: providers are ONNX Runtime's; leave them out, or give .onnx weights")
    try:
        from oneshot.inference.torch import TorchBackend
    except ModuleNotFoundError as error:
        raise OneShotError(
            f"{path}: needs {error.name}; pip install 'oneshot-face[train]', or give .onnx weights"
        ) from None
    return TorchBackend(path, threads)


def check_range(name: str, value: int, low: int, high: int) -> None:
    """Raise OneShotError where the setting `name` is not within these limits."""
    if not isinstance(value, Integral) or not low <= value <= high:
        raise OneShotError(f"{name}={value} is out of range; give a whole number from {low} to {high}")


def threshold_in(name: str, given: float | None, info: Mapping[str, Any], otherwise: float) -> float:
    """The threshold given, else the weights' own, else `otherwise`; OneShotError if not from 0 to 1."""
    value = float(info.get(name, otherwise)) if given is None else given
    if not isinstance(value, Real) or not 0 <= value <= 1:
        raise OneShotError(f"{name}={value} is out of range; give a number from 0 to 1")
    return value
