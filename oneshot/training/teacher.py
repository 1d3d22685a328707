"""The recogniser that is imitated, EdgeFace, run live on the very view that the student sees."""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from oneshot.errors import OneShotError
from oneshot.geometry import TEMPLATE_SIDE
from oneshot.models.edgeface import EDGEFACE
from oneshot.models.recogniser import EMBEDDING
from oneshot.models.sampling import Grid, apply_similarity, template_to_image


def load_state(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file.

    Raises:
        OneShotError: the file is missing or broken.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.exists():
        raise OneShotError(f"{path}: not there; point models= at the folder with the teacher's weights")
    try:
        return load_file(path)
    except SafetensorError:
        raise OneShotError(f"{path}: not a safetensors file; fetch it again") from None


def isometry(rows: int = EMBEDDING, columns: int = 512) -> Tensor:
    """A fixed (rows, columns) matrix with orthonormal columns: 512-d embeddings to 1000-d, cosines kept."""
    rng = torch.Generator().manual_seed(20071)
    return torch.linalg.qr(torch.randn(rows, columns, generator=rng))[0]


class Teacher(nn.Module):
    """EdgeFace (arXiv:2307.01838), frozen: early features as hints and the embedding as a target.

    Args:
        state: its weights, by timm's names.
        fine_blocks: how many of the first two stages' blocks come after the hints (`DeepHalf`).
        recogniser: whose weights they are.
    """

    rotation: Tensor

    def __init__(self, state: dict[str, Tensor], fine_blocks: int = 0, recogniser: str = "xxs"):
        super().__init__()
        import timm

        kind = EDGEFACE[recogniser]
        net: Any = timm.create_model(kind.timm, num_classes=512)
        net.load_state_dict({k: v.float() for k, v in state.items()})
        self.net: Any = net
        stage1, stage2, stage3, stage4 = net.stages
        stage4.blocks = stage4.blocks[: kind.blocks[3]]
        fine = (*stage1.blocks, stage2.downsample, *stage2.blocks)
        # Whoever has a block of stage 1 after the hints has the way down to stage 2 there, too.
        first = len(fine) - fine_blocks - (kind.at28(fine_blocks) > 0)
        self.before = nn.Sequential(net.stem, *fine[:first])
        self.after = nn.Sequential(*fine[first:], stage3, stage4)
        self.grid = Grid(TEMPLATE_SIDE)
        self.register_buffer("rotation", isometry())
        self.requires_grad_(False).eval()

    def crop(self, views: Tensor, landmarks: Tensor, cells: Tensor | None = None) -> Tensor:
        """Aligned crops (B, 3, 112, 112) of views (B, 3, H, W) by landmarks (B, 5, 2) in view pixels.

        cells: another square grid over the template than the teacher's (`grid_points`), for other sides.
        """
        cells = self.grid.points if cells is None else cells
        points = apply_similarity(template_to_image(landmarks, self.grid.landmarks), cells)
        extent = torch.tensor([views.shape[3], views.shape[2]], device=views.device)
        side = math.isqrt(len(cells))
        grid = (points * (2 / extent) - 1).view(-1, side, side, 2)
        return F.grid_sample(views.float(), grid, align_corners=False)

    @torch.no_grad()
    def forward(self, crops: Tensor) -> Tensor:
        """Aligned crops, RGB 0..255, to targets (B, 1000), L2-normalised."""
        deep = self.net.forward_head(self.after(self.before(_scaled(crops))))
        return F.normalize(F.normalize(deep.float(), dim=1) @ self.rotation.T, dim=1)

    @torch.no_grad()
    def hints(self, crops: Tensor) -> Tensor:
        """Aligned crops to hints (B, C, 14, 14), or (B, C, 28, 28) where stage 1 comes after them."""
        return self.before(_scaled(crops)).float()

    @torch.no_grad()
    def filtered(self, crops: Tensor) -> Tensor:
        """What the filters of its stem make of aligned crops, before their norm: (B, C, 28, 28)."""
        return self.net.stem[0](_scaled(crops))


def _scaled(crops: Tensor) -> Tensor:
    """As EdgeFace reads them: 0..255 to -1..1."""
    return (crops - 127.5) / 127.5
