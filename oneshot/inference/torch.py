"""The torch backend: the same call as the ONNX one, for research and for checking the export."""

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from oneshot.models.squeezefaceposenet import DESCRIPTOR, SqueezeFacePoseNet
from oneshot.models.weights import load_network

Array = NDArray[np.float32]


class TorchBackend:
    """A .safetensors file of oneshot, run by torch.

    Attributes:
        info: the facts in the file's header.

    Raises:
        OneShotError: the file is missing or not a weights file of oneshot.
    """

    def __init__(self, path: Path | str, threads: int | None = None):
        if threads is not None:
            torch.set_num_threads(threads)
        net, info = load_network(Path(path))
        self.net = net
        self.info: dict[str, Any] = info

    @torch.inference_mode()
    def run(
        self,
        image: NDArray[np.uint8],
        score_threshold: float,
        iou_threshold: float,
        max_faces: int,
        embed: bool = True,
    ) -> tuple[Array, Array, Array, Array, NDArray[np.int64]]:
        """As `Backend.run`."""
        out = self.net(_pixels(image), score_threshold, iou_threshold, max_faces, embed)
        boxes, scores, landmarks, embeddings, images = (t.numpy() for t in out)
        return boxes, scores, landmarks, embeddings, images

    @torch.inference_mode()
    def embed(self, image: NDArray[np.uint8], landmarks: Array) -> Array:
        """Embeddings (N, 1000) of faces in (1, H, W, 3) uint8 RGB, aligned by given landmarks (N, 5, 2)."""
        sampled = self.net.sampled_of(_pixels(image))
        return self.net.identity(sampled, torch.from_numpy(np.asarray(landmarks, np.float32))).numpy()


def _pixels(image: NDArray[np.uint8]) -> torch.Tensor:
    """(B, H, W, 3) as networks take it: (B, 3, H, W) float32."""
    return torch.from_numpy(image).permute(0, 3, 1, 2).float()


def as_onnx(net: torch.nn.Module, crops: torch.Tensor) -> bytes:
    """A network from crops to embeddings as an ONNX file, batch dynamic; `crops` shows the input's shape."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        # The older exporter is deprecated, but its graph runs a fifth faster (EdgeFace, measured).
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net,
            (crops,),
            file,  # type: ignore[arg-type]
            input_names=["crops"],
            output_names=["embeddings"],
            dynamic_axes={"crops": {0: "n"}, "embeddings": {0: "n"}},
            opset_version=18,
            dynamo=False,
        )
    return file.getvalue()


@torch.inference_mode()
def describe_crops(net: SqueezeFacePoseNet, crops: NDArray[np.uint8]) -> Array:
    """Descriptors (N, 1000), as they are, of BGR crops (N, 113, 113, 3), in one batch; N may be 0."""
    rgb = torch.from_numpy(np.ascontiguousarray(crops[..., ::-1])).permute(0, 3, 1, 2).float()
    return net(rgb).numpy() if len(rgb) else np.empty((0, DESCRIPTOR), np.float32)
