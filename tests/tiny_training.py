"""A tiny data folder with random starting weights, and a run on it: what tests of the training begin with."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import timm
import torch
from rich.console import Console
from safetensors.torch import save_file
from torchvision.models import squeezenet1_1

from oneshot.geometry import ARCFACE_TEMPLATE
from oneshot.models.config import NetworkConfig
from oneshot.training.config import KIND_OF, IdentityConfig, OptimiserConfig, TrainConfig
from oneshot.training.data.views import CROP_SCALE

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """32 blotches with landmarks, eight of them of named people, and random starting weights."""
    data, models = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("models")
    rng = np.random.default_rng(0)
    crops = []
    for _ in range(32):
        small = rng.integers(0, 256, (8, 8, 3), np.uint8)
        done, encoded = cv2.imencode(".webp", cv2.resize(small, (128, 128), interpolation=cv2.INTER_CUBIC))
        assert done
        crops.append(encoded.tobytes())
    lengths = np.array([len(c) for c in crops])
    (data / "faces-0.webps").write_bytes(b"".join(crops))
    landmarks = (ARCFACE_TEMPLATE - 56) * CROP_SCALE + 64
    np.savez(
        data / "faces.npz",
        kps=np.repeat(landmarks[None], 32, 0).astype(np.float16),
        identity=np.array([0, 0, 0, 0, 8, 8, 8, 8] + [-1] * 24),
        part=np.zeros(32, np.uint8),
        offset=np.concatenate(([0], np.cumsum(lengths)[:-1])).astype(np.uint32),
        length=lengths.astype(np.uint16),
        native=np.ones(32, np.float16),
        source=np.zeros(32, np.uint8),
        source_names=np.array(["drawn"]),
    )
    torch.manual_seed(0)
    save_file(
        timm.create_model("edgenext_xx_small", num_classes=512).state_dict(),
        models / "edgeface_xxs.safetensors",
    )
    save_file(squeezenet1_1().state_dict(), models / "squeezenet1_1_imagenet.safetensors")
    return data, models


def tiny(folders: tuple[Path, Path], **changes: object) -> TrainConfig:
    config = TrainConfig(
        data=str(folders[0]),
        models=str(folders[1]),
        network=NetworkConfig(stem=16, thin=16, head=16),
        steps=6,
        evaluate_every=3,
        optimiser=OptimiserConfig(warmup=1, freeze_deep=0.5),
        identity=IdentityConfig(batch=8, canvases=(64, 96), scales=((0.4, 0.5), (0.6, 0.8))),
    )
    return changed(config, **changes)


def changed(config: TrainConfig, **changes: object) -> TrainConfig:
    """With other settings, each in the first table that has one of the name."""
    for name, value in changes.items():
        if hasattr(config, name):
            config = replace(config, **{name: value})  # type: ignore[arg-type]
            continue
        table = next(table for table in KIND_OF if hasattr(getattr(config, table), name))
        config = replace(config, **{table: replace(getattr(config, table), **{name: value})})
    return config
