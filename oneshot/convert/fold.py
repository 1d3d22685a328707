"""The same network with fewer operations, for export: what is linear after training becomes one layer."""

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from oneshot.models.identity.from_maps import FromMaps
from oneshot.models.identity.from_picture import FromPicture
from oneshot.models.identity.from_pyramid import FromPyramid
from oneshot.models.network import OneShotNet
from oneshot.models.recogniser import DeepHalf


class Rows(nn.Module):
    """Linear layers of tokens (..., C) on one matrix of rows: there ONNX has products that add their bias."""

    def __init__(self, layers: nn.Module):
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) to (..., D)."""
        return self.layers(x.flatten(0, -2)).unflatten(0, x.shape[:-1])


class Attention(nn.Module):
    """timm's CrossCovarianceAttn with fewer copies: one plain transpose where that has three of five
    dimensions, and no normalised queries and keys."""

    def __init__(self, original: Any):
        super().__init__()
        self.heads: int = original.num_heads
        self.qkv, self.proj, self.temperature = Rows(original.qkv), Rows(original.proj), original.temperature

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (N, T, C) to tokens (N, T, C)."""
        n, tokens, channels = x.shape
        joined = self.qkv(x).transpose(1, 2).reshape(n, 3, self.heads, channels // self.heads, tokens)
        q, k, v = joined.unbind(1)
        # The small product is divided by the lengths, rather than each long row by its own.
        lengths = q.norm(dim=-1, keepdim=True) @ k.norm(dim=-1, keepdim=True).transpose(-2, -1)
        weights = (q @ k.transpose(-2, -1)) * (self.temperature / lengths.clamp(min=1e-12))
        mixed = weights.softmax(-1) @ v
        return self.proj(mixed.reshape(n, channels, tokens).transpose(1, 2))


class Positions(nn.Module):
    """timm's PositionalEncodingFourier for maps of one size: a constant instead of sines of every face."""

    encoding: Tensor

    def __init__(self, original: Any, cells: int):
        super().__init__()
        with torch.no_grad():
            self.register_buffer("encoding", original((1, cells, cells)))

    def forward(self, shape: tuple[int, int, int]) -> Tensor:
        """The encoding (N, C, cells, cells) of N maps; `shape` is (N, cells, cells)."""
        return self.encoding.expand(shape[0], -1, -1, -1)


class PaddedDepthwise(nn.Module):
    """A depth-wise convolution of so many channels that ONNX Runtime's fast kernel takes it: fours."""

    def __init__(self, original: Any):
        super().__init__()
        self.channels: int = original.in_channels
        self.more = -self.channels % 4
        total = self.channels + self.more
        padding = original.padding
        self.conv = nn.Conv2d(total, total, original.kernel_size, padding=padding, groups=total)
        with torch.no_grad():
            for own, given in ((self.conv.weight, original.weight), (self.conv.bias, original.bias)):
                assert own is not None
                own.zero_()[: self.channels] = given

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        return self.conv(F.pad(x, (0, 0, 0, 0, 0, self.more)))[:, : self.channels]


class TanhGelu(nn.Module):
    """GELU by the hyperbolic tangent, off by 5e-4 at most and faster than by the error function.

    Spelled out in the one order of operations that ONNX Runtime joins into its FastGelu on the CPU and on
    GPUs; the operator Gelu came with opset 20, which DirectML lacks.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same."""
        inner = (x * math.sqrt(2 / math.pi)) * (x * 0.044715 * x + 1)
        return (inner.tanh() + 1) * (x * 0.5)


def fold(net: OneShotNet) -> OneShotNet:
    """A copy: batch-norms and layer scales are part of the layers beside them, positions are constant.

    Batch-norms in front of a padded convolution stay: folded, they would be wrong at the border.
    """
    folded = copy.deepcopy(net).eval()
    if folded.backbone.std is not None:
        for filters in (folded.backbone.stem, folded.backbone.linear):
            if filters is not None:
                filters.weight.data /= folded.backbone.std
        folded.backbone.std = None
    parts: Any = (folded.head.lateral, folded.head.merge, folded.head.tower)
    for layers in (sequence for part in parts for sequence in part):
        for i in range(0, len(layers) - 1, 2):
            layers[i], layers[i + 1] = fuse_conv_bn_eval(layers[i], layers[i + 1]), nn.Identity()
    reader: Any = folded.refinement
    _fold_before(reader.norm, reader.thin)
    reader.norm = nn.Identity()
    identity: Any = folded.identity
    bridge: Any = getattr(identity, "bridge", None)
    if isinstance(identity, FromPicture | FromPyramid):
        _fold_before(bridge.norm, bridge.linear)
        bridge.norm = nn.Identity()
    if isinstance(identity, FromPyramid):
        _fold_before(identity.join.norm, identity.join.mix)
        join: Any = identity.join
        join.norm = nn.Identity()
    if isinstance(identity, FromMaps):
        _fold_bridge(bridge)
    if isinstance(identity, FromMaps | FromPicture | FromPyramid):
        _fold_deep(identity.deep)
    return folded


def _fold_deep(deep: DeepHalf) -> None:
    blocks: Any = list(deep.modules())
    for block in blocks:
        for name, child in block.named_children():
            if isinstance(child, nn.GELU):
                setattr(block, name, TanhGelu())
        if getattr(block, "gamma", None) is not None:
            _scale_rows(block.mlp.fc2, block.gamma)
            block.gamma, block.mlp = None, Rows(block.mlp)
        for i, conv in enumerate(getattr(block, "convs", ())):
            if conv.in_channels % 4:
                block.convs[i] = PaddedDepthwise(conv)
        if getattr(block, "pos_embd", None) is not None:  # only of stage 2
            block.pos_embd = Positions(block.pos_embd, 14)
        if getattr(block, "gamma_xca", None) is not None:
            _scale_rows(block.xca.proj, block.gamma_xca)
            del block.gamma_xca
            block.gamma_xca, block.xca = 1.0, Attention(block.xca)


def _fold_bridge(bridge: Any) -> None:
    for layer, norm in (("down_fine", "norm_down"), ("mix", "norm_mix")):
        setattr(bridge, layer, fuse_conv_bn_eval(getattr(bridge, layer), getattr(bridge, norm)))
        setattr(bridge, norm, nn.Identity())
    if isinstance(bridge.squeeze, nn.Conv2d):  # then no padding comes between the coarse samples' norm and it
        _fold_before(bridge.norm_coarse, bridge.squeeze)
        bridge.norm_coarse = nn.Identity()


def _fold_before(norm: nn.BatchNorm2d, layer: nn.Conv2d | nn.Linear) -> None:
    """A batch-norm of the last inputs, or of all, of a 1x1 convolution or of a linear layer becomes part of
    its weights and bias."""
    assert norm.running_var is not None and norm.running_mean is not None
    scale = norm.weight.data / torch.sqrt(norm.running_var + norm.eps)
    shift = norm.bias.data - norm.running_mean * scale
    columns = layer.weight.data.flatten(1)[:, -len(scale) :]
    moved = columns @ shift
    layer.bias = nn.Parameter(moved if layer.bias is None else layer.bias.data + moved)
    columns *= scale


def _scale_rows(linear: nn.Linear, gamma: Tensor) -> None:
    linear.weight.data *= gamma.data[:, None]
    linear.bias.data *= gamma.data
