"""The whole network: raw detection tensors, landmark refinement and embeddings of given faces."""

from dataclasses import asdict, dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from oneshot.errors import OneShotError
from oneshot.models.align import (
    Places,
    Template,
    apply_similarity,
    by_face,
    by_slot,
    pose_of,
    sample,
    template_to_image,
)
from oneshot.models.backbone import EXPAND_TOP, SQUEEZE_TOP, Backbone, Maps
from oneshot.models.direction import AGREES, DECIDED, DIRECTIONS, direction_of, turned, upright
from oneshot.models.edgeface import EDGEFACE
from oneshot.models.head import DetectionHead
from oneshot.models.identity import EMBEDDING, Bridge, DeepHalf, GridReader
from oneshot.models.stem_bridge import StemBridge

Form = Literal["aligned", "cell"]


@dataclass(frozen=True)
class NetworkConfig:
    """What fixes the network's shape; travels with the weights.

    Attributes:
        form: the identity head: a recogniser's deep half on the aligned grid, or one 1x1 convolution at the
            face's centre (the plain YOLO form).
        stem, share3x3, share3x3_top, squeeze_top, expand_top: see `Backbone`; shares in eighths,
            from 1/8 to 7/8.
        thin: channels of the maps at strides 2 and 4 that are sampled; 0 samples the stem's output as it is.
            With a `StemBridge`, those at stride 2 are the backbone's `linear` filters, and the picture itself
            is sampled beside them.
        fine_parts: how many samples a side are taken of stride 2 in each of the template's 28x28 cells.
        bridge, bridge_fine, bridge_rank: see `Bridge`'s width, fine_width and rank; `StemBridge`, which takes
            its place where the deep half begins at 28x28, has none of them.
        head: width of the detection head.
        direction: decide which way up a face is before its landmarks are corrected.
        refinements: how often the landmarks are corrected, each time from samples at the places so far.
        recogniser: which EdgeFace is imitated, and by whose deep half.
        deep_blocks, fine_blocks: see `DeepHalf`.
    """

    form: Form = "aligned"
    stem: int = 32
    thin: tuple[int, int] = (4, 32)
    fine_parts: int = 2
    bridge: int = 32
    bridge_fine: int = 96
    bridge_rank: int = 48
    head: int = 64
    direction: bool = False
    refinements: int = 2
    share3x3: float = 0.25
    share3x3_top: float = 0.125
    squeeze_top: tuple[int, int, int] = SQUEEZE_TOP
    expand_top: tuple[int, int, int] = EXPAND_TOP
    recogniser: str = "xxs"
    deep_blocks: int = 6
    fine_blocks: int = 4

    def __post_init__(self) -> None:
        if self.form not in get_args(Form):
            raise OneShotError(f"network.form={self.form}: give one of {', '.join(get_args(Form))}")
        for name in ("share3x3", "share3x3_top"):
            share = getattr(self, name)
            if not 1 <= 8 * share <= 7 or 8 * share % 1:
                raise OneShotError(f"network.{name}={share}: give an eighth, from 0.125 to 0.875")
        if len(self.thin) != 2:
            raise OneShotError(f"network.thin={list(self.thin)}: give two numbers, for strides 2 and 4")
        for name in ("squeeze_top", "expand_top"):
            widths = getattr(self, name)
            if len(widths) != 3 or min(widths) < 8 or any(width % 8 for width in widths):
                raise OneShotError(
                    f"network.{name}={list(widths)}: give three multiples of 8, for fire4 to 9"
                )
        if self.fine_parts < 1:
            raise OneShotError(f"network.fine_parts={self.fine_parts}: give 1 or more")
        if self.refinements < 0:
            raise OneShotError(f"network.refinements={self.refinements}: give 0 or more")
        if self.recogniser not in EDGEFACE:
            raise OneShotError(f"network.recogniser={self.recogniser}: give one of {', '.join(EDGEFACE)}")
        kind = EDGEFACE[self.recogniser]
        most, fine = kind.blocks[2], kind.fine_blocks
        least = most - len(kind.spared)
        if self.deep_blocks not in range(least, most + 1):
            raise OneShotError(f"network.deep_blocks={self.deep_blocks}: give {least} to {most}")
        if self.fine_blocks not in range(fine + 1):
            raise OneShotError(f"network.fine_blocks={self.fine_blocks}: give 0 to {fine}")
        if kind.at28(self.fine_blocks) not in (0, kind.blocks[0]):
            raise OneShotError(
                f"network.fine_blocks={self.fine_blocks}: give 0 to {kind.blocks[1]}, or all {fine}"
            )

    @property
    def stem_bridge(self) -> bool:
        """Whether identity reads the picture and linear filters alone, by a `StemBridge`."""
        return self.form == "aligned" and EDGEFACE[self.recogniser].at28(self.fine_blocks) > 0

    def as_dict(self) -> dict[str, object]:
        """As it is written into the weights' file."""
        return asdict(self)


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

    def look(self, sampled: tuple[Tensor, ...], landmarks: Tensor, places: Places | None = None) -> Tensor:
        """Logits (N, DIRECTIONS) of which way up faces are, from where their landmarks (N, 5, 2) lie."""
        assert self.direction is not None
        transform = upright(landmarks, self.template.landmarks)
        coarse = self.coarse_samples(sampled, by_slot(transform, places), self.template.wide14)
        return self.direction(by_face(coarse, places))

    def turn(self, landmarks: Tensor, vector: Tensor) -> tuple[Tensor, Tensor]:
        """Landmarks (N, 5, 2) from which corrections start, by faces' directions (N, 2), and which are sure.

        Coarse landmarks that are turned otherwise than the face make way for the template at their place.
        """
        length = vector.norm(dim=1, keepdim=True)
        direction = vector / length.clamp(min=1e-6)
        template = self.template.landmarks
        own = direction_of(template_to_image(landmarks, template))
        agree = (own * direction).sum(1) > AGREES
        instead = apply_similarity(turned(landmarks, template, direction), template)
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
