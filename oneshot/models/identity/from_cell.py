"""Identity from the cell in which a face's centre lies: the plain YOLO form, to compare sampling with."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from oneshot.models.backbone import Maps
from oneshot.models.identity.head import IdentityHead
from oneshot.models.recogniser import EMBEDDING
from oneshot.models.sampling import Places, Sampled, SampledMap, by_face, by_slot, sample


class FromCell(IdentityHead):
    """The maps at strides 8, 16 and 32 where the landmarks' mean lies, and one linear layer.

    Args:
        widths: channels of these maps.
    """

    hinted = False
    reads_top = True

    def __init__(self, widths: tuple[int, ...]):
        super().__init__()
        self.cell = nn.Linear(sum(widths), EMBEDDING)

    def maps(self, maps: Maps) -> tuple[SampledMap, ...]:
        """Strides 8, 16 and 32."""
        return SampledMap(maps.s8, 8), SampledMap(maps.s16, 16), SampledMap(maps.s32, 32)

    def samples(self, sampled: Sampled, landmarks: Tensor, places: Places | None = None) -> tuple[Tensor]:
        """One sample of each map: (N, C, 1, 1) of all their channels."""
        centre = by_slot(landmarks.mean(1, keepdim=True), places)
        cells = [by_face(sample(each, centre, 1), places) for each in sampled.own]
        return (torch.cat(cells, 1),)

    def features(self, *samples: Tensor) -> tuple[Tensor]:
        """The samples as they are."""
        return (samples[0],)

    def embed(self, *features: Tensor) -> Tensor:
        """(N, C, 1, 1) to embeddings (N, 1000), L2-normalised, float32."""
        return F.normalize(self.cell(features[0].flatten(1)).float(), dim=1)
