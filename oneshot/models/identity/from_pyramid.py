"""Identity from the maps that find the face, at strides 1, 2 and 4 on the aligned grid."""

from torch import Tensor, nn
from torch.nn import functional as F

from oneshot.models.backbone import Maps
from oneshot.models.config import PyramidIdentity
from oneshot.models.edgeface import EDGEFACE
from oneshot.models.identity.head import IdentityHead
from oneshot.models.identity.stem_bridge import StemBridge
from oneshot.models.recogniser import DeepHalf
from oneshot.models.sampling import Grid, Places, Sampled, SampledMap, pose_of, template_to_image


class FromPyramid(IdentityHead):
    """A sample a cell of the picture and of the stem's output, and of stride 4 where cells are twice as wide.

    The stem's filters are linear until its ReLU, so a `StemBridge` makes of them what EdgeFace's own stem
    does. What of EdgeFace follows is shorter than its own: stride 4 brings what was left out at 28x28.

    Args:
        shape: its shape. stem, stride4: channels of these maps, the latter as it is sampled.
    """

    reads_coarse = True

    def __init__(self, shape: PyramidIdentity, stem: int, stride4: int):
        super().__init__()
        self.fine, self.coarse = Grid(28), Grid(14)
        widths = EDGEFACE[shape.recogniser].widths
        self.bridge = StemBridge(3 + stem, widths[0])
        self.join = Join(stride4, widths[1])
        self.deep = DeepHalf(shape.deep_blocks, shape.fine_blocks, shape.recogniser, shape.hidden)

    def maps(self, maps: Maps) -> tuple[SampledMap, ...]:
        """The picture, and the stem's output before its ReLU."""
        return SampledMap(maps.s1, 1), SampledMap(maps.s2, 2)

    def samples(
        self, sampled: Sampled, landmarks: Tensor, places: Places | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Strides 1 and 2 (N, F, 28, 28), stride 4 (N, C, 14, 14), and poses (N, POSE)."""
        transform = template_to_image(landmarks, self.fine.landmarks)
        fine = self.fine(sampled.own, transform, places)
        return fine, self.coarse((sampled.coarse,), transform, places), pose_of(transform)

    def features(self, *samples: Tensor) -> tuple[Tensor, Tensor]:
        """What EdgeFace has at 28x28 (N, C, 28, 28), and what joins it at 14x14 (N, C', 14, 14)."""
        fine, coarse, pose = samples
        return self.bridge(fine, pose), self.join(coarse)

    def embed(self, *features: Tensor) -> Tensor:
        """Embeddings (N, 1000), L2-normalised, float32."""
        return F.normalize(self.deep(*features).float(), dim=1)


class Join(nn.Module):
    """What samples of stride 4 add to the features: nothing at first."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(inputs)
        self.mix = nn.Conv2d(inputs, outputs, 1)
        nn.init.zeros_(self.mix.weight)
        assert self.mix.bias is not None
        nn.init.zeros_(self.mix.bias)

    def forward(self, coarse: Tensor) -> Tensor:
        """(N, inputs, 14, 14) to (N, outputs, 14, 14)."""
        return self.mix(self.norm(coarse))
