"""The whole network, and the whole pass: pixels to faces with their landmarks and embeddings."""

from typing import NamedTuple

from torch import Tensor, nn

from oneshot.models.backbone import Backbone, Maps
from oneshot.models.cells import Cells, best, decode
from oneshot.models.config import MapsIdentity, NetworkConfig, PictureIdentity, PyramidIdentity
from oneshot.models.head import DetectionHead
from oneshot.models.identity.from_cell import FromCell
from oneshot.models.identity.from_maps import FromMaps
from oneshot.models.identity.from_picture import FromPicture
from oneshot.models.identity.from_pyramid import FromPyramid
from oneshot.models.identity.head import IdentityHead
from oneshot.models.recogniser import EMBEDDING
from oneshot.models.refinement import Refinement
from oneshot.models.sampling import Places, Sampled, SampledMap, places_of


class Found(NamedTuple):
    """The faces of a batch of images: row i is one face; image after image, best first."""

    boxes: Tensor  # (N, 4) xyxy, pixels
    scores: Tensor  # (N,)
    landmarks: Tensor  # (N, 5, 2), pixels
    embeddings: Tensor  # (N, 1000), L2-normalised; zeros where it cannot be told which way up a face is
    images: Tensor  # (N,) int64, the image that each face is of


class OneShotNet(nn.Module):
    """Backbone, detection head, what places landmarks, and the identity head."""

    def __init__(self, config: NetworkConfig | None = None):
        super().__init__()
        self.config = config = config or NetworkConfig()
        self.backbone = Backbone(
            config.stem,
            config.share3x3,
            config.share3x3_top,
            config.expand_low,
            config.squeeze_top,
            config.expand_top,
            config.identity.linear if isinstance(config.identity, PictureIdentity) else 0,
        )
        widths = self.backbone.widths
        self.head = DetectionHead(widths[2:], config.head, config.direction)
        self.thin4 = nn.Conv2d(widths[1], config.thin, 1)
        self.refinement = Refinement(config.thin)
        self.identity = identity_head(config, widths)

    def forward(
        self,
        images: Tensor,
        score_threshold: float,
        iou_threshold: float,
        max_faces: int,
        embed: bool = True,
    ) -> Found:
        """The faces of images (B, 3, H, W), RGB, values 0..255, H and W multiples of 32.

        Args:
            images: float32.
            score_threshold: faces that score more are kept.
            iou_threshold: of two boxes that overlap by more, the one that scores less is left out.
            max_faces: the most faces of one image.
            embed: without, the identity head is not run, and the embeddings are (N, 0).
        """
        cells, sampled = self.dense(images)
        pictures, rows = best(cells, score_threshold, iou_threshold, max_faces)
        landmarks = cells.landmarks(pictures, rows)
        embeddings = landmarks.new_zeros(len(rows), EMBEDDING if embed else 0)
        if len(rows):
            places = places_of(pictures, len(images))
            landmarks = self.corrected(sampled.coarse, landmarks, places)
            if embed:
                embeddings = self.identity(sampled, landmarks, places) * cells.decided(pictures, rows)
        return Found(
            cells.boxes[pictures, rows], cells.scores[pictures, rows], landmarks, embeddings, pictures
        )

    def dense(self, images: Tensor) -> tuple[Cells, Sampled]:
        """The half of a pass that costs the same for any number of faces: images as `forward` takes them to
        what the head says of every cell, and the maps that faces are sampled from."""
        maps = self.backbone(images)
        return decode(self.head(maps), images.shape[2], images.shape[3]), self.sampled(maps)

    def sampled(self, maps: Maps) -> Sampled:
        """Those of the backbone's maps that faces are sampled from."""
        return Sampled(SampledMap(self.thin4(maps.s4), 4), self.identity.maps(maps))

    def sampled_of(self, images: Tensor) -> Sampled:
        """`sampled` of images, with no more of the backbone run than it takes."""
        return self.sampled(self.backbone(images, top=self.identity.reads_top))

    def corrected(self, coarse: SampledMap, landmarks: Tensor, places: Places | None = None) -> Tensor:
        """Coarse landmarks (N, 5, 2), pixels, corrected as often as the config says."""
        for _ in range(self.config.refinements):
            landmarks = self.refinement(coarse, landmarks, places)
        return landmarks


def identity_head(config: NetworkConfig, widths: tuple[int, ...]) -> IdentityHead:
    """The identity head of the config's kind; `widths` are the backbone's."""
    shape = config.identity
    if isinstance(shape, PictureIdentity):
        return FromPicture(shape)
    if isinstance(shape, PyramidIdentity):
        return FromPyramid(shape, widths[0], config.thin)
    if isinstance(shape, MapsIdentity):
        return FromMaps(shape, widths[0], config.thin)
    return FromCell(widths[2:])
