"""Which photos of a person become part of a template, and why the others do not."""

import math
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from oneshot.errors import OneShotError, OneShotWarning
from oneshot.files import shown
from oneshot.gallery.entries import sha256
from oneshot.gallery.kept import crop_of
from oneshot.gallery.quality import Limits, assess
from oneshot.gallery.thresholds import threshold_at
from oneshot.geometry import described, normalised
from oneshot.media.images import read_image
from oneshot.types import Faces, Floats, Image, Model

CANNOT_TELL = "a face is found, but not which way up it is"
"""What is said of a face whose embedding is zeros."""

FAR = "1e-2"
"""The false accept rate whose threshold tells a person's odd photos, where Limits name no similarity."""


@dataclass(frozen=True, slots=True)
class UsedPhoto:
    """A photo that is used.

    Attributes:
        label: the file's name, or "NAME's photo 2".
        photo: sha256 of the file, or of the array.
        quality: from 0 to 1; see oneshot.gallery.quality.
        embedding: (D,) float32, L2-normalised.
        file: the photo's name, without its folder; "" for an array.
        path, box, crop: where the photo is, the face's box (4,) and its picture (JPEG), if to be kept.
    """

    label: str
    photo: str
    quality: float
    embedding: Floats
    file: str = ""
    path: str = ""
    box: tuple[float, ...] = ()
    crop: bytes = b""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What came of a person's photos.

    Attributes:
        used: those that are part of the template now.
        left_out: for each of the others, by its label, the reason.
    """

    used: list[UsedPhoto]
    left_out: dict[str, str]


def choose(
    name: str,
    photos: Sequence[Path | str | Image],
    model: Model,
    limits: Limits | None = None,
    known: Collection[str] = (),
    others: Floats | None = None,
    keep: bool = False,
) -> Enrolment:
    """Describe a person's photos, and leave out what would spoil the template.

    In a photo of several faces, the person's is the one that is like their other photos.

    Args:
        name: whose photos, for messages.
        photos: files, or BGR pictures (H, W, 3) uint8.
        limits: what a photo must have. None uses every photo: the largest face where nothing tells which of
            several it is, with a OneShotWarning; a photo that cannot be read or shows no face is an error.
        known: sha256 of photos that the template already has; they are left out.
        others: (N, D), the embeddings that the person already has; new ones must be like them.
        keep: give the faces' pictures and the photos' paths, too.

    Raises:
        OneShotError: no photo can be used; or without limits, a bad one.
    """
    if isinstance(photos, (str, Path, np.ndarray)):
        raise OneShotError(f"{name}: want a list of photos, got a single one; put it in [ ]")
    if not isinstance(photos, Sequence) or isinstance(photos, (bytes, bytearray)):
        raise OneShotError(f"{name}: want a list of photos, got {type(photos).__name__}")
    for photo in photos:
        if not isinstance(photo, (str, Path, np.ndarray)):
            kind = type(photo).__name__
            raise OneShotError(f"{name}: want photos as files or pictures, got {kind}; see read_image")
    if not photos:
        raise OneShotError(f"{name}: no photos; give at least one with the person's face")
    used: list[UsedPhoto] = []
    groups: list[_Look] = []
    left_out: dict[str, str] = {}
    hashes = set(known)
    for i, photo in enumerate(photos, 1):
        label = f"{name}'s photo {i}" if isinstance(photo, np.ndarray) else shown(str(photo))
        try:
            look = _look(photo, label, model, keep)
            if look.photo in hashes:
                left_out[label] = "already enrolled"
                continue
            hashes.add(look.photo)
            if len(look.faces) > (1 if limits is None else limits.faces):
                groups.append(look)
            else:
                used.append(look.used(int(look.faces.areas.argmax()), limits))
        except OneShotError as error:
            if limits is None:
                raise
            left_out[label] = str(error).removeprefix(f"{label}: ")
    least = _least(limits, model)
    if limits is not None and least < math.inf:
        odd = outliers(np.array([s.embedding for s in used], np.float32), others, least)
        for i in odd:
            left_out[used[i].label] = "does not look like the person's other photos; check who it shows"
        used = [photo for i, photo in enumerate(used) if i not in odd]
    sure = np.array([*(() if others is None else others), *(s.embedding for s in used)], np.float32)
    for look in groups:
        try:
            used.append(look.used(_meant(look, sure, least, limits is None), limits))
        except OneShotError as error:
            if limits is None:
                raise
            left_out[look.label] = str(error).removeprefix(f"{look.label}: ")
    if not used and not set(left_out.values()) <= {"already enrolled"}:
        reasons = "; ".join(f"{label}: {why}" for label, why in left_out.items())
        raise OneShotError(f"{name}: none of the photos can be enrolled ({reasons})")
    return Enrolment(used, left_out)


def _least(limits: Limits | None, model: Model) -> float:
    """How like the person's other photos one must be; more than any is where that was not measured."""
    if limits is not None and limits.similarity is not None:
        return limits.similarity
    try:
        return threshold_at(FAR, model.thresholds)
    except OneShotError:
        return math.inf


