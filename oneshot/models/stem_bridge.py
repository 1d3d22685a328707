"""From the stem's samples to what the teacher's own stem makes of the aligned crop."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from oneshot.models.align import POSE


class StemBridge(nn.Module):
    """Samples of stride 2 to the features that EdgeFace has after its stem, on 28x28 cells.

    Both stems are one layer of small filters on the same pixels, so most of what the one makes is a linear
    function of what the other made there: a function that depends on how large the face is and how far it
    is turned, since the samples come from filters that are neither scaled nor turned with it. A matrix a
    face, a sum of a few by the face's pose, is fitted by least squares (`training.first_fit`); a small
    convolutional path beside it learns the rest.

    Args:
        fine: channels of the samples. width: of the path beside. out: channels of the features.
    """

    def __init__(self, fine: int, width: int = 32, out: int = 24):
        super().__init__()
        self.norm = nn.BatchNorm2d(fine)
        self.linear = nn.Linear(fine, POSE * out)
        self.lift = nn.Conv2d(fine, width, 1, bias=False)
        self.pose = nn.Linear(POSE, width, bias=False)
        self.norm_lift = nn.BatchNorm2d(width)
        self.look = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        self.norm_look = nn.BatchNorm2d(width)
        self.out = nn.Conv2d(width, out, 1)
        for layer in (self.linear, self.out):
            nn.init.zeros_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, fine: Tensor, pose: Tensor) -> Tensor:
        """Samples (N, F, 28, 28) and `pose_of` their transforms (N, POSE) to (N, out, 28, 28)."""
        x = self.norm(fine)
        matrices = (pose @ self.linear.weight.view(POSE, -1)).unflatten(1, (-1, x.shape[1]))
        shifts = pose @ self.linear.bias.view(POSE, -1)
        linear = (matrices @ x.flatten(2) + shifts.unsqueeze(2)).unflatten(2, x.shape[2:])
        lifted = F.relu(self.norm_lift(self.lift(x) + self.pose(pose)[:, :, None, None]))
        return linear + self.out(F.relu(self.norm_look(self.look(lifted))))

    @torch.no_grad()
    def set_linear(self, matrices: Tensor, shifts: Tensor) -> None:
        """Take over what was fitted to normalised samples: (POSE, out, fine) and (POSE, out)."""
        self.linear.weight.copy_(matrices.flatten(0, 1))
        self.linear.bias.copy_(shifts.flatten())
