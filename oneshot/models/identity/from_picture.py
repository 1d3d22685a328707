"""Identity from the picture itself and from linear filters, on the aligned grid (the shipped network's)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from oneshot.models.backbone import Maps
from oneshot.models.config import PictureIdentity
from oneshot.models.edgeface import EDGEFACE
from oneshot.models.identity.head import IdentityHead
from oneshot.models.recogniser import DeepHalf
from oneshot.models.sampling import POSE, Grid, Places, Sampled, SampledMap, pose_of, template_to_image


class FromPicture(IdentityHead):
    """Samples of the picture and of linear filters, a `StemBridge` for EdgeFace's stem, and EdgeFace."""

    def __init__(self, shape: PictureIdentity):
        super().__init__()
        self.grid = Grid(28, parts=shape.parts)
        samples = shape.parts**2 * (3 + shape.linear)
        self.bridge = StemBridge(samples, EDGEFACE[shape.recogniser].hint_width(shape.fine_blocks))
        self.deep = DeepHalf(shape.deep_blocks, shape.fine_blocks, shape.recogniser)

    def maps(self, maps: Maps) -> tuple[SampledMap, ...]:
        """The picture, and what the linear filters make of it."""
        return SampledMap(maps.s1, 1), SampledMap(maps.s2, 2)

    def samples(
        self, sampled: Sampled, landmarks: Tensor, places: Places | None = None
    ) -> tuple[Tensor, Tensor]:
        """Samples (N, F, 28, 28) and poses (N, POSE); F is `parts` squared times the maps' channels."""
        transform = template_to_image(landmarks, self.grid.landmarks)
        return self.grid(sampled.own, transform, places), pose_of(transform)

    def features(self, *samples: Tensor) -> Tensor:
        """What EdgeFace has after its stem: (N, C, 28, 28)."""
        return self.bridge(*samples)

    def embed(self, features: Tensor) -> Tensor:
        """Embeddings (N, 1000), L2-normalised, float32."""
        return F.normalize(self.deep(features).float(), dim=1)


class StemBridge(nn.Module):
    """Samples to the features that EdgeFace has after its stem, on 28x28 cells.

    That stem is one layer of linear filters and a layer norm, so what its filters make is nearly a linear
    function of the pixels that are sampled in a cell and of what other linear filters made of those around
    them: a function that depends on how large the face is and how far it is turned. A matrix a face, a sum
    of a few by the face's pose, is fitted by least squares (`training.stages.first_fit`). The norm is the
    last step.

    Args:
        fine: channels of the samples. out: channels of the features.
    """

    def __init__(self, fine: int, out: int = 24):
        super().__init__()
        self.norm = nn.BatchNorm2d(fine)
        self.linear = nn.Linear(fine, POSE * out)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.norm_out = nn.LayerNorm(out, eps=1e-6)

    def forward(self, fine: Tensor, pose: Tensor) -> Tensor:
        """Samples (N, F, 28, 28) and `pose_of` their transforms (N, POSE) to (N, out, 28, 28)."""
        # Of large numbers that cancel: in bfloat16 their difference would be lost.
        with torch.autocast(fine.device.type, enabled=False):
            x, pose = self.norm(fine.float()), pose.float()
            matrices = (pose @ self.linear.weight.view(POSE, -1)).unflatten(1, (-1, x.shape[1]))
            shifts = pose @ self.linear.bias.view(POSE, -1)
            features = x.flatten(2).transpose(1, 2) @ matrices.transpose(1, 2) + shifts.unsqueeze(1)
            return self.norm_out(features).transpose(1, 2).unflatten(2, x.shape[2:])

    @torch.no_grad()
    def set_linear(self, matrices: Tensor, shifts: Tensor) -> None:
        """Take over what was fitted to normalised samples: (POSE, out, fine) and (POSE, out)."""
        self.linear.weight.copy_(matrices.flatten(0, 1))
        self.linear.bias.copy_(shifts.flatten())
