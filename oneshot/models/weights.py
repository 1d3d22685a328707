"""Weights that describe themselves: safetensors with the network's config and card facts in the header."""

import hashlib
import json
from pathlib import Path
from typing import Any

from torch import nn

from oneshot.errors import OneShotError
from oneshot.files import replacing
from oneshot.models.config import NetworkConfig, read_config
from oneshot.models.network import OneShotNet
from oneshot.models.squeezefaceposenet import Form, SqueezeFacePoseNet

Network = OneShotNet | SqueezeFacePoseNet

IDENTITY = ("thin2.", "bridge.", "join.", "deep.", "cell.")
"""How the identity head's tensors begin in files. Their names are a format: galleries know a file by the hash
over names and values, and 8-bit layers are chosen by them."""


def name_in_file(name: str) -> str:
    """The name that a network's tensor has in files."""
    return name.removeprefix("identity.")


def name_in_network(name: str) -> str:
    """The name that a file's tensor has in the network."""
    return f"identity.{name}" if name.startswith(IDENTITY) else name


def save_weights(path: Path, net: Network, info: dict[str, Any], half: bool = True) -> str:
    """Write a network (fp16 unless `half` is False) by a temporary name; returns its tensors' sha256.

    Batch-norm's statistics stay fp32: SqueezeNet's features are unscaled, and at stride 32 their variance
    passes fp16's 65,504.

    Raises:
        OneShotError: a weight is not finite, or no longer is in fp16.
    """
    from safetensors.torch import save

    named = {name_in_file(name): tensor for name, tensor in net.state_dict().items()}
    state = {
        k: (v.half() if half and v.is_floating_point() and ".running_" not in k else v).contiguous().cpu()
        for k, v in named.items()
    }
    broken = [k for k, v in state.items() if not v.isfinite().all()]
    if broken:
        raise OneShotError(f"{path}: {broken[0]} is not finite as {state[broken[0]].dtype}; not written")
    digest = hashlib.sha256()
    for key in sorted(state):
        digest.update(key.encode() + state[key].numpy().tobytes())
    info = {
        **info,
        "architecture": type(net).__name__,
        "network": net.config.as_dict(),
        "weights_sha256": digest.hexdigest(),
    }
    # safetensors' own writer leaves a file that nobody else may read.
    with replacing(path) as partial:
        partial.write_bytes(save(state, {"oneshot": json.dumps(info)}))
    return digest.hexdigest()


def read_info(path: Path) -> dict[str, Any]:
    """The facts in a weights file's header.

    Raises:
        OneShotError: the file is missing, is no safetensors file, or was not written by oneshot.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise OneShotError(f"{path}: no such weights file; leave --weights out to use the shipped ones")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        return dict(json.loads(metadata["oneshot"]))
    except (SafetensorError, KeyError, json.JSONDecodeError):
        raise OneShotError(
            f"{path}: not a weights file of oneshot; use one that scripts/train.py wrote"
        ) from None


def shape_in(path: Path, info: dict[str, Any]) -> NetworkConfig:
    """The shape of the network in a file, from its facts. OneShotError: it holds another kind of network."""
    if info.get("architecture") != "OneShotNet":
        raise OneShotError(
            f"{path}: not the one pass's weights; SqueezeFacePoseNet's are for the two-stage path"
        )
    try:
        return read_config(info["network"])
    except (KeyError, TypeError, ValueError, OneShotError):
        raise OneShotError(
            f"{path}: a network of another version of oneshot; use the weights that came with this one"
        ) from None


def load_network(path: Path) -> tuple[OneShotNet, dict[str, Any]]:
    """The network in evaluation mode, fp32, and its facts. Raises OneShotError like `read_info`."""
    info = read_info(path)
    net = OneShotNet(shape_in(path, info))
    _fill(net, path)
    return net.eval(), info


def load_squeezefaceposenet(path: Path) -> tuple[SqueezeFacePoseNet, dict[str, Any]]:
    """The two-stage path's recogniser in evaluation mode, fp32, and its facts. Raises like `read_info`."""
    info = read_info(path)
    if info.get("architecture") != "SqueezeFacePoseNet":
        raise OneShotError(
            f"{path}: not SqueezeFacePoseNet's weights; make them with scripts/import_squeezefaceposenet.py"
        )
    net = SqueezeFacePoseNet(Form(**info["network"]))
    _fill(net, path)
    return net.eval(), info


def _fill(net: nn.Module, path: Path) -> None:
    from safetensors.torch import load_file

    state = {k: v.float() if v.is_floating_point() else v for k, v in load_file(path).items()}
    if isinstance(net, OneShotNet):
        state = {name_in_network(k): v for k, v in state.items()}
    try:
        net.load_state_dict(state)
    except RuntimeError:
        raise OneShotError(
            f"{path}: its tensors do not fit its own config: broken, or of another version of oneshot; use "
            "the weights that came with this one"
        ) from None
