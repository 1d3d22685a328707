"""Identity from the backbone's maps at strides 2 and 4, on the aligned grid (`oneshot-nano`)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from oneshot.models.backbone import Maps
from oneshot.models.config import MapsIdentity
from oneshot.models.edgeface import EDGEFACE
from oneshot.models.identity.head import IdentityHead
from oneshot.models.recogniser import DeepHalf
from oneshot.models.sampling import Grid, Places, Sampled, SampledMap, template_to_image


class FromMaps(IdentityHead):
    """Samples of strides 2 and 4, a `Bridge` to what EdgeFace has at 14x14, and EdgeFace from there on.

    Args:
        shape: its shape. stride2, stride4: channels of these maps, the latter as it is sampled.
    """

    reads_coarse = True

    def __init__(self, shape: MapsIdentity, stride2: int, stride4: int):
        super().__init__()
        self.thin2 = nn.Conv2d(stride2, shape.thin, 1)
        self.fine, self.coarse = Grid(28, parts=shape.parts), Grid(14)
        self.bridge = Bridge(
            shape.parts**2 * shape.thin,
            stride4,
            shape.width,
            EDGEFACE[shape.recogniser].hint_width(shape.fine_blocks),
            shape.fine_width,
            shape.rank,
        )
        self.deep = DeepHalf(shape.deep_blocks, shape.fine_blocks, shape.recogniser)

    def maps(self, maps: Maps) -> tuple[SampledMap, ...]:
        """Stride 2, rectified and thinned."""
        return (SampledMap(self.thin2(F.relu(maps.s2)), 2),)

    def samples(
        self, sampled: Sampled, landmarks: Tensor, places: Places | None = None
    ) -> tuple[Tensor, Tensor]:
        """Stride 2 (N, F, 28, 28) and stride 4 (N, C, 14, 14); F is `parts` squared times the channels."""
        transform = template_to_image(landmarks, self.fine.landmarks)
        return self.fine(sampled.own, transform, places), self.coarse((sampled.coarse,), transform, places)

    def features(self, *samples: Tensor) -> tuple[Tensor]:
        """What EdgeFace has before its last `fine_blocks` blocks at 14x14: (N, 48, 14, 14)."""
        return (self.bridge(*samples),)

    def embed(self, *features: Tensor) -> Tensor:
        """Embeddings (N, 1000), L2-normalised, float32."""
        return F.normalize(self.deep(*features).float(), dim=1)


class Bridge(nn.Module):
    """Sampled maps to the features that the recogniser's deep half expects: 48 channels on 14x14.

    Its batch-norms are what makes the dense hints trainable at all: SqueezeNet's features are unscaled.

    Args:
        fine, coarse: channels of the samples. out: channels of the features.
        width: of the 3x3 convolution; fine_width: of the one that halves the fine samples' grid.
        rank: channels that a linear layer leaves of all of them for the 3x3 convolution, whose filters then
            are of this rank; 0 leaves all.
    """

    def __init__(
        self, fine: int, coarse: int, width: int = 96, out: int = 48, fine_width: int = 48, rank: int = 0
    ):
        super().__init__()
        self.norm_fine = nn.BatchNorm2d(fine)
        self.down_fine = nn.Conv2d(fine, fine_width, 3, stride=2, padding=1, bias=False)
        self.norm_down = nn.BatchNorm2d(fine_width)
        self.norm_coarse = nn.BatchNorm2d(coarse)
        joined = fine_width + coarse
        self.squeeze: nn.Module = nn.Conv2d(joined, rank, 1, bias=False) if rank else nn.Identity()
        self.mix = nn.Conv2d(rank or joined, width, 3, padding=1, bias=False)
        self.norm_mix = nn.BatchNorm2d(width)
        self.out = nn.Conv2d(width, out, 1)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """Samples of stride 2 (N, F, 28, 28) and of coarser maps (N, C, 14, 14) to (N, 48, 14, 14)."""
        fine = F.relu(self.norm_down(self.down_fine(self.norm_fine(fine))))
        x = self.squeeze(torch.cat((fine, self.norm_coarse(coarse)), 1))
        return self.out(F.relu(self.norm_mix(self.mix(x))))
