"""The landmarks' corrections, read from the map around a face."""

from torch import Tensor, nn
from torch.nn import functional as F

from oneshot.models.sampling import Grid, Places, SampledMap, apply_similarity, template_to_image


class Refinement(nn.Module):
    """How far each of the five landmarks is off, in template pixels, from samples of stride 4 on a wide grid.

    Nothing at first.
    """

    def __init__(self, inputs: int):
        super().__init__()
        self.grid = Grid(14, reach=1.25)
        self.norm = nn.BatchNorm2d(inputs)
        self.thin = nn.Conv2d(inputs, 48, 1)
        self.down1 = nn.Conv2d(48, 64, 3, stride=2, padding=1)
        self.down2 = nn.Conv2d(64, 64, 3, stride=2, padding=1)
        self.out = nn.Linear(64 * 16, 10)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, coarse: SampledMap, landmarks: Tensor, places: Places | None = None) -> Tensor:
        """One correction of landmarks (N, 5, 2), pixels: of K faces an image (N = B * K), or at `places`."""
        template = self.grid.landmarks
        transform = template_to_image(landmarks, template)
        x = F.relu(self.thin(self.norm(self.grid((coarse,), transform, places))))
        x = F.relu(self.down2(F.relu(self.down1(x))))
        offsets = self.out(x.flatten(1)).float().view(-1, 5, 2)
        return apply_similarity(transform, template + offsets)
