"""A small reader of the maps around a face: how far its landmarks are off, or which way up it is."""

from torch import Tensor, nn
from torch.nn import functional as F


class GridReader(nn.Module):
    """A few numbers from the coarse samples on a wide grid: landmarks' offsets, or a face's direction."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(inputs)
        self.thin = nn.Conv2d(inputs, 48, 1)
        self.down1 = nn.Conv2d(48, 64, 3, stride=2, padding=1)
        self.down2 = nn.Conv2d(64, 64, 3, stride=2, padding=1)
        self.out = nn.Linear(64 * 16, outputs)

    def forward(self, sampled: Tensor) -> Tensor:
        """(N, C, 14, 14) samples to (N, outputs)."""
        x = F.relu(self.thin(self.norm(sampled)))
        x = F.relu(self.down2(F.relu(self.down1(x))))
        return self.out(x.flatten(1))
