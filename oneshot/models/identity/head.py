"""What the four kinds of identity head have in common: maps → samples → features → embedding."""

from typing import ClassVar

from torch import Tensor, nn

from oneshot.models.backbone import Maps
from oneshot.models.sampling import Places, Sampled, SampledMap


class IdentityHead(nn.Module):
    """From the backbone's maps to embeddings of faces whose landmarks are known.

    Attributes:
        hinted: the features imitate the teacher's own at some depth (`Teacher.hints`).
        reads_coarse: the map at stride 4 is sampled for identity as well as for the landmarks.
        reads_top: maps at strides 8 to 32 are sampled.
    """

    hinted: ClassVar[bool] = True
    reads_coarse: ClassVar[bool] = False
    reads_top: ClassVar[bool] = False

    def maps(self, maps: Maps) -> tuple[SampledMap, ...]:
        """The maps that identity alone samples."""
        raise NotImplementedError

    def samples(
        self, sampled: Sampled, landmarks: Tensor, places: Places | None = None
    ) -> tuple[Tensor, ...]:
        """What `features` takes, (N, …) each, of faces with landmarks (N, 5, 2), pixels.

        K faces an image (N = B * K), or those at `places`.
        """
        raise NotImplementedError

    def features(self, *samples: Tensor) -> tuple[Tensor, ...]:
        """What `embed` takes: first features (N, C, h, w), the teacher's hints in kind if `hinted`."""
        raise NotImplementedError

    def embed(self, *features: Tensor) -> Tensor:
        """Embeddings (N, 1000), L2-normalised, float32."""
        raise NotImplementedError

    def forward(self, sampled: Sampled, landmarks: Tensor, places: Places | None = None) -> Tensor:
        """Embeddings (N, 1000), L2-normalised, of faces aligned by landmarks (N, 5, 2), pixels."""
        return self.embed(*self.features(*self.samples(sampled, landmarks, places)))
