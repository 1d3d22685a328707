"""From samples of a face to what the imitated recogniser's stem makes of its aligned crop."""

import torch
from torch import Tensor, nn

from oneshot.models.sampling import POSE


class StemBridge(nn.Module):
    """Samples to the features that EdgeFace has after its stem, on 28x28 cells.

    That stem is one layer of linear filters and a layer norm, so what its filters make is nearly a linear
    function of the pixels that are sampled in a cell and of what other linear filters made of those around
    them: a function that depends on how large the face is and how far it is turned. A matrix a face, a sum
    of a few by the face's pose, is fitted by least squares (`training.stages.first_fit`). The norm is the
    last step.

    Args:
        fine: channels of the samples. out: channels of the features.
    """

    def __init__(self, fine: int, out: int = 24):
        super().__init__()
        self.norm = nn.BatchNorm2d(fine)
        self.linear = nn.Linear(fine, POSE * out)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.norm_out = nn.LayerNorm(out, eps=1e-6)

    def forward(self, fine: Tensor, pose: Tensor) -> Tensor:
        """Samples (N, F, 28, 28) and `pose_of` their transforms (N, POSE) to (N, out, 28, 28)."""
        # Of large numbers that cancel: in bfloat16 their difference would be lost.
        with torch.autocast(fine.device.type, enabled=False):
            x, pose = self.norm(fine.float()), pose.float()
            matrices = (pose @ self.linear.weight.view(POSE, -1)).unflatten(1, (-1, x.shape[1]))
            shifts = pose @ self.linear.bias.view(POSE, -1)
            features = x.flatten(2).transpose(1, 2) @ matrices.transpose(1, 2) + shifts.unsqueeze(1)
            return self.norm_out(features).transpose(1, 2).unflatten(2, x.shape[2:])

    @torch.no_grad()
    def set_linear(self, matrices: Tensor, shifts: Tensor) -> None:
        """Take over what was fitted to normalised samples: (POSE, out, fine) and (POSE, out)."""
        self.linear.weight.copy_(matrices.flatten(0, 1))
        self.linear.bias.copy_(shifts.flatten())
