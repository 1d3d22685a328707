"""The people one knows, and which of them a face is."""

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from oneshot.errors import OneShotError, OneShotWarning
from oneshot.gallery.cipher import secret_from
from oneshot.gallery.doubles import without_doubles
from oneshot.gallery.enrolment import Enrolment, UsedPhoto, choose
from oneshot.gallery.entries import Entry, Who
from oneshot.gallery.folders import people_in
from oneshot.gallery.matching import one_each, search, told
from oneshot.gallery.names import cleaned, new_id
from oneshot.gallery.npz import read_npz, write_npz
from oneshot.gallery.person import Person, as_json, everybody, new_name
from oneshot.gallery.photos import Photo, chosen, described_anew, joined, photos_of, renamed
from oneshot.gallery.places import absolute, in_milvus, is_kept, is_there, no_gallery, open_storage
from oneshot.gallery.quality import DEFAULT, Limits, Quality
from oneshot.gallery.thresholds import FAR, threshold_at, threshold_for_search
from oneshot.types import Floats, Image, Match, Model


class Gallery:
    """Names and what their faces look like to one model; embeddings of another model would be noise to it.

    A template is the mean of its photos' embeddings, normalised again. Everybody has one; more, with labels
    of their own, are for faces that differ (with a beard and without). A face is compared with all of them.

    Args:
        model: the network that describes the faces, here and later.
        path: a file that keeps everything, its name ending in .db; made if there is none. Every change is
            saved when the call returns, and seen by others that use the file. None keeps it in memory.
            "milvus:http://HOST:19530" keeps it on a Milvus server; see oneshot.gallery.milvus.
        key: a secret that encrypts the embeddings in the file; see oneshot.gallery.cipher.secret_from.

    Use one in one thread only; several may share a file. `with` or `close()` lets go of it. Pickled, it is
    the model and the path, never the key: another process has that in the variable ONESHOT_KEY.

    Raises:
        OneShotError: the file is not a gallery, a damaged one, of another model, or its key is another.
    """

    def __init__(self, model: Model, path: Path | str | None = None, *, key: bytes | None = None):
        self.model = model
        sha = model.info.get("weights_sha256")
        if path is not None and not sha:
            raise _no_fingerprint()
        self._fingerprint = str(sha or "")
        self._path, self._encrypted = path, key is not None
        self._store = open_storage(path, key)
        self._entries: Sequence[Entry] | None = None
        try:
            self._store.check(self._fingerprint)
        except BaseException:
            self.close()
            raise

    @classmethod
    def load(cls, path: Path | str, model: Model, *, key: bytes | None = None) -> "Gallery":
        """A gallery that exists: one of a path as above, what `save` wrote (.npz), or a folder of photos.

        The latter two are read into memory and stay as they are.

        Raises:
            OneShotError: there is no such thing, it is damaged or of another model; a bad photo.
        """
        if in_milvus(path):
            if not is_there(path):
                raise no_gallery(path)
            return cls(model, path, key=key)
        path = Path(path)
        if path.is_dir() or path.suffix not in (".db", ".npz"):
            return cls.from_folder(path, model)
        if not path.is_file():
            raise no_gallery(path)
        if path.suffix == ".db":
            if not path.stat().st_size:
                raise OneShotError(f"{path}: the file is empty; fetch a backup, or enroll again")
            return cls(model, path, key=key)
        gallery = cls(model)
        gallery.import_from(path)
        return gallery

    @classmethod
    def from_folder(cls, folder: Path | str, model: Model) -> "Gallery":
        """A gallery in memory of the people in a folder, as `enroll_folder` enrolls them.

        What is left out, and why, OneShotWarnings say.

        Raises:
            OneShotError: there is no such folder, or nobody in it who can be enrolled.
        """
        gallery = cls(model)
        reasons = []
        for name, outcome in gallery.enroll_folder(folder):
            left_out = {name: str(outcome)} if isinstance(outcome, OneShotError) else outcome.left_out
            reasons += [f"left out: {label}: {why}" for label, why in left_out.items()]
        if not len(gallery):
            raise OneShotError(f"{folder}: nobody in it can be enrolled ({'; '.join(reasons)})")
        for reason in reasons:
            warnings.warn(reason, OneShotWarning, stacklevel=2)
        return gallery

    def enroll_folder(
        self,
        folder: Path | str,
        *,
        template: str = "",
        limits: Limits | None = DEFAULT,
        exclude: Sequence[str] = (),
        keep: bool = False,
        force: bool = False,
    ) -> Iterator[tuple[str, Enrolment | OneShotError]]:
        """Enroll people one by one: each folder in `folder` is one, and so is each photo directly in it.

        Args:
            template, limits, keep, force: as for `enroll`.
            exclude: patterns of names or paths to be left out; see oneshot.gallery.folders.

        Returns:
            For each, once they are enrolled, what came of it; an error does not keep the next ones out.

        Raises:
            OneShotError: there is no such folder, or nobody in it; the gallery's file cannot be written.
        """
        people = people_in(folder, exclude)
        for name, why in people.left_out.items():
            yield name, OneShotError(why)
        for name, photos in people.photos.items():
            try:
                yield (
                    name,
                    self.enroll(name, photos, template=template, limits=limits, keep=keep, force=force),
                )
            except OneShotError as error:
                yield name, error

    def enroll(
        self,
        name: str,
        photos: Sequence[Path | str | Image],
        *,
        template: str = "",
        limits: Limits | None = None,
        keep: bool = False,
        force: bool = False,
        external_id: str = "",
        metadata: Mapping[str, Any] | None = None,
    ) -> Enrolment:
        """Add photos (files or BGR pictures) to a person, who may be new.

        Args:
            template: a label for a template of its own.
            limits: leave out photos that are poorer than this, or unlike the person's others; oneshot enroll
                gives Limits(). None takes all photos or, if one cannot be read or shows no face, none: where
                the others do not tell which of several faces is meant, the largest, with a OneShotWarning.
            keep: remember each face's picture and each photo's path, so that `reenroll` can describe them by
                other weights.
            force: take faces, too, that are enrolled under another name. Without it they are refused: all
                that are as like another person as the strictest threshold measured asks.
            external_id, metadata: of somebody who is new; see `update`.

        Returns:
            What was used, and what was left out why.

        Raises:
            OneShotError: no name, no photo, no photo that can be used; the gallery's file cannot be written.
        """
        name, template = new_name(name), cleaned(template)
        entries, others = self._store.read(self._fingerprint, name)
        known = [entry.photo for entry in entries if entry.template == template]
        outcome = choose(name, photos, self.model, limits, known, others, keep)
        if not force and outcome.used:
            raising = limits is None
            outcome = without_doubles(self._store, self.model, self._fingerprint, name, outcome, raising)
        who = Who(new_id(), name, cleaned(external_id), as_json(name, metadata or {}))
        self._add(name, template, outcome.used, who)
        return outcome

    def add(self, name: str, photos: Sequence[UsedPhoto]) -> int:
        """Add faces that were described already to a person, nothing twice; gives how many are new.

        Raises:
            OneShotError: one of another size, or the gallery's file cannot be written.
        """
        name = new_name(name)
        known = {entry.photo for entry in self._store.read(self._fingerprint, name)[0] if not entry.template}
        new = [photo for photo in photos if photo.photo not in known]
        self._add(name, "", new)
        return len(new)

    def _add(self, name: str, template: str, photos: Sequence[UsedPhoto], who: Who | None = None) -> None:
        now, model = time.time(), self._fingerprint
        entries = [
            Entry(name, template, s.photo, s.quality, model, now, s.file, s.path, s.box, s.crop)
            for s in photos
        ]
        self._store.add(entries, np.array([s.embedding for s in photos], np.float32), [who] if who else ())

    def remove(self, name: str) -> int:
        """Forget a person (by name or id), and overwrite what the file held of them; gives how many photos.

        Milvus does not overwrite, which a OneShotWarning says.

        Raises:
            OneShotError: nobody has this name, or the file cannot be written.
        """
        return self._store.remove(self.known(name))

    def rename(self, name: str, new: str) -> None:
        """Give a person (by name or id) another name; the id stays.

        Raises:
            OneShotError: nobody has this name, somebody else has the new one, or it cannot be saved.
        """
        name, new = self.known(name), new_name(new)
        if new != name:
            self._store.rewrite(self._fingerprint, [name], lambda state: renamed(state, new))

    def update(
        self, name: str, *, external_id: str | None = None, metadata: Mapping[str, Any] | None = None
    ) -> None:
        """Say what else is known of a person (by name or id); None leaves it as it is.

        Args:
            external_id: what another system calls the person; "" forgets it.
            metadata: anything that JSON holds, in place of what there was.

        Raises:
            OneShotError: nobody has this name, it is not what JSON holds, or it cannot be saved.
        """
        name = self.known(name)
        more: dict[str, Any] = {}
        if external_id is not None:
            more["external_id"] = cleaned(external_id)
        if metadata is not None:
            more["metadata"] = as_json(name, metadata)
        self._store.rewrite(
            self._fingerprint, [name], lambda state: ([replace(state[0][0], **more)], *state[1:])
        )

    def merge(self, name: str, into: str) -> int:
        """Two who are one (by names or ids): the photos of the first become the second's.

        The second keeps name and id, and gets what it lacks of external id and metadata.

        Returns:
            How many photos are new to the second.

        Raises:
            OneShotError: nobody has one of the names, both are the same, or it cannot be saved.
        """
        name, into = self.known(name), self.known(into)
        if name == into:
            raise OneShotError(f"{name}: cannot be merged with itself; give two people")
        before = len(self._store.read(self._fingerprint, into)[0])
        self._store.rewrite(self._fingerprint, [into, name], lambda state: joined(state, into))
        return len(self._store.read(self._fingerprint, into)[0]) - before

    def photos(self, name: str) -> list[Photo]:
        """The photos that a person (by name or id) is enrolled with, in that order.

        Raises:
            OneShotError: nobody has this name.
        """
        return photos_of(*self._store.read(self._fingerprint, self.known(name), crops=True))

    def remove_photo(self, name: str, photo: str) -> None:
        """Take one photo away from a person (by name or id), and overwrite what the file held of it.

        Args:
            photo: `Photo.id`, its first letters (six at least), or the file's name.

        Raises:
            OneShotError: nobody has this name, there is no such photo or several are meant, it is the only
                one, or it cannot be saved.
        """
        name = self.known(name)
        self._store.rewrite(self._fingerprint, [name], lambda state: chosen(state, photo))

    @classmethod
    def reenroll(
        cls, path: Path | str, model: Model, *, key: bytes | None = None, drop: bool = False
    ) -> tuple[int, dict[str, str]]:
        """Describe everybody in a gallery anew, by other weights, from what `enroll(keep=True)` kept.

        Args:
            path: a .db file or an address, as above.
            drop: go on without the photos that cannot be described anew. People without any are forgotten.

        Returns:
            How many photos were described, and of each other one, by person and file, the reason.

        Raises:
            OneShotError: no such gallery, it cannot be saved, or without `drop` some photo cannot be
                described: then nothing is changed.
        """
        if not is_there(path):
            raise no_gallery(path)
        sha = model.info.get("weights_sha256")
        if not sha:
            raise _no_fingerprint()
        store = open_storage(path, key)
        try:
            return described_anew(store, model, str(sha), drop)
        finally:
            store.close()

    @property
    def names(self) -> list[str]:
        """Who is enrolled, in the order of enrolment."""
        return list(self._everybody)

    @property
    def people(self) -> list[Person]:
        """Who is enrolled with what, in the order of enrolment."""
        return list(self._everybody.values())

    def person(self, name: str) -> Person:
        """Somebody who is enrolled, by name or id.

        Raises:
            OneShotError: nobody is so called.
        """
        return self._everybody[self.known(name)]

    @property
    def templates(self) -> Floats:
        """(T, D) float32, L2-normalised, by person in the order of `names`."""
        return self._store.templates(self._fingerprint)

    def __len__(self) -> int:
        return len(self._everybody)

    def __contains__(self, name: str) -> bool:
        """Whether somebody is so called, by name, id or external id."""
        return bool(self._called(name))

    def threshold(self, far: str | float = FAR, thresholds: Mapping[str, float] | None = None) -> float:
        """The least cosine at which a search of this gallery names one stranger in 1 / far.

        The more people are enrolled, the higher it is; see oneshot.gallery.thresholds.threshold_for_search.

        Args:
            far: a rate of the model's.
            thresholds: of single comparisons by rate; None is the model's.

        Raises:
            OneShotError: the rate was not measured.
        """
        templates = sum(len(person.templates) for person in self._everybody.values())
        known = self.model.thresholds if thresholds is None else thresholds
        return threshold_for_search(far, known, templates)

    def identify(
        self,
        embeddings: Floats,
        threshold: float | None = None,
        *,
        top: int = 0,
        one_photo: bool = False,
        qualities: Sequence[Quality] | None = None,
    ) -> list[Match]:
        """Who each face is, by exact search of all templates; no face gives an empty list.

        Args:
            embeddings: (N, D) float32, `Faces.embeddings` of the gallery's model.
            threshold: the least cosine similarity; None is `threshold()`: one stranger in a thousand is
                named, however many are enrolled.
            top: so many candidates are given with each match.
            one_photo: the faces are of one photo, where a name goes to one face, the most similar.
            qualities: of each face; see oneshot.gallery.quality. Of a poor one nobody can tell who it is.

        Raises:
            OneShotError: embeddings of another size, or no threshold given and none carried by the weights.
        """
        threshold = self.threshold() if threshold is None else threshold
        matches = search(self._store, self._fingerprint, embeddings, threshold, None, max(2, top))
        matches = [replace(match, candidates=match.candidates[:top]) for match in matches]
        matches = told(matches, embeddings, qualities)
        return one_each(matches) if one_photo else matches

    def verify(
        self,
        name: str,
        embeddings: Floats,
        threshold: float | None = None,
        *,
        qualities: Sequence[Quality] | None = None,
    ) -> list[Match]:
        """Whether each face is this person (by name or id); arguments and errors as for `identify`.

        The threshold is that of one comparison here: None is the model's for a false accept rate of 1e-3. The
        margin is that over the most similar other person, and below 0 where that is more similar.

        Raises:
            OneShotError: also, if nobody has this name.
        """
        name = self.known(name)
        threshold = threshold_at(FAR, self.model.thresholds) if threshold is None else threshold
        matches = search(self._store, self._fingerprint, embeddings, threshold, name, 1)
        of_all = search(self._store, self._fingerprint, embeddings, threshold, None, 2) if matches else []
        found = []
        for match, all_of_them in zip(matches, of_all, strict=True):
            others = [c.similarity for c in all_of_them.candidates if c.name != name]
            margin = match.similarity - others[0] if others else None
            found.append(replace(match, margin=margin, candidates=()))
        return told(found, embeddings, qualities)

    def save(self, path: Path | str) -> None:
        """Write everything to one .npz, to carry it elsewhere: biometric data, and never encrypted.

        Raises:
            OneShotError: it cannot be written, its name does not end in .npz, or nobody is enrolled.
        """
        if not self._fingerprint:
            raise _no_fingerprint()
        entries, embeddings = self._store.read(self._fingerprint, crops=True)
        write_npz(Path(path), entries, embeddings, self._store.people(self._fingerprint))

    def import_from(self, path: Path | str, *, key: bytes | None = None) -> int:
        """Add what is in another gallery (or .npz from `save`): all of it or nothing, but nothing twice.

        Into Milvus, many go in several requests: if one fails, call it again.

        Returns:
            How many photos are new.

        Raises:
            OneShotError: there is no such file, it is damaged, or was made with another model.
        """
        if is_kept(path):
            with Gallery.load(path, self.model, key=key) as other:
                entries, embeddings = other._store.read(self._fingerprint, crops=True)
                people = list(other._store.people(self._fingerprint))
        else:
            people, entries, embeddings = read_npz(Path(path), self._fingerprint)
        entries = [replace(entry, name=new_name(entry.name)) for entry in entries]
        people = [replace(who, name=new_name(who.name)) for who in people]
        have = {e.about for e in self._store.entries(self._fingerprint)}
        new = [i for i, entry in enumerate(entries) if entry.about not in have]
        self._store.add([entries[i] for i in new], embeddings[new], people)
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

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled, it is the model and the path, or in memory what it holds; never the key.

        Whoever opens it has the key of an encrypted one in the variable ONESHOT_KEY.
        """
        if self._path is None:
            people = self._store.people(self._fingerprint)
            return _restored, (self.model, *self._store.read(self._fingerprint, crops=True), people)
        return _reopened, (self.model, absolute(self._path), self._encrypted)

    @property
    def _everybody(self) -> dict[str, Person]:
        """By name, gathered again only if anybody changed the gallery: a video asks at every frame."""
        entries = self._store.entries(self._fingerprint)
        if entries is not self._entries:
            people = everybody(entries, self._store.people(self._fingerprint))
            self._entries, self._people = entries, people
        return self._people

    def known(self, name: str) -> str:
        """The name of somebody who is enrolled, looked up by name, else by id or external id.

        Raises:
            OneShotError: nobody is so called.
        """
        found = self._called(name)
        if not found:
            raise self._nobody(cleaned(name))
        return found

    def _called(self, name: str) -> str:
        """The name of somebody by name, id or external id; "" where nobody, or several, are so called."""
        text = cleaned(name)
        if not text or self._store.holds(self._fingerprint, text):
            return text
        called = [p.name for p in self._everybody.values() if text in (p.id, p.external_id)]
        return called[0] if len(called) == 1 else ""

    def _nobody(self, name: str) -> OneShotError:
        known = ", ".join(self.names[:10]) or "nobody yet"
        return OneShotError(f"{name}: is not enrolled; enrolled are {known}{' …' * (len(self) > 10)}")


def _restored(model: Model, entries: Sequence[Entry], embeddings: Floats, people: Sequence[Who]) -> Gallery:
    gallery = Gallery(model)
    gallery._store.add(entries, embeddings, people)
    return gallery


def _reopened(model: Model, path: str, encrypted: bool) -> Gallery:
    return Gallery(model, path, key=secret_from() if encrypted else None)


def _no_fingerprint() -> OneShotError:
    return OneShotError(
        "the weights carry no weights_sha256 to remember a gallery's model by; export them again"
    )
