"""The evaluation sets: photos read straight out of their tar files, LFW's pairs, the scenes, the pose set.

A data folder holds `lfw.tar` + `lfw_pairs.txt`, `scenes_eval.tar` + `.json`, `pose.tar` + `.json`,
`cfp_eval.tar` + `.json`; each function needs only its own. Whatever is missing or malformed ends as a
OneShotError that names the file.
"""

import json
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from oneshot.errors import OneShotError
from oneshot.types import Image


class TarImages(Sequence[Image]):
    """The images of an uncompressed tar, decoded when asked for; only names and offsets are kept.

    Addressed by position, because names may repeat (half of the pose set's do, with different frames).
    """

    def __init__(self, path: str | Path) -> None:
        self.path = require(path)
        try:
            with tarfile.open(self.path, "r:") as tar:
                files = [member for member in tar if member.isfile()]
        except tarfile.TarError as error:
            raise OneShotError(f"{self.path}: not an uncompressed tar ({error}); fetch it again") from error
        self.names = [member.name.removeprefix("./") for member in files]
        self._spans = [(member.offset_data, member.size) for member in files]
        self._index = {name: i for i, name in enumerate(self.names)}

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i: int) -> Image:  # type: ignore[override]  # no slices
        offset, size = self._spans[i]
        with self.path.open("rb") as file:
            file.seek(offset)
            data = np.frombuffer(file.read(size), np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if size else None
        if image is None:
            raise OneShotError(
                f"{self.path}: its {self.names[i]} is not a readable image; fetch the tar again"
            )
        return np.asarray(image, np.uint8)

    def position(self, name: str) -> int:
        """Where the image of that name lies (the last one, should the name repeat)."""
        if name not in self._index:
            raise OneShotError(f"{self.path}: has no image {name}; fetch it and its index again")
        return self._index[name]


def require(path: str | Path) -> Path:
    """The path, if a file is there."""
    path = Path(path)
    if not path.is_file():
        raise OneShotError(f"{path}: no such file; name the folder that holds it with --data")
    return path


@dataclass(frozen=True, slots=True)
class Pairs:
    """Verification pairs: pair k compares photos `first[k]` and `second[k]` of `names`; arrays are (P,)."""

    names: tuple[str, ...]  # photos, sorted, each named once
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    same: NDArray[np.bool_]
    fold: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.same)

    @property
    def people(self) -> list[str]:
        """Who is in each photo of `names`: the folder it lies in."""
        return [name.split("/")[0] for name in self.names]

    def every(self, step: int) -> "Pairs":
        """Every step-th pair only, spread over all folds and both kinds, and just the photos they need."""
        keep = slice(None, None, step)
        used, index = np.unique(np.concatenate((self.first[keep], self.second[keep])), return_inverse=True)
        first, second = index.reshape(2, -1)
        return Pairs(tuple(self.names[i] for i in used), first, second, self.same[keep], self.fold[keep])


def lfw_pairs(path: str | Path, suffix: str = ".webp") -> Pairs:
    """Read LFW's pairs file.

    It says `folds size`, then for each fold `size` same-person and `size` different-person lines. A line is
    `name i j` (the same person's i-th and j-th photo) or `name i other j`.
    """
    path = require(path)
    try:
        header, *lines = path.read_text(encoding="utf-8").splitlines()
        folds, size = map(int, header.split())
        rows = [line.split() for line in lines if line.strip()]
        photos = [
            (_photo(row[0], row[1], suffix), _photo(row[0 if len(row) == 3 else 2], row[-1], suffix))
            for row in rows
        ]
    except (ValueError, IndexError) as error:
        raise OneShotError(f"{path}: not an LFW pairs file ({error}); fetch it again") from error
    same = np.array([len(row) == 3 for row in rows])
    expected = np.tile(np.arange(2 * size) < size, folds)
    if not np.array_equal(same, expected):
        raise OneShotError(f"{path}: does not hold {folds} folds of {size} + {size} pairs; fetch it again")
    names, index = np.unique(np.array(photos), return_inverse=True)
    first, second = index.reshape(-1, 2).T
    return Pairs(tuple(names.tolist()), first, second, same, np.repeat(np.arange(folds), 2 * size))


def _photo(person: str, number: str, suffix: str) -> str:
    return f"{person}/{person}_{int(number):04d}{suffix}"


def scenes(folder: str | Path, split: str = "eval") -> tuple[dict[str, Any], TarImages]:
    """COCO-keypoints annotations (`images`, `annotations`) and the photos they speak of."""
    return _json(Path(folder) / f"scenes_{split}.json"), TarImages(Path(folder) / f"scenes_{split}.tar")


def pose_set(folder: str | Path) -> tuple[list[dict[str, Any]], TarImages]:
    """The pose set: record i (`person`, `video`, `box`, `kps`, `pose`) describes image i of the tar."""
    records, images = _json(Path(folder) / "pose.json"), TarImages(Path(folder) / "pose.tar")
    if [record["file"] for record in records] != images.names:
        raise OneShotError(f"{images.path}: pose.json lists other images; fetch both again")
    return records, images


def cfp_set(folder: str | Path) -> tuple[dict[str, Any], TarImages]:
    """CFP's `photos` (by name: `pose`, `eye`, `nose`, `mouth`, `faces`), its `pairs`, and the images."""
    return _json(Path(folder) / "cfp_eval.json"), TarImages(Path(folder) / "cfp_eval.tar")


def _json(path: Path) -> Any:
    try:
        return json.loads(require(path).read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise OneShotError(f"{path}: not JSON ({error}); fetch it again") from error


def chosen(images: TarImages, names: Sequence[str]) -> Iterator[Image]:
    """The images of these names, decoded one after the other."""
    positions = [images.position(name) for name in names]  # all looked up before the first slow step
    return (images[i] for i in positions)
