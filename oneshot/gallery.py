"""The people one knows, and which of them a face is."""

import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from oneshot.errors import OneShotError, OneShotWarning
from oneshot.files import replacing
from oneshot.image import natural_order, pictures_in, read_image
from oneshot.types import Floats, Image, Match, Model

FAR = "1e-3"
"""The false accept rate whose threshold is used where none is given."""


class Gallery:
    """Names and what their faces look like to one model; embeddings of another model would be noise to it.

    A person's template is the mean of all their enrolled photos' embeddings, normalised again.

    Args:
        model: the network that describes the faces, here and later.
    """

    def __init__(self, model: Model):
        self.model = model
        self._photos: dict[str, Floats] = {}  # by name: (photos, D), one embedding a photo
        self._templates: Floats | None = None  # worked out when asked for; a video asks at every frame

    @classmethod
    def from_folder(cls, folder: Path | str, model: Model) -> "Gallery":
        """Enroll a folder: each folder in it is a person, and so is each photo directly in it, by its name.

        Raises:
            OneShotError: there is no such folder, nobody in it, an empty folder of a person, or a bad photo.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise OneShotError(
                f"{folder}: no such folder; give one with a photo, or a folder of photos, per person"
            )
        gallery = cls(model)
        for photo in pictures_in(folder):
            gallery.enroll(photo.stem, [photo])
        for person in sorted((p for p in folder.iterdir() if p.is_dir()), key=natural_order):
            if not person.name.startswith("."):
                photos = pictures_in(person)
                if not photos:
                    raise OneShotError(
                        f"{person}: no photo in this person's folder; add one, or remove the folder"
                    )
                gallery.enroll(person.name, photos)
        if not gallery.names:
            raise OneShotError(
                f"{folder}: no photos in it; put a photo, or a folder of photos, per person there"
            )
        return gallery

    def enroll(self, name: str, photos: Sequence[Path | str | Image]) -> None:
        """Add photos (files or BGR pictures) to a person, who may be new: all of them, or none if one is bad.

        In a photo of several people the largest face is taken, with a OneShotWarning.

        Raises:
            OneShotError: no name, no photo, a photo that cannot be read, or one without a face.
        """
        name = name.strip()
        if not name:
            raise OneShotError("a person needs a name; give one that is not blank")
        if isinstance(photos, (str, Path, np.ndarray)):
            raise OneShotError(f"{name}: want a list of photos, got a single one; put it in [ ]")
        if not photos:
            raise OneShotError(f"{name}: no photos; give at least one with the person's face")
        new = np.stack([self._describe(photo, f"{name}'s photo {i}") for i, photo in enumerate(photos, 1)])
        known = self._photos.get(name)
        self._photos[name] = new if known is None else np.concatenate((known, new))
        self._templates = None

    def _describe(self, photo: Path | str | Image, otherwise: str) -> Floats:
        image, label = (
            (photo, otherwise) if isinstance(photo, np.ndarray) else (read_image(photo), str(photo))
        )
        faces = self.model(image)
        if not len(faces):
            raise OneShotError(f"{label}: no face found in it; enroll a photo that shows the face clearly")
        if len(faces) > 1:
            note = (
                f"{label}: {len(faces)} faces found, the largest is enrolled; crop the photo if that is wrong"
            )
            warnings.warn(note, OneShotWarning, stacklevel=4)
        embedding = faces.embeddings[int(faces.areas.argmax())]
        if not np.isfinite(embedding).all():
            raise OneShotError(f"{label}: the network's description is not finite; use other weights")
        return embedding

    @property
    def names(self) -> list[str]:
        """Who is enrolled, in the order of enrolment."""
        return list(self._photos)

    @property
    def templates(self) -> Floats:
        """(people, D) float32, L2-normalised, in the order of `names`."""
        if self._templates is None:
            means = [_normalised(photos).mean(0) for photos in self._photos.values()]
            self._templates = _normalised(np.array(means, np.float32))
        return self._templates

    def __len__(self) -> int:
        return len(self._photos)

    def identify(self, embeddings: Floats, threshold: float | None = None) -> list[Match]:
        """Who each face is; no face gives an empty list.

        Args:
            embeddings: (N, D) float32, `Faces.embeddings` of the gallery's model.
            threshold: the least cosine similarity; None is the model's for a false accept rate of 1e-3, which
                is that of one comparison: with more people enrolled, a stranger is compared more often.

        Raises:
            OneShotError: embeddings of another size, or no threshold given and none carried by the weights.
        """
        if threshold is None:
            threshold = threshold_at(FAR, self.model.thresholds)
        embeddings = np.asarray(embeddings, np.float32)
        if embeddings.ndim != 2:
            raise OneShotError(f"want embeddings (N, D), got {embeddings.shape}; give Faces.embeddings")
        if not self._photos or not len(embeddings):
            return [Match(None, -1.0)] * len(embeddings)
        templates = self.templates
        if embeddings.shape[1] != templates.shape[1]:
            raise OneShotError(
                f"embeddings of {embeddings.shape[1]} numbers, but the gallery has {templates.shape[1]}: "
                "use the model that the gallery was made with"
            )
        # What is not finite compares false with anything, and must not win an argmax.
        cosines = np.nan_to_num(_normalised(embeddings) @ templates.T, nan=-1.0).clip(-1, 1)
        best, names = cosines.argmax(1), self.names
        similar = cosines[np.arange(len(best)), best]
        return [
            Match(names[i] if s >= threshold else None, float(s)) for i, s in zip(best, similar, strict=True)
        ]

    def save(self, path: Path | str) -> None:
        """Write everything to one .npz, with the model's fingerprint. It holds biometric data: treat it so.

        Raises:
            OneShotError: it cannot be written, its name does not end in .npz, or nobody is enrolled.
        """
        path = Path(path)
        if path.suffix != ".npz":
            raise OneShotError(f"{path}: a gallery's name ends in .npz; rename it")
        if not self._photos:
            raise OneShotError(f"{path}: nobody is enrolled yet; enroll someone before saving")
        people = np.repeat(np.arange(len(self)), [len(photos) for photos in self._photos.values()])
        with replacing(path) as partial:
            np.savez(
                partial,
                names=np.array(self.names),
                people=people,
                embeddings=np.concatenate(list(self._photos.values())),
                weights_sha256=np.array(_fingerprint(self.model)),
            )

    @classmethod
    def load(cls, path: Path | str, model: Model) -> "Gallery":
        """Read what `save` wrote.

        Raises:
            OneShotError: there is no such file, it is not a gallery, or it was made with another model.
        """
        path = Path(path)
        if not path.is_file():
            raise OneShotError(
                f"{path}: no such gallery; save one with Gallery.save, or give a folder of photos"
            )
        try:
            with np.load(path, allow_pickle=False) as file:
                names, people = file["names"], file["people"]
                embeddings, sha = file["embeddings"].astype(np.float32), str(file["weights_sha256"])
            photos = {str(name): embeddings[people == i] for i, name in enumerate(names)}
            whole = (
                embeddings.ndim == 2
                and all(len(p) for p in photos.values())
                and np.isfinite(embeddings).all()
            )
        except (
            OSError,
            KeyError,
            ValueError,
            IndexError,
            TypeError,
            EOFError,
            AttributeError,
            zipfile.BadZipFile,
        ):
            whole = False
        if not whole:
            raise OneShotError(f"{path}: not a gallery, or a damaged one; save it again with Gallery.save")
        if sha != _fingerprint(model):
            raise OneShotError(
                f"{path}: made with other weights ({sha[:12]}); enroll the photos again with these"
            )
        gallery = cls(model)
        gallery._photos = photos
        return gallery


def threshold_at(far: str | float, thresholds: Mapping[str, float]) -> float:
    """The cosine threshold for a false accept rate ("1e-3", "0.001" and 0.001 are the same one).

    Raises:
        OneShotError: it is not one of the rates measured; the message lists these.
    """
    for known, threshold in thresholds.items():
        try:
            if np.isclose(float(known), float(far), rtol=1e-6, atol=0):
                return float(threshold)
        except ValueError:
            break
    rates = ", ".join(sorted(thresholds, key=float, reverse=True)) or "none"
    raise OneShotError(
        f"far={far}: no threshold was measured for it; choose from {rates}, or give a threshold"
    )


def _normalised(vectors: Floats) -> Floats:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True).clip(1e-12)


def _fingerprint(model: Model) -> str:
    sha = model.info.get("weights_sha256")
    if not sha:
        raise OneShotError(
            "the weights carry no weights_sha256 to remember a gallery's model by; export them again"
        )
    return str(sha)
