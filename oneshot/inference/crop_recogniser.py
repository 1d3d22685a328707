"""SqueezeFacePoseNet on crops, by ONNX Runtime: three times as fast as the same network in torch."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from oneshot.errors import OneShotError
from oneshot.inference.crop import SIDE
from oneshot.inference.threads import chosen_threads
from oneshot.types import Floats


class CropRecogniser:
    """Crops to descriptors.

    Args:
        path: a .safetensors of SqueezeFacePoseNet; its graph is made when it is loaded.
        threads: CPU threads; None is as many as this process may use.

    Attributes:
        info: the facts in the file's header.

    Raises:
        OneShotError: torch is not installed, or the file is missing or not such weights.
    """

    def __init__(self, path: Path, threads: int | None = None):
        try:
            from oneshot.inference.torch import as_onnx
            from oneshot.models.weights import load_squeezefaceposenet
        except ModuleNotFoundError as error:
            raise OneShotError(f"{path}: needs {error.name}; pip install 'oneshot-face[train]'") from None
        import torch

        net, info = load_squeezefaceposenet(path)
        self.info: dict[str, Any] = info
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = chosen_threads(threads), 1
        graph = as_onnx(net, torch.zeros(2, 3, SIDE, SIDE))
        self.session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def __call__(self, crops: NDArray[np.uint8]) -> Floats:
        """Descriptors (N, 1000) of BGR crops (N, 113, 113, 3), in one batch: as the network gives them.

        None is negative; they are not normalised, as χ² and the averaging of templates want them.
        """
        if not len(crops):
            return np.empty((0, 1000), np.float32)
        rgb = np.ascontiguousarray(crops[..., ::-1].transpose(0, 3, 1, 2), np.float32)
        return np.asarray(self.session.run(None, {"crops": rgb})[0], np.float32)
