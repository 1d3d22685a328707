"""The whole network: raw detection tensors, refined landmarks and embeddings of given faces."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from oneshot.models.backbone import Backbone, Maps
from oneshot.models.config import NetworkConfig
from oneshot.models.direction import AGREES, DECIDED, DIRECTIONS, direction_of, turned, upright
from oneshot.models.edgeface import EDGEFACE
from oneshot.models.head import DetectionHead
from oneshot.models.identity.from_maps import Bridge
from oneshot.models.identity.from_picture import StemBridge
from oneshot.models.recogniser import EMBEDDING, DeepHalf
from oneshot.models.refinement import GridReader
from oneshot.models.sampling import (
    Places,
    Template,
    apply_similarity,
    by_face,
    by_slot,
    pose_of,
    sample,
    template_to_image,
)


class OneShotNet(nn.Module):
    """Backbone, detection head, refinement and identity head. Images are RGB (B, 3, H, W), values 0..255."""

    def __init__(self, config: NetworkConfig | None = None):
        super().__init__()
        self.config = config = config or NetworkConfig()
        t2, t4 = config.thin
        self.backbone = Backbone(
            config.stem,
            config.share3x3,
            config.share3x3_top,
            config.squeeze_top,
            config.expand_top,
            t2 if config.stem_bridge else 0,
        )
        w2, w4, w8, w16, w32 = self.backbone.widths
        self.head = DetectionHead((w8, w16, w32), config.head)
        self.fine_strides = (1, 2) if config.stem_bridge else (2,)
        thin2 = t2 and not config.stem_bridge
        self.thin2: nn.Module = nn.Conv2d(w2, t2, 1) if thin2 else nn.Identity()
        self.thin4 = nn.Conv2d(w4, t4, 1)
        self.direction = GridReader(t4, DIRECTIONS) if config.direction else None
        self.refinement = GridReader(t4, 10)
        nn.init.zeros_(self.refinement.out.weight)
        nn.init.zeros_(self.refinement.out.bias)
        self.template = Template(parts=config.fine_parts)
        if config.form == "aligned":
            fine = config.fine_parts**2 * ((t2 or w2) + 3 * config.stem_bridge)
            wanted = EDGEFACE[config.recogniser].hint_width(config.fine_blocks)
            self.bridge: StemBridge | Bridge = (
                StemBridge(fine, wanted)
                if config.stem_bridge
                else Bridge(fine, t4, config.bridge, wanted, config.bridge_fine, config.bridge_rank)
            )
            self.deep = DeepHalf(config.deep_blocks, config.fine_blocks, config.recogniser)
        else:
            self.cell = nn.Linear(w8 + w16 + w32, EMBEDDING)

    def detect(self, maps: Maps) -> list[Tensor]:
        """Raw outputs (B, 15, H/s, W/s) for strides 8, 16, 32; see docs/design.md for their code."""
        return self.head(maps.s8, maps.s16, maps.s32)

    def thinned(self, s1: Tensor, s2: Tensor, s4: Tensor) -> tuple[Tensor, ...]:
        """The maps that are sampled: at `fine_strides`, then at 4."""
        finest = (s1, s2) if self.config.stem_bridge else (self.thin2(s2),)
        return *finest, self.thin4(s4)

    def sampled_maps(self, images: Tensor) -> tuple[Tensor, ...]:
        """`thinned` of images (B, 3, H, W), with no more of the backbone run than it takes."""
        return self.thinned(images, *self.backbone.fine(images))

    def look(self, sampled: tuple[Tensor, ...], boxes: Tensor, places: Places | None = None) -> Tensor:
        """Logits (N, DIRECTIONS) of which way up the faces in boxes (N, 4), pixels, are."""
        assert self.direction is not None
        transform = upright(boxes, self.template.landmarks)
        coarse = self.coarse_samples(sampled, by_slot(transform, places), self.template.wide14)
        return self.direction(by_face(coarse, places))

    def turn(self, boxes: Tensor, landmarks: Tensor, vector: Tensor) -> tuple[Tensor, Tensor]:
        """Landmarks (N, 5, 2) from which corrections start, by faces' directions (N, 2), and which are sure.

        Coarse landmarks that are turned otherwise than the face make way for the template in its box (N, 4).
        """
        length = vector.norm(dim=1, keepdim=True)
        direction = vector / length.clamp(min=1e-6)
        template = self.template.landmarks
        own = direction_of(template_to_image(landmarks, template))
        agree = (own * direction).sum(1) > AGREES
        instead = apply_similarity(turned(boxes, template, direction), template)
        return torch.where(agree.view(-1, 1, 1), landmarks, instead), length[:, 0] > DECIDED

    def refine(self, sampled: tuple[Tensor, ...], landmarks: Tensor, places: Places | None = None) -> Tensor:
        """One correction of landmarks (N, 5, 2), pixels: of K faces a picture (N = B * K), or at `places`."""
        transform = template_to_image(landmarks, self.template.landmarks)
        coarse = self.coarse_samples(sampled, by_slot(transform, places), self.template.wide14)
        offsets = self.refinement(by_face(coarse, places)).float().view(-1, 5, 2)
        return apply_similarity(transform, self.template.landmarks + offsets)

    def samples(
        self, sampled: tuple[Tensor, ...], landmarks: Tensor, places: Places | None = None
    ) -> tuple[Tensor, Tensor]:
        """What the bridge takes: aligned samples (N, F, 28, 28) of what is finest, and what it has beside.

        F is `fine_parts` squared times the channels of these maps: the samples of each of the 28x28 cells.
        Beside: each face's pose for a `StemBridge`; for others samples (N, C, 14, 14) of what is coarser.
        """
        faces = template_to_image(landmarks, self.template.landmarks)
        transform = by_slot(faces, places)
        points = apply_similarity(transform, self.template.fine)
        finest = zip(sampled, self.fine_strides, strict=False)
        fine = torch.cat([by_face(sample(each, points, stride, 28), places) for each, stride in finest], 1)
        if self.config.stem_bridge:
            return fine, pose_of(faces)
        return fine, by_face(self.coarse_samples(sampled, transform, self.template.grid14), places)

    def coarse_samples(self, sampled: tuple[Tensor, ...], transform: Tensor, grid: Tensor) -> Tensor:
        """Stride 4 (B, C, K, 14, 14) on a grid of the template, moved by transforms (B * K, 4)."""
        return sample(sampled[len(self.fine_strides)], apply_similarity(transform, grid), 4, 14)

    def embed(self, sampled: tuple[Tensor, ...], landmarks: Tensor, places: Places | None = None) -> Tensor:
        """Embeddings (N, 1000), L2-normalised, of faces aligned by landmarks (N, 5, 2), pixels.

        `sampled` holds the thinned maps; the `cell` form reads maps at strides 8, 16, 32 at its end.
        """
        if self.config.form == "aligned":
            out = self.deep(self.bridge(*self.samples(sampled, landmarks, places)))
        else:
            centre = by_slot(landmarks.mean(1, keepdim=True), places)
            cells = [sample(m, centre, s, 1) for m, s in zip(sampled[-3:], (8, 16, 32), strict=True)]
            out = self.cell(by_face(torch.cat(cells, 1), places).flatten(1))
        return F.normalize(out.float(), dim=1)
