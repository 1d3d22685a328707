"""The people one knows, and which of them a face is."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import TracebackType

import numpy as np

from oneshot.embeddings import normalised
from oneshot.enrolment import Enrolment, choose
from oneshot.errors import OneShotError
from oneshot.exchange import read_npz, write_npz
from oneshot.image import natural_order, pictures_in
from oneshot.quality import Limits
from oneshot.store import Entry, Store
from oneshot.thresholds import FAR, threshold_at
from oneshot.types import Floats, Image, Match, Model


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody enrolled: their name, and by its label each template's photos as their qualities (0 to 1)."""

    name: str
    templates: dict[str, list[float]]


class Gallery:
    """Names and what their faces look like to one model; embeddings of another model would be noise to it.

    A template is the mean of its photos' embeddings, normalised again. Everybody has one; more, with labels
    of their own, are for faces that differ (with a beard and without). A face is compared with all of them.

    Args:
        model: the network that describes the faces, here and later.
        path: a file that keeps everything, its name ending in .db; made if there is none. Every change is
            saved when the call returns, and seen by others that use the file. None keeps it in memory.
        key: a secret that encrypts the embeddings in the file; see oneshot.cipher.secret_from.

    Use one in one thread only; several may share a file. `with` or `close()` lets go of it.

    Raises:
        OneShotError: the file is not a gallery, a damaged one, of another model, or its key is another.
    """

    def __init__(self, model: Model, path: Path | str | None = None, *, key: bytes | None = None):
        self.model = model
        file = None if path is None else Path(path)
        if file is not None and file.suffix != ".db":
            raise OneShotError(f"{file}: a gallery's name ends in .db; rename it")
        sha = model.info.get("weights_sha256")
        if file is not None and not sha:
            raise _no_fingerprint()
        self._fingerprint = str(sha or "")
        self._store = Store(file, key)
        self._read_at: tuple[int, int] | None = None
        try:
            self._refresh()
        except BaseException:
            self.close()
            raise

    @classmethod
    def load(cls, path: Path | str, model: Model, *, key: bytes | None = None) -> "Gallery":
        """A gallery that exists: a file of one (.db), what `save` wrote (.npz), or a folder of photos.

        The latter two are read into memory and stay as they are.

        Raises:
            OneShotError: there is no such thing, it is damaged or of another model; a bad photo.
        """
        path = Path(path)
        if path.is_dir() or path.suffix not in (".db", ".npz"):
            return cls.from_folder(path, model)
        if not path.is_file():
            raise OneShotError(f"{path}: no such gallery; make one with oneshot enroll, or check the name")
        if path.suffix == ".db":
            if not path.stat().st_size:
                raise OneShotError(f"{path}: the file is empty; fetch a backup, or enroll again")
            return cls(model, path, key=key)
        gallery = cls(model)
        gallery.merge(path)
        return gallery

    @classmethod
    def from_folder(cls, folder: Path | str, model: Model) -> "Gallery":
        """Enroll a folder in memory: each folder in it is a person, and so is each photo directly in it.

        Raises:
            OneShotError: there is no such folder, nobody in it, an empty folder of a person, or a bad photo.
        """
        gallery = cls(model)
        for name, photos in people_in(folder).items():
            gallery.enroll(name, photos)
        return gallery

    def enroll(
        self,
        name: str,
        photos: Sequence[Path | str | Image],
        *,
        template: str = "",
        limits: Limits | None = None,
    ) -> Enrolment:
        """Add photos (files or BGR pictures) to a person, who may be new.

        Args:
            template: a label for a template of its own.
            limits: leave out photos that are poorer than this, or unlike the person's others; oneshot enroll
                gives Limits(). None takes all photos or, if one cannot be read or shows no face, none: of
                several faces the largest, with a OneShotWarning.

        Returns:
            What was used, and what was left out why.

        Raises:
            OneShotError: no name, no photo, no photo that can be used; the gallery's file cannot be written.
        """
        name, template = name.strip(), template.strip()
        if not name:
            raise OneShotError("a person needs a name; give one that is not blank")
        entries, others = self._store.read(self._fingerprint, name)
        known = [entry.photo for entry in entries if entry.template == template]
        outcome = choose(name, photos, self.model, limits, known, others)
        self._store.add(
            [Entry(name, template, s.photo, s.quality, self._fingerprint) for s in outcome.used],
            np.array([s.embedding for s in outcome.used], np.float32),
        )
        return outcome

    def remove(self, name: str) -> int:
        """Forget a person, and overwrite what the file held of them; gives the number of their photos.

        Raises:
            OneShotError: nobody has this name, or the file cannot be written.
        """
        removed = self._store.remove(name)
        if not removed:
            raise self._nobody(name)
        return removed

    @property
    def names(self) -> list[str]:
        """Who is enrolled, in the order of enrolment."""
        self._refresh()
        return list(self._rows)

    @property
    def people(self) -> list[Person]:
        """Who is enrolled with what, in the order of enrolment."""
        self._refresh()
        people: dict[str, Person] = {}
        for entry in self._entries:
            person = people.setdefault(entry.name, Person(entry.name, {}))
            person.templates.setdefault(entry.template, []).append(entry.quality)
        return list(people.values())

    @property
    def templates(self) -> Floats:
        """(T, D) float32, L2-normalised, by person in the order of `names`."""
        self._refresh()
        return self._templates

    def __len__(self) -> int:
        self._refresh()
        return len(self._rows)

    def identify(self, embeddings: Floats, threshold: float | None = None) -> list[Match]:
        """Who each face is, by exact search of all templates; no face gives an empty list.

        Args:
            embeddings: (N, D) float32, `Faces.embeddings` of the gallery's model.
            threshold: the least cosine similarity; None is the model's for a false accept rate of 1e-3, which
                is that of one comparison: with more people enrolled, a stranger is compared more often.

        Raises:
            OneShotError: embeddings of another size, or no threshold given and none carried by the weights.
        """
        self._refresh()
        return self._compare(embeddings, self._templates, self._owners, threshold)

    def verify(self, name: str, embeddings: Floats, threshold: float | None = None) -> list[Match]:
        """Whether each face is this person; arguments and errors as for `identify`.

        Raises:
            OneShotError: also, if nobody has this name.
        """
        self._refresh()
        rows = self._rows.get(name)
        if rows is None:
            raise self._nobody(name)
        return self._compare(embeddings, self._templates[rows], [name] * len(rows), threshold)

    def _compare(
        self, embeddings: Floats, templates: Floats, owners: Sequence[str], threshold: float | None
    ) -> list[Match]:
        if threshold is None:
            threshold = threshold_at(FAR, self.model.thresholds)
        embeddings = np.asarray(embeddings, np.float32)
        if embeddings.ndim != 2:
            raise OneShotError(f"want embeddings (N, D), got {embeddings.shape}; give Faces.embeddings")
        if not len(owners) or not len(embeddings):
            return [Match(None, -1.0)] * len(embeddings)
        if not embeddings.shape[1]:
            raise OneShotError("the faces are not described; call the model without embed=False")
        if embeddings.shape[1] != templates.shape[1]:
            raise OneShotError(
                f"embeddings of {embeddings.shape[1]} numbers, but the gallery has {templates.shape[1]}: "
                "use the model that the gallery was made with"
            )
        # What is not finite compares false with anything, and must not win an argmax.
        cosines = np.nan_to_num(normalised(embeddings) @ templates.T, nan=-1.0).clip(-1, 1)
        best = cosines.argmax(1)
        similar = cosines[np.arange(len(best)), best]
        return [
            Match(owners[i] if s >= threshold else None, float(s)) for i, s in zip(best, similar, strict=True)
        ]

    def save(self, path: Path | str) -> None:
        """Write everything to one .npz, to carry it elsewhere: biometric data, and never encrypted.

        Raises:
            OneShotError: it cannot be written, its name does not end in .npz, or nobody is enrolled.
        """
        if not self._fingerprint:
            raise _no_fingerprint()
        write_npz(Path(path), *self._store.read(self._fingerprint))

    def merge(self, path: Path | str, *, key: bytes | None = None) -> int:
        """Add what is in another gallery (.db, or .npz from `save`): all of it or nothing, but nothing twice.

        Returns:
            How many photos are new.

        Raises:
            OneShotError: there is no such file, it is damaged, or was made with another model.
        """
        path = Path(path)
        if path.suffix == ".db":
            with Gallery.load(path, self.model, key=key) as other:
                entries, embeddings = other._store.read(self._fingerprint)
        else:
            entries, embeddings = read_npz(path, self._fingerprint)
        have = {e.about for e in self._store.read(self._fingerprint)[0]}
        new = [i for i, entry in enumerate(entries) if entry.about not in have]
        self._store.add([entries[i] for i in new], embeddings[new])
        return len(new)

    def close(self) -> None:
        """Let go of the file."""
        self._store.close()

    def __enter__(self) -> "Gallery":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _refresh(self) -> None:
        """Work the templates out again if anybody changed the file: a video asks at every frame."""
        version = self._store.version
        if version == self._read_at:
            return
        entries, embeddings = self._store.read(self._fingerprint)
        starts, owners, row = [], [], 0
        for (name, _), group in groupby(entries, lambda e: (e.name, e.template)):
            starts.append(row)
            owners.append(name)
            row += len(list(group))
        templates = normalised(embeddings)
        if len(starts) < len(entries):
            templates = normalised(np.add.reduceat(templates, starts))
        self._rows: dict[str, list[int]] = {}  # which templates are whose
        for i, owner in enumerate(owners):
            self._rows.setdefault(owner, []).append(i)
        self._entries, self._owners, self._templates, self._read_at = entries, owners, templates, version

    def _nobody(self, name: str) -> OneShotError:
        known = ", ".join(self.names[:10]) or "nobody yet"
        return OneShotError(f"{name}: is not enrolled; enrolled are {known}{' …' * (len(self) > 10)}")


def people_in(folder: Path | str) -> dict[str, list[Path]]:
    """Names and their photos: each folder in `folder` is a person, and so is each photo directly in it.

    Raises:
        OneShotError: there is no such folder, nobody in it, or an empty folder of a person.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise OneShotError(
            f"{folder}: no such folder; give one with a photo, or a folder of photos, per person"
        )
    people: dict[str, list[Path]] = {}
    for photo in pictures_in(folder):
        people.setdefault(photo.stem, []).append(photo)
    for person in sorted((p for p in folder.iterdir() if p.is_dir()), key=natural_order):
        if not person.name.startswith("."):
            photos = pictures_in(person)
            if not photos:
                raise OneShotError(
                    f"{person}: no photo in this person's folder; add one, or remove the folder"
                )
            people.setdefault(person.name, []).extend(photos)
    if not people:
        raise OneShotError(f"{folder}: no photos in it; put a photo, or a folder of photos, per person there")
    return people


def _no_fingerprint() -> OneShotError:
    return OneShotError(
        "the weights carry no weights_sha256 to remember a gallery's model by; export them again"
    )
