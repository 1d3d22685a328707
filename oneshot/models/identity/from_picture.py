"""Identity from the picture itself and from linear filters, on the aligned grid (`oneshot-large`)."""

from torch import Tensor
from torch.nn import functional as F

from oneshot.models.backbone import Maps
from oneshot.models.config import PictureIdentity
from oneshot.models.edgeface import EDGEFACE
from oneshot.models.identity.head import IdentityHead
from oneshot.models.identity.stem_bridge import StemBridge
from oneshot.models.recogniser import DeepHalf
from oneshot.models.sampling import Grid, Places, Sampled, SampledMap, pose_of, template_to_image


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

    def features(self, *samples: Tensor) -> tuple[Tensor]:
        """What EdgeFace has after its stem: (N, C, 28, 28)."""
        return (self.bridge(*samples),)

    def embed(self, *features: Tensor) -> Tensor:
        """Embeddings (N, 1000), L2-normalised, float32."""
        return F.normalize(self.deep(*features).float(), dim=1)