def _meant(look: "_Look", sure: Floats, least: float, otherwise_largest: bool) -> int:
    """Which of several faces is the person's: the one that is like the other photos (N, D).

    Raises:
        OneShotError: none is, or there are no others.
    """
    count = len(look.faces)
    if len(sure):
        rows = look.faces.embeddings
        similar = np.where(described(rows), rows @ normalised(sure.sum(0)), -np.inf)
        best = int(similar.argmax())
        if similar[best] >= least:
            return best
    if not otherwise_largest:
        unlike = ", none like the person's other photos" if len(sure) else ""
        raise OneShotError(f"{look.label}: {count} faces found{unlike}; crop it to the one meant")
    note = f"{look.label}: {count} faces found, the largest is enrolled; crop the photo if that is wrong"
    warnings.warn(note, OneShotWarning, stacklevel=4)
    return int(look.faces.areas.argmax())


def outliers(new: Floats, others: Floats | None, least: float) -> set[int]:
    """Which rows of `new` (N, D) are less like the rest's mean than `least`; rows of `others` are trusted.

    The worst goes first, and the rest is looked at again. Of two photos that are unlike, nobody can tell
    which is the person: both are named.
    """
    kept = list(range(len(new)))
    trusted = np.zeros((0, new.shape[-1])) if others is None or not len(others) else others
    while len(kept) + len(trusted) > 1 and kept:
        rows: Floats = np.concatenate((new[kept], trusted))
        rest = normalised(rows.sum(0) - rows)
        similar = (rows * rest).sum(1)[: len(kept)]
        worst = int(similar.argmin())
        if similar[worst] >= least:
            break
        if len(rows) == 2 and not len(trusted):
            kept = []
        else:
            del kept[worst]
    return set(range(len(new))) - set(kept)


@dataclass(frozen=True, slots=True)
class _Look:
    """A photo and the faces in it, one at least."""

    label: str
    photo: str
    image: Image
    faces: Faces
    side: int
    file: str
    path: str
    keep: bool

    def used(self, index: int, limits: Limits | None) -> UsedPhoto:
        """One of the faces.

        Raises:
            OneShotError: it is not within the limits, or could not be described.
        """
        quality = assess(self.image, self.faces, index, self.side)
        if limits is not None and (fault := limits.fault(quality)):
            raise OneShotError(f"{self.label}: {fault}")
        embedding = self.faces.embeddings[index]
        if not np.isfinite(embedding).all():
            raise OneShotError(f"{self.label}: the network's description is not finite; use other weights")
        if not described(embedding):
            raise OneShotError(
                f"{self.label}: {CANNOT_TELL}; enroll a photo that shows it upright and from the front"
            )
        used = UsedPhoto(self.label, self.photo, quality.overall, embedding, self.file)
        if not self.keep:
            return used
        box = self.faces.boxes[index]
        where = tuple(round(float(value), 1) for value in box)
        return replace(used, path=self.path, box=where, crop=crop_of(self.image, box))


def _look(photo: Path | str | Image, label: str, model: Model, keep: bool) -> _Look:
    """Find the faces in a photo.

    Raises:
        OneShotError: it cannot be read, or shows no face.
    """
    image = photo if isinstance(photo, np.ndarray) else read_image(photo)
    faces = model(image)
    if not len(faces):
        raise OneShotError(f"{label}: no face found in it; enroll a photo that shows the face clearly")
    side = model.side_for(image)
    if isinstance(photo, np.ndarray):
        return _Look(label, sha256(image.tobytes()), image, faces, side, "", "", keep)
    path = Path(photo)
    name, place = shown(path.name), shown(str(path.absolute()))
    return _Look(label, sha256(path.read_bytes()), image, faces, side, name, place, keep)
