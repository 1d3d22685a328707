"""SqueezeFacePoseNet taught by the one pass's own teacher, on aligned crops: its weights without any names.

The paper learns to tell people apart; where few photos have names, a recogniser's embeddings stand in for
them. Descriptors cannot be negative (they end in a ReLU), so they are not asked to equal the embeddings:
faces are to be most like those that the teacher finds most alike. Names only choose what is seen together.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from oneshot.inference.crop import SIDE
from oneshot.models.sampling import grid_points
from oneshot.models.squeezefaceposenet import SqueezeFacePoseNet
from oneshot.training.config import TrainConfig
from oneshot.training.data.crops import Crops
from oneshot.training.data.views import jitter_landmarks
from oneshot.training.losses.identity import neighbours_loss
from oneshot.training.precision import autocast
from oneshot.training.stages.identity import VALIDATION_SCALES, IdentityStage
from oneshot.training.validation import tar_at_far

GROUP = 4
"""Photos of one named person in a step. Half of a step is such groups; the rest may be anybody."""


class DistilStage:
    """Data and losses; crops, teacher and views are stage 1's."""

    def __init__(self, config: TrainConfig, crops: Crops | None = None):
        self.config = config
        self.identity = IdentityStage(config, crops)
        self.device = self.identity.device
        self.grid = grid_points(SIDE).to(self.device)
        self.centres = nn.Parameter(torch.empty(0))
        names = self.identity.train.identity
        people = (torch.nonzero(names == person).squeeze(1) for person in names[names >= 0].unique())
        self.people = [rows for rows in people if len(rows) >= GROUP]

    @property
    def images(self) -> int:
        """Crops of one step."""
        return self.config.identity.batch

    def rows(self, step: int, rng: torch.Generator) -> Tensor:
        """The crops of one step: GROUP of each of some people, then those whose turn it is."""
        count = self.config.identity.batch // (2 * GROUP)
        chosen = [self.people[i] for i in torch.randperm(len(self.people), generator=rng)[:count]]
        groups = [rows[torch.randperm(len(rows), generator=rng)[:GROUP]] for rows in chosen]
        return torch.cat([*groups, self.identity.rows(step)])[: self.config.identity.batch]

    def losses(self, net: SqueezeFacePoseNet, step: int) -> dict[str, Tensor]:
        """Weighted losses of one step; the student's crops are aligned less well than the teacher's."""
        config, identity = self.config, self.identity
        rng = torch.Generator().manual_seed((config.seed << 32) + step)
        faces, crops = [], []
        for views, truth in identity.views(self.rows(step, rng), rng):
            crops.append(identity.teacher.crop(views, truth))
            faces.append(identity.teacher.crop(views, jitter_landmarks(truth, rng, 0.05, 0.03), self.grid))
        target = identity.teach(torch.cat(crops))
        descriptors = self.describe(net, torch.cat(faces))
        loss = neighbours_loss(F.normalize(descriptors, dim=1), target)
        return {"pairs": config.identity.weight_pairs * loss}

    def describe(self, net: SqueezeFacePoseNet, faces: Tensor) -> Tensor:
        """Descriptors (N, 1000) float32 of aligned faces (N, 3, 113, 113), RGB 0..255."""
        with autocast(self.device, self.config.precision):
            return net(faces.contiguous(memory_format=torch.channels_last)).float()

    @torch.no_grad()
    def evaluate(self, net: SqueezeFacePoseNet) -> dict[str, float]:
        """Verification of held-out people at three sizes, by the cosine of plain descriptors."""
        identity, held = self.identity, self.identity.held
        figures: dict[str, float] = {}
        for name, scale in VALIDATION_SCALES.items():
            parts = []
            for views, truth in identity.held_views(scale):
                found = self.describe(net, identity.teacher.crop(views, truth, self.grid))
                parts.append((found, identity.teach(identity.teacher.crop(views, truth))))
            own, target = (F.normalize(torch.cat(p).cpu(), dim=1) for p in zip(*parts, strict=True))
            figures[f"tar_{name}"] = tar_at_far(own, held.identity)
            figures[f"tar_teacher_{name}"] = tar_at_far(target, held.identity)
        return figures
