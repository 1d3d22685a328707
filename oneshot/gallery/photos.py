"""What is done to people and photos that are enrolled: renamed, joined, taken away, described anew."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone

import numpy as np

from oneshot.errors import OneShotError
from oneshot.gallery import kept
from oneshot.gallery.entries import Entry, State, Storage
from oneshot.geometry import normalised
from oneshot.types import Floats, Model

LEAST_LETTERS = 6
"""Of a photo's id; fewer may mean several."""


@dataclass(frozen=True, slots=True)
class Photo:
    """An enrolled photo.

    Attributes:
        id: the sha256 of the file, or of the array.
        template: the label of the template that it is part of; "" is the one that everybody has.
        file: the file's name, without its folder; "" for an array.
        added: when it was enrolled (UTC); None is not known.
        quality: from 0 to 1; see oneshot.gallery.quality.
        similarity: cosine to the mean of the person's other photos; None where there is no other. Much less
            than the others' is a hint at somebody else's photo.
        path: where the photo was, if that was kept.
        crop: the face's picture (JPEG), if it was kept.
    """

    id: str
    template: str
    file: str
    added: datetime | None
    quality: float
    similarity: float | None
    path: str
    crop: bytes


def photos_of(entries: Sequence[Entry], embeddings: Floats) -> list[Photo]:
    """One person's entries and embeddings (N, D) as photos."""
    similar: Sequence[float | None] = [None]
    if len(entries) > 1:
        rows = normalised(embeddings)
        similar = (rows * normalised(rows.sum(0) - rows)).sum(1).tolist()
    return [
        Photo(
            e.photo,
            e.template,
            e.file,
            datetime.fromtimestamp(e.added, timezone.utc) if e.added else None,
            e.quality,
            likeness,
            e.path,
            e.crop,
        )
        for e, likeness in zip(entries, similar, strict=True)
    ]


def renamed(state: State, name: str) -> State:
    """One person by another name."""
    people, entries, embeddings = state
    return [replace(people[0], name=name)], [replace(e, name=name) for e in entries], embeddings


def joined(state: State, into: str) -> State:
    """Two people as the one of the name `into`; a photo that both have counts once."""
    people, entries, embeddings = state
    one = next(who for who in people if who.name == into)
    other = next(who for who in people if who.name != into)
    one = replace(
        one,
        external_id=one.external_id or other.external_id,
        metadata={**other.metadata, **one.metadata},
    )
    order = sorted(range(len(entries)), key=lambda i: (entries[i].name != into, entries[i].template))
    have: set[tuple[str, str]] = set()
    kept_rows = []
    for i in order:
        photo = (entries[i].template, entries[i].photo)
        if photo not in have:
            have.add(photo)
            kept_rows.append(i)
    return [one], [replace(entries[i], name=into) for i in kept_rows], embeddings[kept_rows]


def chosen(state: State, photo: str) -> State:
    """One person without a photo, which is named by its id, the beginning of that, or its file.

    Raises:
        OneShotError: there is no such photo, several are meant, or it is the only one.
    """
    people, entries, embeddings = state
    name = people[0].name
    meant = {e.photo for e in entries if e.file == photo}
    if not meant and len(photo) >= LEAST_LETTERS:
        meant = {e.photo for e in entries if e.photo.startswith(photo)}
    if len(meant) != 1:
        many = f"{len(meant)} photos are" if meant else "no photo is"
        raise OneShotError(f"{name}: {many} called {photo}; give an id that oneshot photos lists")
    rows = [i for i, e in enumerate(entries) if e.photo not in meant]
    if not rows:
        raise OneShotError(f"{name}: {photo} is the only photo; forget the person instead")
    return people, [entries[i] for i in rows], embeddings[rows]


def described_anew(store: Storage, model: Model, sha: str, drop: bool) -> tuple[int, dict[str, str]]:
    """Replace everybody's embeddings by those of a model of this sha256; see `Gallery.reenroll`.

    Raises:
        OneShotError: some photo cannot be described, and `drop` is not given.
    """
    failed: dict[str, str] = {}
    count = 0

    def how(state: State) -> State:
        nonlocal count
        people, entries, _ = state
        rows: list[Floats] = []
        done: list[Entry] = []
        for entry in entries:
            try:
                rows.append(kept.described_anew(entry, model))
                done.append(replace(entry, model=sha))
            except OneShotError as error:
                failed[f"{entry.name}: {entry.file or entry.photo[:12]}"] = str(error)
        if failed and not drop:
            label, why = next(iter(failed.items()))
            raise OneShotError(
                f"{len(failed)} of {len(entries)} photos cannot be described anew, and nothing was changed "
                f"({label.partition(': ')[0]}: {why}); enroll those again, or leave them out (drop)"
            )
        count = len(done)
        left = {entry.name for entry in done}
        return [who for who in people if who.name in left], done, np.array(rows, np.float32)

    store.rewrite(None, None, how)
    return count, failed
