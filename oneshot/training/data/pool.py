"""Photos and face crops that scenes are composed of, kept in memory.

Reads the data folder that `shared/data/README.md` describes: whole photos with boxed faces (COCO keypoints
format in a tar), photos without faces, and 128 × 128 face crops. Evaluation files are never opened here.
"""

from __future__ import annotations

import json
import tarfile
import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from oneshot.training.data.warp import Array, Labels, boxes_from_landmarks

CROP_SCALE = 88 / 112  # crop pixels per template pixel (data README)
VALIDATION_SHARE = 0.05
HIDDEN = 0.5  # what a point on the far side of a turned face counts for: its place is a convention
SCENES_OFTEN = 3  # how often a photo of scenes_train comes for one of turned_train, whose faces are larger
# crops of these sources were cut from scenes_train, whose held-out part they would give away
SCENE_SOURCES = ("mask", "ilc", "web")


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo as stored, and its faces in its own pixels."""

    name: str
    encoded: bytes  # WebP, JPEG or PNG
    labels: Labels


@dataclass(frozen=True)
class FaceCrops:
    """Face crops; crop i is files[part[i]][offset[i] : offset[i] + length[i]]."""

    files: Sequence[bytes]
    part: Array  # (N,) int
    offset: Array  # (N,) int
    length: Array  # (N,) int
    landmarks: Array  # (N, 5, 2) float32, crop pixels
    native: Array  # (N,) float32, source pixels per template pixel

    def __len__(self) -> int:
        return len(self.landmarks)

    def get(self, index: int) -> tuple[Array, Labels]:
        """Crop `index`: RGB (128, 128, 3) uint8 and its one face."""
        start = int(self.offset[index])
        encoded = self.files[self.part[index]][start : start + int(self.length[index])]
        landmarks = self.landmarks[index : index + 1]
        enlarged = CROP_SCALE / np.minimum(self.native[index : index + 1], CROP_SCALE)
        known = np.ones((1, 5), np.float32)
        labels = Labels(
            boxes_from_landmarks(landmarks), landmarks, known, enlarged, np.zeros((0, 4), np.float32)
        )
        return decode_rgb(encoded), labels


@dataclass(frozen=True)
class ScenePool:
    """All that training scenes are made of."""

    photos: Sequence[Photo]
    negatives: Sequence[Photo]
    crops: FaceCrops


def decode_rgb(encoded: bytes) -> Array:
    """RGB (H, W, 3) uint8 of an encoded image; ValueError where it cannot be decoded."""
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"{len(encoded)} bytes that are no image")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def photo_pixels(photo: Photo) -> Array:
    """The decoded photo, RGB uint8, read-only."""
    return _decode_once(photo.encoded)


@lru_cache(maxsize=4096)
def _decode_once(encoded: bytes) -> Array:
    """Decoded images are kept (about 1 GB for all photos): decoding costs more than composing."""
    image = decode_rgb(encoded)
    image.setflags(write=False)
    return image


def load_pool(data: Path) -> tuple[ScenePool, list[Photo]]:
    """Pool of training material in the folder `data`, and held-out photos for model selection."""
    training, validation = split(load_photos(data / "scenes_train.tar", data / "scenes_train.json"))
    turned = data / "turned_train.tar"
    if turned.exists():
        training = training * SCENES_OFTEN + split(load_photos(turned, turned.with_suffix(".json")))[0]
    negatives = [Photo(name, encoded, Labels.none()) for name, encoded in _read_tar(data / "negatives.tar")]
    return ScenePool(training, negatives, load_crops(data)), validation


def turned_validation(data: Path) -> list[Photo]:
    """Held-out photos of turned, covered and close faces; none where the folder has no such photos."""
    turned = data / "turned_train.tar"
    return split(load_photos(turned, turned.with_suffix(".json")))[1] if turned.exists() else []


def split(photos: Sequence[Photo], share: float = VALIDATION_SHARE) -> tuple[list[Photo], list[Photo]]:
    """(training, validation) photos by a hash of the name: more photos later move none across."""
    held_out = [zlib.crc32(photo.name.encode()) >= (1 - share) * 2**32 for photo in photos]
    training = [photo for photo, out in zip(photos, held_out, strict=True) if not out]
    return training, [photo for photo, out in zip(photos, held_out, strict=True) if out]


def load_photos(tar: Path, annotations: Path) -> list[Photo]:
    """Photos of a tar with their faces from a COCO keypoints file; iscrowd marks ignore regions."""
    coco = json.loads(annotations.read_text())
    rows: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in coco["annotations"]:
        rows[row["image_id"]].append(row)
    encoded = dict(_read_tar(tar))
    return [
        Photo(image["file_name"], encoded[image["file_name"]], _coco_labels(rows[image["id"]]))
        for image in coco["images"]
    ]


def load_crops(data: Path) -> FaceCrops:
    """Face crops of `faces.npz` and `faces-*.webps`, without those cut from scene photos."""
    with np.load(data / "faces.npz") as table:
        names = [str(name) for name in table["source_names"]]
        use = ~np.isin(table["source"], [names.index(name) for name in SCENE_SOURCES if name in names])
        files = [(data / f"faces-{part}.webps").read_bytes() for part in range(int(table["part"].max()) + 1)]
        return FaceCrops(
            files,
            table["part"][use],
            table["offset"][use],
            table["length"][use],
            table["kps"][use].astype(np.float32),
            table["native"][use].astype(np.float32),
        )


def _read_tar(path: Path) -> list[tuple[str, bytes]]:
    with tarfile.open(path) as tar:
        files = [(member.name, tar.extractfile(member)) for member in tar if member.isfile()]
        return [(name, file.read()) for name, file in files if file is not None]


def _coco_labels(rows: Sequence[dict[str, Any]]) -> Labels:
    faces = [row for row in rows if not row["iscrowd"]]
    points = np.array([row["keypoints"] for row in faces], np.float32).reshape(-1, 5, 3)
    seen = points[..., 2]
    return Labels(
        _xyxy(faces),
        points[..., :2] * (seen > 0)[..., None],
        np.where(seen == 1, HIDDEN, np.minimum(seen, 1)).astype(np.float32),
        np.ones(len(faces), np.float32),
        _xyxy([row for row in rows if row["iscrowd"]]),
    )


def _xyxy(rows: Sequence[dict[str, Any]]) -> Array:
    boxes = np.array([row["bbox"] for row in rows], np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes
