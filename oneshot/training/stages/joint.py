"""Stage 3: detection and identity together, on composed scenes and on the crops of stage 1."""

import torch
from torch import Tensor

from oneshot.models.network import OneShotNet
from oneshot.training.config import TrainConfig
from oneshot.training.data.views import jitter_landmarks
from oneshot.training.losses.identity import cosine_loss, hint_loss, landmark_loss
from oneshot.training.losses.landmarks import COARSE_NOISE, head_landmarks, pick_faces
from oneshot.training.precision import autocast
from oneshot.training.stages.detection import DetectionStage, Seen
from oneshot.training.stages.identity import IdentityStage, finish, refinements


class JointStage:
    """Data and losses of stage 2. A face of a scene is aligned from the head's own coarse landmarks."""

    def __init__(self, config: TrainConfig):
        self.config = config
        self.device = torch.device(config.device)
        self.identity = IdentityStage(config)
        self.detection = DetectionStage(config)
        self.centres = self.identity.centres

    @property
    def images(self) -> int:
        """Crops and scenes of one step."""
        return self.config.identity.batch + self.config.detection.scenes

    def losses(self, net: OneShotNet, step: int) -> dict[str, Tensor]:
        """Weighted losses of one step: the crops' as in stage 1, detection, and the scenes' own identity."""
        losses = self.identity.losses(net, step)
        seen = self.detection.look(net, step)
        return {**losses, **self.detection.judge(seen), **self.scene_identity(net, step, seen)}

    def scene_identity(self, net: OneShotNet, step: int, seen: Seen) -> dict[str, Tensor]:
        """Weighted identity and landmark losses of some faces of each scene, aligned as at run time."""
        config, settings, targets = self.config, self.config.identity, seen.targets
        rng = torch.Generator().manual_seed((config.seed << 32) + 2**31 + step)
        rows, chosen = pick_faces(targets.identity_ok, config.detection.faces, rng)
        if not bool(chosen.any()):
            return {}
        losses = {}
        truth = targets.landmarks.flatten(0, 1)[rows]
        coarse = head_landmarks([r.detach() for r in seen.raw], seen.assignment, targets)
        coarse = coarse.flatten(0, 1)[rows]
        jittered = jitter_landmarks(truth, rng, *COARSE_NOISE)
        # Until the head has learnt, its landmarks may lie anywhere: then noise stands in for them.
        spread = (truth - truth.mean(1, keepdim=True)).norm(dim=2).mean(1)
        near = (coarse - truth).norm(dim=2).mean(1) < 0.8 * spread
        coarse = torch.where(near.view(-1, 1, 1), coarse, jittered)
        with autocast(self.device, self.config.precision):
            sampled = net.sampled(seen.maps)
            corrections = refinements(net, sampled.coarse, coarse, settings.corrections)
            refined = corrections[-1]
            views = seen.images.repeat_interleave(config.detection.faces, 0)[chosen]
            teacher = self.identity.teacher
            target = self.identity.teach(teacher.crop(views, truth[chosen]))
            samples = net.identity.samples(sampled, refined.detach())
            features, embedding = finish(net, *(part[chosen] for part in samples))
            if net.identity.hinted:
                hint = teacher.hints(teacher.crop(views, refined[chosen].detach()))
                losses["scene_hint"] = settings.weight_hint * 0.5 * hint_loss(features, hint)
        losses["scene_cosine"] = settings.weight_cosine * 0.5 * cosine_loss(embedding, target)
        losses["scene_landmarks"] = settings.weight_landmarks * landmark_loss(
            torch.cat([corrected[chosen] for corrected in corrections]),
            truth[chosen].repeat(len(corrections), 1, 1),
            self.identity.template,
        )
        return losses

    def evaluate(self, net: OneShotNet) -> dict[str, float]:
        """The held-out crops' figures, and AP50 and landmark error on the held-out photos."""
        return {**self.identity.evaluate(net), **self.detection.evaluate(net)}
