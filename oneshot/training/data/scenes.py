"""Training scenes as an endless, reproducible sequence of padded batches.

Every random choice of a scene comes from one generator seeded by (seed, number of the scene), so a run can be
repeated, and resumed at any step, whatever the number of workers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from oneshot.training.assign import FaceTargets
from oneshot.training.data.compose import Scene, SceneConfig, compose
from oneshot.training.data.pool import ScenePool
from oneshot.training.data.warp import Array


@dataclass(frozen=True)
class SceneBatch:
    """Images (B, 3, S, S) uint8 RGB, channels last in memory, and their faces."""

    images: Tensor
    targets: FaceTargets


class SceneBatches(Dataset[SceneBatch]):
    """Batch number `step` of the sequence; each photo comes once in every len(pool.photos) scenes."""

    def __init__(self, pool: ScenePool, config: SceneConfig, seed: int = 0) -> None:
        self.pool, self.config, self.seed = pool, config, seed

    def __getitem__(self, step: int) -> SceneBatch:
        config = self.config
        side = int(np.random.default_rng([self.seed, 0, step]).choice(config.sides))
        return collate([self.scene(step * config.batch + i, side) for i in range(config.batch)])

    def scene(self, number: int, side: int) -> Scene:
        """Scene `number` of the sequence, of side × side pixels."""
        photos = self.pool.photos
        pass_number, place = divmod(number, len(photos))
        photo = photos[_order(self.seed, pass_number, len(photos))[place]]
        return compose(photo, self.pool, self.config, side, np.random.default_rng([self.seed, 1, number]))


def scene_loader(batches: SceneBatches, steps: range, workers: int = 1) -> Iterator[SceneBatch]:
    """Batches of the given steps, in order; `workers` processes compose four each (0: in this process)."""
    loader: DataLoader[SceneBatch] = DataLoader(
        batches,
        batch_size=None,
        sampler=steps,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_one_thread,
    )
    return iter(loader)


def collate(scenes: Sequence[Scene]) -> SceneBatch:
    """Scenes of one side as a batch; faces and ignore regions padded with zeros and masks."""
    labels = [scene.labels for scene in scenes]
    targets = FaceTargets(
        boxes=_pad([label.boxes for label in labels]),
        valid=_pad([np.ones(len(label.boxes), bool) for label in labels]),
        landmarks=_pad([label.landmarks for label in labels]),
        landmark_valid=_pad([label.known for label in labels]),
        identity_ok=_pad([scene.identity_ok for scene in scenes]),
        ignore=_pad([label.ignore for label in labels]),
        ignore_valid=_pad([np.ones(len(label.ignore), bool) for label in labels]),
    )
    images = torch.from_numpy(np.stack([scene.image for scene in scenes]))
    return SceneBatch(images.permute(0, 3, 1, 2), targets)


def _pad(rows: Sequence[Array]) -> Tensor:
    """Arrays (n_i, …) as one tensor (B, max n_i, …), zeros (False) behind."""
    padded = np.zeros((len(rows), max(len(row) for row in rows), *rows[0].shape[1:]), rows[0].dtype)
    for target, row in zip(padded, rows, strict=True):
        target[: len(row)] = row
    return torch.from_numpy(padded)


@lru_cache(maxsize=2)
def _order(seed: int, pass_number: int, count: int) -> Array:
    """The order of photos in one pass."""
    return np.random.default_rng([seed, 2, pass_number]).permutation(count)


def _one_thread(worker: int) -> None:
    """A worker is one of several processes: OpenCV's own threads would fight over the same cores."""
    cv2.setNumThreads(0)
