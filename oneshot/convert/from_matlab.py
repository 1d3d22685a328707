"""The authors' MATLAB file of SqueezeFacePoseNet+DWC as tensors of our module.

The file (github.com/HalmstadUniversityBiometrics, MIT) holds a layer graph. Convolutions are stored as
height, width, input channel, output channel; in the depth-wise ones each output channel has the one input
channel of its group.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from oneshot.errors import OneShotError
from oneshot.models.squeezefaceposenet import FORMS, SqueezeFacePoseNet

LAYERS = {
    "squeeze1x1": "squeeze",
    "expand1x1": "expand1x1",
    "expand3x3-groupedconv": "expand3x3",
}
"""Their names of a fire module's convolutions, and ours."""


def read_mat(path: Path) -> SqueezeFacePoseNet:
    """The authors' network, in evaluation mode.

    Raises:
        OneShotError: mat-io is not installed, or the file is missing or not their DWC network.
    """
    if not path.is_file():
        raise OneShotError(f"{path}: no such file; download it from the authors' repository first")
    try:
        from matio import load_from_mat
    except ImportError as error:
        raise OneShotError(
            f"{path}: needs {error.name}; pip install 'oneshot-face[peers]' to read MATLAB files"
        ) from None
    net = SqueezeFacePoseNet(FORMS["dwc"])
    try:
        graph = load_from_mat(str(path))["lgraph_1"].properties["any"][0, 0]
        net.load_state_dict(_tensors(graph["Layers"]))
    except Exception as error:  # mat-io has no exception of its own: whatever goes wrong means another file
        raise OneShotError(
            f"{path}: not the authors' SqueezeFacePoseNet_with_separable_DWC.mat ({type(error).__name__}); "
            "download it again"
        ) from error
    return net.eval()


def _tensors(layers: Any) -> dict[str, Tensor]:
    state = {}
    for layer in np.asarray(layers).ravel():
        fields = layer.properties["any"][0, 0]
        if "Weights" not in fields.dtype.names:
            continue
        block, _, convolution = str(fields["Name"][0]).partition("-")
        name = f"{block}.{LAYERS[convolution]}" if convolution else block
        weights, bias = (fields[key][0, 0]["Value"] for key in ("Weights", "Bias"))
        state[f"{name}.weight"] = torch.tensor(np.transpose(weights, (3, 2, 0, 1)).copy())
        state[f"{name}.bias"] = torch.tensor(bias.ravel().copy())
    return state
