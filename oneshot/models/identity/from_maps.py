"""From aligned samples of the backbone's maps to what the recogniser's deep half expects."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Bridge(nn.Module):
    """Sampled maps to the features that the recogniser's deep half expects: 48 channels on 14x14.

    Its batch-norms are what makes the dense hints trainable at all: SqueezeNet's features are unscaled.

    Args:
        fine, coarse: channels of the samples. out: channels of the features.
        width: of the 3x3 convolution; fine_width: of the one that halves the fine samples' grid.
        rank: channels that a linear layer leaves of all of them for the 3x3 convolution, whose filters then
            are of this rank; 0 leaves all.
    """

    def __init__(
        self, fine: int, coarse: int, width: int = 96, out: int = 48, fine_width: int = 48, rank: int = 0
    ):
        super().__init__()
        self.norm_fine = nn.BatchNorm2d(fine)
        self.down_fine = nn.Conv2d(fine, fine_width, 3, stride=2, padding=1, bias=False)
        self.norm_down = nn.BatchNorm2d(fine_width)
        self.norm_coarse = nn.BatchNorm2d(coarse)
        joined = fine_width + coarse
        self.squeeze: nn.Module = nn.Conv2d(joined, rank, 1, bias=False) if rank else nn.Identity()
        self.mix = nn.Conv2d(rank or joined, width, 3, padding=1, bias=False)
        self.norm_mix = nn.BatchNorm2d(width)
        self.out = nn.Conv2d(width, out, 1)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """Samples of stride 2 (N, F, 28, 28) and of coarser maps (N, C, 14, 14) to (N, 48, 14, 14)."""
        fine = F.relu(self.norm_down(self.down_fine(self.norm_fine(fine))))
        x = self.squeeze(torch.cat((fine, self.norm_coarse(coarse)), 1))
        return self.out(F.relu(self.norm_mix(self.mix(x))))
