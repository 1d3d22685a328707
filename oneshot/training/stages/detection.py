"""Stage 2: the detection head and the fire modules that serve it alone, on composed scenes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from oneshot.models.backbone import Maps
from oneshot.models.boxcode import level_sizes
from oneshot.models.network import OneShotNet
from oneshot.models.weights import load_network
from oneshot.training.assign import Assignment, FaceTargets, assign
from oneshot.training.config import TrainConfig
from oneshot.training.data.compose import SceneConfig
from oneshot.training.data.pool import load_pool, turned_validation
from oneshot.training.data.scenes import SceneBatch, SceneBatches, scene_loader
from oneshot.training.losses.detection import (
    DETECTION_WEIGHTS,
    IMITATION_WEIGHTS,
    detection_losses,
    imitation_losses,
)
from oneshot.training.losses.landmarks import scene_landmarks
from oneshot.training.precision import autocast
from oneshot.training.validation import detection_figures

HELD_TURNS = (0, 90, 180)
"""Degrees by which the held-out photos of turned faces are turned in their plane."""


@dataclass(frozen=True)
class Seen:
    """What the network made of one step's scenes: images (B, 3, S, S) float32 and the head's raw outputs.

    `taught` are those of the network whose head is imitated, if one is.
    """

    images: Tensor
    targets: FaceTargets
    maps: Maps
    raw: list[Tensor]
    taught: list[Tensor] | None
    assignment: Assignment


class DetectionStage:
    """Data and losses of detection alone.

    With `optimiser.lr = 0` the trunk that identity shares stays as it is.
    """

    def __init__(self, config: TrainConfig):
        self.config = config
        self.device = torch.device(config.device)
        self.centres = nn.Parameter(torch.empty(0))
        pool, self.held = load_pool(Path(config.data))
        self.turned = turned_validation(Path(config.data))
        scenes = SceneConfig(batch=config.detection.scenes, sides=config.detection.sides)
        self.open = SceneBatches(pool, scenes, config.seed)
        self.closed = SceneBatches(pool, replace(scenes, mosaic=0.0), config.seed)
        self.teacher: OneShotNet | None = None
        if config.detection.teacher is not None:
            self.teacher = load_network(Path(config.detection.teacher))[0].requires_grad_(False)
            self.teacher.to(self.device).to(memory_format=torch.channels_last)
        self.loader: Iterator[SceneBatch] = iter(())
        self.next_step = -1

    @property
    def images(self) -> int:
        """Scenes of one step."""
        return self.config.detection.scenes

    def batch(self, step: int) -> SceneBatch:
        """The scenes of one step; a worker composes ahead as long as steps follow one another."""
        closing = int((1 - self.config.detection.close_mosaic) * self.config.steps)
        if step != self.next_step or step == closing:
            scenes, end = (self.open, closing) if step < closing else (self.closed, self.config.steps)
            self.loader = scene_loader(scenes, range(step, end), self.config.workers)
        self.next_step = step + 1
        return next(self.loader)

    def look(self, net: OneShotNet, step: int) -> Seen:
        """The scenes of one step through backbone and head."""
        batch = self.batch(step)
        targets = batch.targets.to(self.device)
        images = batch.images.to(self.device).float().contiguous(memory_format=torch.channels_last)
        with autocast(self.device, self.config.precision):
            maps = net.backbone(images)
            raw = net.head(maps)
            taught = self.teacher.head(self.teacher.backbone(images)) if self.teacher else None
        sizes = level_sizes(images.shape[2], images.shape[3])
        assignment = assign(targets.boxes, targets.valid, targets.ignore, targets.ignore_valid, sizes)
        return Seen(images, targets, maps, raw, taught, assignment)

    def judge(self, seen: Seen) -> dict[str, Tensor]:
        """Weighted detection losses, and those of imitation."""
        weight = self.config.detection.weight
        losses = {
            f"detection_{name}": weight * DETECTION_WEIGHTS[name] * value
            for name, value in detection_losses(seen.raw, seen.targets, seen.assignment).items()
        }
        if seen.taught is not None:
            for name, value in imitation_losses(seen.raw, seen.taught).items():
                losses[f"imitation_{name}"] = weight * IMITATION_WEIGHTS[name] * value
        return losses

    def losses(self, net: OneShotNet, step: int) -> dict[str, Tensor]:
        """Weighted losses of one step."""
        seen = self.look(net, step)
        return {**self.judge(seen), **self.place(net, step, seen)}

    def place(self, net: OneShotNet, step: int, seen: Seen) -> dict[str, Tensor]:
        """The weighted loss of the landmarks' corrections."""
        settings = self.config.detection
        rng = torch.Generator().manual_seed((self.config.seed << 32) + 2**30 + step)
        with autocast(self.device, self.config.precision):
            loss = scene_landmarks(
                net,
                net.sampled(seen.maps).coarse,
                seen.raw,
                seen.targets,
                seen.assignment,
                settings.faces,
                settings.corrections,
                rng,
            )
        return {} if loss is None else {"corrections": settings.weight_landmarks * loss}

    def evaluate(self, net: OneShotNet) -> dict[str, float]:
        """AP50 and landmark errors on the held-out photos, upright and turned ones."""
        figures = detection_figures(net, self.held, self.device, self.config.precision)
        for turn in HELD_TURNS if self.turned else ():
            found = detection_figures(net, self.turned, self.device, self.config.precision, turn=turn)
            figures |= {f"{name}_turned{turn}": value for name, value in found.items()}
        return figures
