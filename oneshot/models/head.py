"""The YOLO-style detection head: box, confidence and five coarse landmarks a cell at strides 8, 16 and 32."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from oneshot.models.backbone import Maps
from oneshot.models.boxcode import FACE_UNIT
from oneshot.models.direction import DIRECTIONS
from oneshot.models.sampling import TEMPLATE

OUTPUTS = 15
"""A cell's channels: 0-3 box code, 4 confidence logit, 5-14 landmarks (x, y).

Behind them stand the logits of the face's direction, where the head says it.
"""

BOX_SIDE = 4.07
"""A box's side (the square root of its area) over the spread of the five landmarks: the root mean square of
their distances from their centre."""


class Separable(nn.Sequential):
    """Depthwise 3x3 and pointwise 1x1 with batch-norm, which folds away."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(
            nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False),
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        )


class DetectionHead(nn.Module):
    """Top-down sums of thinned maps, one tower a level, one 1x1 convolution for all outputs.

    The confidence bias starts at a prior of 1 % (RetinaNet, arXiv:1708.02002, section 4.1), so that the many
    empty cells do not drown the first steps.
    """

    def __init__(
        self, widths: tuple[int, ...], width: int = 64, direction: bool = False, prior: float = 0.01
    ):
        super().__init__()
        self.lateral = nn.ModuleList(
            nn.Sequential(nn.Conv2d(w, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
            for w in widths
        )
        self.merge = nn.ModuleList(Separable(width, width) for _ in widths)
        self.tower = nn.ModuleList(Separable(width, width) for _ in widths)
        self.out = nn.ModuleList(nn.Conv2d(width, OUTPUTS + direction * DIRECTIONS, 1) for _ in widths)
        for layer in self.out:
            assert isinstance(layer, nn.Conv2d) and layer.bias is not None
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)
            with torch.no_grad():
                layer.bias[4] = -math.log((1 - prior) / prior)
                if direction:
                    layer.bias[5:15] = template_code()

    def forward(self, maps: Maps) -> list[Tensor]:
        """Raw outputs (B, 15 or 23, H/s, W/s) at strides 8, 16 and 32; `boxcode` says what they mean."""
        p8, p16, p32 = (layer(x) for layer, x in zip(self.lateral, maps[3:], strict=True))
        p32 = self.merge[2](p32)
        p16 = self.merge[1](p16 + F.interpolate(p32, scale_factor=2.0, mode="nearest"))
        p8 = self.merge[0](p8 + F.interpolate(p16, scale_factor=2.0, mode="nearest"))
        return [out(tower(p)) for out, tower, p in zip(self.out, self.tower, (p8, p16, p32), strict=True)]


def template_code() -> Tensor:
    """The code (10,) of landmarks that lie in an upright face as the template's do."""
    offset = TEMPLATE - TEMPLATE.mean(0)
    spread = offset.square().sum(1).mean().sqrt()
    return (offset / (BOX_SIDE * spread * FACE_UNIT)).flatten()
