"""Stage 1: the identity half on face crops, taught by dense hints (docs/design.md)."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from oneshot.errors import OneShotError
from oneshot.models.config import CellIdentity
from oneshot.models.edgeface import EDGEFACE
from oneshot.models.network import OneShotNet
from oneshot.models.recogniser import EMBEDDING
from oneshot.models.sampling import SampledMap
from oneshot.training.config import TrainConfig
from oneshot.training.data.crops import Crops, load_crops, split_by_person
from oneshot.training.data.views import CROP_SCALE, jitter_landmarks, make_views
from oneshot.training.losses.identity import (
    alignment_error,
    cosine_loss,
    hint_loss,
    landmark_loss,
    margin_loss,
    pairs_loss,
)
from oneshot.training.losses.landmarks import COARSE_NOISE
from oneshot.training.precision import autocast
from oneshot.training.teacher import Teacher, load_state
from oneshot.training.validation import tar_at_far

Teach = Callable[[Tensor], Tensor]

VALIDATION_SCALES = {"full": 1.0, "half": 0.5, "quarter": 0.27}


class IdentityStage:
    """Data, teacher and losses of stage 1."""

    def __init__(self, config: TrainConfig, crops: Crops | None = None):
        self.config = config
        self.settings = settings = config.identity
        self.device = torch.device(config.device)
        crops = crops or load_crops(Path(config.data))
        self.train, self.held = split_by_person(crops)
        if len(self.train) < settings.batch:
            raise OneShotError(
                f"{config.data}: {len(self.train)} crops to train on, fewer than "
                f"identity.batch={settings.batch}; lower it or add crops"
            )
        self.pixels = self.train.pixels.to(self.device)
        shape = config.network.identity
        state = load_state(Path(config.models) / EDGEFACE[shape.recogniser].file)
        fine_blocks = 0 if isinstance(shape, CellIdentity) else shape.fine_blocks
        self.teacher = Teacher(state, fine_blocks, shape.recogniser).to(self.device)
        self.teacher.to(memory_format=torch.channels_last)
        self.template = self.teacher.grid.landmarks
        people = int(self.train.identity.max()) + 1 if settings.weight_margin else 0
        centres = torch.randn(people, EMBEDDING, generator=torch.Generator().manual_seed(1))
        self.centres = nn.Parameter(centres.to(self.device))
        self.order: tuple[int, Tensor] = (-1, torch.empty(0))
        self.told = torch.zeros(len(self.train), dtype=torch.bool)
        self.tells = torch.empty(len(self.train), EMBEDDING, dtype=torch.float16)
        self.finish, self.step_teacher = finish, cast(Teach, self.teacher)
        if config.compile and not any(map(shutil.which, ("g++", "clang++"))):
            raise OneShotError(
                "compile=true: there is no C++ compiler (g++ or clang++); install one, or leave it out"
            )
        if config.compile:  # for whole batches; the faces of scenes vary in number
            self.finish = torch.compile(finish, dynamic=False)
            self.step_teacher = torch.compile(self.teacher, dynamic=False)

    @property
    def images(self) -> int:
        """Crops of one step."""
        return self.settings.batch

    def rows(self, step: int) -> Tensor:
        """The crops of one step: every epoch a fresh permutation that the seed fixes."""
        per_epoch = len(self.train) // self.settings.batch
        epoch, position = divmod(step, per_epoch)
        if self.order[0] != epoch:
            rng = torch.Generator().manual_seed(self.config.seed * 1_000_003 + epoch)
            self.order = (epoch, torch.randperm(len(self.train), generator=rng))
        return self.order[1][position * self.settings.batch : (position + 1) * self.settings.batch]

    def views(self, rows: Tensor, rng: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """`make_views` of these crops, an equal part of them on each of the config's canvases."""
        settings = self.settings
        for part, canvas, scales in zip(
            rows.chunk(len(settings.canvases)), settings.canvases, settings.scales, strict=True
        ):
            landmarks = self.train.landmarks[part].to(self.device)
            yield make_views(self.pixels[part], landmarks, canvas, scales, rng)

    def held_views(self, scale: float) -> Iterator[tuple[Tensor, Tensor]]:
        """Held-out crops, some at a time: views with faces at `scale` times the template, landmarks."""
        canvas = max(64, int(-(-128 * scale / CROP_SCALE // 32) * 32))
        for rows in torch.arange(len(self.held)).split(128):
            views, truth = clean_views(self.held.pixels[rows], self.held.landmarks[rows], canvas, scale)
            yield views.to(self.device), truth.to(self.device)

    def losses(self, net: OneShotNet, step: int) -> dict[str, Tensor]:
        """Named losses of one step, weighted as the config says."""
        config, settings = self.config, self.settings
        rng = torch.Generator().manual_seed((config.seed << 32) + step)
        rows = self.rows(step)
        views = list(self.views(rows, rng))
        target = self.targets(rows, views)
        samples, aligned_all, refined_all, truth_all = [], [], [], []
        own = settings.own_landmarks if step >= settings.own_landmarks_from * config.steps else 0.0
        # One autocast for all: it keeps the weights' bfloat16 copies until it ends.
        with autocast(self.device, self.config.precision):
            for images, truth in views:
                images = images.contiguous(memory_format=torch.channels_last)
                sampled = net.sampled_of(images)
                coarse = sampled.coarse
                # Alone, identity has the maps that it reads to itself, which is a twentieth faster; stage 3
                # shapes them for the landmarks, too, and so does stage 1 where identity does not read them.
                if net.identity.reads_coarse and config.stage != "joint":
                    coarse = coarse._replace(map=coarse.map.detach())
                noisy = jitter_landmarks(truth, rng, *COARSE_NOISE)
                corrections = refinements(net, coarse, noisy, settings.corrections)
                near = jitter_landmarks(truth, rng, 0.05, 0.03)
                chosen = (torch.rand(len(truth), 1, 1, generator=rng) < own).to(self.device)
                landmarks = torch.where(chosen, corrections[-1].detach(), near)
                samples.append(net.identity.samples(sampled, landmarks))
                aligned_all.append(landmarks)
                refined_all.extend(corrections)
                truth_all.extend([truth] * len(corrections))
            losses: dict[str, Tensor] = {}
            # The bridge's batch-norms see all sizes of face at once, as at run time.
            features, embedding = self.finish(net, *(torch.cat(s) for s in zip(*samples, strict=True)))
            if net.identity.hinted and settings.weight_hint:
                # Hints of the crop as it is aligned here: samples of one place do not tell of another.
                seen = zip(views, aligned_all, strict=True)
                crops = torch.cat([self.teacher.crop(images, landmarks) for (images, _), landmarks in seen])
                losses["hint"] = settings.weight_hint * hint_loss(features, self.teacher.hints(crops))
        losses["cosine"] = settings.weight_cosine * cosine_loss(embedding, target)
        losses["pairs"] = settings.weight_pairs * pairs_loss(embedding, target)
        losses["landmarks"] = settings.weight_landmarks * landmark_loss(
            torch.cat(refined_all), torch.cat(truth_all), self.template
        )
        if settings.weight_margin:
            labels = self.train.identity[rows].to(self.device)
            losses["margin"] = settings.weight_margin * margin_loss(embedding, self.centres, labels)
        return losses

    def teach(self, crops: Tensor) -> Tensor:
        """The teacher's targets for aligned crops."""
        teacher = self.step_teacher if len(crops) == self.settings.batch else self.teacher
        with autocast(self.device, self.config.precision):
            return teacher(crops.contiguous(memory_format=torch.channels_last))

    def targets(self, rows: Tensor, views: list[tuple[Tensor, Tensor]]) -> Tensor:
        """What one step's views are to be described as, (B, 1000): by the teacher, who sees the view, or the
        crop itself where `sharp_below` says so."""
        settings = self.settings
        parts = zip(rows.chunk(len(settings.canvases)), settings.scales, strict=True)
        small = torch.cat(
            [torch.full((len(part),), largest < settings.sharp_below) for part, (_, largest) in parts]
        ).to(self.device)
        target = torch.empty(len(rows), EMBEDDING, device=self.device)
        if bool(small.any()):
            target[small] = self.of_crops(rows[small.cpu()])
        if not bool(small.all()):
            crops = torch.cat([self.teacher.crop(*view) for view in views])
            target[~small] = self.teach(crops[~small]).float()
        return target

    def of_crops(self, rows: Tensor) -> Tensor:
        """What the teacher says of these crops (B, 1000); it is asked once of each."""
        new = rows[~self.told[rows]]
        if len(new):
            crops = self.teacher.crop(self.pixels[new], self.train.landmarks[new].to(self.device))
            self.tells[new] = self.teach(crops).half().cpu()
            self.told[new] = True
        return self.tells[rows].float().to(self.device)

    @torch.no_grad()
    def evaluate(self, net: OneShotNet) -> dict[str, float]:
        """Verification on held-out people at three sizes, given landmarks and refined coarse ones."""
        rng = torch.Generator().manual_seed(7)
        figures: dict[str, float] = {}
        for name, scale in VALIDATION_SCALES.items():
            parts: list[tuple[Tensor, ...]] = []
            for views, truth in self.held_views(scale):
                with autocast(self.device, self.config.precision):
                    target = self.teach(self.teacher.crop(views, truth))
                    sampled = net.sampled_of(views.contiguous(memory_format=torch.channels_last))
                    given = net.identity(sampled, truth)
                    noisy = jitter_landmarks(truth, rng, *COARSE_NOISE)
                    refined = refinements(net, sampled.coarse, noisy, net.config.refinements)[-1]
                    own = net.identity(sampled, refined)
                parts.append((given, own, target, alignment_error(refined, truth)))
            given, own, target, error = (torch.cat(p).cpu() for p in zip(*parts, strict=True))
            figures[f"cosine_{name}"] = float((given * target).sum(1).mean())
            figures[f"tar_{name}"] = tar_at_far(given, self.held.identity)
            figures[f"tar_own_{name}"] = tar_at_far(own, self.held.identity)
            figures[f"tar_teacher_{name}"] = tar_at_far(target, self.held.identity)
            figures[f"landmark_error_{name}"] = float(error.mean())
        return figures


def finish(net: OneShotNet, *samples: Tensor) -> tuple[Tensor, Tensor]:
    """Samples to the identity head's features and the embeddings (N, 1000), L2-normalised, float32."""
    features = net.identity.features(*samples)
    return features[0], net.identity.embed(*features)


def refinements(net: OneShotNet, coarse: SampledMap, landmarks: Tensor, times: int) -> list[Tensor]:
    """Landmarks (N, 5, 2) after each of so many corrections; none learns through the one before it."""
    corrections = [landmarks]
    for _ in range(times):
        corrections.append(net.refinement(coarse, corrections[-1].detach()))
    return corrections[1:]


def clean_views(pixels: Tensor, landmarks: Tensor, canvas: int, scale: float) -> tuple[Tensor, Tensor]:
    """Crops (B, 3, 128, 128) with faces at `scale` times the template, centred on a black canvas."""
    side = round(128 * scale / CROP_SCALE)
    scaled = F.interpolate(pixels.float(), (side, side), mode="bilinear", antialias=True, align_corners=False)
    before = (canvas - side) // 2
    after = canvas - side - before
    return F.pad(scaled, (before, after, before, after)), landmarks * (side / 128) + before
