"""SqueezeFacePoseNet's fire modules as a backbone that gives maps at strides 2, 4, 8, 16 and 32.

Layers and widths are Table 2 of Alonso-Fernandez et al. 2020 (arXiv:2007.08566). What differs, and why:
the stem has stride 2 and the pools come early (after the stem, fire3, fire5 and fire7), because late
pooling costs 2.4 times as much on a whole photo; pools are 2x2, so that every map's cells sit at the same
half-pixel shift and features can be sampled at exact places; there is no batch-norm, whose backward pass
on the large maps would be most of a training step on a CPU.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from oneshot.models.config import EXPAND_LOW, EXPAND_TOP, SQUEEZE_TOP

SQUEEZE_LOW = 16
"""The paper's width of fire2 and fire3."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Maps(NamedTuple):
    """Feature maps of one batch, (B, C, H/stride, W/stride) each.

    `s1` are the images as they came; `s2` is what the linear filters make, where there are some, and else
    the stem's output, not rectified.
    """

    s1: Tensor
    s2: Tensor
    s4: Tensor
    s8: Tensor
    s16: Tensor
    s32: Tensor


class Fire(nn.Module):
    """Squeeze by 1x1, expand by 1x1 and 3x3, joined (SqueezeNet's building brick; the paper's Figure 1).

    `dwc` is the paper's depth-wise form: as many groups as squeeze channels, no point-wise step.
    `share3x3` of the 2 * `expand` filters see 3x3 cells, the rest one: the paper's half by default.
    """

    def __init__(self, inputs: int, squeeze: int, expand: int, dwc: bool = False, share3x3: float = 0.5):
        super().__init__()
        wide = round(2 * expand * share3x3)
        self.squeeze = nn.Conv2d(inputs, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, 2 * expand - wide, 1)
        self.expand3x3 = nn.Conv2d(squeeze, wide, 3, padding=1, groups=squeeze if dwc else 1)
        self.out_channels = 2 * expand

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, 2 · expand, H, W)."""
        squeezed = F.relu(self.squeeze(x))
        return torch.cat((F.relu(self.expand1x1(squeezed)), F.relu(self.expand3x3(squeezed))), 1)

    def start_from(self, weights: dict[str, Tensor]) -> None:
        """Copy the expanding filters of a plain fire module with as many 1x1 as 3x3 ones.

        The join keeps its order. Where fewer filters see 3x3 cells, the first of the given ones become 1x1 by
        their sum, right where the picture is even; where more do, the last 1x1 ones become centres of 3x3.
        """
        kernels = torch.cat((F.pad(weights["expand1x1.weight"], (1, 1, 1, 1)), weights["expand3x3.weight"]))
        biases = torch.cat((weights["expand1x1.bias"], weights["expand3x3.bias"]))
        narrow = self.expand1x1.out_channels
        with torch.no_grad():
            self.expand1x1.weight.copy_(kernels[:narrow].sum((2, 3), keepdim=True))
            self.expand3x3.weight.copy_(kernels[narrow:])
            for layer, bias in ((self.expand1x1, biases[:narrow]), (self.expand3x3, biases[narrow:])):
                assert layer.bias is not None
                layer.bias.copy_(bias)


class Backbone(nn.Module):
    """RGB pixels to five feature maps.

    Args:
        stem: filters of the first convolution (the paper's 64 by default).
        share3x3: see `Fire`; of fire2 and fire3, up to stride 4.
        share3x3_top: of fire4 to fire9, which serve detection alone.
        expand_low: widths of fire2 and fire3 (Table 2's by default); of one width, there is no fire3.
        squeeze_top, expand_top: widths of fire4 and 5, 6 and 7, 8 and 9 (Table 2's by default).
        linear: filters beside the stem's, for identity alone, whose output is not rectified.
    """

    mean: Tensor
    std: Tensor | None

    def __init__(
        self,
        stem: int = 64,
        share3x3: float = 0.5,
        share3x3_top: float = 0.5,
        expand_low: tuple[int, ...] = EXPAND_LOW,
        squeeze_top: tuple[int, int, int] = SQUEEZE_TOP,
        expand_top: tuple[int, int, int] = EXPAND_TOP,
        linear: int = 0,
    ):
        super().__init__()
        self.register_buffer("mean", 255 * torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)
        self.stem = nn.Conv2d(3, stem, 3, stride=2, padding=1)
        self.linear = nn.Conv2d(3, linear, 3, stride=2, padding=1, bias=False) if linear else None
        low = [
            Fire(inputs, SQUEEZE_LOW, expand, share3x3=share3x3)
            for inputs, expand in zip((stem, *(2 * e for e in expand_low)), expand_low, strict=False)
        ]
        self.fire2 = low[0]
        self.fire3: Fire | None = low[1] if len(low) > 1 else None
        squeeze, expand = ([w for w in widths for _ in range(2)] for widths in (squeeze_top, expand_top))
        inputs = (2 * expand_low[-1], *(2 * e for e in expand[:-1]))
        self.fire4, self.fire5, self.fire6, self.fire7, self.fire8, self.fire9 = (
            Fire(i, s, e, share3x3=share3x3_top) for i, s, e in zip(inputs, squeeze, expand, strict=True)
        )
        self.widths = (linear or stem, 2 * expand_low[-1], *(2 * e for e in expand_top))

    def normalised(self, images: Tensor) -> Tensor:
        """What the first filters read of RGB images (B, 3, H, W), values 0..255."""
        x = images - self.mean
        return x if self.std is None else x / self.std  # export makes it part of their weights

    def forward(self, images: Tensor, top: bool = True) -> Maps:
        """RGB images (B, 3, H, W), values 0..255, H and W multiples of 32.

        Without `top` the maps at strides 8 to 32 are not made, and empty.
        """
        x = self.normalised(images)
        s2 = self.stem(x)
        s4 = self.fire2(F.relu(F.max_pool2d(s2, 2)))
        if self.fire3 is not None:
            s4 = self.fire3(s4)
        if self.linear is not None:
            s2 = self.linear(x)
        if not top:
            return Maps(images, s2, s4, *(s4.new_empty(0) for _ in range(3)))
        s8 = self.fire5(self.fire4(F.max_pool2d(s4, 2)))
        s16 = self.fire7(self.fire6(F.max_pool2d(s8, 2)))
        s32 = self.fire9(self.fire8(F.max_pool2d(s16, 2)))
        return Maps(images, s2, s4, s8, s16, s32)

    def load_imagenet(self, state: dict[str, Tensor]) -> None:
        """Start from torchvision's `squeezenet1_1` (the paper starts from ImageNet too).

        A narrower stem keeps the filters of largest norm, and fire2's squeeze their columns.
        """
        keep = (
            state["features.0.weight"]
            .float()
            .flatten(1)
            .norm(dim=1)
            .topk(self.stem.out_channels)
            .indices.sort()
            .values
        )
        with torch.no_grad():
            self.stem.weight.copy_(state["features.0.weight"][keep])
            if self.stem.bias is not None:
                self.stem.bias.copy_(state["features.0.bias"][keep])
            for number, index in zip(range(2, 10), (3, 4, 6, 7, 9, 10, 11, 12), strict=True):
                start = f"features.{index}."
                weights = {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}
                fire = self.get_submodule(f"fire{number}")
                assert isinstance(fire, Fire) and fire.squeeze.bias is not None
                squeeze = weights["squeeze.weight"]
                fire.squeeze.weight.copy_(squeeze[:, keep] if number == 2 else squeeze)
                fire.squeeze.bias.copy_(weights["squeeze.bias"])
                fire.start_from(weights)
