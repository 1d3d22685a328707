"""SqueezeFacePoseNet in its four forms: the recogniser of the two-stage path.

Layers and output sizes are Table 2 of Alonso-Fernandez et al. 2020 (arXiv:2007.08566): SqueezeNet with a
first convolution of stride 1 for faces of 113x113, late 3x3 pools, and 1000 numbers averaged after the ReLU
of conv10. The forms are those of its Table 1: depth-wise 3x3 filters (DWC), and a global depth-wise
convolution (GDC) in place of the global average.
"""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from oneshot.models.backbone import IMAGENET_STD, Fire

SQUEEZE = (16, 16, 32, 32, 48, 48, 64, 64)
EXPAND = (64, 64, 128, 128, 192, 192, 256, 256)
"""Widths of fire2 to fire9."""

DESCRIPTOR = 1000
MEAN = (131.0912, 103.8827, 91.4953)
"""RGB, subtracted from pixels of 0..255; there is no division (the authors' usage of their file)."""


@dataclass(frozen=True)
class Form:
    """Which of the four networks; travels with the weights.

    Attributes:
        dwc: the fire modules' 3x3 filters are depth-wise, one input channel each.
        gdc: each channel's 13x13 cells are weighted by learned numbers instead of averaged.
    """

    dwc: bool = False
    gdc: bool = False

    def as_dict(self) -> dict[str, object]:
        """As it is written into the weights' file."""
        return asdict(self)


FORMS = {
    "plain": Form(),
    "gdc": Form(gdc=True),
    "dwc": Form(dwc=True),
    "dwc+gdc": Form(dwc=True, gdc=True),
}
"""By the name used in commands and file names, in the order of Table 1."""


def form_name(form: Form) -> str:
    """As the paper calls it."""
    return "SqueezeFacePoseNet" + "+DWC" * form.dwc + "+GDC" * form.gdc


class SqueezeFacePoseNet(nn.Module):
    """A face of 113x113 pixels to its descriptor.

    Args:
        form: which of the four networks.
        dropout: after fire9, in training only.
    """

    mean: Tensor

    def __init__(self, form: Form | None = None, dropout: float = 0.5):
        super().__init__()
        self.config = form = form or Form()
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.conv1 = nn.Conv2d(3, 64, 3, padding=1)
        inputs = (64, *(2 * width for width in EXPAND[:-1]))
        fires = [Fire(i, s, e, form.dwc) for i, s, e in zip(inputs, SQUEEZE, EXPAND, strict=True)]
        self.fire2, self.fire3, self.fire4, self.fire5, self.fire6, self.fire7, self.fire8, self.fire9 = fires
        self.pool = nn.MaxPool2d(3, stride=2)
        self.dropout9 = nn.Dropout(dropout)
        self.conv10 = nn.Conv2d(2 * EXPAND[-1], DESCRIPTOR, 1)
        self.gdc = nn.Conv2d(DESCRIPTOR, DESCRIPTOR, 13, groups=DESCRIPTOR) if form.gdc else None
        if self.gdc is not None:  # an average to begin with: untrained weights would drown what is pooled
            nn.init.constant_(self.gdc.weight, 1 / 13**2)
            nn.init.zeros_(self.gdc.bias)  # type: ignore[arg-type]

    def maps(self, faces: Tensor) -> Tensor:
        """RGB faces (N, 3, 113, 113), values 0..255, to conv10's maps (N, 1000, 13, 13) after their ReLU."""
        x = self.pool(F.relu(self.conv1(faces - self.mean)))
        x = self.pool(self.fire4(self.fire3(self.fire2(x))))
        x = self.pool(self.fire8(self.fire7(self.fire6(self.fire5(x)))))
        return F.relu(self.conv10(self.dropout9(self.fire9(x))))

    def forward(self, faces: Tensor) -> Tensor:
        """RGB faces (N, 3, 113, 113), values 0..255, to descriptors (N, 1000), none negative, any length."""
        maps = self.maps(faces)
        if self.gdc is None:
            return maps.mean((2, 3))
        return F.relu(self.gdc(maps)).flatten(1)  # the paper has a ReLU after every convolution

    def load_simpler_form(self, state: dict[str, Tensor]) -> None:
        """Start from the same form, or one with depth-wise filters or a global average where this has more.

        Every face is described as before: a full filter is zero but for the channel that it saw, and the
        cells' weights are the average's.
        """
        with torch.no_grad():
            for name, own in self.named_parameters():
                given = state.get(name)
                if given is None:  # `gdc`, an average from the start
                    continue
                if given.shape == own.shape:
                    own.copy_(given)
                    continue
                filters = torch.arange(len(own))
                own.zero_()[filters, filters * own.shape[1] // len(own)] = given[:, 0]

    def load_imagenet(self, state: dict[str, Tensor]) -> None:
        """Start from torchvision's `squeezenet1_1`, as the paper starts from ImageNet.

        That network divides by the deviation of each colour, which goes into conv1's weights here. Filters
        whose shapes do not fit (the depth-wise ones) stay random.
        """
        own = dict(self.named_parameters())
        names = {
            f"fire{n}": f"features.{i}"
            for n, i in zip(range(2, 10), (3, 4, 6, 7, 9, 10, 11, 12), strict=True)
        }
        names |= {"conv1": "features.0", "conv10": "classifier.1"}
        deviation = 255 * torch.tensor(IMAGENET_STD).view(1, 3, 1, 1)
        with torch.no_grad():
            for name, parameter in own.items():
                layer, _, rest = name.partition(".")
                value = state.get(f"{names.get(layer)}.{rest}")
                if value is not None and value.shape == parameter.shape:
                    parameter.copy_(value.float() / deviation if name == "conv1.weight" else value.float())
