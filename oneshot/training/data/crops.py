"""The face crops of stage 1: decoded once, kept in memory as uint8, split by person."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from oneshot.errors import OneShotError

CROP_SIDE = 128


@dataclass(frozen=True)
class Crops:
    """Faces in memory.

    Attributes:
        pixels: (N, 3, 128, 128) uint8 RGB.
        landmarks: (N, 5, 2) float32, continuous crop pixels.
        identity: (N,) int64, -1 where unknown.
    """

    pixels: Tensor
    landmarks: Tensor
    identity: Tensor

    def __len__(self) -> int:
        return len(self.pixels)

    def subset(self, rows: Tensor) -> "Crops":
        """Some of them, by position or mask (N,)."""
        return Crops(self.pixels[rows], self.landmarks[rows], self.identity[rows])


def load_crops(folder: Path) -> Crops:
    """Read `faces.npz` and `faces-*.webps` (see the data folder's README for their format).

    Raises:
        OneShotError: a file is missing or a crop does not decode.
    """
    index_path = folder / "faces.npz"
    if not index_path.exists():
        raise OneShotError(f"{index_path}: not there; point data= at the folder with the training crops")
    with np.load(index_path) as file:
        index = {key: file[key] for key in file.files}
    count = len(index["part"])
    blobs = {int(p): (folder / f"faces-{p}.webps").read_bytes() for p in np.unique(index["part"])}
    pixels = torch.empty((count, 3, CROP_SIDE, CROP_SIDE), dtype=torch.uint8)

    def decode(i: int) -> None:
        start, length = int(index["offset"][i]), int(index["length"][i])
        data = np.frombuffer(blobs[int(index["part"][i])], np.uint8, length, start)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)
        if image is None or image.shape != (CROP_SIDE, CROP_SIDE, 3):
            raise OneShotError(f"{folder}: crop {i} does not decode; fetch the data again")
        pixels[i] = torch.from_numpy(cv2.cvtColor(image, cv2.COLOR_BGR2RGB)).permute(2, 0, 1)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(decode, range(count), chunksize=256))
    landmarks = torch.from_numpy(index["kps"].astype(np.float32))
    return Crops(pixels, landmarks, torch.from_numpy(index["identity"].astype(np.int64)))


def split_by_person(crops: Crops, every: int = 8) -> tuple[Crops, Crops]:
    """Training and validation faces: every `every`-th named person, with all their faces, is held out."""
    held = (crops.identity >= 0) & (crops.identity % every == 0)
    return crops.subset(torch.nonzero(~held).squeeze(1)), crops.subset(torch.nonzero(held).squeeze(1))
